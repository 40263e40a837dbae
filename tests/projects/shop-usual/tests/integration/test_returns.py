import pytest

from shop.errors import InvalidInput, WrongState
from shop.services import payments, returns, stock
from tests.helpers import DAY, NOW, buy, deliver, main_warehouse, product

LATER = NOW + 10 * DAY


@pytest.fixture
def order(session, ada):
    """Three mugs for 38.70 and a knife for 89.00, less ten per cent."""
    return deliver(session, buy(session, ada, {"MUG-RED": 3, "KNIFE-CHEF": 1}, "WELCOME10"))


def test_goods_and_money_go_back(session, ada, order):
    points = ada.loyalty_points
    announced = returns.request(session, order, {"MUG-RED": 2}, "too red", LATER)
    amount = returns.receive(session, announced, main_warehouse(session), LATER)
    assert amount == 2 * 1290 - 258  # its share of the discount stays
    assert payments.refunded_cents(order) == amount
    assert product(session, "MUG-RED").stock_levels[0].on_hand == 39
    assert ada.loyalty_points == points - amount // 100
    assert (announced.status, announced.closed_at) == ("received", LATER)
    assert stock.ledger_agrees(session)


def test_all_of_it_in_two_returns(session, order):
    total = 0
    for parcel in ({"MUG-RED": 1}, {"MUG-RED": 2, "KNIFE-CHEF": 1}):
        announced = returns.request(session, order, parcel, "", LATER)
        total += returns.receive(session, announced, main_warehouse(session), LATER)
    assert total == order.total_cents - order.shipping_cents


def test_damaged_goods_are_refunded_but_not_sold_again(session, order):
    announced = returns.request(session, order, {"MUG-RED": 1, "KNIFE-CHEF": 1}, "", LATER)
    main = main_warehouse(session)
    returns.receive(session, announced, main, LATER, damaged=frozenset({"MUG-RED"}))
    assert product(session, "MUG-RED").stock_levels[0].on_hand == 37
    assert product(session, "KNIFE-CHEF").stock_levels[0].on_hand == 15
    assert {line.order_line.sku: line.restock for line in announced.lines} == {
        "MUG-RED": False,
        "KNIFE-CHEF": True,
    }


@pytest.mark.parametrize(
    "quantities, message",
    [
        ({}, "nothing to return"),
        ({"APRON": 1}, "has no APRON"),
        ({"MUG-RED": 4}, "3 of MUG-RED can be returned, not 4"),
        ({"MUG-RED": 0}, "not 0"),
    ],
)
def test_only_what_was_bought(session, order, quantities, message):
    with pytest.raises(InvalidInput, match=message):
        returns.request(session, order, quantities, "", LATER)


def test_nothing_is_returned_twice(session, order):
    returns.request(session, order, {"MUG-RED": 2}, "", LATER)
    with pytest.raises(InvalidInput, match="1 of MUG-RED can be returned"):
        returns.request(session, order, {"MUG-RED": 2}, "", LATER)


def test_a_refused_return_can_be_announced_again(session, order):
    announced = returns.request(session, order, {"MUG-RED": 3}, "", LATER)
    returns.refuse(session, announced, "used", LATER)
    assert order.events[-1].detail == "used"
    with pytest.raises(WrongState, match="was refused already"):
        returns.receive(session, announced, main_warehouse(session), LATER)
    returns.request(session, order, {"MUG-RED": 3}, "", LATER)


def test_the_time_for_it_ends(session, order):
    delivered = NOW + 2 * DAY
    returns.request(session, order, {"MUG-RED": 1}, "", delivered + 30 * DAY)
    with pytest.raises(WrongState, match="too long ago"):
        returns.request(session, order, {"MUG-RED": 1}, "", delivered + 31 * DAY)


def test_what_has_not_arrived_does_not_come_back(session, ada):
    order = buy(session, ada, {"APRON": 1})
    with pytest.raises(WrongState, match="is new: nothing to return"):
        returns.request(session, order, {"APRON": 1}, "", LATER)


def test_what_cost_nothing_is_taken_back_for_nothing(session, ada):
    product(session, "SEED-DILL").price_cents = 0
    order = deliver(session, buy(session, ada, {"SEED-DILL": 1}))
    announced = returns.request(session, order, {"SEED-DILL": 1}, "", LATER)
    assert returns.receive(session, announced, main_warehouse(session), LATER) == 0
    assert payments.refunded_cents(order) == 0
