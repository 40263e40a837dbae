import pytest

from shop import repositories
from shop.db.models import Address
from shop.errors import InvalidInput, NotFound, WrongState
from shop.services import customers
from tests.helpers import DAY, NOW, buy, deliver


def test_registration(session):
    rosa = customers.register(session, " Rosa@Example.com", "Rosa", "Parks", NOW)
    assert repositories.customer_by_email(session, "rosa@example.com") is rosa
    assert (rosa.status, rosa.loyalty_points) == ("active", 0)


def test_an_address_registers_once(session):
    with pytest.raises(InvalidInput, match="ada@example.com has an account"):
        customers.register(session, "ADA@example.com", "Ada", "Other", NOW)


def test_consents_are_dated(session, grace):
    customers.set_consent(session, grace, "sms", False, NOW)
    assert grace.consents == []
    customers.set_consent(session, grace, "sms", True, NOW)
    (consent,) = grace.consents
    customers.set_consent(session, grace, "sms", True, NOW + DAY)
    assert (consent.granted_at, consent.withdrawn_at) == (NOW, None)
    customers.set_consent(session, grace, "sms", False, NOW + 2 * DAY)
    customers.set_consent(session, grace, "sms", False, NOW + 3 * DAY)
    assert consent.withdrawn_at == NOW + 2 * DAY
    customers.set_consent(session, grace, "sms", True, NOW + 4 * DAY)
    assert (consent.granted_at, consent.withdrawn_at) == (NOW + 4 * DAY, None)


def test_who_moves_keeps_the_old_address(session, ada):
    ada.addresses.append(
        Address(
            kind="billing",
            line1="Bank 1",
            postal_code="1",
            city="Bern",
            country_code="CH",
            is_default=True,
        )
    )
    new = Address(line1="New Street 1", postal_code="80331", city="Munich", country_code="DE")
    customers.move(session, ada, new)
    assert repositories.default_address(session, ada) is new
    assert repositories.default_address(session, ada, "billing").city == "Bern"
    assert len(ada.addresses) == 3


def test_erasing_keeps_the_orders_without_the_person(session, ada):
    order = deliver(session, buy(session, ada, {"APRON": 1}))
    customers.erase(session, ada)
    session.commit()
    assert (ada.name, ada.status, ada.addresses) == ("", "erased", [])
    assert (order.ship_to_name, order.ship_to_line1, order.ship_to_city) == (None, None, "Berlin")
    assert order.total_cents == 2900 + 490
    with pytest.raises(NotFound):
        repositories.customer_by_email(session, "ada@example.com")


def test_who_waits_for_a_parcel_is_not_erased(session, ada):
    buy(session, ada, {"APRON": 1})
    with pytest.raises(WrongState, match="1 orders on their way"):
        customers.erase(session, ada)
