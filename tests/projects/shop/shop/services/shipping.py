"""Parcels. An order may leave in several."""
from datetime import datetime
from typing import Mapping, Optional

from sqlalchemy.orm import Session

from ..db.models import Carrier, Order, OrderLine, Shipment, ShipmentLine
from ..errors import InvalidInput, WrongState
from . import stock
from .orders import record


def shipped_quantity(order: Order, line: OrderLine) -> int:
    return sum(
        part.quantity
        for shipment in order.shipments
        for part in shipment.lines
        if part.order_line is line
    )


def outstanding(order: Order) -> "dict[str, int]":
    """What has still to be sent, by product number."""
    left = {line.sku: line.quantity - shipped_quantity(order, line) for line in order.lines}
    return {sku: quantity for sku, quantity in left.items() if quantity}


def ship(
    session: Session,
    order: Order,
    carrier: Carrier,
    tracking_code: str,
    now: datetime,
    parcel: Optional[Mapping[str, int]] = None,
) -> Shipment:
    """Sends a parcel with these quantities by product number, or with all that is left."""
    if order.status != "paid":
        raise WrongState(f"{order.number} is {order.status}: it cannot be shipped")
    left = outstanding(order)
    parcel = left if parcel is None else parcel
    shipment = Shipment(carrier=carrier, tracking_code=tracking_code, shipped_at=now)
    for sku, quantity in parcel.items():
        if not 0 < quantity <= left.get(sku, 0):
            raise InvalidInput(f"{order.number}: {left.get(sku, 0)} of {sku} left, not {quantity}")
        line = next(line for line in order.lines if line.sku == sku)
        stock.ship(session, line.product, quantity, order.number, now)
        shipment.lines.append(ShipmentLine(order_line=line, quantity=quantity))
    order.shipments.append(shipment)
    record(order, "shipped", now, tracking_code)
    if not outstanding(order):
        order.status = "shipped"
    session.flush()
    return shipment


def deliver(session: Session, shipment: Shipment, now: datetime) -> None:
    """A parcel has arrived; with the last one the order is delivered."""
    if shipment.delivered_at is not None:
        raise WrongState(f"{shipment.tracking_code} was delivered already")
    shipment.delivered_at = now
    order = shipment.order
    record(order, "delivered", now, shipment.tracking_code or "")
    if order.status == "shipped" and all(sent.delivered_at for sent in order.shipments):
        order.status = "delivered"
    session.flush()
