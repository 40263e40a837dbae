import pytest

from shop.errors import CouponRefused, InvalidInput, WrongState
from shop.services import carts
from tests.helpers import DAY, NOW, product


def test_a_customer_has_one_open_cart(session, ada):
    cart = carts.open_for(session, ada, NOW)
    assert carts.open_for(session, ada, NOW + DAY) is cart


def test_the_same_product_twice_is_one_item(session, ada):
    cart = carts.open_for(session, ada, NOW)
    carts.add(session, cart, product(session, "MUG-RED"), 1, NOW)
    carts.add(session, cart, product(session, "MUG-RED"), 2, NOW + DAY)
    assert [(item.product.sku, item.quantity) for item in cart.items] == [("MUG-RED", 3)]
    assert carts.subtotal_cents(cart) == 3870
    assert cart.updated_at == NOW + DAY


@pytest.mark.parametrize("quantity", [0, -1])
def test_nothing_cannot_be_added(session, ada, quantity):
    cart = carts.open_for(session, ada, NOW)
    with pytest.raises(InvalidInput):
        carts.add(session, cart, product(session, "MUG-RED"), quantity, NOW)


def test_what_is_not_on_sale_cannot_be_added(session, ada):
    mug = product(session, "MUG-RED")
    mug.status = "discontinued"
    with pytest.raises(WrongState, match="not on sale"):
        carts.add(session, carts.open_for(session, ada, NOW), mug, 1, NOW)


def test_quantities_change_and_zero_takes_out(session, ada):
    cart = carts.open_for(session, ada, NOW)
    mug, apron = product(session, "MUG-RED"), product(session, "APRON")
    carts.add(session, cart, mug, 1, NOW)
    carts.add(session, cart, apron, 1, NOW)
    carts.set_quantity(session, cart, apron, 4, NOW)
    carts.set_quantity(session, cart, mug, 0, NOW)
    assert [(item.product.sku, item.quantity) for item in cart.items] == [("APRON", 4)]
    with pytest.raises(InvalidInput, match="not in the cart"):
        carts.set_quantity(session, cart, mug, 1, NOW)


def test_a_coupon_says_what_it_takes_off(session, ada):
    cart = carts.open_for(session, ada, NOW)
    carts.add(session, cart, product(session, "KNIFE-CHEF"), 1, NOW)
    assert carts.apply_coupon(session, cart, "welcome10", NOW) == 890
    with pytest.raises(CouponRefused):
        carts.apply_coupon(session, cart, "SUMMER23", NOW)
    assert cart.coupon.code == "WELCOME10"


def test_a_blocked_customer_has_no_cart(session, ada):
    ada.status = "blocked"
    with pytest.raises(WrongState, match="ada@example.com is blocked"):
        carts.open_for(session, ada, NOW)


def test_carts_are_abandoned_after_a_month(session, ada, grace):
    old = carts.open_for(session, ada, NOW - 31 * DAY)
    new = carts.open_for(session, grace, NOW - 29 * DAY)
    assert carts.abandon_stale(session, NOW) == 1
    assert (old.status, new.status) == ("abandoned", "open")
    assert carts.open_for(session, ada, NOW) is not old
