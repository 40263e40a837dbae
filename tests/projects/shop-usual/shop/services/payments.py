"""Payments and refunds. Customers earn a point for each full euro that they spend."""
from datetime import datetime

from sqlalchemy.orm import Session

from ..db.models import Order, OrderEvent, Payment, Refund
from ..errors import InvalidInput, WrongState
from ..text import format_cents


def pay(
    session: Session, order: Order, provider: str, reference: str, amount_cents: int, now: datetime
) -> Payment:
    if order.status != "new":
        raise WrongState(f"{order.number} is {order.status}: it cannot be paid")
    if amount_cents != order.total_cents:
        raise InvalidInput(
            f"{order.number} costs {format_cents(order.total_cents)}, not "
            f"{format_cents(amount_cents)}"
        )
    payment = Payment(
        provider=provider, reference=reference, amount_cents=amount_cents, created_at=now
    )
    order.payments.append(payment)
    order.status = "paid"
    order.customer.loyalty_points += amount_cents // 100
    order.events.append(OrderEvent(kind="paid", detail=reference, created_at=now))
    session.flush()
    return payment


def refunded_cents(order: Order) -> int:
    return sum(refund.amount_cents for payment in order.payments for refund in payment.refunds)


def refundable_cents(order: Order) -> int:
    """What was paid and has not gone back yet."""
    return sum(payment.amount_cents for payment in order.payments) - refunded_cents(order)


def refund(
    session: Session, order: Order, amount_cents: int, now: datetime, reason: str
) -> "list[Refund]":
    """Sends money back, from one payment after the other, and takes the points for it back."""
    if not 0 < amount_cents <= refundable_cents(order):
        raise InvalidInput(
            f"{order.number}: {format_cents(refundable_cents(order))} can be refunded, not "
            f"{format_cents(amount_cents)}"
        )
    refunds = []
    left = amount_cents
    for payment in order.payments:
        rest = payment.amount_cents - sum(refund.amount_cents for refund in payment.refunds)
        part = min(left, rest)
        if part:
            refund_ = Refund(amount_cents=part, reason=reason, created_at=now)
            payment.refunds.append(refund_)
            refunds.append(refund_)
            left -= part
    customer = order.customer
    customer.loyalty_points = max(0, customer.loyalty_points - amount_cents // 100)
    detail = f"{format_cents(amount_cents)} {reason}".strip()
    order.events.append(OrderEvent(kind="refunded", detail=detail, created_at=now))
    session.flush()
    return refunds
