import pytest

from shop import repositories
from shop.errors import CouponRefused, NotFound
from shop.services import coupons
from tests.helpers import DAY, NOW, buy


def coupon(session, code):
    return repositories.coupon_by_code(session, code)


@pytest.mark.parametrize(
    "code, subtotal, off",
    [
        ("WELCOME10", 4995, 499),
        ("FIVER", 4995, 500),
        ("FIVER", 300, 300),
        ("ONCE", 1000, 200),
    ],
)
def test_what_a_coupon_takes_off(session, code, subtotal, off):
    assert coupons.discount(coupon(session, code), subtotal) == off


def test_codes_are_found_however_they_are_typed(session):
    assert coupon(session, " welcome10 ").code == "WELCOME10"
    with pytest.raises(NotFound, match="no coupon FREE"):
        coupon(session, "FREE")


def test_an_expired_coupon_is_refused(session):
    with pytest.raises(CouponRefused, match="expired on 2023-09-30"):
        coupons.check(session, coupon(session, "SUMMER23"), 9000, NOW)


def test_a_coupon_is_good_until_its_last_moment(session):
    summer = coupon(session, "SUMMER23")
    coupons.check(session, summer, 9000, summer.valid_until)
    with pytest.raises(CouponRefused):
        coupons.check(session, summer, 9000, summer.valid_until + DAY)


def test_a_least_order(session):
    coupons.check(session, coupon(session, "FIVER"), 2500, NOW)
    with pytest.raises(CouponRefused, match="25.00 and more"):
        coupons.check(session, coupon(session, "FIVER"), 2499, NOW)


def test_a_limit_of_uses(session, ada, grace):
    once = coupon(session, "ONCE")
    buy(session, ada, {"APRON": 1}, coupon="ONCE")
    assert coupons.uses(session, once) == 1
    with pytest.raises(CouponRefused, match="used up"):
        buy(session, grace, {"APRON": 1}, coupon="ONCE")
