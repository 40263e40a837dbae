"""What the database itself refuses, and does by itself."""
import pytest
from sqlalchemy.exc import IntegrityError

from shop.db.models import Address, Cart, CartItem, Customer, OrderLine, Product, Review
from tests.helpers import DAY, NOW, product


@pytest.mark.parametrize(
    "make",
    [
        lambda s, ada: Customer(email=ada.email, first_name="A", last_name="B"),
        lambda s, ada: Customer(email="x@example.com", first_name="", last_name="", status="odd"),
        lambda s, ada: Cart(customer_id=9999),
        lambda s, ada: CartItem(cart=Cart(customer=ada), product_id=1, quantity=0),
        lambda s, ada: OrderLine(
            order_id=1, product_id=1, sku="X", name="X", quantity=-1, unit_price_cents=1
        ),
        lambda s, ada: Review(product_id=1, customer=ada, rating=6),
        lambda s, ada: Product(sku="X", slug="x", name="X", category_id=1, price_cents=-1),
        lambda s, ada: Address(
            customer=ada, line1="x", postal_code="1", city="x", country_code="DE", is_default=True
        ),
    ],
    ids=[
        "an e-mail twice",
        "a status that is none",
        "a cart of nobody",
        "no pieces in a cart",
        "fewer than no pieces",
        "six stars",
        "a price below zero",
        "two default addresses",
    ],
)
def test_the_database_refuses(session, ada, make):
    session.add(make(session, ada))
    with pytest.raises(IntegrityError):
        session.flush()


def test_two_open_carts_are_refused_but_not_two_closed_ones(session, ada):
    session.add_all([Cart(customer=ada, status="ordered"), Cart(customer=ada, status="ordered")])
    session.add(Cart(customer=ada))
    session.flush()
    session.add(Cart(customer=ada))
    with pytest.raises(IntegrityError):
        session.flush()


def test_the_trigger_keeps_the_price_history(session):
    mug = product(session, "MUG-RED")
    mug.price_cents, mug.updated_at = 1390, NOW
    session.flush()
    mug.price_cents, mug.updated_at = 1490, NOW + DAY
    session.flush()
    session.expire(mug)
    assert [(p.price_cents, p.valid_until) for p in mug.prices] == [
        (1290, NOW),
        (1390, NOW + DAY),
        (1490, None),
    ]


def test_another_name_is_no_other_price(session):
    mug = product(session, "MUG-RED")
    mug.name = "Crimson mug"
    session.flush()
    session.expire(mug)
    assert len(mug.prices) == 1


def test_names_of_people(ada):
    assert ada.name == "Ada Lovelace"
    assert Customer(first_name="", last_name="Plato").name == "Plato"
