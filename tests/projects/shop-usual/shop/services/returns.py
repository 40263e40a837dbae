"""Goods that come back within thirty days of their delivery."""
from datetime import datetime, timedelta
from typing import Mapping

from sqlalchemy.orm import Session

from ..db.models import Order, OrderLine, Return, ReturnLine, Warehouse
from ..errors import InvalidInput, WrongState
from . import payments, stock
from .orders import record
from .pricing import split_in_proportion

RETURN_WITHIN = timedelta(days=30)


def returned_quantity(order: Order, line: OrderLine) -> int:
    """How many of a line came back, or are on their way."""
    return sum(
        part.quantity
        for request in order.returns
        if request.status != "refused"
        for part in request.lines
        if part.order_line is line
    )


def request(
    session: Session, order: Order, quantities: Mapping[str, int], reason: str, now: datetime
) -> Return:
    """A customer announces a return, by product number."""
    if order.status != "delivered":
        raise WrongState(f"{order.number} is {order.status}: nothing to return")
    delivered = max(shipment.delivered_at for shipment in order.shipments)
    if now > delivered + RETURN_WITHIN:
        raise WrongState(f"{order.number} was delivered on {delivered:%Y-%m-%d}: too long ago")
    if not quantities:
        raise InvalidInput(f"{order.number}: nothing to return")
    lines = {line.sku: line for line in order.lines}
    parts = []
    for sku, quantity in quantities.items():
        if sku not in lines:
            raise InvalidInput(f"{order.number} has no {sku}")
        left = lines[sku].quantity - returned_quantity(order, lines[sku])
        if not 0 < quantity <= left:
            raise InvalidInput(f"{order.number}: {left} of {sku} can be returned, not {quantity}")
        parts.append(ReturnLine(order_line=lines[sku], quantity=quantity, restock=True))
    announced = Return(reason=reason, created_at=now, lines=parts, status="requested")
    order.returns.append(announced)
    record(order, "return requested", now, reason)
    session.flush()
    return announced


def refund_cents(order: Order, returned: Return) -> int:
    """What the goods cost after the order's discount; shipping is not refunded."""
    discounts = split_in_proportion(
        order.discount_cents, [line.total_cents for line in order.lines]
    )
    paid = {line.id: line.total_cents - discount for line, discount in zip(order.lines, discounts)}
    return sum(
        paid[part.order_line.id] * part.quantity // part.order_line.quantity
        for part in returned.lines
    )


def receive(
    session: Session,
    returned: Return,
    warehouse: Warehouse,
    now: datetime,
    damaged: "frozenset[str]" = frozenset(),
) -> int:
    """The parcel is back: what is not damaged goes on the shelf, the money to the customer."""
    _close(returned, "received", now)
    order = returned.order
    for part in returned.lines:
        part.restock = part.order_line.sku not in damaged
        if part.restock:
            product = part.order_line.product
            stock.receive(
                session, product, warehouse, part.quantity, order.number, now, kind="return"
            )
    amount = refund_cents(order, returned)
    if amount:
        payments.refund(session, order, amount, now, "return")
    return amount


def refuse(session: Session, returned: Return, reason: str, now: datetime) -> None:
    _close(returned, "refused", now)
    record(returned.order, "return refused", now, reason)
    session.flush()


def _close(returned: Return, status: str, now: datetime) -> None:
    if returned.status != "requested":
        raise WrongState(f"the return was {returned.status} already")
    returned.status = status
    returned.closed_at = now
