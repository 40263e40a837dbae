import pytest

from shop.db.models import Review
from shop.errors import InvalidInput, WrongState
from shop.services import reviews
from tests.helpers import DAY, NOW, buy, pay, product


@pytest.fixture
def apron(session, ada, grace):
    for customer in (ada, grace):
        pay(session, buy(session, customer, {"APRON": 1}))
    return product(session, "APRON")


def test_a_review_counts_when_it_is_published(session, ada, grace, apron):
    session.query(Review).filter_by(product_id=apron.id).delete()
    good = reviews.write(session, ada, apron, 5, NOW, "Fine", "It fits.")
    bad = reviews.write(session, grace, apron, 2, NOW)
    assert reviews.average(session, apron) is None
    reviews.moderate(session, good, publish=True)
    reviews.moderate(session, bad, publish=False)
    assert reviews.average(session, apron) == 5
    reviews.moderate(session, bad, publish=True)
    assert reviews.average(session, apron) == 3.5


def test_no_reviews_no_average(session):
    assert reviews.average(session, product(session, "SEED-DILL")) is None


def test_a_second_review_replaces_the_first(session, ada, apron):
    first = reviews.write(session, ada, apron, 2, NOW)
    reviews.moderate(session, first, publish=True)
    second = reviews.write(session, ada, apron, 4, NOW + DAY, "Better after a wash")
    assert second is first
    assert (first.rating, first.status, first.created_at) == (4, "pending", NOW + DAY)


@pytest.mark.parametrize("rating", [0, 6, -1])
def test_one_to_five_stars(session, ada, apron, rating):
    with pytest.raises(InvalidInput, match="1 to 5 stars"):
        reviews.write(session, ada, apron, rating, NOW)


def test_only_buyers_review(session, ada):
    buy(session, ada, {"SPADE": 1})  # and not paid for
    with pytest.raises(WrongState, match="has not bought SPADE"):
        reviews.write(session, ada, product(session, "SPADE"), 5, NOW)
