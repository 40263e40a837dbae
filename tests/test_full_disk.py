"""Full disks and limits: SQLite reports them, databases stay intact, and work can continue."""

import contextlib
import os
import sqlite3
import subprocess

import pytest

from support import mounts
from support.basics import eventually, fails
from support.disks import fill_to_the_last_byte, mounted_disk
from support.processes import call_in_fork

MIB = 1 << 20
ROW = b"r" * 3000
JOURNAL_MODES = ("delete", "truncate", "persist", "memory", "wal")
SYNCHRONOUS = ("off", "normal", "full")
FULL, IO_ERROR = 13, 10
DEAD = ("removed a dead mount",)


@pytest.fixture
def small_disk(place):
    """A tmpfs of 3 MiB."""
    with mounted_disk(place / "disk") as disk:
        (disk / "scratch").mkdir()
        yield disk


@contextlib.contextmanager
def mounted(store, *options, scratch=None, logged=()):
    made = mounts.Mount(store, store.home / "mnt", *options, scratch=scratch)
    try:
        yield made
    except BaseException:
        made.process.kill()
        made.process.communicate()
        mounts.live_daemons.discard(made.pid)
        mounts.unmount_lazily(made.point)
        raise
    if made.process.returncode is None:
        made.stop(logged=logged)


def connect(path, journal_mode, synchronous):
    db = sqlite3.connect(path, isolation_level=None)
    assert db.execute(f"pragma journal_mode={journal_mode}").fetchone() == (journal_mode,)
    db.execute(f"pragma synchronous={synchronous}")
    return db


