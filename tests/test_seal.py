"""What sealing does to the databases that a builder left."""

import hashlib
import os
import sqlite3
import sys

import pytest

from support.checkouts import rows, shell


def sealed(project, script, *more):
    """Builds with a Python script that has `db`, a connection, and `path`."""
    text = (
        "import os, sqlite3, sys; path = sys.argv[1]; db = sqlite3.connect(path)\n"
        + script
        + "\ndb.commit(); db.close()\n"
    )
    (project.root / "seal.py").write_text(text)
    return project.run("build", "-i", "seal.py", "--", sys.executable, "seal.py", "{out}", *more)


@pytest.mark.parametrize(
    "script",
    [
        "db.create_function('mine', 1, lambda x: x, deterministic=True)\n"
        "db.executescript('create table t(a); create index i on t(mine(a)); insert into t values(1)')",
        "db.create_function('mine', 1, lambda x: x, deterministic=True)\n"
        "db.executescript('create table t(a check(mine(a) = a)); insert into t values(1)')",
        "db.create_collation('mine', lambda a, b: (a < b) - (a > b))\n"
        "db.executescript('create table t(a text collate mine primary key) without rowid;"
        "create index i on t(a collate mine); insert into t values(1), (2), (3)')",
    ],
)
def test_functions_and_collations_of_the_application_are_a_warning(project, script):
    done = sealed(project, script)
    key = done.stdout.strip()
    assert "warning: app.db: integrity_check could not check table t: " in done.stderr
    (warning,) = project.manifest(key)["warnings"]
    assert "mine" in warning


def test_a_table_that_cannot_be_checked_hides_no_other(project):
    done = sealed(
        project,
        "db.create_function('mine', 1, lambda x: x, deterministic=True)\n"
        "db.executescript('create table t(a); create index i on t(mine(a));"
        "create table u(a check(a > 0)); pragma ignore_check_constraints=1;"
        "insert into t values(1); insert into u values(-1)')",
    )
    assert "could not check table t: unknown function: mine()" in done.stderr
    assert "app.db: integrity_check: CHECK constraint failed in u" in done.stderr


def test_many_findings_give_a_few_warnings(project):
    done = sealed(
        project,
        "db.executescript('create table t(a check(a > 0)); pragma ignore_check_constraints=1')\n"
        "db.executemany('insert into t values(?)', [(-n,) for n in range(1000)])\n"
        "db.executescript('create table u(a check(a > 0)); insert into u select a from t')",
    )
    warnings = project.manifest(done.stdout.strip())["warnings"]
    assert 1 < len(warnings) <= 11, warnings


def test_an_unknown_module_and_newer_sql_are_warnings(project):
    done = sealed(
        project,
        "db.executescript('create table t(a); insert into t values(1); create view v as select 1;"
        "create virtual table f using fts5(x); pragma writable_schema=1')\n"
        "db.execute(\"update sqlite_schema set sql = replace(sql, 'fts5', 'nobody') where name = 'f'\")\n"
        "db.execute(\"update sqlite_schema set sql = 'CREATE VIEW v AS SELECT a FROM WHERE WHERE' where name = 'v'\")",
    )
    key = done.stdout.strip()
    assert any("malformed database schema (v)" in w for w in project.manifest(key)["warnings"])


def test_a_broken_constraint_is_a_warning(project):
    done = sealed(
        project,
        "db.executescript('create table t(a check(a > 0)); pragma ignore_check_constraints=1;"
        "insert into t values(-1)')",
    )
    assert "CHECK constraint failed in t" in done.stderr


def test_a_value_too_big_for_this_sqlite_is_a_warning(project):
    """The builder's SQLite may be compiled with a higher limit."""
    done = sealed(
        project,
        "db.executescript('create table t(a); insert into t values(1); pragma writable_schema=1')\n"
        "db.execute(\"update sqlite_schema set sql = 'CREATE TABLE t(a CHECK(length(zeroblob(2000000000 + a))))'\")",
    )
    assert "warning: app.db: integrity_check could not check table t: " in done.stderr
    assert "too big" in done.stderr


