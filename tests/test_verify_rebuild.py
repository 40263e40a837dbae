"""verify --rebuild on schemas that our SQLite cannot read, or that nobody should trust."""

import sqlite3
import sys

import pytest

START = """\
import os, sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.create_collation("mine", lambda a, b: (a < b) - (a > b))
db.create_function("mine", 1, lambda x: x, deterministic=True)
varies = time.time_ns()
def schema(name, sql):
    db.execute("pragma writable_schema=on")
    db.execute("update sqlite_schema set sql = ? where name = ?", (sql, name))
"""


def differences(store, script, status):
    root = store.home / "project"
    root.mkdir()
    (root / "make.py").write_text(START + script)
    store.run("build", "-n", "n", "-i", "make.py", "--", sys.executable, "make.py", "{out}", cwd=root)
    return store.run("verify", "--rebuild", "n", cwd=root, status=status).stdout


JSON = (
    "db.executescript('''create table t(a check(json_valid(a)), made, b as (json_extract(a, '$.x')) stored,"
    "c as (a->'$.x')); create index i on t(c, b) where json_extract(a, '$.y') > 1''')\n"
)
COLLATION = (
    "db.executescript('create table t(a text collate mine primary key, made) without rowid;"
    "create index i on t(made collate mine); create index j on t(mine(a))')\n"
)
INSERT = "db.execute('insert into t(a, made) values(?, ?)', ({a}, {made}))\n"


@pytest.mark.parametrize("schema", (JSON, COLLATION))
@pytest.mark.parametrize("made, status", [("1", 0), ("varies", 5)])
def test_rows_are_compared_without_trusting_the_schema(store, schema, made, status):
    value = repr('{"x": 1, "y": 2}')
    extra = "db.execute('pragma user_version=' + str(varies % 1000000))\n"
    out = differences(store, schema + INSERT.format(a=value, made=made) + extra, status)
    assert ("table t: 1 of 1 cached rows differ, and 1 of 1 built now, in: made" in out) == bool(status)


def test_a_view_of_a_newer_sqlite_is_ignored(store):
    script = (
        "db.executescript('create table t(a, made); create view v as select 1')\n"
        + INSERT.format(a="1", made="varies")
        + "schema('v', 'CREATE VIEW v AS SELECT 1_000')\n"
    )
    assert "table t: 1 of 1 cached rows differ" in differences(store, script, 5)


def test_a_table_of_a_newer_sqlite_may_differ(store):
    script = (
        "db.executescript('create table t(a, made); create table u(a)')\n"
        + INSERT.format(a="1", made="varies")
        + "schema('t', 'CREATE TABLE t(a, made, CHECK (a < 1_000))')\n"
    )
    out = differences(store, script, 5)
    assert f"table t: SQLite {sqlite3.sqlite_version} cannot read it" in out and "table u" not in out


def test_case_is_compared_even_if_the_collation_ignores_it(store):
    script = (
        "db.execute('create table t(a text collate nocase, made)')\n"
        + "again = os.path.exists('../once'); open('../once', 'w').close()\n"
        + INSERT.format(a="'A' if again else 'a'", made="1")
    )
    assert "in: a" in differences(store, script, 5)
