"""Damage that sealing must find: in the pages, and in the journal or log that SQLite would apply.

Each time the answer is a template that is sound or a refusal with the path, never a crash.
"""

import os
import shutil
import sqlite3
import struct

import pytest

from support.basics import fewer, seeded, sha256
from support.checkouts import shell

PAGE = 1024


def make(path, vacuum=0, rows=400):
    """Several levels of b-trees, overflow pages, an index, and free pages."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(
        f"pragma page_size={PAGE}; pragma auto_vacuum={vacuum}; pragma synchronous=off; begin;"
        "create table t(a integer primary key, b text, c blob); create index i on t(b);"
        "create table w(a text primary key, b) without rowid; create table gone(a)"
    )
    db.executemany(
        "insert into t values(?, ?, ?)", [(n, f"row {n:05}" * 4, bytes(n % 7 * 500)) for n in range(rows)]
    )
    db.execute("insert into w select b, a from t")
    db.execute("insert into gone select c from t")
    db.execute("commit")
    db.execute("delete from gone where rowid > 10")
    db.close()


def build(project, *names, status=125):
    """A builder that leaves these files; the first is app.db."""
    copies = " && ".join(f'cp {name} "$MINTFS_DIR/{name}"' for name in names)
    return project.run("build", "--", *shell(copies), "-", os.urandom(8).hex(), status=status)


def refused(project, *names):
    message = build(project, *names).stderr
    assert "mintfs: builder left a broken database: app.db: " in message, message
    assert project.templates() == []
    return message


def roots(path):
    with sqlite3.connect(path) as db:
        found = dict(db.execute("select name, rootpage from sqlite_schema"))
    db.close()
    return found


def patch(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def page_at(number):
    return (number - 1) * PAGE


@pytest.fixture
def file(project):
    path = project.root / "app.db"
    make(path)
    return path


# ---- pages ----


@pytest.mark.parametrize("vacuum", (0, 1))
@pytest.mark.parametrize("name", ("t", "i", "w"))
@pytest.mark.parametrize(
    "offset, data",
    [
        (0, b"\0"),  # the type of the root page
        (0, b"\x0b"),
        (3, b"\xff\xff"),  # its number of cells
        (8, b"\xff\xff\xff\xf0"),  # its right pointer: far beyond the end
        (8, b"\0\0\0\1"),  # ... to the header's page
        (12, b"\xff\xff"),  # its first cell
    ],
)
def test_a_damaged_interior_page_is_refused(project, vacuum, name, offset, data):
    make(project.root / "app.db", vacuum)
    patch(project.root / "app.db", page_at(roots(project.root / "app.db")[name]) + offset, data)
    refused(project, "app.db")


@pytest.mark.parametrize("size", (17, 99, 100, 511, 512, 1024, 1025, 30 * PAGE, -PAGE, -1))
def test_a_truncated_file_is_refused(project, file, size):
    os.truncate(file, size if size > 0 else file.stat().st_size + size)
    refused(project, "app.db")


def test_a_file_truncated_after_its_last_used_page_is_refused(project):
    """SQLite itself calls it malformed, though no used page is missing."""
    path = project.root / "app.db"
    with sqlite3.connect(path) as db:
        db.execute("create table t(a)")
    db.close()
    patch(path, 28, struct.pack(">I", 9))
    with pytest.raises(sqlite3.DatabaseError, match="malformed"):
        sqlite3.connect(path).execute("select * from t")
    assert "the file is cut off: it has 8192 of 36864 bytes" in refused(project, "app.db")


@pytest.mark.parametrize(
    "offset, data",
    [
        (16, b"\0\0"),  # page size
        (16, b"\x10\x01"),
        (21, b"\0"),  # payload fraction
        (32, b"\xff\xff\xff\xf0"),  # first page of the free list
        (36, b"\0\0\0\1"),  # how many pages are free
        (44, b"\0\0\0\x09"),  # schema format
        (100, b"\0"),  # the schema's own page
        (103, b"\xff\xff"),
    ],
)
def test_a_damaged_header_is_refused(project, file, offset, data):
    patch(file, offset, data)
    refused(project, "app.db")


@pytest.mark.parametrize("root", (1, 3, 100000, -1))
def test_a_wrong_root_page_is_refused(project, file, root):
    """The schema's page, another table's, or one past the end."""
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("pragma writable_schema=1")
    root = roots(file)["i"] if root == 3 else root
    db.execute("update sqlite_schema set rootpage = ? where name = 't'", (root,))
    db.close()
    refused(project, "app.db")


def test_two_tables_with_one_root_are_refused(project, file):
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("pragma writable_schema=1")
    db.execute("insert into sqlite_schema select type, 'u', 'u', rootpage, replace(sql, ' t(', ' u(') from sqlite_schema where name = 't'")
    db.close()
    assert "2nd reference" in refused(project, "app.db")


def test_damage_is_found_even_if_the_schema_cannot_be_parsed(project, file):
    """A schema that needs another SQLite hides no damage, whatever the names of its objects."""
    db = sqlite3.connect(file, isolation_level=None)
    db.executescript("create table host(a unique); create table n0(a); create view v as select 1")
    db.execute("pragma writable_schema=1")
    db.execute("update sqlite_schema set sql = 'CREATE VIEW v AS SELECT 1_000' where name = 'v'")
    db.close()
    os.rename(file, project.root / "sound.db")
    shutil.copy(project.root / "sound.db", file)
    assert "cannot read all of the schema" in build(project, "app.db", status=0).stderr
    patch(file, page_at(roots_of_table(file)) + 8, b"\xff\xff\xff\xf0")
    assert "broken database: app.db" in build(project, "app.db").stderr


def roots_of_table(path):
    db = sqlite3.connect(path)
    db.execute("pragma writable_schema=1")
    (root,) = db.execute("select rootpage from sqlite_schema where name = 't'").fetchone()
    db.close()
    return root


def test_random_damage_is_refused_or_harmless(project, file):
    """Only databases that SQLite itself finds sound are published."""
    rng = seeded("random damage")
    sound = file.read_bytes()
    published = 0
    for _ in range(fewer(60)):
        data = bytearray(sound)
        for _ in range(rng.choice((1, 1, 8))):
            bit = rng.randrange(8 * len(data))
            data[bit // 8] ^= 1 << bit % 8
        if data[18] > 2 or data[19] > 2:
            continue  # a format of others
        file.write_bytes(data)
        done = project.start("build", "--", *shell('cp app.db "$MINTFS_OUT"'), "-", os.urandom(8).hex())
        out, err = done.communicate(timeout=300)
        assert done.returncode in (0, 125) and "Sanitizer" not in err, err
        if done.returncode == 125:
            assert "broken database: app.db" in err, err
            continue
        published += 1
        assert_sqlite_finds_no_damage(project.template(out.strip()) / "files/app.db")
    print(f"{published} were published")


def assert_sqlite_finds_no_damage(path):
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        answers = db.execute("pragma quick_check").fetchall()
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        # The damage hit a text of the schema, which no structure shows.
        assert "image is malformed" not in str(error), error
        answers = []
    db.close()
    assert not [a for (a,) in answers if "***" in a], answers


def test_a_schema_that_is_not_utf8_gives_a_readable_warning(project, file):
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("create view v as select 1")
    db.execute("pragma writable_schema=1")
    sql = b"CREATE VIEW v AS SELECT \x1b[31m \xff\xfe"
    db.execute("update sqlite_schema set sql = cast(? as text) where name = 'v'", (sql,))
    db.close()
    done = build(project, "app.db", status=0)
    (warning,) = project.manifest(done.stdout.strip())["warnings"]
    assert "malformed database schema (v)" in warning and "\x1b" not in warning


# ---- a journal or a log ----


def leave_log(project, rows=50):
    """app.db in WAL mode, with all but its first page in app.db-wal: three transactions."""
    db = sqlite3.connect(project.root / "live.db", isolation_level=None)
    db.executescript(f"pragma page_size={PAGE}; pragma journal_mode=wal; pragma wal_autocheckpoint=0")
    db.execute("create table t(a)")
    for n in range(2):
        db.execute("begin")
        db.executemany("insert into t values(?)", [(f"{i} " * 100,) for i in range(rows)])
        db.execute("commit")
    for side in ("", "-wal"):
        shutil.copy(project.root / f"live.db{side}", project.root / f"app.db{side}")
    db.close()
    return project.root / "app.db-wal"


def count_rows(project, done):
    path = project.template(done.stdout.strip()) / "files/app.db"
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    (count,) = db.execute("select count(*) from t").fetchone()
    db.close()
    return count


def test_a_log_is_applied(project):
    leave_log(project)
    assert count_rows(project, build(project, "app.db", "app.db-wal", status=0)) == 100


@pytest.mark.parametrize("where", (0, 4, 9, 17, 25, 32, 33 + 24, "middle", "last"))
def test_a_log_that_cannot_be_applied_is_refused(project, where):
    """SQLite would stop at the bad checksum without an error, and lose the commits after it."""
    log = leave_log(project)
    size = log.stat().st_size
    frame = PAGE + 24
    offset = {"middle": 32 + frame * (size // frame // 2) + 100, "last": size - 5}.get(where, where)
    data = log.read_bytes()
    patch(log, offset, bytes([data[offset] ^ 0x10]))
    assert "write-ahead log" in refused(project, "app.db", "app.db-wal")


def test_an_unfinished_transaction_in_a_log_is_dropped(project):
    """A killed writer leaves frames without a commit, one of them incomplete."""
    log = leave_log(project)
    frames = log.read_bytes()
    header = struct.pack(">II", 2, 0) + frames[40:48] + bytes(8)
    with open(log, "ab") as file:
        file.write(header + bytes(PAGE) + header + bytes(100))
    assert count_rows(project, build(project, "app.db", "app.db-wal", status=0)) == 100


@pytest.mark.parametrize("left", (b"", bytes(31), bytes(32), bytes(5000)))
def test_a_log_without_frames_is_accepted(project, file, left):
    (project.root / "app.db-wal").write_bytes(left)
    assert count_rows(project, build(project, "app.db", "app.db-wal", status=0)) == 400


def leave_journal(project):
    """app.db in the middle of a transaction that has reached the file, with its journal."""
    path = project.root / "live.db"
    make(path)
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("pragma cache_size=5; pragma cache_spill=1; begin")
    db.execute("update t set b = b || 'changed', c = randomblob(900)")
    for side in ("", "-journal"):
        shutil.copy(f"{path}{side}", project.root / f"app.db{side}")
    db.execute("rollback")
    db.close()
    return project.root / "app.db-journal"


def test_a_hot_journal_is_applied(project):
    leave_journal(project)
    done = build(project, "app.db", "app.db-journal", status=0)
    path = project.template(done.stdout.strip()) / "files/app.db"
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    assert db.execute("select count(*) from t where b like '%changed'").fetchone() == (0,)
    db.close()


@pytest.mark.parametrize("damage", ("magic", "page size", "checksum", "a page", "cut", "garbage"))
def test_a_hot_journal_that_cannot_be_applied_is_refused(project, damage):
    journal = leave_journal(project)
    data = journal.read_bytes()
    assert struct.unpack(">I", data[8:12])[0] > 4  # it was synced
    (sector,) = struct.unpack(">I", data[20:24])
    if damage == "magic":
        patch(journal, 1, b"x")
    elif damage == "page size":
        patch(journal, 24, b"\0\0\0\7")
    elif damage == "checksum":
        patch(journal, sector + 4 + PAGE, bytes([data[sector + 4 + PAGE] ^ 1]))
    elif damage == "a page":
        at = sector + 3 * (PAGE + 8) + 4 + PAGE - 200
        patch(journal, at, bytes([data[at] ^ 1]))
    elif damage == "cut":
        os.truncate(journal, sector + 2 * (PAGE + 8) + 100)
    else:
        journal.write_bytes(b"not a journal")
    assert "journal" in refused(project, "app.db", "app.db-journal")


@pytest.mark.parametrize("left", (b"", bytes(512), bytes(28) + b"rest of a finished one" * 100))
def test_a_journal_of_a_finished_transaction_is_accepted(project, file, left):
    (project.root / "app.db-journal").write_bytes(left)
    assert count_rows(project, build(project, "app.db", "app.db-journal", status=0)) == 400


# ---- damaged beside a sound one ----


def damaged(path, mode):
    make(path)
    db = sqlite3.connect(path)
    db.execute(f"pragma journal_mode={mode}")
    db.close()
    patch(path, page_at(roots_of_table(path)) + 8, b"\xff\xff\xff\xf0")


@pytest.mark.parametrize("mode", ("delete", "wal"))
def test_a_damaged_fixture_is_a_warning(project, file, mode):
    damaged(project.root / "broken.db", mode)
    (project.root / "broken.db-wal").write_bytes(b"")
    done = build(project, "app.db", "broken.db", "broken.db-wal", status=0)
    manifest = project.manifest(done.stdout.strip())
    (warning,) = manifest["warnings"]
    assert warning.startswith("a broken database is published as it is: broken.db: ")
    assert [(e["path"], e.get("sqlite", False)) for e in manifest["entries"]] == [
        ("app.db", True),
        ("broken.db", False),
        ("broken.db-wal", False),
    ]
    files = project.template(done.stdout.strip()) / "files"
    assert sha256(files / "broken.db") == sha256(project.root / "broken.db")


def test_a_fixture_whose_journal_cannot_be_applied_is_a_warning(project):
    journal = leave_journal(project)
    journal.rename(project.root / "torn.db-journal")
    (project.root / "app.db").rename(project.root / "torn.db")
    os.truncate(project.root / "torn.db-journal", 2000)
    make(project.root / "app.db")
    done = build(project, "app.db", "torn.db", "torn.db-journal", status=0)
    files = project.template(done.stdout.strip()) / "files"
    for name in ("torn.db", "torn.db-journal"):
        assert sha256(files / name) == sha256(project.root / name)
    assert sorted(os.listdir(files)) == ["app.db", "torn.db", "torn.db-journal"]


def test_a_fixture_with_a_log_becomes_an_ordinary_database(project, file):
    """The copies that are made in case it is damaged are removed."""
    file.rename(project.root / "main.db")
    leave_log(project)
    done = build(project, "app.db", "app.db-wal", "main.db", status=0)
    files = project.template(done.stdout.strip()) / "files"
    assert sorted(os.listdir(files)) == ["app.db", "main.db"]


@pytest.mark.parametrize("options, status", [(("--file", "a.db"), 0), (("--file", "b.db"), 125), ((), 0)])
def test_the_main_database_must_be_sound(project, options, status):
    make(project.root / "a.db")
    damaged(project.root / "b.db", "delete")
    done = project.run(
        "build", *options, "--", *shell('cp a.db b.db "$MINTFS_DIR"'), status=status
    )
    assert "broken database" in done.stderr and "b.db" in done.stderr


def test_the_only_database_must_be_sound(project):
    damaged(project.root / "b.db", "delete")
    damaged(project.root / "c.db", "wal")
    done = project.run("build", "--", *shell('cp b.db c.db "$MINTFS_DIR"'), status=125)
    assert "mintfs: builder left a broken database: b.db: " in done.stderr
    assert project.templates() == []
