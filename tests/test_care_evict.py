"""Eviction: what is evicted first, what is never evicted, and the commands that evict by hand."""

import contextlib
import json
import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from support.basics import eventually
from support.care import aged, keys_of, lock_it, read, row_of
from support.catalogs import DAY_NS, make_template
from support.mounts import Mount


def used(store, key, days_ago: float):
    """Sets the template's last use to that long ago."""
    now = row_of(store, key)["last_used_ns"]
    with sqlite3.connect(store.path / "v1/catalog.db") as db:
        db.execute(
            "update templates set last_used_ns = ? where key = ?", (now - int(days_ago * DAY_NS), key)
        )


def test_gc_evicts_the_least_recently_used(store):
    keys = aged(store)
    answer = read(store, "gc", "gc", "--max-size", "3500")
    assert {row["key"] for row in answer["evicted"]} == set(keys[3:])
    assert (answer["left"], answer["left_bytes"], answer["over"]) == (3, 3000, False)
    assert sorted(keys_of(store)) == sorted(keys[:3])
    assert store.leftovers() == []
    assert read(store, "stats", "stats")["total"]["evicted"] == 3


def test_gc_evicts_by_age(store):
    keys = aged(store)
    store.run("gc", "--max-age", "36h", "--max-size", "none")
    assert sorted(keys_of(store)) == sorted(keys[:2])
    assert "evicted 0 templates" in store.run("gc", "--max-age", "none").stderr


def test_gc_dry_run_changes_nothing(store):
    keys = aged(store)
    result = read(store, "gc", "gc", "--max-size", "0", "--dry-run")
    assert len(result["evicted"]) == 6 and result["dry_run"] is True
    assert store.run("gc", "-d", "--max-size", "0").stdout.count("\n") == 6
    assert sorted(keys_of(store)) == sorted(keys)


def test_named_templates_are_evicted_last_and_keep_is_obeyed(store):
    keys = aged(store, name="unit")
    other = make_template(store.path, 100, name="other", size=1000)
    store.run("name", "unit", keys[5])
    used(store, other, 50)
    # The oldest ones have names, so others are evicted first.
    store.run("gc", "--max-size", "2000", "--max-age", "none")
    assert sorted(keys_of(store)) == sorted([keys[5], other])
    keys += aged(store, 0)
    for i in range(10, 14):
        make_template(store.path, i, name="unit", size=1000)
    store.run("ls")
    store.run("gc", "--max-size", "0", "--keep", "2")
    names = [row["label"] for row in read(store, "ls", "ls")["templates"]]
    assert sorted(names) == ["other", "unit", "unit"]
    store.run("gc", "--max-size", "0", "--keep", "1", "--name", "unit")
    names = [row["label"] for row in read(store, "ls", "ls")["templates"]]
    assert sorted(names) == ["other", "unit"]
    store.run("gc", "--max-size", "0", "-n", "unit")
    assert [row["label"] for row in read(store, "ls", "ls")["templates"]] == ["other"]


def test_pinned_templates_are_not_evicted(store):
    keys = aged(store, 3)
    store.run("pin", keys[2], keys[1][:12])
    result = read(store, "gc", "gc", "--max-size", "0")
    assert [row["key"] for row in result["evicted"]] == [keys[0]] and result["over"] is True
    assert {(row["key"], row["reason"]) for row in result["kept"]} == {
        (keys[1], "pinned"),
        (keys[2], "pinned"),
    }
    assert "mintfs unpin" in result["kept"][0]["why"]
    assert f"template {keys[2][:12]} stays: pinned" in store.fail("evict", keys[2], status=4)
    # A pin survives the loss of the catalog.
    (store.path / "v1/catalog.db").unlink()
    store.run("gc", "--max-size", "0")
    assert sorted(keys_of(store)) == sorted(keys[1:])
    store.run("unpin", keys[1], keys[2])
    store.run("gc", "--max-size", "0")
    assert keys_of(store) == []


def test_a_template_with_a_copy_is_not_evicted(copies):
    key = copies.build_app()
    copies.run("session", "new", "app", "one")
    result = read(copies, "gc", "gc", "--max-size", "0")
    (kept,) = result["kept"]
    assert result["evicted"] == [] and kept["reason"] == "in use"
    assert "in use by a session" in kept["why"]
    assert "in use by a session" in copies.fail("evict", "app", status=4)
    copies.run("session", "reset", "one")
    copies.run("session", "rm", "one")
    assert copies.run("evict", "app").stdout == f"{key}\n"
    assert "no template" in copies.fail("evict", "app", status=3)


def test_gc_removes_expired_copies(copies):
    key = copies.build_app()
    copy = Path(copies.run("session", "new", "--ttl", "1", "app", "one").stdout.strip())
    evicted = eventually(
        lambda: read(copies, "gc", "gc", "--max-size", "0")["evicted"], "the copy's time to be up"
    )
    assert [template["key"] for template in evicted] == [key] and not copy.exists()


def test_a_template_is_evicted_only_after_its_mounted_session(mount, key):
    store = mount.store
    session = mount.new(key, "one")
    assert read(store, "gc", "gc", "--max-size", "0")["evicted"] == []
    store.fail("evict", "app", status=4)
    assert (session / "app.db").exists()
    session.rmdir()
    # The daemon releases the template a moment later; evict waits for that.
    assert store.run("evict", "app").stdout == f"{key}\n"
    eventually(lambda: not (mount.templates / key).exists(), "the template to be gone")
    assert key not in os.listdir(mount.templates)
    with pytest.raises(FileNotFoundError):
        mount.new(key, "two")


