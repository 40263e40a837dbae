"""Databases whose first transaction, or an empty file, is all that a killed builder left.

SQLite recovers them when it opens them next. A template must not leave that to its sessions.
"""

import os
import shutil
import sqlite3
import struct
import sys

import pytest

from support.checkouts import rows, shell

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
    """The builder is killed after it wrote the pages and before it finished the journal."""
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


def test_rolling_back_a_second_database_gives_a_warning(project):
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


KILLED = """\
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.executescript(f"pragma cache_size=5; pragma journal_mode={sys.argv[2]}; begin; create table t(a)")
db.executemany("insert into t values(?)", [("x" * 500,)] * 2000)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("mode", ("delete", "truncate", "persist"))
def test_a_builder_that_is_killed_in_its_first_transaction_leaves_an_empty_file(project, mode):
    """The first page is not in the file yet, which begins with zeros."""
    (project.root / "killed.py").write_text(KILLED)
    script = f"{sys.executable} killed.py {{out}} {mode}; cp {{out}} left; test -s {{out}}-journal"
    done = project.run("build", "--", *shell(script))
    assert (project.root / "left").read_bytes()[:100] == bytes(100)
    assert EMPTY in done.stderr
    assert contents(project, done) == {"app.db": b""}


def test_a_first_transaction_beside_a_sound_database_is_rolled_back(project):
    with sqlite3.connect(project.root / "app.db") as db:
        db.execute("create table t(a)")
    db.close()
    db = begin(project.root / "live.db", rows=2000)
    for side in ("", "-journal"):
        shutil.copy(project.root / f"live.db{side}", project.root / f"second.db{side}")
    db.close()
    assert (project.root / "second.db").read_bytes()[:100] == bytes(100)
    done = built(project, "app.db", "second.db", "second.db-journal")
    found = contents(project, done)
    assert sorted(found) == ["app.db", "second.db"] and found["second.db"] == b""
    assert "second.db: it is empty" in done.stderr


def leave_log(project):
    """app.db-wal with all of a database in it: two transactions."""
    db = sqlite3.connect(project.root / "live.db", isolation_level=None)
    db.executescript("pragma journal_mode=wal; pragma wal_autocheckpoint=0; create table t(a)")
    db.execute("insert into t values('committed')")
    shutil.copy(project.root / "live.db-wal", project.root / "app.db-wal")
    db.close()
    return project.root / "app.db-wal"


@pytest.mark.parametrize("size", (0, 100, 4096))
def test_a_log_whose_first_page_is_not_in_the_file_is_applied(project, size):
    leave_log(project)
    (project.root / "app.db").write_bytes(bytes(size))
    done = built(project, "app.db", "app.db-wal")
    files = project.template(done.stdout.strip()) / "files"
    assert os.listdir(files) == ["app.db"]
    assert rows(files / "app.db") == [("t", [("committed",)])]
    (entry,) = project.manifest(done.stdout.strip())["entries"]
    assert entry["sqlite"] is True and entry["wal"] is True


def test_side_files_of_other_files_are_not_applied(project):
    """An encrypted page, a file that only has such a name, and a finished journal."""
    log = leave_log(project)
    names = ("app.db", "app.db-wal", "notes", "notes-journal", "zeros", "zeros-journal")
    (project.root / "app.db").write_bytes(os.urandom(4096))
    log.write_bytes(encrypted(log.read_bytes()))
    (project.root / "notes").write_bytes(b"notes")
    (project.root / "notes-journal").write_bytes(b"what happened")
    (project.root / "zeros").write_bytes(bytes(4096))
    (project.root / "zeros-journal").write_bytes(bytes(512) + b"rest")
    found = contents(project, built(project, *names))
    assert found == {name: (project.root / name).read_bytes() for name in names}


def encrypted(log):
    """The log with other bytes in its pages, and the checksums of those."""
    result = log[:32]
    order = ">" if log[3] & 1 else "<"
    a, b = struct.unpack(">II", log[24:32])
    size = struct.unpack(">I", log[8:12])[0]
    for at in range(32, len(log), 24 + size):
        page = bytes(byte ^ 0x5A for byte in log[at + 24 : at + 24 + size])
        words = struct.unpack(f"{order}{2 + size // 4}I", log[at : at + 8] + page)
        for i in range(0, len(words), 2):
            a = (a + words[i] + b) & 0xFFFFFFFF
            b = (b + words[i + 1] + a) & 0xFFFFFFFF
        result += log[at : at + 16] + struct.pack(">II", a, b) + page
    return result


# ---- files with names that SQLite or sealing uses ----


MAKE = 'sqlite3 {out} "pragma journal_mode=%s; create table t(a); insert into t values(1)" >/dev/null; '


def test_a_directory_beside_a_database_in_rollback_mode_is_kept(project):
    """SQLite does not open it."""
    key = project.build(builder=shell(MAKE % "delete" + "mkdir {out}-shm; echo x >{out}-shm/file"))
    files = project.template(key) / "files"
    assert (files / "app.db-shm/file").read_text() == "x\n"
    assert rows(files / "app.db") == [("t", [(1,)])]


@pytest.mark.parametrize("mode, side", [("delete", "journal"), ("delete", "wal"), ("wal", "wal"), ("wal", "shm")])
@pytest.mark.parametrize("kind", ("directory", "symbolic link"))
def test_an_obstacle_to_sqlite_is_named(project, mode, side, kind):
    command = f"mkdir {{out}}-{side}" if kind == "directory" else f"echo >{{dir}}/x; ln -s x {{out}}-{side}"
    message = project.fail("build", "--", *shell(MAKE % mode + command))
    assert f"app.db: app.db-{side} is a {kind}, where SQLite keeps" in message


@pytest.mark.parametrize("kind", ("directory", "symbolic link"))
def test_an_obstacle_beside_a_fixture_is_a_warning(project, kind):
    link = "mkdir {dir}/fixture.db-wal" if kind == "directory" else "ln -s app.db {dir}/fixture.db-wal"
    done = project.run("build", "--", *shell(MAKE % "delete" + "cp {out} {dir}/fixture.db; " + link))
    (warning,) = project.manifest(done.stdout.strip())["warnings"]
    assert f"fixture.db-wal is a {kind}" in warning


def test_files_named_like_those_of_sealing_are_kept(project):
    """Hard links, absolute links and a second database in WAL mode need a temporary file each."""
    names = (".mintfs-seal.tmp", *(f".mintfs-seal-{i}.tmp" for i in range(4)))
    script = MAKE % "wal" + "cp {out} {dir}/second.db; ln {out} hard; ln -s {out} {dir}/link; cd {dir}; "
    key = project.build(builder=shell(script + "".join(f"echo own >{name}; " for name in names)))
    files = project.template(key) / "files"
    assert sorted(os.listdir(files)) == sorted((*names, "app.db", "second.db", "link"))
    assert {(files / name).read_text() for name in names} == {"own\n"}
    assert rows(files / "second.db") == [("t", [(1,)])]
