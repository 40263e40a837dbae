"""Schemas that their own application accepts are published, whatever our SQLite thinks of them.

Each builder ends with the check that its application would make, and keeps a copy of what it left.
"""

import shutil
import sqlite3
import subprocess
import sys

import pytest

from support.basics import sha256
from support.checkouts import shell

START = """\
import os, shutil, sqlite3, sys
path = sys.argv[1]
db = sqlite3.connect(path, isolation_level=None)
db.execute("pragma synchronous=off")
def schema(name, sql):
    db.execute("pragma writable_schema=on")
    db.execute("update sqlite_schema set sql = ? where name = ?", (sql, name))
    db.execute("pragma writable_schema=off")
"""
CHECKED = "answer = db.execute('pragma integrity_check').fetchall(); assert answer == [('ok',)], answer\n"
END = "db.close(); shutil.copy(path, '../left.db')\n"


def build(project, script, checked=True):
    text = START + script + "\n" + (CHECKED if checked else "") + END
    (project.root / "schema.py").write_text(text)
    return project.run("build", "-i", "schema.py", "--", sys.executable, "schema.py", "{out}")


def published(project, done):
    return project.template(done.stdout.strip()) / "files/app.db"


def warnings(project, done):
    return project.manifest(done.stdout.strip())["warnings"]


def opened(path):
    return sqlite3.connect(f"file:{path}?immutable=1", uri=True)


def assert_untouched(project, done):
    """Sealing has not changed a byte of a database in rollback mode."""
    assert sha256(published(project, done)) == sha256(project.root.parent / "left.db")


ROWS = "db.executemany('insert into t(a) values(?)', [(f'{n:05} ' * 20,) for n in range(2000)])\n"

KNOWN = {
    "nothing": "db.execute('pragma user_version=7')",
    "a json check": "db.executescript('create table t(a check(json_valid(a)))')\n"
    "db.execute('insert into t values(?)', ('{}',))",
    "a json index": "db.executescript('''create table t(a); create index i on t(a->>'$.x');"
    "create index p on t(a) where json_extract(a, '$.y') > 1''')\n"
    "db.execute('insert into t values(?)', ('{\"x\": 1, \"y\": 2}',))",
    "generated json columns": "db.executescript('''create table t(a, b as (json_extract(a, '$.x')) stored,"
    "c as (a->'$.x'), d as (json_array_length(a)) virtual); create index i on t(c, d)''')\n"
    "db.execute('insert into t(a) values(?)', ('[1, 2]',))",
    "generated columns": "db.executescript('create table t(a int, b as (a + 1), c as (b * 2) stored unique);"
    "create index i on t(b); insert into t(a) values(1), (2)')",
    "strict": "db.executescript('create table t(a int primary key, b any, c blob) strict;"
    "insert into t values(1, 2, zeroblob(9000))')",
    "without rowid alone": "db.executescript('create table t(a text, b int, primary key(b, a)) without rowid;"
    "create index i on t(a)')\ndb.executemany('insert into t values(?, ?)', [(str(n), n) for n in range(5000)])",
    "fts3": "db.executescript('create virtual table t using fts3(a)')\n" + ROWS,
    "fts4": "db.executescript('create virtual table t using fts4(a, tokenize=porter)')\n" + ROWS,
    "fts5": "db.executescript('create virtual table t using fts5(a, prefix=2)')\n" + ROWS,
    "fts5 of another table": "db.executescript('create table c(id integer primary key, a);"
    "create virtual table t using fts5(a, content=c, content_rowid=id);"
    "create trigger r after insert on c begin insert into t(rowid, a) values(new.id, new.a); end')\n"
    + ROWS.replace("into t(", "into c("),
    "r-tree": "db.executescript('create virtual table t using rtree(id, x0, x1, y0, y1, +note)')\n"
    "db.executemany('insert into t values(?, ?, ?, ?, ?, ?)', [(n, n, n + 1, n, n + 2, 'x') for n in range(3000)])",
    "views, triggers, statistics": "db.executescript('''create table t(a unique, b); create view v as select * from t;"
    "create trigger r instead of insert on v begin insert into t values(new.a, 1); end;"
    "create index i on t(b, a desc) where a is not null; insert into v(a) values(1), (2), (3); analyze''')",
    "foreign keys and sequences": "db.executescript('''create table p(id integer primary key autoincrement, n unique);"
    "create table t(a references p(id) on delete cascade deferrable initially deferred);"
    "insert into p(n) values(1), (2); insert into t values(1)''')",
    "many objects": "for n in range(300): db.executescript(f'create table t{n}(a unique, b); create index i{n} on t{n}(b)')",
    "odd names": "db.executescript('create table host(a unique); create table n0(a); create index n1 on n0(a);"
    "create table \"a b''\"\"c\"(x); create table \"\"(x); insert into host values(1)')",
    "a long schema": "db.execute('create table t(' + ','.join(f'a{n} text default \\'{n}\\'' for n in range(1500)) + ')')",
    "pages freed": "db.executescript('create table t(a)')\n" + ROWS + "db.execute('delete from t where rowid > 100')\n"
    "db.executescript('create table u(a); drop table u')",
}


