"""Customers: they come, change their minds, move, and have a right to be forgotten."""
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..db.models import Address, Consent, Customer, Order
from ..errors import InvalidInput, WrongState
from ..text import normal_email


def register(
    session: Session, email: str, first_name: str, last_name: str, now: datetime
) -> Customer:
    email = normal_email(email)
    if session.execute(select(Customer).filter_by(email=email)).first():
        raise InvalidInput(f"{email} has an account")
    customer = Customer(
        email=email, first_name=first_name, last_name=last_name, created_at=now, updated_at=now
    )
    session.add(customer)
    session.flush()
    return customer


def set_consent(
    session: Session, customer: Customer, channel: str, granted: bool, now: datetime
) -> None:
    """Records when a consent was given and withdrawn; giving it again starts a new record."""
    consent = next((c for c in customer.consents if c.channel == channel), None)
    if granted and consent is None:
        customer.consents.append(Consent(channel=channel, granted_at=now))
    elif granted and consent.withdrawn_at is not None:
        consent.granted_at, consent.withdrawn_at = now, None
    elif not granted and consent is not None and consent.withdrawn_at is None:
        consent.withdrawn_at = now
    session.flush()


def move(session: Session, customer: Customer, address: Address) -> None:
    """A new default address; the old one stays in the book."""
    address.kind = address.kind or "shipping"
    for known in customer.addresses:
        if known.kind == address.kind:
            known.is_default = False
    session.flush()  # before the new one: the database allows one default of a kind
    address.is_default = True
    customer.addresses.append(address)
    session.flush()


def erase(session: Session, customer: Customer) -> None:
    """Forgets the person and keeps the orders, as the law wants both."""
    running = session.execute(
        select(func.count())
        .select_from(Order)
        .where(Order.customer_id == customer.id, Order.status.in_(("new", "paid", "shipped")))
    ).scalar_one()
    if running:
        raise WrongState(f"{customer.email} has {running} orders on their way")
    customer.email = f"erased-{customer.id}@invalid"
    customer.first_name, customer.last_name, customer.phone = "", "", None
    customer.status, customer.loyalty_points = "erased", 0
    customer.addresses.clear()
    customer.consents.clear()
    for order in customer.orders:
        order.ship_to_name = order.ship_to_line1 = order.ship_to_line2 = None
    session.flush()
