"""SQLite in sessions: every journal mode works as on a plain disk."""

import os
import shutil
import sqlite3

import pytest

from support.basics import SANITIZED, fewer, seeded, sha256
from support.databases import check, connected, dump, pragma, read_only, run_workload, value
from support.processes import Child, call_in_fork

MODES = ("DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF", "WAL")
PAGE_SIZES = (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
MMAP_SIZES = (0, 64 << 20)


def compare_workload(mount, key, name, mode, mmap_size, plain):
    """Runs the same workload on a session and on a plain file, and compares the results."""
    session = mount.new(key, name) / "app.db"
    shutil.copy(mount.store.template(key), plain)
    plain.chmod(0o600)
    for path in (session, plain):
        # In its own process, since SQLite leaks mappings if pages are smaller than 4 KiB.
        call_in_fork(lambda: run_workload(path, mode, mmap_size, 1 << 20, seeded(name)))
    check(session)
    assert dump(session) == dump(plain)
    with connected(session) as one, connected(plain) as other:
        for setting in ("journal_mode", "page_size", "page_count", "freelist_count"):
            assert pragma(one, setting) == pragma(other, setting)
    leftovers = sorted(os.listdir(session.parent))
    assert leftovers == sorted(p.name.replace("plain", "app") for p in plain.parent.iterdir())
    shutil.rmtree(plain.parent)


@pytest.mark.on_mounts("uring", "strict")
@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_each_journal_mode_and_page_size_works_as_on_a_disk(mount, mode, page_size, tmp_path):
    if SANITIZED and page_size not in (512, 4096, 65536):
        page_size = 4096
    key = mount.store.build_app(page_size=page_size)
    before = sha256(mount.store.template(key))
    for mmap_size in MMAP_SIZES:
        folder = tmp_path / str(mmap_size)
        folder.mkdir()
        name = f"{mode}-{page_size}-{mmap_size}"
        compare_workload(mount, key, name, mode, mmap_size, folder / "plain.db")
    assert sha256(mount.store.template(key)) == before


@pytest.mark.on_mounts("shared", "user")
@pytest.mark.parametrize("mode", MODES)
def test_each_journal_mode_works_for_other_users(mount, mode, place):
    key = mount.store.build_app()
    folder = mount.store.home / "plain"
    folder.mkdir()
    compare_workload(mount, key, mode, mode, 64 << 20, folder / "plain.db")


# ---- several connections ----


@pytest.mark.on_each_mount
@pytest.mark.parametrize("mode", ("DELETE", "WAL"))
def test_two_sessions_written_alternately_stay_apart(mount, key, mode):
    paths = [mount.new(key, name) / "app.db" for name in ("one", "two")]
    with connected(paths[0], f"journal_mode={mode}") as one:
        with connected(paths[1], f"journal_mode={mode}") as two:
            before = value(one, "select count(*) from t0")
            for i in range(50):
                one.execute("insert into t0(text) values(?)", (f"one {i}",))
                two.execute("insert into t0(text) values(?)", (f"two {i}",))
                for db, mine, other in ((one, "one", "two"), (two, "two", "one")):
                    count = "select count(*) from t0 where text like ?"
                    assert value(db, count, f"{mine} %") == i + 1
                    assert value(db, count, f"{other} %") == 0
            assert value(one, "select count(*) from t0") == before + 50
    for path in paths:
        check(path)
    with read_only(mount.templates / key / "app.db", "immutable=1") as template:
        assert value(template, "select count(*) from t0") == before


@pytest.mark.on_each_mount
@pytest.mark.parametrize("mode", ("DELETE", "TRUNCATE", "PERSIST", "WAL"))
@pytest.mark.parametrize("mmap_size", MMAP_SIZES)
def test_processes_that_share_a_session_see_each_others_commits(mount, session, mode, mmap_size):
    path = session / "app.db"
    workers, rows = 4, fewer(50)
    with connected(path, f"journal_mode={mode}") as db:
        db.execute("create table log(worker int, n int, total int)")

    def work(number):
        with connected(path, f"mmap_size={mmap_size}") as db:
            for n in range(rows):
                db.execute("begin immediate")
                total = value(db, "select count(*) from log")
                db.execute("insert into log values(?, ?, ?)", (number, n, total))
                db.execute("commit")

    children = [Child(lambda talk, number=number: work(number)) for number in range(workers)]
    for child in children:
        child.end()
    with connected(path) as db:
        assert value(db, "select count(*) from log") == workers * rows
        # Each transaction saw all earlier commits.
        assert [total for (total,) in db.execute("select total from log order by rowid")] == list(
            range(workers * rows)
        )
        for number in range(workers):
            mine = db.execute("select n from log where worker=? order by rowid", (number,))
            assert [n for (n,) in mine] == list(range(rows))
    check(path)


@pytest.mark.on_each_mount
def test_readers_keep_their_snapshot_beside_a_writer(mount, session):
    """In WAL mode; a checkpoint waits for them."""
    path = session / "app.db"
    with connected(path, "journal_mode=WAL") as writer:
        before = value(writer, "select count(*) from t0")

        def read(talk):
            with connected(path) as db:
                db.execute("begin")
                counts = [value(db, "select count(*) from t0")]
                talk.send()
                talk.receive()
                counts.append(value(db, "select count(*) from t0"))
                db.execute("commit")
                counts.append(value(db, "select count(*) from t0"))
                return counts

        child = Child(read)
        child.receive()
        for i in range(100):
            writer.execute("insert into t0(text) values(?)", (str(i),))
        busy, _, _ = writer.execute("pragma wal_checkpoint(passive)").fetchone()
        assert busy == 0
        child.send()
        assert child.end() == [before, before, before + 100]
        assert writer.execute("pragma wal_checkpoint(truncate)").fetchone()[0] == 0
    assert sorted(os.listdir(session)) == ["app.db"]
    check(path)


@pytest.mark.on_each_mount
def test_a_killed_writer_is_rolled_back(session):
    path = session / "app.db"
    for mode in ("DELETE", "TRUNCATE", "PERSIST", "WAL"):
        with connected(path, f"journal_mode={mode}") as db:
            before = db.execute("select * from t0").fetchall()

        def write(talk):
            with connected(path, "cache_size=5", "cache_spill=1") as db:
                db.execute("begin immediate")
                for _ in range(20):
                    db.execute("update t0 set text = text || 'x', blob = randomblob(3000)")
                talk.send()
                talk.receive()

        child = Child(write)
        child.receive()
        child.kill()
        with connected(path) as db:
            assert db.execute("select * from t0").fetchall() == before
        check(path)


# ---- templates ----


@pytest.mark.on_each_mount
@pytest.mark.parametrize("mode", ("delete", "wal", "persist"))
def test_a_session_begins_in_the_builders_journal_mode(mount, mode):
    key = mount.store.build_app(journal_mode=mode)
    template = mount.templates / "app/app.db"
    for parameters in ("mode=ro", "immutable=1", "mode=ro&immutable=1"):
        with read_only(template, parameters) as db:
            assert value(db, "select count(*) from t0") == 50
            assert pragma(db, "journal_mode") == "delete"
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                db.execute("insert into t0(text) values('x')")
    session = mount.new(key, "one") / "app.db"
    with connected(session) as db:
        assert pragma(db, "journal_mode") == ("wal" if mode == "wal" else "delete")
        db.execute("insert into t0(text) values('x')")
        assert value(db, "select count(*) from t0") == 51
    check(session)
    with connected(session) as db:  # the mode that the session chose is kept
        assert pragma(db, "journal_mode=truncate") == "truncate"
    with connected(session) as db:
        assert pragma(db, "journal_mode") == "delete"
    fresh = mount.new(key, "two") / "app.db"
    with connected(fresh) as db:
        assert pragma(db, "journal_mode") == ("wal" if mode == "wal" else "delete")
    assert os.listdir(mount.templates / key) == ["app.db"]


@pytest.mark.on_each_mount
def test_many_can_read_a_template_at_once(mount, key):
    def read():
        for parameters in ("mode=ro", "immutable=1"):
            with read_only(mount.templates / key / "app.db", parameters) as db:
                for _ in range(fewer(30)):
                    assert value(db, "select count(*) from t1 where text like 'row%'") == 50
                assert pragma(db, "integrity_check") == "ok"

    children = [Child(lambda talk: read()) for _ in range(6)]
    for child in children:
        child.end()


@pytest.mark.on_each_mount
def test_an_attached_database_commits_with_the_first(mount, key):
    """SQLite creates a super-journal in the session's directory."""
    session = mount.new(key, "one")
    shutil.copy(session / "app.db", session / "other.db")
    with connected(session / "app.db") as db:
        db.execute("attach ? as other", (str(session / "other.db"),))
        for end in ("commit", "rollback"):
            db.execute("begin")
            db.execute("insert into t0(text) values('both')")
            db.execute("insert into other.t0(text) values('both')")
            db.execute(end)
        for schema in ("main", "other"):
            assert value(db, f"select count(*) from {schema}.t0 where text = 'both'") == 1
    assert sorted(os.listdir(session)) == ["app.db", "other.db"]


@pytest.mark.on_each_mount
def test_a_connection_to_a_discarded_session_never_reaches_its_successor(mount, session):
    path = session / "app.db"
    for mode in ("DELETE", "WAL"):
        with connected(path, f"journal_mode={mode}") as old:
            old.execute("insert into t0(text) values('old')")
            os.rmdir(session)
            os.mkdir(session)
            with connected(path, f"journal_mode={mode}") as new:
                new.execute("insert into t0(text) values('new')")
                assert value(old, "select count(*) from t0 where text = 'new'") == 0
                try:
                    old.execute("insert into t0(text) values('old')")
                except sqlite3.OperationalError as error:
                    assert "readonly" in str(error) or "disk I/O" in str(error)
                assert value(new, "select count(*) from t0 where text = 'old'") == 0
        check(path)
        os.rmdir(session)
        os.mkdir(session)
