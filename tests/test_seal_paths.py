"""Databases in directories so deep that SQLite accepts no path to them: its limit is 512 bytes."""

import sqlite3
import subprocess

import pytest

from support.basics import SANITIZED, needs_root
from support.checkouts import rows, shell

DEEP = "/".join(digit * 200 for digit in "012")

# SQLite's command line cannot open such paths either.
MAKE = "rm -f b.db*; sqlite3 b.db 'create table t(a); insert into t values(1)'; mv b.db {out}; : "


def copy(project, key, path):
    to = project.root / "copy.db"
    to.write_bytes((project.template(key) / "files" / path).read_bytes())
    return to


def test_a_database_below_deep_directories_is_checked(project):
    path = f"{DEEP}/app.db"
    key = project.build("--file", path, builder=shell(MAKE))
    manifest = project.manifest(key)
    assert manifest["warnings"] == []
    assert (manifest["entries"][-1]["path"], manifest["entries"][-1]["sqlite"]) == (path, True)
    assert rows(copy(project, key, path)) == [("t", [(1,)])]


@pytest.mark.parametrize("length", range(500, 516))
def test_every_length_of_a_path_works(project, length):
    """The directories of all builds have names of one length."""
    noting = MAKE + "; echo {out} >path"
    project.build(builder=shell(noting))
    missing = length - len((project.root / "path").read_text().strip())
    file = f"{'a' * 100}/{'b' * (missing - 102)}/app.db"
    key = project.build("--file", file, builder=shell(noting))
    assert len((project.root / "path").read_text().strip()) == length
    assert project.manifest(key)["entries"][-1]["sqlite"] is True


def test_side_files_of_a_deep_database_are_applied(project):
    """A write-ahead log beside it, and a hot journal beside the second one."""
    db = sqlite3.connect(project.root / "wal.db", isolation_level=None)
    db.executescript("pragma journal_mode=wal; create table t(a); insert into t values(2)")
    hot = sqlite3.connect(project.root / "hot.db", isolation_level=None)
    hot.executescript("pragma cache_size=5; create table t(a); begin; insert into t values(3)")
    hot.executemany("insert into t values(?)", [("x" * 500,)] * 500)
    script = f"mkdir -p {{dir}}/{DEEP}; for f in wal.db wal.db-wal hot.db hot.db-journal; do cp $f {{dir}}/{DEEP}; done"
    key = project.build("--file", f"{DEEP}/wal.db", builder=shell(script))
    db.close()
    hot.close()
    entries = [e for e in project.manifest(key)["entries"] if e["type"] == "file"]
    assert [e["path"].rpartition("/")[2] for e in entries] == ["hot.db", "wal.db"]
    assert rows(copy(project, key, f"{DEEP}/wal.db")) == [("t", [(2,)])]
    assert rows(copy(project, key, f"{DEEP}/hot.db")) == [("t", [])]


def test_damage_in_a_deep_directory_is_refused(project):
    damage = MAKE + "; printf xxxx | dd of={out} bs=1 seek=4096 conv=notrunc 2>/dev/null"
    message = project.fail("build", "--file", f"{DEEP}/app.db", "--", *shell(damage))
    assert "builder left a broken database: " in message


@pytest.fixture
def deep(project):
    """A store at the end of a path that is too long."""
    project.store = project.root.parent / DEEP / "store"
    project.store.parent.mkdir(parents=True)
    project.env["MINTFS_STORE"] = str(project.store)
    return project


def test_a_deep_store_has_a_catalog(deep):
    key = deep.build("-n", "name", builder=shell(MAKE))
    assert deep.build("-n", "name", builder=shell(MAKE)) == key
    (template,) = deep.templates()
    assert template["key"] == key and template["hits"] == 1
    assert rows(copy(deep, key, "app.db")) == [("t", [(1,)])]
    assert sorted(path.name for path in (deep.store / "v1").glob("catalog*")) == ["catalog.db"]
    deep.run("verify", "-a")
    deep.run("evict", key)
    assert deep.templates() == []


def test_databases_of_a_deep_store_are_compared(deep):
    random = MAKE.replace("values(1)", "values(random())")
    key = deep.build("-n", "name", builder=shell(random))
    done = deep.run("verify", "--rebuild", key, status=5)
    assert "app.db: table t: 1 of 1 cached rows differ" in done.stdout + done.stderr


@needs_root
def test_a_deep_database_without_proc_is_published_unchecked(project):
    build = f'"{project.binary}" build --file {DEEP}/app.db -- sh -c "{MAKE}"'
    script = f"mount -t tmpfs none /proc && {build}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script],
        cwd=project.root, env=project.env, capture_output=True, text=True,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mount namespace here: {done.stderr}")
    assert done.returncode == 0 or SANITIZED, done.stderr  # LeakSanitizer reads /proc
    key = done.stdout.strip()
    (warning,) = project.manifest(key)["warnings"]
    assert "its path is too long for SQLite" in warning
    assert rows(copy(project, key, f"{DEEP}/app.db")) == [("t", [(1,)])]
