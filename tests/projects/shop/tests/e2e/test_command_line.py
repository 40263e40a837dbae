"""The shop as its users run it: a process for each command."""
import os
import subprocess
import sys

import pytest

from shop.db import sqlite_url
from tests.databases import ROOT


@pytest.fixture
def shop(database):
    """Runs `python -m shop` and gives back (status, stdout, stderr)."""

    def run(*words):
        done = subprocess.run(
            [sys.executable, "-m", "shop", *words],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": str(sqlite_url(database))},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_the_life_of_an_order(shop):
    status, printed, _ = shop("place", "ada@example.com", "MUG-RED:2", "--coupon", "WELCOME10")
    number, total = printed.split()
    assert (status, total) == (0, "28.12")
    assert shop("pay", number, "ref-1") == (0, f"{number} paid\n", "")
    assert shop("ship", number, "T1") == (0, f"{number} shipped\n", "")
    assert shop("deliver", number) == (0, f"{number} delivered\n", "")
    assert shop("return", number, "MUG-RED:1") == (0, f"{number} refunded 11.61\n", "")
    status, shown, _ = shop("show", number)
    kinds = [line.split()[2] for line in shown.splitlines() if line[5:7] == "20"]
    assert kinds == ["placed", "paid", "shipped", "delivered", "return", "refunded"]


def test_a_refusal_is_an_exit_status_and_a_line(shop):
    assert shop("place", "ada@example.com", "BOOK-NIGHT:9") == (
        1,
        "",
        "shop: BOOK-NIGHT: 9 wanted, 2 available\n",
    )
    status, _, usage = shop("dance")
    assert status == 2 and "invalid choice" in usage


def test_alembic_says_that_the_database_is_at_its_head(database):
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "current"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": str(sqlite_url(database))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "0048 (head)\n"


def test_a_seeded_database_is_made_by_one_command(tmp_path):
    path = tmp_path / "own.db"
    done = subprocess.run(
        [sys.executable, "template_db.py", str(path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and path.exists()
    assert done.stderr.count("Running upgrade") == 48