def test_a_template_evicted_and_built_again_appears_on_the_mount(mount, key):
    store = mount.store
    for turn in range(3):
        session = mount.new(key, "one")
        db = sqlite3.connect(session / "app.db")
        assert db.execute("select count(*) from t0").fetchone() == (50,)
        db.close()
        assert (mount.templates / key / "app.db").read_bytes()[:6] == b"SQLite"
        keep = open(mount.templates / key / "app.db", "rb")
        session.rmdir()
        assert store.run("evict", key).stdout == f"{key}\n"
        assert keep.read(6) == b"SQLite"
        keep.close()
        assert store.build_app() == key


def test_offline_sessions_keep_their_template(fuse, store, place, variant):
    for options in ([], ["--scratch", place / "scratch"]):
        (place / "scratch").mkdir(exist_ok=True)
        key = store.build_app()
        start = store.start
        store.start = lambda *args, **kw: start(
            *(["mount", *options, *args[1:]] if args[0] == "mount" else args), **kw
        )
        try:
            first = Mount(store, store.home / "mnt")
            first.new(key, "one")
            first.stop()
            assert "in use by a session" in store.fail("evict", "app", status=4)
            assert read(store, "gc", "gc", "--max-size", "0")["evicted"] == []
            (row,) = read(store, "ls", "ls")["sessions"]
            assert row["state"] == "at rest"
            again = Mount(store, store.home / "mnt")
            (again.sessions / key / "one").rmdir()
            again.stop()
        finally:
            store.start = start
        assert store.run("evict", "app").stdout == f"{key}\n"
        assert not list((store.path / "v1").glob("scratches/*"))


def test_a_removed_scratch_keeps_no_template(fuse, store, place):
    scratch = place / "scratch"
    scratch.mkdir()
    key = store.build_app()
    start = store.start
    store.start = lambda *args, **kw: start(
        *(["mount", "--scratch", scratch, *args[1:]] if args[0] == "mount" else args), **kw
    )
    first = Mount(store, store.home / "mnt")
    first.new(key, "one")
    first.stop()
    store.start = start
    shutil.rmtree(scratch)
    assert store.run("evict", "app").stdout == f"{key}\n"


def test_gc_reports_templates_that_it_keeps_over_a_limit(copies):
    """With the reason; templates within the limits are not reported."""
    keys = aged(copies, 6, name="unit")
    copies.run("pin", keys[4])
    with contextlib.ExitStack() as stack:
        # The lock that a builder holds while it works.
        lock = copies.path / f"v1/locks/build-{keys[3]}"
        builder = stack.enter_context(lock.open("w"))
        lock_it(builder)
        result = read(copies, "gc", "gc", "--max-size", "none", "--max-age", "12h", "--keep", "2")
        assert {(row["key"], row["reason"]) for row in result["kept"]} == {
            (keys[1], "kept"),
            (keys[3], "building"),
            (keys[4], "pinned"),
        }
        assert {row["key"] for row in result["evicted"]} == {keys[2], keys[5]}
        assert (result["left"], result["over"]) == (4, False)
        err = copies.run("gc", "--max-size", "none", "--max-age", "12h").stderr
        assert f"kept {keys[3][:12]}: being built" in err
        assert f"kept {keys[4][:12]}: pinned" in err


def test_gc_of_an_unknown_name_fails(store):
    store.build_app()
    message = 'no template has the name "nosuch"; mintfs ls lists them'
    assert message in store.run("gc", "--name", "nosuch").stderr
    done = store.run("gc", "-n", "nosuch", "--json")
    assert message in done.stderr and json.loads(done.stdout)["evicted"] == []
    assert "no template has" not in store.run("gc", "--name", "app").stderr


def test_limits_are_enforced_after_each_build(copies):
    copies.env["MINTFS_MAX_SIZE"] = "1"
    first = copies.build_app(salt="1")
    done = copies.run(
        "build", "-n", "app", "--salt", "2", "--", "sh", "-c", "echo x > $0", "{out}"
    )
    assert "evicted 1 template not used lately" in done.stderr
    assert "over the limit of 1 B" in done.stderr
    assert keys_of(copies) == [done.stdout.strip()] != [first]


def test_a_damaged_template_can_be_evicted(store):
    key = store.build_app()
    manifest = store.path / "v1/templates" / key / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("rubbish")
    (store.path / "v1/catalog.db").unlink()
    assert store.run("evict", key).stdout == f"{key}\n"
    assert store.build_app() == key


def test_a_template_restored_by_a_ci_cache_counts_as_used_then(copies):
    """Though it was built long ago, the next build does not evict it for its age."""
    key = make_template(copies.path, 1, created_ns=10**18)
    came = os.stat(copies.path / "v1/templates" / key).st_ctime_ns
    copies.build_app()
    row = row_of(copies, key)
    assert (row["created_ns"], row["last_used_ns"]) == (10**18, came)
    # A rebuilt catalog has this value; and a wrong clock does not keep a template for ever.
    later = make_template(copies.path, 2, created_ns=4 * 10**18)
    (copies.path / "v1/catalog.db").unlink()
    copies.run("gc")
    assert row_of(copies, key)["last_used_ns"] == came
    assert came < row_of(copies, later)["last_used_ns"] <= time.time_ns()