def insert_until_it_fails(db, start=0) -> tuple:
    """Inserts three rows a transaction; returns the rows committed and the code of the error."""
    done = start
    for i in range(start // 3, 10000):
        try:
            db.execute("begin")
            for k in range(3):
                db.execute("insert into more values(?, ?)", (3 * i + k, ROW))
            db.execute("commit")
            done += 3
        except sqlite3.OperationalError as error:
            with contextlib.suppress(sqlite3.OperationalError):
                db.execute("rollback")  # SQLite has done this already unless the commit failed
            return done, error.sqlite_errorcode & 0xFF
    raise AssertionError("it was never full")


def assert_intact(db, rows):
    """The database has the rows that were committed, and no others."""
    assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
    found = [row for (row,) in db.execute("select id from more order by id")]
    assert found == list(range(rows))


def fill_the_disk(session, journal_mode, synchronous) -> int:
    path = session / "app.db"
    db = connect(path, journal_mode, synchronous)
    db.execute("create table more(id integer primary key, bytes)")
    rows, error = insert_until_it_fails(db)
    assert error == FULL
    assert rows >= 3
    assert_intact(db, rows)
    # A second attempt fails likewise, though the rollback may have freed a little space.
    rows, error = insert_until_it_fails(db, rows)
    assert error == FULL
    assert_intact(db, rows)
    db.close()
    if journal_mode != "wal":
        # A new connection sees the same.
        db = sqlite3.connect(path)
        assert_intact(db, rows)
        db.close()
    return rows


def insert_more(session, journal_mode, synchronous, rows):
    db = connect(session / "app.db", journal_mode, synchronous)
    assert_intact(db, rows)
    for i in range(rows, rows + 50):
        db.execute("insert into more values(?, ?)", (i, ROW))
    assert_intact(db, rows + 50)
    db.close()


def unlink(mount, path):
    """Removes the file, and waits until the kernel has released it and its storage is free."""
    size = path.stat().st_size
    before = mount.status()["counters"]["stored_bytes"]
    path.unlink()
    eventually(lambda: mount.status()["counters"]["stored_bytes"] <= before - size)


def fill_in_each_mode(mount, key):
    """With every journal mode and synchronous setting, a database survives a full disk."""
    for journal_mode in JOURNAL_MODES:
        for synchronous in SYNCHRONOUS:
            session = mount.new(key, f"{journal_mode}-{synchronous}")
            ballast = session / "ballast"
            ballast.write_bytes(bytes(MIB))
            mode = session, journal_mode, synchronous
            rows = call_in_fork(lambda m=mode: fill_the_disk(*m))
            unlink(mount, ballast)
            call_in_fork(lambda m=mode, r=rows: insert_more(*m, r))
            session.rmdir()
            eventually(lambda: mount.status()["counters"]["stored_bytes"] == 0)


def test_databases_survive_a_full_disk_with_strict(fuse, store, small_disk):
    key = store.build_app()
    with mounted(store, "strict", scratch=small_disk / "scratch") as mount:
        fill_in_each_mode(mount, key)


@pytest.mark.parametrize("limit", ["session_limit=3M", "limit=3M"])
def test_databases_survive_a_full_limit(fuse, store, limit):
    key = store.build_app()
    with mounted(store, limit) as mount:
        fill_in_each_mode(mount, key)


def test_a_full_limit_is_enospc(fuse, store):
    """SQLite would take EDQUOT for an I/O error."""
    key = store.build_app()
    for option in ("session_limit=1M", "limit=1M"):
        with mounted(store, option) as mount:
            session = mount.new(key, "one")
            with open(session / "file", "wb", buffering=0) as file:
                assert file.write(bytes(MIB)) == MIB
                with fails("ENOSPC"):
                    file.write(b"more")
                assert file.tell() == os.fstat(file.fileno()).st_size == MIB
                file.seek(0)
                assert file.write(b"in place") == 8
            (mount.new(key, "two") / "file").touch()
            unlink(mount, session / "file")
            (session / "again").write_bytes(bytes(MIB))
            (session / "again").unlink()
            session.rmdir()
            (mount.sessions / key / "two").rmdir()


def test_limits_hold_over_a_restart(fuse, store):
    key = store.build_app()
    with mounted(store, "session_limit=1M") as mount:
        (mount.new(key, "one") / "file").write_bytes(bytes(MIB - 4096))
        mount.kill()
    with mounted(store, "session_limit=1M", logged=DEAD) as mount:
        session = mount.sessions / key / "one"
        (session / "small").write_bytes(bytes(4096))
        with fails("ENOSPC"):
            (session / "more").write_bytes(b"more")


def test_a_write_is_whole_or_an_error(fuse, store, small_disk):
    key = store.build_app()
    with mounted(store, "strict", scratch=small_disk / "scratch") as mount:
        session = mount.new(key, "one")
        fd = os.open(session / "file", os.O_RDWR | os.O_CREAT)
        done = 0
        with fails("ENOSPC"):
            while True:
                # Not a multiple of the block size, so that each write ends inside a block.
                wrote = os.write(fd, os.urandom(1) * 100_001)
                assert wrote in (100_001,) or os.fstat(fd).st_size == done + wrote
                done += wrote
        size = os.fstat(fd).st_size
        assert size >= done
        assert len(os.pread(fd, size + 1, 0)) == size
        os.close(fd)


def test_shared_memory_counts_against_no_limit(fuse, store):
    key = store.build_app()
    with mounted(store, "session_limit=1M,limit=1M") as mount:
        session = mount.new(key, "one")
        (session / "ballast").write_bytes(bytes(MIB))
        (session / "app.db-shm").write_bytes(bytes(3 * MIB))
        with fails("ENOSPC"):
            (session / "more").write_bytes(b"more")
        unlink(mount, session / "app.db-shm")
        unlink(mount, session / "ballast")
        # A new connection can read a WAL that fills the limit.
        db = connect(session / "app.db", "wal", "normal")
        db.execute("pragma wal_autocheckpoint=0")
        db.execute("create table more(id integer primary key, bytes)")
        rows, error = insert_until_it_fails(db)
        assert error == FULL
        other = sqlite3.connect(session / "app.db")
        assert_intact(other, rows)
        other.close()
        db.close()


@pytest.mark.parametrize("options", [("strict",), ()])
def test_files_can_be_removed_on_a_full_disk(fuse, store, small_disk, options):
    """Space is reserved for the records of removals in the log."""
    key = store.build_app()
    with mounted(store, *options, scratch=small_disk / "scratch") as mount:
        session = mount.new(key, "one")
        other = mount.new(key, "other")
        names = [f"file-{i:04}-{'n' * 100}" for i in range(300)]
        for name in names:
            (session / name).write_bytes(b"x")
        for i in range(20):
            (session / f"directory-{i}").mkdir()
        subprocess.run(["sync", "-f", session], check=True)
        fill_to_the_last_byte(small_disk)
        # Also removals that free nothing: of a template's file and of empty directories.
        (session / "app.db").unlink()
        for i in range(20):
            (session / f"directory-{i}").rmdir()
        for name in names:
            (session / name).unlink()
        assert os.listdir(session) == []
        other.rmdir()
        session.rmdir()
        (small_disk / "filler").unlink()


def insert_synced_rows(session, journal_mode) -> tuple:
    db = connect(session / "app.db", journal_mode, "full")
    db.execute("create table more(id integer primary key, bytes)")
    done, error = insert_until_it_fails(db)
    assert error in (FULL, IO_ERROR)
    return done


@pytest.mark.parametrize("journal_mode", ["delete", "truncate", "persist", "wal"])
def test_synchronous_full_keeps_cached_commits(fuse, store, small_disk, journal_mode):
    """Without strict an error is reported late, but no earlier commit is lost."""
    key = store.build_app()
    scratch = small_disk / "scratch"
    with mounted(store, scratch=scratch) as mount:
        session = mount.new(key, "one")
        (session / "ballast").write_bytes(bytes(MIB))
        subprocess.run(["sync", session / "ballast"], check=True)
        rows = call_in_fork(lambda: insert_synced_rows(session, journal_mode))
        assert rows >= 3
        (session / "ballast").unlink()
    # The kernel's cache is gone with the mount; this reads what the daemon has stored.
    with mounted(store, scratch=scratch) as mount:
        session = mount.sessions / key / "one"
        db = sqlite3.connect(session / "app.db")
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
        found = [row for (row,) in db.execute("select id from more order by id")]
        # A commit that returned an error may be there, but then it is complete.
        assert found[:rows] == list(range(rows))
        assert len(found) in (rows, rows + 3)
        db.close()
