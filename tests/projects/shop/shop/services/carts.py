"""Carts: a customer has one that is open, or none."""
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from .. import repositories
from ..db.models import Cart, CartItem, Customer, Product
from ..errors import InvalidInput, WrongState
from . import coupons

ABANDONED_AFTER = timedelta(days=30)


def open_for(session: Session, customer: Customer, now: datetime) -> Cart:
    if customer.status != "active":
        raise WrongState(f"{customer.email} is {customer.status}")
    cart = repositories.open_cart(session, customer)
    if cart is None:
        cart = Cart(customer=customer, created_at=now, updated_at=now)
        session.add(cart)
        session.flush()
    return cart


def add(session: Session, cart: Cart, product: Product, quantity: int, now: datetime) -> CartItem:
    """Puts a product in, or more of it."""
    if quantity <= 0:
        raise InvalidInput(f"{product.sku}: cannot add {quantity}")
    if product.status != "active":
        raise WrongState(f"{product.sku} is not on sale")
    item = next((item for item in cart.items if item.product is product), None)
    if item is None:
        item = CartItem(product=product, quantity=0)
        cart.items.append(item)
    item.quantity += quantity
    cart.updated_at = now
    session.flush()
    return item


def set_quantity(
    session: Session, cart: Cart, product: Product, quantity: int, now: datetime
) -> None:
    """Zero takes the product out."""
    for item in cart.items:
        if item.product is product:
            if quantity > 0:
                item.quantity = quantity
            else:
                cart.items.remove(item)
            cart.updated_at = now
            session.flush()
            return
    raise InvalidInput(f"{product.sku} is not in the cart")


def subtotal_cents(cart: Cart) -> int:
    return sum(item.quantity * item.product.price_cents for item in cart.items)


def apply_coupon(session: Session, cart: Cart, code: str, now: datetime) -> int:
    """Puts a coupon on the cart and says what it takes off as things are now."""
    coupon = repositories.coupon_by_code(session, code)
    subtotal = subtotal_cents(cart)
    coupons.check(session, coupon, subtotal, now)
    cart.coupon = coupon
    cart.updated_at = now
    session.flush()
    return coupons.discount(coupon, subtotal)


def abandon_stale(session: Session, now: datetime) -> int:
    """Closes the carts that nobody has touched for a month, and says how many."""
    query = select(Cart).where(Cart.status == "open", Cart.updated_at < now - ABANDONED_AFTER)
    stale = list(session.execute(query).scalars())
    for cart in stale:
        cart.status = "abandoned"
    session.flush()
    return len(stale)
