"""Each test finds the database in mint condition, whatever the one before did to its own."""
import sqlite3
from contextlib import closing

import pytest

from tests.databases import TEMPLATE, fresh_database


def count(path, table="orders"):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def wreck(path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM orders")
        connection.execute("DROP TABLE reviews")
        connection.execute("CREATE TABLE left_behind (x)")


@pytest.mark.parametrize("turn", range(5))
def test_a_wrecked_database_is_nobody_elses(database, turn):
    assert count(database) == 60
    wreck(database)
    assert count(database) == 0


def test_two_databases_at_once():
    with fresh_database() as one, fresh_database() as other:
        wreck(one)
        assert (count(one), count(other), count(other, "reviews")) == (0, 60, 12)


def test_a_database_is_gone_with_its_test():
    with fresh_database() as path:
        assert path.exists()
    assert not path.exists()


def test_the_template_stays_as_it_is(database):
    before = TEMPLATE.read_bytes()
    wreck(database)
    assert TEMPLATE.read_bytes() == before
