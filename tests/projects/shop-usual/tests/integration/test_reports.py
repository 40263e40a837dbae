from shop import reports, repositories
from tests.helpers import buy, pay, product


def test_sales_by_month(session, ada, grace):
    before = reports.sales_by_month(session)
    assert sum(month.orders for month in before) == 55
    first = pay(session, buy(session, ada, {"APRON": 1}))
    second = pay(session, buy(session, grace, {"SPADE": 1}))
    buy(session, ada, {"SPADE": 1})  # not paid: not sold
    (march,) = set(reports.sales_by_month(session)) - set(before)
    assert march == ("2025-03", 2, first.total_cents + second.total_cents)


def test_best_sellers(session, ada):
    pay(session, buy(session, ada, {"SEED-BEAN": 90, "SEED-DILL": 90}))
    best = reports.best_sellers(session, limit=2)
    assert {product.sku for product in best} == {"SEED-BEAN", "SEED-DILL"}
    assert all(product.units >= 90 for product in best)
    assert len(reports.best_sellers(session)) == 5


def test_low_stock_counts_what_is_promised(session, ada):
    skus = [item.sku for item in reports.low_stock(session)]
    assert skus == ["BOOK-NIGHT", "MUG-XL", "BOARD-OAK", "KNIFE-BREAD"]
    buy(session, ada, {"BOOK-NIGHT": 2, "TOWEL-LINEN": 115})
    low = {item.sku: item for item in reports.low_stock(session)}
    assert low["BOOK-NIGHT"].available == 0
    assert low["TOWEL-LINEN"] == ("TOWEL-LINEN", 5, "-")
    product(session, "BOOK-NIGHT").status = "discontinued"
    assert "BOOK-NIGHT" not in {item.sku for item in reports.low_stock(session)}


def test_revenue_by_top_category(session, ada):
    before = reports.revenue_by_top_category(session)
    assert list(before) == ["books", "garden", "home"]
    pay(session, buy(session, ada, {"BOOK-SEA": 2, "KNIFE-CHEF": 1}))
    after = reports.revenue_by_top_category(session)
    assert {top: after[top] - before[top] for top in after} == {
        "books": 2800,
        "garden": 0,
        "home": 8900,
    }


def test_a_category_holds_what_lies_below_it(session):
    kitchen = repositories.category_by_path(session, "/home/kitchen/")
    skus = {found.sku for found in repositories.products_in(session, kitchen)}
    assert {"MUG-RED", "KNIFE-CHEF", "BOWL-SET"} < skus and "APRON" not in skus
    product(session, "MUG-RED").status = "draft"
    assert "MUG-RED" not in {p.sku for p in repositories.products_in(session, kitchen)}
    assert [child.slug for child in kitchen.children] == ["mugs", "knives"]