@pytest.mark.parametrize("name", KNOWN)
def test_features_of_our_sqlite_give_no_warning(project, name):
    done = build(project, KNOWN[name])
    assert warnings(project, done) == []
    assert_untouched(project, done)
    with opened(published(project, done)) as db:
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("page_size", (512, 1024, 4096, 8192, 32768, 65536))
@pytest.mark.parametrize("vacuum", (0, 1, 2))
def test_all_page_sizes_and_encodings_are_sealed(project, page_size, vacuum):
    encoding = ("UTF-8", "UTF-16le", "UTF-16be")[(page_size.bit_length() + vacuum) % 3]
    done = build(
        project,
        f"db.executescript('pragma page_size={page_size}; pragma auto_vacuum={vacuum};"
        f"pragma encoding=\"{encoding}\"; create table t(a); create index i on t(a);"
        "create table \"ünï\"(a text primary key) without rowid')\n"
        + ROWS
        + "db.execute('insert into \"ünï\" select distinct a from t')\n"
        "db.execute('delete from t where rowid between 50 and 300')\n"
        "db.execute('create table later(a unique)')",
    )
    assert warnings(project, done) == []
    assert_untouched(project, done)


UNKNOWN = {
    # What is parsed by a newer SQLite alone: written under a name that ours takes.
    "a literal": ("create view v as select 1", "v", "CREATE VIEW v AS SELECT 1_000"),
    "an arity": ("create index i on t(a)", "i", "CREATE INDEX i ON t(iif(a,1))"),
    "syntax": ("create view v as select 1", "v", "CREATE VIEW v AS SELECT group_concat(a ORDER BY a) FROM t"),
    "a function": ("create index i on t(a)", "i", "CREATE INDEX i ON t(future(a))"),
    "a table option": ("create table u(a)", "u", "CREATE TABLE u(a) FUTURE"),
    "a column constraint": ("create table u(a)", "u", "CREATE TABLE u(a FUTURE (1) ALWAYS)"),
    "a statement": ("create view v as select 1", "v", "CREATE FUTURE v"),
    "a module": ("create virtual table v using fts5(x)", "v", "CREATE VIRTUAL TABLE v USING future(x)"),
}


@pytest.mark.parametrize("mode", ("delete", "wal"))
@pytest.mark.parametrize("name", UNKNOWN)
def test_sql_that_our_sqlite_cannot_parse_is_a_warning(project, name, mode):
    """Its log is applied and WAL mode is left nevertheless."""
    before, changed, sql = UNKNOWN[name]
    done = build(
        project,
        f"db.executescript('create table t(a); {before}; pragma journal_mode={mode}')\n"
        "db.executemany('insert into t values(?)', [(n,) for n in range(3000)])\n"
        f"schema({changed!r}, {sql!r})\n"
        "shutil.copy(path, path + '-kept'); shutil.copy(path + '-wal', path + '-kept-wal') if os.path.exists(path + '-wal') else None\n"
        "db.close()\n"
        "for side in ('', '-wal'):\n"
        "    if os.path.exists(path + '-kept' + side): os.replace(path + '-kept' + side, path + side)\n",
        checked=False,
    )
    file = published(project, done)
    assert sorted(p.name for p in file.parent.iterdir()) == ["app.db"]
    assert file.read_bytes()[18:20] == b"\1\1"
    (entry,) = project.manifest(done.stdout.strip())["entries"]
    assert entry["sqlite"] and entry.get("wal", False) == (mode == "wal")
    if name != "a module":  # nothing is read of a virtual table's own
        assert warnings(project, done), name
    with opened(file) as db:
        db.execute("pragma writable_schema=on")
        assert db.execute("select count(*) from t").fetchone() == (3000,)


