import pytest

from shop.db.models import Address, Order
from shop.errors import CouponRefused, NotFound, OutOfStock, WrongState
from shop.services import carts, coupons, orders, stock
from tests.helpers import DAY, NOW, buy, pay, product


def test_an_order_takes_over_the_cart(session, ada):
    order = buy(session, ada, {"MUG-RED": 2, "BOOK-SOUP": 1})
    assert order.number == "S-2025-000001"
    assert [(line.sku, line.quantity, line.total_cents) for line in order.lines] == [
        ("BOOK-SOUP", 1, 2200),
        ("MUG-RED", 2, 2580),
    ]
    assert (order.subtotal_cents, order.shipping_cents, order.total_cents) == (4780, 490, 5270)
    assert order.tax_cents == 144 + 412
    assert (order.ship_to_name, order.ship_to_city) == ("Ada Lovelace", "Berlin")
    assert [event.kind for event in order.events] == ["placed"]


def test_the_cart_is_closed_and_the_next_one_empty(session, ada):
    buy(session, ada, {"APRON": 1})
    assert carts.open_for(session, ada, NOW).items == []


def test_order_numbers_count_on_within_a_year(session, ada, grace):
    numbers = [
        buy(session, ada, {"SEED-DILL": 1}).number,
        buy(session, grace, {"SEED-DILL": 1}).number,
        buy(session, ada, {"SEED-DILL": 1}, now=NOW + 365 * DAY).number,
    ]
    assert numbers == ["S-2025-000001", "S-2025-000002", "S-2026-000001"]


def test_an_order_goes_to_the_address_that_was_chosen(session, ada):
    office = Address(line1="Work 1", postal_code="75001", city="Paris", country_code="FR")
    ada.addresses.append(office)
    cart = carts.open_for(session, ada, NOW)
    carts.add(session, cart, product(session, "BOWL-SET"), 2, NOW)
    order = orders.place(session, cart, NOW, office)
    assert (order.ship_to_city, order.shipping_cents) == ("Paris", 1290)


def test_a_later_price_does_not_change_an_order(session, ada):
    order = buy(session, ada, {"APRON": 1})
    product(session, "APRON").price_cents = 9900
    session.commit()
    assert order.lines[0].unit_price_cents == 2900


def test_stock_is_reserved(session, ada):
    before = stock.available(session, product(session, "APRON"))
    buy(session, ada, {"APRON": 5})
    assert stock.available(session, product(session, "APRON")) == before - 5


def test_more_than_there_is_cannot_be_ordered(session, ada):
    with pytest.raises(OutOfStock, match="BOOK-NIGHT: 3 wanted, 2 available"):
        buy(session, ada, {"APRON": 1, "BOOK-NIGHT": 3})
    session.rollback()
    assert session.query(Order).filter_by(customer_id=ada.id).count() == 0
    assert stock.ledger_agrees(session)


def test_an_empty_cart_cannot_be_ordered(session, ada):
    with pytest.raises(WrongState, match="empty"):
        orders.place(session, carts.open_for(session, ada, NOW), NOW)


def test_a_cart_cannot_be_ordered_twice(session, ada):
    cart = carts.open_for(session, ada, NOW)
    carts.add(session, cart, product(session, "APRON"), 1, NOW)
    orders.place(session, cart, NOW)
    with pytest.raises(WrongState, match="the cart is ordered"):
        orders.place(session, cart, NOW)


def test_a_product_may_go_off_sale_while_it_is_in_the_cart(session, ada):
    cart = carts.open_for(session, ada, NOW)
    carts.add(session, cart, product(session, "APRON"), 1, NOW)
    product(session, "APRON").status = "discontinued"
    with pytest.raises(WrongState, match="no longer on sale"):
        orders.place(session, cart, NOW)


def test_without_an_address_nothing_is_sent(session, ada):
    ada.addresses.clear()
    session.flush()
    with pytest.raises(NotFound, match="shipping address of ada@example.com"):
        buy(session, ada, {"APRON": 1})


def test_a_coupon_counts_and_is_used(session, ada):
    order = buy(session, ada, {"KNIFE-CHEF": 1}, coupon="WELCOME10")
    assert (order.discount_cents, order.total_cents) == (890, 8010)
    assert order.coupon.redemptions[-1].discount_cents == 890


def test_a_coupon_may_run_out_before_the_order_is_placed(session, ada, grace):
    cart = carts.open_for(session, ada, NOW)
    carts.add(session, cart, product(session, "APRON"), 1, NOW)
    carts.apply_coupon(session, cart, "ONCE", NOW)
    buy(session, grace, {"APRON": 1}, coupon="ONCE")
    with pytest.raises(CouponRefused):
        orders.place(session, cart, NOW)


def test_cancelling_gives_everything_back(session, ada):
    before = stock.available(session, product(session, "APRON"))
    order = pay(session, buy(session, ada, {"APRON": 4}, coupon="ONCE"))
    assert ada.loyalty_points == 92
    orders.cancel(session, order, NOW + DAY, "too many")
    assert order.status == "cancelled"
    assert order.payments[0].refunds[0].amount_cents == order.total_cents == 9280
    assert stock.available(session, product(session, "APRON")) == before
    assert coupons.uses(session, order.coupon) == 0
    assert ada.loyalty_points == 0
    assert [event.kind for event in order.events] == ["placed", "paid", "refunded", "cancelled"]
    with pytest.raises(WrongState, match="cannot be cancelled"):
        orders.cancel(session, order, NOW + DAY)
