"""The migrations themselves. These tests start from nothing, not from the template.

Each begins on the day before a migration, puts in rows as they were then, and runs it.
"""
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Callable

import pytest

import template_db
from tests.databases import ROOT, TEMPLATE

DAY = "2021-01-02 10:00:00.000000"
LATER = "2021-06-01 10:00:00.000000"


def usual_row(table: str, n: int) -> "dict[str, Any]":
    """The n-th row of a table at any time: of these columns it gets those that there were."""
    rows: "dict[str, dict[str, Any]]" = {
        "customers": {
            "name": f"First Last{n}",
            "first_name": "First",
            "last_name": f"Last{n}",
            "email": f"{n}@x.y",
        },
        "addresses": {
            "customer_id": 1,
            "street": f"Street {n}",
            "line1": f"Street {n}",
            "zip": "1",
            "postal_code": "1",
            "city": "City",
            "country": "Germany",
            "country_code": "DE",
        },
        "categories": {"name": f"Category {n}", "slug": f"category-{n}"},
        "products": {
            "sku": f"SKU-{n}",
            "name": f"Product {n}",
            "description": "",
            "category_id": 1,
            "price": 10.0,
            "price_cents": 1000,
        },
        "orders": {
            "customer_id": 1,
            "total": 10.0,
            "total_cents": 1000,
            "number": f"S-2021-{n:06d}",
        },
        "order_lines": {
            "order_id": 1,
            "product_id": 1,
            "quantity": 1,
            "price": 10.0,
            "unit_price_cents": 1000,
            "sku": "SKU-1",
            "name": "Product 1",
        },
        "payments": {
            "order_id": 1,
            "provider": "card",
            "reference": f"ref-{n}",
            "amount_cents": 1000,
        },
        "shipments": {"order_id": 1, "carrier_id": 1, "shipped_at": LATER},
        "reviews": {"product_id": 1, "customer_id": n},
        "stock_levels": {"product_id": n, "warehouse_id": 1},
        "stock_movements": {"product_id": 1, "warehouse_id": 1},
        "carts": {"customer_id": 1},
    }
    return {"id": n, "created_at": DAY, **rows.get(table, {})}