def test_a_schema_with_many_indexes_is_checked_to_its_end(project):
    """Indexes are checked in groups; damage to the last one of the last group is found."""
    script = (
        "db.execute('begin')\n"
        "for i in range(700): db.execute(f'create table t{i}(a)'), db.execute(f'create index i{i} on t{i}(a)')\n"
        "db.executemany('insert into t699 values(?)', [(n,) for n in range(50)])\n"
    )
    done = sealed(project, "db.isolation_level = None\n" + script)
    assert "warning" not in done.stderr
    page = "db.execute(\"select rootpage from sqlite_schema where name = 'i699'\").fetchone()[0]"
    text = (project.root / "seal.py").read_text()
    text += (
        f"db = sqlite3.connect(path); page = {page}; db.close()\n"
        "f = open(path, 'r+b'); f.seek(4096 * (page - 1) + 8); f.write(b'\\xff' * 40); f.close()\n"
    )
    (project.root / "seal.py").write_text(text)
    message = project.fail("build", "-i", "seal.py", "--", sys.executable, "seal.py", "{out}")
    assert "builder left a broken database: app.db" in message


@pytest.mark.parametrize(
    "helper",
    [
        "",
        "db.create_function('mine', 1, lambda x: x, deterministic=True)\ndb.executescript('create table m(a); create index mi on m(mine(a)); insert into m values(1)')\n",
    ],
)
def test_corruption_is_refused(project, helper):
    script = (
        helper + "db.executescript('create table t(a); create index i on t(a)')\n"
        "db.executemany('insert into t values(?)', [(os.urandom(100),) for _ in range(1000)])\n"
        "db.commit(); db.close()\n"
        "f = open(path, 'r+b'); f.seek(4096 * 12 + 8); f.write(os.urandom(3000)); f.close()\n"
        "db = sqlite3.connect(':memory:')"
    )
    (project.root / "seal.py").write_text(
        "import os, sqlite3, sys; path = sys.argv[1]; db = sqlite3.connect(path)\n" + script
    )
    message = project.fail("build", "--", sys.executable, "seal.py", "{out}")
    assert "builder left a broken database: app.db" in message
    assert project.templates() == []


def test_an_index_that_disagrees_with_its_table_is_a_warning(project):
    (project.root / "seal.py").write_text(
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.executescript('create table t(a); create index i on t(a); insert into t values(1), (2);"
        "pragma writable_schema=1')\n"
        "db.execute(\"update sqlite_schema set sql = 'create index i on t(a) where a > 1' where name = 'i'\")\n"
    )
    done = project.run("build", "--", sys.executable, "seal.py", "{out}")
    warnings = project.manifest(done.stdout.strip())["warnings"]
    assert "app.db: integrity_check: wrong # of entries in index i" in warnings


def test_encrypted_files_are_opaque(project):
    header = bytearray(b"SQLite format 3\0" + b"\x10\0\1\1\x50\x40\x20\x20" + os.urandom(8))
    (project.root / "plain-header").write_bytes(bytes(header) + os.urandom(8160))
    (project.root / "whole").write_bytes(os.urandom(8192))
    (project.root / "whole-wal").write_bytes(os.urandom(100))
    key = project.build(builder=shell("cp plain-header whole whole-wal $MINTFS_DIR"))
    entries = project.manifest(key)["entries"]
    assert [e["path"] for e in entries] == ["plain-header", "whole", "whole-wal"]
    assert not any(e.get("sqlite") for e in entries)
    for entry in entries:
        data = (project.root / entry["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == entry["sha256"]


def test_pages_of_all_kinds_do_not_change(project):
    for page_size in (512, 4096, 65536):
        for vacuum in (0, 1, 2):
            key = sealed(
                project,
                f"db.executescript('pragma page_size={page_size}; pragma auto_vacuum={vacuum};"
                "pragma application_id=77; pragma user_version=5; pragma journal_mode=wal;"
                "create table t(a); insert into t values(zeroblob(100000))')",
                f"{page_size}-{vacuum}",
            ).stdout.strip()
            with sqlite3.connect(
                f"file:{project.template(key)}/files/app.db?immutable=1", uri=True
            ) as db:
                for pragma, value in (
                    ("page_size", page_size),
                    ("auto_vacuum", vacuum),
                    ("application_id", 77),
                    ("user_version", 5),
                ):
                    assert db.execute(f"pragma {pragma}").fetchone() == (value,)
            db.close()


def test_triggers_do_not_run_and_rows_do_not_change(project):
    script = (
        "db.executescript('pragma journal_mode=wal; create table t(a); create table log(a);"
        "create trigger r after insert on t begin insert into log values(new.a); end;"
        "insert into t values(1)')"
    )
    key = sealed(project, script).stdout.strip()
    assert rows(project.template(key) / "files/app.db") == [("log", [(1,)]), ("t", [(1,)])]
