"""Stores and scratches on file systems without renameat2(2) flags."""

import json
import shutil
import subprocess

import pytest

from support import mounts
from support.basics import IS_ROOT
from support.databases import connected


@pytest.fixture
def bound(fuse, place):
    """A directory on bindfs, which supports no flags of renameat2(2)."""
    if not shutil.which("bindfs"):
        pytest.skip("bindfs is not installed: scripts/setup")
    if not IS_ROOT:
        pytest.skip("only root mounts bindfs here")
    point, source = place / "bound", place / "source"
    point.mkdir(mode=0o755)
    source.mkdir(mode=0o755)
    subprocess.run(["bindfs", source, point], check=True)
    yield point
    subprocess.run(["umount", point], check=True)


@pytest.fixture
def store_there(store, bound):
    store.path = bound / "store"
    store.env["MINTFS_STORE"] = str(store.path)
    return store


def test_a_store_needs_no_flags_of_rename(store_there):
    store = store_there
    key = store.build_app()
    assert store.build_app() == key
    assert json.loads(store.run("verify", "-a", "--json").stdout)["problems"] == []
    assert store.leftovers() == []
    (store.path / "v1/templates" / key / "manifest.json").unlink()
    assert store.build_app() == key
    store.run("evict", key)
    assert json.loads(store.run("ls", "--json").stdout)["templates"] == []
    store.run("clean", "--yes")
    assert not store.path.exists()


def test_copies_need_no_flags_of_rename(store_there):
    store = store_there
    store.env["MINTFS_BACKEND"] = "copy"
    store.build_app()
    path = store.run("session", "new", "app", "one").stdout.strip()
    with connected(f"{path}/app.db") as db:
        db.execute("delete from t0")
        db.commit()
    assert "exists already" in store.fail("session", "new", "app", "one", status=4)
    store.run("session", "reset", "one")
    with connected(f"{path}/app.db") as db:
        assert db.execute("select count(*) from t0").fetchone() == (50,)
    store.run("session", "rm", "one")
    store.run("clean", "--yes")
    assert not store.path.exists()


@pytest.mark.parametrize("where", ["store", "scratch"])
def test_a_mount_needs_no_flags_of_rename(store, bound, where):
    if where == "store":
        store.path = bound / "store"
        store.env["MINTFS_STORE"] = str(store.path)
    scratch = bound / "scratch" if where == "scratch" else None
    if scratch:
        scratch.mkdir(mode=0o700)
    key = store.build_app()
    with_mount = mounts.Mount(store, store.home / "mnt", scratch=scratch)
    sessions = with_mount.sessions / key
    (sessions / "a").mkdir()
    (sessions / "b").mkdir()
    with connected(sessions / "a/app.db") as db:
        db.execute("delete from t0")
        db.commit()
    (sessions / "b").rename(sessions / "a")
    with connected(sessions / "a/app.db") as db:
        assert db.execute("select count(*) from t0").fetchone() == (50,)
        db.execute("delete from t1")
        db.commit()
    with_mount.stop()
    again = mounts.Mount(store, store.home / "mnt", scratch=scratch)
    with connected(sessions / "a/app.db") as db:
        assert db.execute("select count(*) from t1").fetchone() == (0,)
    again.stop()
