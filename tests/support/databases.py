"""SQLite databases: connections, a random workload, and dumps to compare."""

import contextlib
import sqlite3


@contextlib.contextmanager
def connected(path, *pragmas, timeout=60, **kwargs):
    """A connection in autocommit mode, which is closed at the end of the block."""
    db = sqlite3.connect(path, timeout=timeout, isolation_level=None, **kwargs)
    try:
        for pragma in pragmas:
            db.execute(f"pragma {pragma}").fetchall()
        yield db
    finally:
        db.close()


def read_only(path, parameters="mode=ro"):
    return connected(f"file:{path}?{parameters}", uri=True)


def value(db, sql, *arguments):
    return db.execute(sql, arguments).fetchone()[0]


def check(path):
    with connected(path) as db:
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]


def dump(path) -> list:
    """The schema and all rows, in an order that does not depend on the layout of pages."""
    with connected(path) as db:
        schema = db.execute("select type, name, sql from sqlite_schema order by 1, 2").fetchall()
        tables = [name for kind, name, _ in schema if kind == "table"]
        rows = {name: db.execute(f'select rowid, * from "{name}" order by 1') for name in tables}
        return [schema, {name: cursor.fetchall() for name, cursor in rows.items()}]


def pragma(db, name):
    return value(db, f"pragma {name}")


def run_workload(path, journal_mode, mmap_size, blob_bytes, random):
    """
    Runs transactions, rollbacks, savepoints, inserts, deletes, a large blob, VACUUM and schema
    changes, with a second connection that reads. Equal random numbers give equal statements.
    """
    with connected(path, f"mmap_size={mmap_size}") as db, connected(path) as reader:
        answered = pragma(db, f"journal_mode={journal_mode}")
        assert answered == journal_mode.lower(), answered
        db.execute("create table if not exists w(id integer primary key, n int, b blob)")
        db.execute("create index w_n on w(n)")
        for round_number in range(6):
            db.execute("begin immediate")
            for _ in range(40):
                row = (random.randrange(1000), random.randbytes(random.randrange(1200)))
                db.execute("insert into w(n, b) values(?, ?)", row)
            db.execute("update w set n = n + 1 where n % 7 = ?", (round_number,))
            if round_number % 3 == 1:
                db.execute("savepoint s")
                db.execute("delete from w")
                db.execute("rollback to s")
            db.execute("rollback" if round_number == 2 and journal_mode != "OFF" else "commit")
            seen = value(reader, "select count(*) from w")
            assert seen == value(db, "select count(*) from w")
        db.execute("insert into w(n, b) values(-1, ?)", (random.randbytes(blob_bytes),))
        db.execute("delete from w where id % 3 = 0")
        db.execute("alter table w add column t text default 'later'")
        reader.close()
        db.execute("vacuum")
        db.execute("create table w2 as select * from w where n > 500")
        db.execute("drop table t0")
        if journal_mode == "WAL":
            db.execute("pragma wal_checkpoint(truncate)").fetchall()
            db.execute("update w set t = 'after the checkpoint' where id % 5 = 0")
        db.execute("delete from w2 where n % 2 = 0")
