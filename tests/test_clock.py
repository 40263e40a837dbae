"""Wrong clocks: a clock that a test suite moves, and the clock of a machine that woke up."""

import contextlib
import json
import sqlite3
import subprocess

import pytest

from support.care import aged, keys_of, read
from support.catalogs import DAY_NS

HOUR_NS = DAY_NS // 24


@contextlib.contextmanager
def catalog(store):
    with contextlib.closing(sqlite3.connect(store.path / "v1/catalog.db")) as db, db:
        yield db


def move_clock(store, days):
    """Moves all recorded times into the past, as if the machine's clock had moved forward."""
    with catalog(store) as db:
        db.execute("update templates set last_used_ns = last_used_ns - ?", (days * DAY_NS,))
        db.execute("update clock set accepted_ns = accepted_ns - ?1, doubted_ns = 0", (days * DAY_NS,))


@pytest.fixture
def three(store):
    for i in range(3):
        store.build("sh", "-c", f"echo {i} >$0", "{out}", name=f"p{i}")
    return store


def test_a_build_under_a_moved_clock_evicts_nothing(three, faketime):
    store = three
    for clock, text in ("+40d", "x"), ("-60y", "y"):
        build = store.command("build", "--", "sh", "-c", f"echo {text} >$0", "{out}")
        done = subprocess.run([*faketime, clock, *build], env=store.env, check=True, capture_output=True)
        assert b"evicted" not in done.stderr
    assert len(keys_of(store)) == 5
    assert json.loads(store.run("verify", "-a", "--json").stdout)["problems"] == []
    # Templates that were built under it grow old as all others do.
    with catalog(store) as db:
        assert db.execute("select max(last_used_ns) - min(last_used_ns) from templates").fetchone()[
            0
        ] < DAY_NS


def test_one_reading_that_jumps_ahead_evicts_nothing(three):
    store = three
    before = keys_of(store)
    move_clock(store, 40)
    done = store.run("build", "-n", "other", "--", "sh", "-c", "echo x >$0", "{out}")
    assert "evicted" not in done.stderr and len(keys_of(store)) == 4
    assert "until a command in an hour" in store.run("gc").stderr
    assert len(keys_of(store)) == 4
    # If the clock was wrong and is corrected, nothing has happened.
    move_clock(store, -40)
    store.run("gc")
    assert len(keys_of(store)) == 4
    # If it was right, a later command confirms it; the newest template is still young.
    move_clock(store, 40)
    store.run("gc")
    with catalog(store) as db:
        db.execute("update clock set doubted_ns = doubted_ns - ?", (2 * HOUR_NS,))
    answer = read(store, "gc", "gc")
    assert {row["key"] for row in answer["evicted"]} >= set(before)


def test_uses_in_the_future_count_as_uses_now(store):
    keys = aged(store, count=2)
    with catalog(store) as db:
        db.execute("update templates set last_used_ns = last_used_ns + ? where key = ?",
                   (400 * DAY_NS, keys[0]))
        db.execute("delete from clock")
        db.execute("insert into clock values(1, cast(strftime('%s', 'now') as integer) * 1000000000, 0)")
    assert read(store, "gc", "gc", "--max-age", "3d")["evicted"] == []
    with catalog(store) as db:
        (used,) = db.execute("select last_used_ns from templates where key = ?", (keys[0],)).fetchone()
        (now,) = db.execute("select cast(strftime('%s', 'now') as integer) * 1000000000").fetchone()
    assert abs(used - now) < DAY_NS


def test_a_catalog_of_an_earlier_version_has_no_clock(three):
    store = three
    with catalog(store) as db:
        db.execute("drop table clock")
        db.execute("update templates set last_used_ns = last_used_ns - ?", (40 * DAY_NS,))
    assert "until a command in an hour" in store.run("gc").stderr
    assert len(keys_of(store)) == 3
    with catalog(store) as db:
        assert db.execute("select count(*) from clock").fetchone() == (1,)
