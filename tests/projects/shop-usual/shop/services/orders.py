"""Orders: from the cart to the doorstep, or to their cancellation."""
from datetime import datetime
from typing import Optional

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from .. import repositories
from ..db.models import Address, Cart, Order, OrderEvent, OrderLine
from ..errors import WrongState
from . import coupons, payments, stock
from .pricing import PricedLine, totals


def next_number(session: Session, now: datetime) -> str:
    """Counted by year, without gaps: S-2024-000001."""
    prefix = f"S-{now.year}-"
    last = session.execute(
        select(func.max(Order.number)).where(Order.number.startswith(prefix))
    ).scalar_one()
    return f"{prefix}{int(last[len(prefix):]) + 1 if last else 1:06d}"


def record(order: Order, kind: str, now: datetime, detail: str = "") -> None:
    """Writes an event into the order's diary."""
    order.events.append(OrderEvent(kind=kind, detail=detail, created_at=now))


def place(session: Session, cart: Cart, now: datetime, address: Optional[Address] = None) -> Order:
    """Makes the cart an order: at today's prices, with its stock reserved and its coupon used."""
    if cart.status != "open":
        raise WrongState(f"the cart is {cart.status}")
    if not cart.items:
        raise WrongState("the cart is empty")
    customer = cart.customer
    address = address or repositories.default_address(session, customer)
    number = next_number(session, now)
    items = sorted(cart.items, key=lambda item: item.product.sku)
    for item in items:
        if item.product.status != "active":
            raise WrongState(f"{item.product.sku} is no longer on sale")
        stock.reserve(session, item.product, item.quantity, number, now)

    subtotal = sum(item.quantity * item.product.price_cents for item in items)
    discount = 0
    if cart.coupon is not None:
        coupons.check(session, cart.coupon, subtotal, now)
        discount = coupons.discount(cart.coupon, subtotal)
    sums = totals(
        [
            PricedLine(item.quantity, item.product.price_cents, item.product.tax_rate_bp)
            for item in items
        ],
        discount,
        address.country_code,
    )
    order = Order(
        number=number,
        customer=customer,
        coupon=cart.coupon,
        subtotal_cents=sums.subtotal_cents,
        discount_cents=sums.discount_cents,
        shipping_cents=sums.shipping_cents,
        tax_cents=sums.tax_cents,
        total_cents=sums.total_cents,
        ship_to_name=customer.name,
        ship_to_line1=address.line1,
        ship_to_line2=address.line2,
        ship_to_postal_code=address.postal_code,
        ship_to_city=address.city,
        ship_to_country_code=address.country_code,
        created_at=now,
        lines=[
            OrderLine(
                product=item.product,
                sku=item.product.sku,
                name=item.product.name,
                quantity=item.quantity,
                unit_price_cents=item.product.price_cents,
                tax_rate_bp=item.product.tax_rate_bp,
            )
            for item in items
        ],
    )
    session.add(order)
    record(order, "placed", now)
    session.flush()
    if cart.coupon is not None:
        coupons.redeem(session, cart.coupon, order, now)
    cart.status = "ordered"
    cart.updated_at = now
    session.flush()
    return order


def cancel(session: Session, order: Order, now: datetime, reason: str = "") -> None:
    """Undoes an order that has not left yet: stock, coupon, money and points go back."""
    if order.status not in ("new", "paid"):
        raise WrongState(f"{order.number} is {order.status}: it cannot be cancelled")
    stock.release(session, order.number, now)
    coupons.give_back(session, order)
    paid = payments.refundable_cents(order)
    if paid:
        payments.refund(session, order, paid, now, "cancelled")
    order.status = "cancelled"
    record(order, "cancelled", now, reason)
    session.flush()
