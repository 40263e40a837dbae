import pytest
from sqlalchemy.exc import IntegrityError

from shop.errors import InvalidInput, WrongState
from shop.services import orders, payments
from tests.helpers import NOW, buy, pay


def test_paying_earns_points(session, ada):
    order = pay(session, buy(session, ada, {"KNIFE-CHEF": 1}))
    assert (order.status, ada.loyalty_points) == ("paid", 89)
    assert payments.refundable_cents(order) == 8900


@pytest.mark.parametrize("wrong", [0, 8899, 8901])
def test_only_the_whole_amount_pays(session, ada, wrong):
    order = buy(session, ada, {"KNIFE-CHEF": 1})
    with pytest.raises(InvalidInput, match="costs 89.00"):
        payments.pay(session, order, "card", "ref", wrong, NOW)
    assert order.status == "new"


def test_an_order_is_paid_once(session, ada):
    order = pay(session, buy(session, ada, {"APRON": 1}))
    with pytest.raises(WrongState, match="cannot be paid"):
        pay(session, order)


def test_a_reference_is_used_once(session, ada, grace):
    first, second = buy(session, ada, {"APRON": 1}), buy(session, grace, {"APRON": 1})
    payments.pay(session, first, "card", "same", first.total_cents, NOW)
    with pytest.raises(IntegrityError):
        payments.pay(session, second, "card", "same", second.total_cents, NOW)


def test_refunds_in_parts(session, ada):
    order = pay(session, buy(session, ada, {"KNIFE-CHEF": 1}))
    payments.refund(session, order, 1000, NOW, "scratched")
    payments.refund(session, order, 7900, NOW, "")
    assert payments.refunded_cents(order) == 8900
    assert [event.detail for event in order.events[2:]] == ["10.00 scratched", "79.00"]
    with pytest.raises(InvalidInput, match="0.00 can be refunded, not 0.01"):
        payments.refund(session, order, 1, NOW, "greed")


def test_a_refund_over_two_payments(session, ada):
    order = pay(session, buy(session, ada, {"KNIFE-CHEF": 1}))
    order.payments.append(
        payments.Payment(provider="cash", reference="tip", amount_cents=500, created_at=NOW)
    )
    refunds = payments.refund(session, order, 9000, NOW, "all")
    assert [refund.amount_cents for refund in refunds] == [8900, 100]
    assert [refund.payment.reference for refund in refunds] == ["ref-S-2025-000001", "tip"]


def test_points_never_fall_below_zero(session, ada):
    order = pay(session, buy(session, ada, {"KNIFE-CHEF": 1}))
    ada.loyalty_points = 3  # the rest has been spent
    payments.refund(session, order, 8900, NOW, "all")
    assert ada.loyalty_points == 0


def test_an_unpaid_order_is_cancelled_without_a_refund(session, ada):
    order = buy(session, ada, {"APRON": 1})
    orders.cancel(session, order, NOW)
    assert order.payments == [] and order.events[-1].kind == "cancelled"