class OldDatabase:
    def __init__(self, path: Path) -> None:
        self.path = path

    def upgrade(self, revision: str) -> None:
        template_db.migrate(self.path, revision)

    def execute(self, sql: str, *values: Any) -> "list[tuple]":
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(sql, values).fetchall()

    def add(self, table: str, *given: "dict[str, Any]") -> None:
        """Inserts rows, of which only what matters to the test has to be given."""
        columns = {row[1] for row in self.execute(f"PRAGMA table_info({table})")}
        for columns_given in given:
            ((n,),) = self.execute(f"SELECT count(*) + 1 FROM {table}")
            usual = {k: v for k, v in usual_row(table, n).items() if k in columns}
            row = {**usual, **columns_given}
            marks = ", ".join("?" * len(row))
            sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"
            self.execute(sql, *row.values())

    def column(self, table: str, expression: str) -> "list[Any]":
        return [value for (value,) in self.execute(f"SELECT {expression} FROM {table} ORDER BY 1")]

    def rows(self, table: str, columns: str) -> "list[tuple]":
        return self.execute(f"SELECT {columns} FROM {table} ORDER BY rowid")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the empty database of each revision, from one walk through all of them."""
    folder = tmp_path_factory.mktemp("history")
    growing = folder / "growing.db"
    for script in sorted((ROOT / "migrations/versions").glob("*.py")):
        revision = script.name.split("_")[0]
        template_db.migrate(growing, revision)
        shutil.copy(growing, folder / revision)
    return folder


@pytest.fixture
def begin_at(history: Path, tmp_path: Path) -> Callable[[str], OldDatabase]:
    return lambda revision: OldDatabase(shutil.copy(history / revision, tmp_path / "old.db"))


def contents(path: Path) -> "dict[str, list[str]]":
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}")))
            for (name,) in tables.fetchall()
        }


def test_from_nothing_to_the_template(tmp_path):
    template_db.create(tmp_path / "new.db")
    assert contents(tmp_path / "new.db") == contents(TEMPLATE)


def test_emails_are_unique_in_any_case(begin_at):
    old = begin_at("0004")
    old.add("customers", {"email": "Ada@x.y"}, {"email": "bob@x.y"}, {"email": " ada@X.y"})
    old.add("addresses", {"customer_id": 1}, {"customer_id": 2}, {"customer_id": 3})
    old.upgrade("0005")
    assert old.rows("customers", "id, email") == [(1, "ada@x.y"), (2, "bob@x.y")]
    assert old.rows("addresses", "customer_id, street") == [
        (1, "Street 1"),
        (2, "Street 2"),
        (1, "Street 3"),
    ]


def test_money_is_rounded_to_cents(begin_at):
    old = begin_at("0008")
    old.add("products", {"price": 19.99}, {"price": 0.1 + 0.2}, {"price": 1.005})
    old.add("orders", {"total": 1234.56})
    old.add("order_lines", {"price": 4.35})
    old.upgrade("0009")
    assert old.rows("products", "price_cents") == [(1999,), (30,), (100,)]
    assert old.rows("orders", "total_cents") == [(123456,)]
    assert old.rows("order_lines", "unit_price_cents") == [(435,)]


def test_status_numbers_become_words(begin_at):
    old = begin_at("0009")
    old.add("orders", *({"status": number} for number in (0, 1, 2, 3, 1)))
    old.upgrade("0010")
    words = ["new", "paid", "shipped", "cancelled", "paid"]
    assert old.rows("orders", "status") == [(word,) for word in words]
    with pytest.raises(sqlite3.IntegrityError, match="ck_orders_status"):
        old.add("orders", {"status": "1"})


def test_names_are_split(begin_at):
    old = begin_at("0011")
    names = {
        "Grace Hopper": ("Grace", "Hopper"),
        "Ada King Lovelace": ("Ada King", "Lovelace"),
        "Lovelace, Ada": ("Ada", "Lovelace"),
        " Plato ": ("", "Plato"),
    }
    old.add("customers", *({"name": name} for name in names))
    old.upgrade("0012")
    assert old.rows("customers", "first_name, last_name") == list(names.values())


def test_countries_become_codes(begin_at):
    old = begin_at("0012")
    countries = {
        "Germany": "DE",
        "deutschland ": "DE",
        "The Netherlands": "NL",
        "Österreich": "AT",
        "Atlantis": "ZZ",
    }
    old.add("addresses", *({"country": country} for country in countries))
    old.upgrade("0013")
    assert old.rows("addresses", "country_code") == [(code,) for code in countries.values()]
    assert old.rows("addresses", "line1, line2, postal_code")[0] == ("Street 1", None, "1")


def test_categories_keep_the_order_of_their_names(begin_at):
    old = begin_at("0013")
    old.add("categories", {"name": "Mugs"}, {"name": "Books"}, {"name": "Tools"})
    old.upgrade("0014")
    assert old.rows("categories", "name, position") == [("Mugs", 1), ("Books", 0), ("Tools", 2)]


def test_paid_orders_get_their_payments(begin_at):
    old = begin_at("0015")
    old.add("orders", *({"status": word} for word in ("new", "paid", "shipped", "paid")))
    old.add("payments", {"order_id": 4})
    old.upgrade("0016")
    assert old.rows("payments", "order_id, reference, amount_cents") == [
        (4, "ref-1", 1000),
        (2, "before-0016-2", 1000),
        (3, "before-0016-3", 1000),
    ]


def test_stock_moves_to_the_main_warehouse_and_into_the_ledger(begin_at):
    old = begin_at("0017")
    old.add("products", {"stock": 7}, {"stock": 0}, {"stock": -2})
    old.upgrade("0019")
    assert old.rows("stock_levels", "product_id, warehouse_id, on_hand") == [
        (1, 1, 7),
        (2, 1, 0),
        (3, 1, 0),
    ]
    assert old.rows("stock_movements", "product_id, kind, quantity") == [(1, "opening", 7)]


def test_percent_becomes_kind_and_value(begin_at):
    old = begin_at("0021")
    old.add("coupons", {"code": " spring ", "percent": 15})
    old.upgrade("0022")
    assert old.rows("coupons", "code, kind, value") == [("SPRING", "percent", 15)]


def test_shipped_orders_get_their_shipments(begin_at):
    old = begin_at("0022")
    old.add("orders", {"status": "paid"}, {"status": "shipped"})
    old.upgrade("0023")
    assert old.rows("shipments", "order_id, carrier_id, shipped_at") == [
        (2, 1, "2021-01-03 10:00:00.000000")
    ]
    old.execute("UPDATE orders SET status = 'delivered' WHERE id = 2")


def test_order_lines_remember_the_product(begin_at):
    old = begin_at("0023")
    old.add("products", {"name": "Lamp", "sku": "LAMP"})
    old.add("order_lines", {"quantity": 2}, {"quantity": 0})
    old.upgrade("0024")
    assert old.rows("order_lines", "sku, name, quantity") == [("LAMP", "Lamp", 2)]


def test_points_become_stars(begin_at):
    old = begin_at("0026")
    old.add("reviews", *({"rating": points} for points in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 11]))
    old.upgrade("0027")
    stars = [rating for (rating,) in old.rows("reviews", "rating")]
    assert stars == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 1, 5]


def test_orders_are_numbered_by_year(begin_at):
    old = begin_at("0027")
    for date in ("2020-12-31", "2021-03-01", "2021-01-01", "2020-01-01"):
        old.add("orders", {"status": "new", "created_at": f"{date} 12:00:00.000000"})
    old.upgrade("0028")
    assert [number for (number,) in old.rows("orders", "number")] == [
        "S-2020-000002",
        "S-2021-000002",
        "S-2021-000001",
        "S-2020-000001",
    ]


def test_orders_take_the_newest_address(begin_at):
    old = begin_at("0028")
    old.add("customers", {}, {})
    old.add("addresses", {"line1": "Old Street"}, {"line1": "New Street"})
    old.add("orders", {"status": "new"}, {"status": "new", "customer_id": 2})
    old.upgrade("0030")
    assert old.rows("addresses", "line1, kind, is_default") == [
        ("Old Street", "shipping", 0),
        ("New Street", "shipping", 1),
    ]
    assert old.rows("orders", "ship_to_name, ship_to_line1, ship_to_country_code") == [
        ("First Last1", "New Street", "DE"),
        (None, None, None),
    ]


def test_negative_payments_become_refunds(begin_at):
    old = begin_at("0031")
    old.add(
        "payments",
        {"order_id": 1, "amount_cents": 1000},
        {"order_id": 2, "amount_cents": 500},
        {"order_id": 2, "amount_cents": 200},
        {"order_id": 2, "amount_cents": -300, "reference": "back"},
    )
    old.upgrade("0032")
    assert old.rows("payments", "order_id, amount_cents") == [(1, 1000), (2, 500), (2, 200)]
    assert old.rows("refunds", "payment_id, amount_cents, reason") == [(2, 300, "back")]


def test_taxes_and_sums_of_old_orders(begin_at):
    old = begin_at("0032")
    old.add("categories", {}, {"slug": "cookbooks"})
    old.add("products", {}, {"category_id": 2})
    old.add("orders", *({"status": "paid", "total_cents": cents} for cents in (3880, 1250)))
    old.add(
        "order_lines",
        {"product_id": 1, "quantity": 2, "unit_price_cents": 1190},
        {"product_id": 2, "quantity": 1, "unit_price_cents": 1070},
    )
    old.upgrade("0034")
    assert old.rows("order_lines", "tax_rate_bp") == [(1900,), (700,)]
    assert old.rows("orders", "subtotal_cents, shipping_cents, tax_cents, total_cents") == [
        (3450, 430, 380 + 70, 3880),
        (1250, 0, 0, 1250),
    ]


def test_the_diary_is_written_from_what_is_known(begin_at):
    old = begin_at("0034")
    old.add("orders", {"status": "shipped"}, {"status": "new", "created_at": LATER})
    old.add("payments", {})
    old.add("shipments", {"shipped_at": LATER, "tracking_code": "T1"})
    old.upgrade("0035")
    assert old.rows("order_events", "order_id, kind, detail") == [
        (1, "placed", ""),
        (1, "paid", "ref-1"),
        (1, "shipped", "T1"),
        (2, "placed", ""),
    ]


def test_keywords_become_tags(begin_at):
    old = begin_at("0035")
    for keywords in ("Gift, wood,,gift ", "wood,steel", None):
        old.add("products", {"keywords": keywords})
    old.upgrade("0036")
    assert old.rows("tags", "name") == [("gift",), ("steel",), ("wood",)]
    assert old.column(
        "product_tags JOIN tags ON tags.id = tag_id", "product_id || ' ' || name"
    ) == ["1 gift", "1 wood", "2 steel", "2 wood"]


def test_what_is_off_sale_was_sold_or_is_a_draft(begin_at):
    old = begin_at("0036")
    old.add("products", {"active": 1, "description": None}, {"active": 0})
    old.add("products", {"active": 0, "description": "d"})
    old.add("order_lines", {"product_id": 2})
    old.upgrade("0037")
    assert old.rows("products", "status, description") == [
        ("active", ""),
        ("discontinued", ""),
        ("draft", "d"),
    ]


def test_points_for_each_euro_of_the_past(begin_at):
    old = begin_at("0038")
    old.add("customers", {}, {})
    for status, cents in (("paid", 1999), ("shipped", 3001), ("new", 9900), ("cancelled", 9900)):
        old.add("orders", {"status": status, "total_cents": cents})
    old.upgrade("0039")
    assert old.rows("customers", "loyalty_points, status") == [(50, "active"), (0, "active")]


def test_used_coupons_are_recorded(begin_at):
    old = begin_at("0039")
    old.add("coupons", {"id": 5, "code": "TEN", "value": 10})
    for status in ("paid", "cancelled"):
        old.add("orders", {"status": status, "coupon_id": 5, "discount_cents": 100})
    old.add("orders", {"status": "paid"})
    old.upgrade("0040")
    assert old.rows("coupon_redemptions", "coupon_id, order_id, discount_cents") == [(5, 1, 100)]


def test_the_ledger_speaks_the_words_of_today(begin_at):
    old = begin_at("0040")
    for kind, quantity in (("in", 5), ("out", -2), ("adjust", 1)):
        old.add("stock_movements", {"kind": kind, "quantity": quantity})
    old.add("stock_levels", {"on_hand": 4})
    old.upgrade("0041")
    assert old.rows("stock_movements", "kind") == [("receive",), ("ship",), ("adjust",)]
    with pytest.raises(sqlite3.IntegrityError, match="ck_stock_levels_reserved"):
        old.add("stock_levels", {"on_hand": 4, "reserved": 5})


def test_old_parcels_held_whole_orders(begin_at):
    old = begin_at("0041")
    old.add("orders", {"status": "paid"}, {"status": "shipped"})
    old.add("order_lines", {}, {"order_id": 2}, {"order_id": 2, "quantity": 2})
    old.add("shipments", {"order_id": 2})
    old.upgrade("0042")
    assert old.rows("shipment_lines", "shipment_id, order_line_id, quantity") == [
        (1, 2, 1),
        (1, 3, 2),
    ]


def test_slugs_of_products_are_unique_and_the_view_survives(begin_at):
    old = begin_at("0042")
    old.add("products", {"name": "Crème brûlée"}, {"name": "Creme Brulee!"}, {"name": "?!"})
    old.upgrade("0043")
    assert old.rows("products", "slug") == [("creme-brulee",), ("creme-brulee-2",), ("product",)]
    assert old.column("product_sales", "units") == [0, 0, 0]


def test_forgotten_price_changes_are_written_down_and_no_more_are_forgotten(begin_at):
    old = begin_at("0024")
    old.add("products", {"price_cents": 500}, {"price_cents": 600})
    old.upgrade("0025")
    old.execute("UPDATE products SET price_cents = 700 WHERE id = 2")
    old.upgrade("0045")
    columns = "product_id, price_cents, valid_until"
    forgotten = [(1, 500, None), (2, 600, DAY), (2, 700, None)]
    assert old.rows("price_history", columns) == forgotten

    old.execute("UPDATE products SET price_cents = 1, updated_at = ? WHERE id = 1", LATER)
    assert old.rows("price_history", columns) == [(1, 500, LATER), *forgotten[1:], (1, 1, None)]


def test_paths_of_categories(begin_at):
    old = begin_at("0045")
    old.add("categories", {"slug": "mugs", "parent_id": 2}, {"slug": "kitchen", "parent_id": 3})
    old.add("categories", {"slug": "home"}, {"slug": "books"})
    old.upgrade("0046")
    paths = ["home/kitchen/mugs", "home/kitchen", "home", "books"]
    assert old.rows("categories", "path") == [(path,) for path in paths]


def test_the_newsletter_becomes_a_consent(begin_at):
    old = begin_at("0046")
    old.add("customers", {}, {"newsletter": True})
    old.upgrade("0047")
    assert old.rows("consents", "customer_id, channel, granted_at, withdrawn_at") == [
        (2, "email", DAY, None)
    ]


def test_one_cart_stays_open(begin_at):
    old = begin_at("0047")
    old.add("orders", {"status": "new", "created_at": LATER})
    for customer, month in ((1, 5), (1, 7), (2, 5), (2, 6)):
        old.add("carts", {"customer_id": customer, "updated_at": f"2021-{month:02d}-20 00:00:00"})
    old.upgrade("0048")
    assert old.rows("carts", "customer_id, status") == [
        (1, "ordered"),
        (1, "open"),
        (2, "abandoned"),
        (2, "open"),
    ]


def test_old_rows_arrive_whole_at_the_newest_revision(begin_at):
    """A shop of 2021 lives through all of it, and no reference is left dangling."""
    old = begin_at("0008")
    old.add("customers", {})
    old.add("addresses", {"country": "France"})
    old.add("categories", {})
    old.add("products", {"stock": 3, "keywords": "a,b"}, {"active": 0})
    old.add("orders", {"status": 2, "total": 21.0}, {"status": 3})
    old.add("order_lines", {"quantity": 2, "price": 10.5})
    old.upgrade("head")
    assert old.execute("PRAGMA foreign_key_check") == []
    assert old.execute("PRAGMA integrity_check") == [("ok",)]
    assert old.column("product_sales", "sku || ' ' || units || ' ' || revenue_cents") == [
        "SKU-1 2 2100",
        "SKU-2 0 0",
    ]
