import re
import runpy
import sys

import pytest

from shop import cli
from shop.db import sqlite_url


@pytest.fixture
def shop(database, capsys, monkeypatch):
    """Runs a command of the shop and gives back what it printed."""
    monkeypatch.setenv("DATABASE_URL", str(sqlite_url(database)))

    def run(*words, status=0):
        assert cli.main(words) == status
        printed = capsys.readouterr()
        return printed.err if status else printed.out

    return run


@pytest.fixture
def number(shop):
    return shop("place", "ada@example.com", "MUG-RED:2", "APRON").split()[0]


def test_products(shop):
    lines = shop("products", "garden/seeds").splitlines()
    assert [re.split(r"\s{2,}", line) for line in lines] == [
        ["SEED-DILL", "1.95", "200", "Dill"],
        ["SEED-BEAN", "2.95", "300", "Runner beans"],
    ]


def test_an_order_from_the_counter_to_its_return(shop, number):
    assert shop("pay", number, "ref-1") == f"{number} paid\n"
    assert shop("ship", number, "T1", "MUG-RED") == f"{number} paid\n"
    assert shop("ship", number, "T2", "--carrier", "courier") == f"{number} shipped\n"
    assert shop("deliver", number) == f"{number} delivered\n"
    assert shop("return", number, "APRON") == f"{number} refunded 29.00\n"
    shown = shop("show", number)
    assert "   2 MUG-RED           25.80\n" in shown
    assert "     total             54.80\n" in shown
    assert re.search(r"refunded 29.00 return$", shown, re.M)


def test_a_coupon(shop):
    assert shop("place", "grace@example.com", "BOWL-SET", "--coupon", "fiver").endswith("57.80\n")


def test_a_cancelled_order(shop, number):
    assert shop("cancel", number, "--reason", "changed my mind") == f"{number} cancelled\n"
    assert shop("show", number).endswith("cancelled changed my mind\n")


def test_reports(shop):
    assert len(shop("report", "sales").splitlines()) >= 10
    assert len(shop("report", "best").splitlines()) == 5
    assert shop("report", "low-stock").splitlines()[0].split()[:2] == ["BOOK-NIGHT", "2"]


@pytest.mark.parametrize(
    "words, message",
    [
        (["place", "nobody@example.com", "APRON"], "no customer nobody@example.com"),
        (["place", "ada@example.com", "BRICK"], "no product BRICK"),
        (["place", "ada@example.com", "BOOK-NIGHT:3"], "BOOK-NIGHT: 3 wanted, 2 available"),
        (["show", "S-1999-000001"], "no order S-1999-000001"),
        (["products", "attic"], "no category attic"),
    ],
)
def test_errors_are_one_line(shop, words, message):
    assert shop(*words, status=1) == f"shop: {message}\n"


def test_a_failed_order_leaves_nothing(shop):
    before = shop("report", "sales"), shop("products", "home")
    shop("place", "ada@example.com", "APRON:2", "MUG-XL:6", status=1)
    assert (shop("report", "sales"), shop("products", "home")) == before


def test_python_dash_m_shop(shop, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["shop", "report", "best"])
    with pytest.raises(SystemExit) as done:
        runpy.run_module("shop", run_name="__main__")
    assert done.value.code == 0 and capsys.readouterr().out