APPLICATIONS = {
    "lower() of Unicode": "db.create_function('lower', 1, lambda s: s.lower(), deterministic=True)\n"
    "db.executescript('''create table t(a); insert into t values('ÄPFEL'); create index i on t(lower(a))''')",
    "NOCASE of Unicode": "db.create_collation('NOCASE', lambda a, b: (a.lower() > b.lower()) - (a.lower() < b.lower()))\n"
    "db.executescript('create table t(a text collate nocase); create index i on t(a)')\n"
    "db.executemany('insert into t values(?)', [(w,) for w in 'Äb äa Öz öa Zb za ß É é e E'.split()])",
    "a function": "db.create_function('mine', 1, lambda x: x, deterministic=True)\n"
    "db.executescript('create table t(a check(mine(a)), b as (mine(a))); create index i on t(mine(a));"
    "create index p on t(a) where mine(a) > 0; insert into t values(1)')",
    "a collation": "db.create_collation('mine', lambda a, b: (a < b) - (a > b))\n"
    "db.executescript('create table t(a text collate mine primary key) without rowid;"
    "insert into t values(1), (2), (3)')",
    "round() of another version": "db.create_function('round', 2, lambda x, n: 2.67, deterministic=True)\n"
    "db.executescript('create table t(a real); create index i on t(round(a, 2)); insert into t values(2.675)')",
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_features_of_the_application_are_a_warning(project, name):
    done = build(project, APPLICATIONS[name])
    assert warnings(project, done)
    assert_untouched(project, done)


DJANGO = """\
import sys, django
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField", SECRET_KEY="x", SITE_ID=1,
    INSTALLED_APPS=["django.contrib." + app for app in (
        "admin", "auth", "contenttypes", "sessions", "messages", "sites", "flatpages", "redirects")])
django.setup()
from django.core.management import call_command
from django.db import connection, models
class Note(models.Model):
    data = models.JSONField(default=dict)
    class Meta:
        app_label = "notes"
        indexes = [models.Index(fields=["data"], name="by_data")]
        constraints = [models.CheckConstraint(check=~models.Q(data__kind="x"), name="kind")]
call_command("migrate", verbosity=0)
with connection.schema_editor() as editor:
    editor.create_model(Note)
Note.objects.create(data={"a": [1, 2], "kind": "y"})
assert Note.objects.filter(data__kind="y").count() == 1
connection.check_constraints()
"""


def test_django(project):
    (project.root / "site.py").write_text(DJANGO)
    done = project.run("build", "-i", "site.py", "--", "/usr/bin/python3", "-P", "site.py", "{out}")
    assert warnings(project, done) == []
    with opened(published(project, done)) as db:
        (sql,) = db.execute("select sql from sqlite_schema where name = 'notes_note'").fetchone()
        assert "JSON_VALID" in sql
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("settings", ("", "pragma cipher_plaintext_header_size=32;"))
def test_sqlcipher(project, settings):
    sqlcipher = shutil.which("sqlcipher")
    assert sqlcipher, "scripts/setup installs it"
    version = subprocess.run([sqlcipher, "-version"], capture_output=True, text=True, check=True)
    print(version.stdout)
    sql = f"pragma key='secret';{settings} create table t(a); insert into t values(1);"
    done = project.run(
        "build", "--", *shell(f'{sqlcipher} "$MINTFS_OUT" "{sql}" && cp "$MINTFS_OUT" ../left.db')
    )
    assert_untouched(project, done)
    (entry,) = project.manifest(done.stdout.strip())["entries"]
    assert not entry.get("sqlite")


def opaque_header(version):
    return (
        "db.executescript('create table t(a)'); db.close()\n"
        "f = open(path, 'r+b'); f.seek(18); f.write(bytes(" + repr(list(version)) + ")); f.close()\n"
        "open(path + '-wal2', 'wb').write(b'log'); open(path + '-wal', 'wb').write(b'x' * 5000)"
    )


@pytest.mark.parametrize("version", ((255, 255), (3, 3), (3, 1)))
def test_unknown_formats_are_opaque(project, version):
    done = build(project, opaque_header(version), checked=False)
    (warning,) = warnings(project, done)
    assert f"app.db: its format version is {version[0]}, which SQLite does not know" in warning
    entries = project.manifest(done.stdout.strip())["entries"]
    assert [e["path"] for e in entries] == ["app.db", "app.db-wal", "app.db-wal2"]
    assert not any(e.get("sqlite") for e in entries)
    assert_untouched(project, done)
