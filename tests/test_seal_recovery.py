"""Databases whose first transaction, or an empty file, is all that a killed builder left.

SQLite recovers them when it opens them next. A template must not leave that to its sessions.
"""

import os
import shutil
import sqlite3

import pytest

EMPTY = "builder left app.db empty; it may have migrated another database"


def built(project, *names, status=0):
    """Builds a template of these files of the checkout."""
    script = 'cp "$@" "$MINTFS_DIR"; : ' + os.urandom(8).hex()
    return project.run("build", "--", "sh", "-c", script, "-", *names, status=status)


def contents(project, done):
    files = project.template(done.stdout.strip()) / "files"
    return {path.name: path.read_bytes() for path in files.iterdir()}


def begin(path, mode="delete", rows=200):
    """A first transaction, more of which is in the file than in the cache."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(f"pragma cache_size=5; pragma journal_mode={mode}; begin; create table t(a)")
    db.executemany("insert into t values(?)", [("x" * 500,)] * rows)
    return db


@pytest.mark.parametrize("mode", ("delete", "truncate", "persist"))
def test_a_first_transaction_that_was_not_committed_leaves_an_empty_file(project, mode):
    """Killed after the pages were written, and before the journal was finished."""
    live = project.root / "live.db"
    db = begin(live, mode)
    shutil.copy(f"{live}-journal", project.root / "app.db-journal")
    db.execute("commit")
    db.close()
    shutil.copy(live, project.root / "app.db")
    done = built(project, "app.db", "app.db-journal")
    assert EMPTY in done.stderr
    assert contents(project, done) == {"app.db": b""}
    assert project.manifest(done.stdout.strip())["warnings"] == []


def test_a_second_database_that_is_rolled_back_is_worth_a_warning(project):
    with sqlite3.connect(project.root / "app.db") as db:
        db.execute("create table t(a)")
    db.close()
    live = project.root / "second.db"
    db = begin(live)
    shutil.copy(f"{live}-journal", project.root / "kept")
    db.execute("commit")
    db.close()
    (project.root / "kept").rename(f"{live}-journal")
    done = built(project, "app.db", "second.db", "second.db-journal")
    found = contents(project, done)
    assert sorted(found) == ["app.db", "second.db"] and found["second.db"] == b""
    assert "second.db: it is empty" in done.stderr
    (warning,) = project.manifest(done.stdout.strip())["warnings"]
    assert warning.startswith("second.db: it is empty")
