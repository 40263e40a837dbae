import pytest

from shop import repositories
from shop.errors import InvalidInput, WrongState
from shop.services import orders, shipping, stock
from tests.helpers import DAY, NOW, buy, pay, product


@pytest.fixture
def post(session):
    return repositories.carrier_by_code(session, "post")


@pytest.fixture
def order(session, ada):
    return pay(session, buy(session, ada, {"MUG-RED": 3, "APRON": 1}))


def test_one_parcel(session, order, post):
    shipment = shipping.ship(session, order, post, "T1", NOW)
    assert order.status == "shipped" and shipping.outstanding(order) == {}
    shipping.deliver(session, shipment, NOW + DAY)
    assert order.status == "delivered"
    assert product(session, "MUG-RED").stock_levels[0].on_hand == 37
    assert stock.ledger_agrees(session)


def test_two_parcels(session, order, post):
    first = shipping.ship(session, order, post, "T1", NOW, {"MUG-RED": 2})
    assert order.status == "paid"
    assert shipping.outstanding(order) == {"APRON": 1, "MUG-RED": 1}
    shipping.deliver(session, first, NOW + DAY)
    assert order.status == "paid"
    second = shipping.ship(session, order, post, "T2", NOW + DAY)
    assert order.status == "shipped"
    shipping.deliver(session, second, NOW + 2 * DAY)
    assert order.status == "delivered"


def test_the_last_parcel_may_arrive_first(session, order, post):
    first = shipping.ship(session, order, post, "T1", NOW, {"MUG-RED": 2})
    second = shipping.ship(session, order, post, "T2", NOW)
    shipping.deliver(session, second, NOW + DAY)
    assert order.status == "shipped"
    shipping.deliver(session, first, NOW + DAY)
    assert order.status == "delivered"


@pytest.mark.parametrize(
    "parcel", [{"MUG-RED": 4}, {"MUG-RED": 0}, {"APRON": 1, "SPADE": 1}], ids=str
)
def test_a_parcel_holds_what_was_ordered(session, order, post, parcel):
    with pytest.raises(InvalidInput, match="left, not"):
        shipping.ship(session, order, post, "T1", NOW, parcel)


def test_unpaid_orders_stay(session, ada, post):
    with pytest.raises(WrongState, match="is new: it cannot be shipped"):
        shipping.ship(session, buy(session, ada, {"APRON": 1}), post, "T1", NOW)


def test_a_parcel_arrives_once(session, order, post):
    shipment = shipping.ship(session, order, post, "T1", NOW)
    shipping.deliver(session, shipment, NOW)
    with pytest.raises(WrongState, match="T1 was delivered already"):
        shipping.deliver(session, shipment, NOW)


def test_what_has_left_cannot_be_cancelled(session, order, post):
    shipping.ship(session, order, post, "T1", NOW)
    with pytest.raises(WrongState, match="is shipped"):
        orders.cancel(session, order, NOW)
