"""Short ways to the states that tests start from."""
from datetime import datetime, timedelta
from typing import Optional

from sqlalchemy.orm import Session

from shop import repositories
from shop.db.models import Customer, Order, Product, Warehouse
from shop.services import carts, orders, payments, shipping

NOW = datetime(2025, 3, 3, 12, 0)
DAY = timedelta(days=1)


def product(session: Session, sku: str) -> Product:
    return repositories.product_by_sku(session, sku)


def main_warehouse(session: Session) -> Warehouse:
    return repositories.warehouse_by_code(session, "MAIN")


def buy(
    session: Session,
    customer: Customer,
    items: "dict[str, int]",
    coupon: Optional[str] = None,
    now: datetime = NOW,
) -> Order:
    """A new order."""
    cart = carts.open_for(session, customer, now)
    for sku, quantity in items.items():
        carts.add(session, cart, product(session, sku), quantity, now)
    if coupon:
        carts.apply_coupon(session, cart, coupon, now)
    return orders.place(session, cart, now)


def pay(session: Session, order: Order, now: datetime = NOW) -> Order:
    payments.pay(session, order, "card", f"ref-{order.number}", order.total_cents, now)
    return order


def deliver(session: Session, order: Order, now: datetime = NOW) -> Order:
    """Pays for an order, sends all of it and lets it arrive two days later."""
    pay(session, order, now)
    post = repositories.carrier_by_code(session, "post")
    shipment = shipping.ship(session, order, post, f"TRACK-{order.number}", now)
    shipping.deliver(session, shipment, now + 2 * DAY)
    return order
