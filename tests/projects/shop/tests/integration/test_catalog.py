import pytest

from shop import repositories
from shop.errors import InvalidInput, WrongState
from shop.services import catalog
from tests.helpers import DAY, NOW, buy, product


@pytest.fixture
def mugs(session):
    return repositories.category_by_path(session, "home/kitchen/mugs")


@pytest.mark.parametrize(
    "name, slug",
    [("Tea bowl", "tea-bowl"), ("Bowl: mug-red", "bowl-mug-red"), ("Mug Red", "mug-red-new-1")],
)
def test_products_have_addresses_of_their_own(session, mugs, name, slug):
    added = catalog.add_product(session, "NEW-1", name, mugs, 950, NOW)
    assert (added.slug, added.status) == (slug, "draft")
    assert added not in repositories.products_in(session, mugs)


def test_a_name_without_a_letter_has_its_number_for_an_address(session, mugs):
    assert catalog.add_product(session, "NEW-2", "!?", mugs, 950, NOW).slug == "new-2"


def test_prices_are_remembered(session, mugs):
    added = catalog.add_product(session, "NEW-3", "Tea bowl", mugs, 950, NOW)
    catalog.change_price(session, added, 990, NOW + DAY)
    catalog.change_price(session, added, 990, NOW + 2 * DAY)  # no change
    assert [(price.price_cents, price.valid_from, price.valid_until) for price in added.prices] == [
        (950, NOW, NOW + DAY),
        (990, NOW + DAY, None),
    ]
    with pytest.raises(InvalidInput, match="NEW-3: a price is not below zero"):
        catalog.change_price(session, added, -1, NOW)


def test_what_is_discontinued_cannot_be_bought(session, ada):
    catalog.discontinue(session, product(session, "SPADE"), NOW)
    with pytest.raises(WrongState, match="SPADE is not on sale"):
        buy(session, ada, {"SPADE": 1})
