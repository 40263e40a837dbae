import pytest

from shop.services.pricing import (
    PricedLine,
    Totals,
    contained_tax,
    shipping_fee,
    split_in_proportion,
    totals,
)


@pytest.mark.parametrize(
    "gross, rate, tax",
    [(11900, 1900, 1900), (1290, 1900, 206), (2200, 700, 144), (0, 1900, 0), (119, 0, 0)],
)
def test_contained_tax(gross, rate, tax):
    assert contained_tax(gross, rate) == tax


@pytest.mark.parametrize(
    "amount, weights, parts",
    [
        (100, [1, 1], [50, 50]),
        (100, [1, 1, 1], [34, 33, 33]),
        (10, [999, 1], [10, 0]),
        (7, [2, 3, 5], [1, 2, 4]),
        (0, [5, 5], [0, 0]),
        (5, [0, 0], [0, 0]),
    ],
)
def test_parts_add_up(amount, weights, parts):
    assert split_in_proportion(amount, weights) == parts


@pytest.mark.parametrize(
    "goods, country, fee",
    [(4999, "DE", 490), (5000, "DE", 0), (5000, "AT", 1290), (0, "FR", 1290)],
)
def test_shipping_is_free_at_home_from_fifty(goods, country, fee):
    assert shipping_fee(goods, country) == fee


def test_totals_of_an_order_with_two_tax_rates():
    lines = [PricedLine(2, 1290, 1900), PricedLine(1, 2200, 700)]
    assert totals(lines, 0, "DE") == Totals(4780, 0, 490, 412 + 144)


def test_a_discount_lowers_the_tax_of_each_line_in_proportion():
    lines = [PricedLine(1, 1000, 1900), PricedLine(1, 3000, 700)]
    sums = totals(lines, 400, "DE")
    assert sums.tax_cents == contained_tax(900, 1900) + contained_tax(2700, 700)
    assert sums.total_cents == 4000 - 400 + 490


def test_a_discount_is_never_more_than_the_goods():
    sums = totals([PricedLine(1, 300, 1900)], 500, "DE")
    assert (sums.discount_cents, sums.tax_cents, sums.total_cents) == (300, 0, 490)


def test_the_discount_counts_before_free_shipping():
    assert totals([PricedLine(1, 5200, 1900)], 500, "DE").shipping_cents == 490
