import pytest

from shop.db.models import StockLevel
from shop.errors import InvalidInput, OutOfStock
from shop.services import stock
from tests.helpers import NOW, main_warehouse, product


@pytest.fixture
def mug(session):
    """40 pieces in MAIN, 10 in NORTH."""
    return product(session, "MUG-RED")


def levels(session, mug):
    found = session.query(StockLevel).filter_by(product_id=mug.id).order_by("warehouse_id")
    return [(level.on_hand, level.reserved) for level in found]


def test_the_seed_agrees_with_its_ledger(session):
    assert stock.ledger_agrees(session)


def test_a_level_without_its_movement_is_noticed(session, mug):
    stock.level(session, mug, main_warehouse(session)).on_hand += 1
    session.flush()
    assert not stock.ledger_agrees(session)


def test_goods_come_in(session, mug):
    stock.receive(session, mug, main_warehouse(session), 12, "PO-7", NOW)
    assert levels(session, mug) == [(52, 0), (10, 0)]
    with pytest.raises(InvalidInput, match="cannot receive 0"):
        stock.receive(session, mug, main_warehouse(session), 0, "PO-8", NOW)


def test_goods_come_to_a_warehouse_that_had_none(session):
    blue = product(session, "MUG-BLUE")
    north = product(session, "MUG-RED").stock_levels[1].warehouse
    stock.receive(session, blue, north, 5, "PO-9", NOW)
    assert levels(session, blue) == [(25, 0), (5, 0)]
    assert stock.ledger_agrees(session)


def test_the_fullest_warehouse_serves_first_and_the_next_helps_out(session, mug):
    stock.reserve(session, mug, 45, "S-1", NOW)
    assert levels(session, mug) == [(40, 40), (10, 5)]
    assert sum(stock.reservations(session, "S-1").values()) == 45


def test_what_is_promised_is_not_promised_again(session, mug):
    stock.reserve(session, mug, 45, "S-1", NOW)
    with pytest.raises(OutOfStock) as refused:
        stock.reserve(session, mug, 6, "S-2", NOW)
    assert refused.value.available == 5


def test_what_was_promised_can_be_released(session, mug):
    stock.reserve(session, mug, 45, "S-1", NOW)
    stock.release(session, "S-1", NOW)
    assert levels(session, mug) == [(40, 0), (10, 0)]
    assert stock.reservations(session, "S-1") == {}
    assert stock.ledger_agrees(session)


def test_shipping_takes_from_where_it_was_promised(session, mug):
    stock.reserve(session, mug, 45, "S-1", NOW)
    stock.ship(session, mug, 42, "S-1", NOW)
    assert levels(session, mug) == [(0, 0), (8, 3)]
    with pytest.raises(InvalidInput, match="1 more than were promised to S-1"):
        stock.ship(session, mug, 4, "S-1", NOW)


def test_stocktaking(session, mug):
    main = main_warehouse(session)
    assert stock.count(session, mug, main, 37, NOW) == -3
    assert stock.count(session, mug, main, 37, NOW) == 0
    assert levels(session, mug) == [(37, 0), (10, 0)]
    assert stock.ledger_agrees(session)


def test_stocktaking_cannot_break_a_promise(session, mug):
    stock.reserve(session, mug, 20, "S-1", NOW)
    with pytest.raises(InvalidInput, match="20 are promised, 19 were counted"):
        stock.count(session, mug, main_warehouse(session), 19, NOW)
