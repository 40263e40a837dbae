"""Stock. Every change of a level is written to the ledger of movements too."""
from collections import defaultdict
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..db.models import Product, StockLevel, StockMovement, Warehouse
from ..errors import InvalidInput, OutOfStock

# How a movement's quantity changes (on_hand, reserved).
EFFECTS = {
    "opening": (1, 0),
    "receive": (1, 0),
    "adjust": (1, 0),
    "return": (1, 0),
    "reserve": (0, 1),
    "release": (0, 1),
    "ship": (1, 1),
}


def level(session: Session, product: Product, warehouse: Warehouse) -> StockLevel:
    """The level of a product in a warehouse; an empty one is made where there is none."""
    found = session.get(StockLevel, (product.id, warehouse.id))
    if found is None:
        found = StockLevel(product=product, warehouse=warehouse, on_hand=0, reserved=0)
        session.add(found)
        session.flush()
    return found


def available(session: Session, product: Product) -> int:
    query = select(func.coalesce(func.sum(StockLevel.on_hand - StockLevel.reserved), 0))
    return session.execute(query.filter_by(product_id=product.id)).scalar_one()


def receive(
    session: Session,
    product: Product,
    warehouse: Warehouse,
    quantity: int,
    reference: str,
    now: datetime,
    kind: str = "receive",
) -> None:
    """Goods come in: from a supplier, or back from a customer."""
    if quantity <= 0:
        raise InvalidInput(f"{product.sku}: cannot receive {quantity}")
    _move(session, level(session, product, warehouse), kind, quantity, reference, now)


def count(
    session: Session, product: Product, warehouse: Warehouse, counted: int, now: datetime
) -> int:
    """Sets a level to what was counted, and says by how many it was wrong."""
    found = level(session, product, warehouse)
    if counted < found.reserved:
        raise InvalidInput(f"{product.sku}: {found.reserved} are promised, {counted} were counted")
    difference = counted - found.on_hand
    if difference:
        _move(session, found, "adjust", difference, "stocktaking", now)
    return difference


def reserve(
    session: Session, product: Product, quantity: int, reference: str, now: datetime
) -> None:
    """Promises pieces to an order, from the fullest warehouse first."""
    free = available(session, product)
    if free < quantity:
        raise OutOfStock(product.sku, quantity, free)
    levels = session.execute(
        select(StockLevel)
        .filter_by(product_id=product.id)
        .order_by((StockLevel.on_hand - StockLevel.reserved).desc(), StockLevel.warehouse_id)
    ).scalars()
    for found in levels:
        taken = min(quantity, found.available)
        if taken:
            _move(session, found, "reserve", taken, reference, now)
            quantity -= taken


def reservations(session: Session, reference: str) -> "dict[tuple[int, int], int]":
    """What is still promised to an order, by (product_id, warehouse_id)."""
    promised: "dict[tuple[int, int], int]" = defaultdict(int)
    movements = session.execute(select(StockMovement).filter_by(reference=reference)).scalars()
    for movement in movements:
        promised[movement.product_id, movement.warehouse_id] += (
            movement.quantity * EFFECTS[movement.kind][1]
        )
    return {key: quantity for key, quantity in promised.items() if quantity}


def release(session: Session, reference: str, now: datetime) -> None:
    """Takes back all that is still promised to an order."""
    for key, quantity in reservations(session, reference).items():
        _move(session, session.get(StockLevel, key), "release", -quantity, reference, now)


def ship(session: Session, product: Product, quantity: int, reference: str, now: datetime) -> None:
    """Pieces that were promised to an order leave."""
    for key, promised in reservations(session, reference).items():
        taken = min(quantity, promised) if key[0] == product.id else 0
        if taken:
            _move(session, session.get(StockLevel, key), "ship", -taken, reference, now)
            quantity -= taken
    if quantity:
        raise InvalidInput(f"{product.sku}: {quantity} more than were promised to {reference}")


def ledger_agrees(session: Session) -> bool:
    """Whether each level is what its movements add up to."""
    sums: "dict[tuple[int, int], list[int]]" = defaultdict(lambda: [0, 0])
    for movement in session.execute(select(StockMovement)).scalars():
        on_hand, reserved = EFFECTS[movement.kind]
        entry = sums[movement.product_id, movement.warehouse_id]
        entry[0] += movement.quantity * on_hand
        entry[1] += movement.quantity * reserved
    levels = session.execute(select(StockLevel)).scalars()
    return all(
        [found.on_hand, found.reserved] == sums[found.product_id, found.warehouse_id]
        for found in levels
    )


def _move(
    session: Session, found: StockLevel, kind: str, quantity: int, reference: str, now: datetime
) -> None:
    on_hand, reserved = EFFECTS[kind]
    found.on_hand += quantity * on_hand
    found.reserved += quantity * reserved
    session.add(
        StockMovement(
            product_id=found.product_id,
            warehouse_id=found.warehouse_id,
            kind=kind,
            quantity=quantity,
            reference=reference,
            created_at=now,
        )
    )
    session.flush()
