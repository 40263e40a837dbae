"""Which mintfs.conf is in force, and what a name means, in pytest and in scripts."""

import os
import pwd
import shutil
from pathlib import Path
from types import SimpleNamespace

import mintfs
import pytest
from mintfs import _conf_in_force, _settings, _stdlib
from support import users
from support.basics import IS_ROOT

from .ways import CREATE_DB, Project, counts

#: A template with a table of the package's own name.
CONF = """\
[{name}]
input   = migrations
builder = python3 {up}create_db.py {{out}}
"""


def add_package(project, where: str, name: str = "") -> Path:
    package = project.path / where
    (package / "migrations").mkdir(parents=True)
    name = name or package.name
    (package / "migrations/1.sql").write_text(f"CREATE TABLE {name}(x);")
    up = "../" * len(Path(where).parts)
    (package / "mintfs.conf").write_text(CONF.format(name=name, up=up))
    return package


def write_test(directory: Path, table: str, text: str = ""):
    (directory / f"test_in_{directory.name}.py").write_text(
        f"""
import sqlite3
import mintfs
def tables(path):
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    return [name for name, in found]
TABLE = {table!r}
"""
        + (text or TESTS)
    )


TESTS = """
def test_path(mintfs_db):
    assert TABLE in tables(mintfs_db)

def test_scopes(mintfs_db_class, mintfs_db_module, mintfs_db_session):
    for path in (mintfs_db_class, mintfs_db_module, mintfs_db_session):
        assert TABLE in tables(path)

def test_memory(mintfs_memory):
    assert (TABLE,) in mintfs_memory.execute("SELECT name FROM sqlite_master").fetchall()

def test_key(mintfs_template, mintfs_database):
    assert mintfs_database.key == mintfs_template == mintfs.template()

def test_without_fixtures():
    with mintfs.database() as db:
        assert TABLE in tables(db.path())

def test_shared(mintfs_db_session):
    connection = sqlite3.connect(mintfs_db_session)
    connection.execute("CREATE TABLE IF NOT EXISTS shared(package)")
    connection.execute("INSERT INTO shared VALUES (?)", (TABLE,))
    connection.commit()
    assert {package for package, in connection.execute("SELECT package FROM shared")} == {TABLE}
    connection.close()
"""


@pytest.fixture
def monorepo(project):
    """Three packages, one within another, with pytest's settings and a mintfs.conf at the root."""
    for where in ("a", "b", "b/inner"):
        write_test(add_package(project, where), Path(where).name)
    (project.path / "tests").mkdir()
    write_test(project.path / "tests", "orders")
    (project.path / "pytest.ini").write_text("[pytest]\n")
    (project.path / ".git").mkdir()
    return project


@pytest.mark.parametrize("order", [(), ("b/inner", "tests", "b", "a")], ids=["as found", "given"])
def test_the_nearest_above_the_test_wins(way, monorepo, order):
    done = way.pytest(monorepo, "-q", *order)
    assert counts(done) == {"passed": 4 * 6}, done.stdout
    assert "4 built" in done.stdout


def test_the_directory_that_pytest_is_called_in_does_not_matter(way, monorepo):
    words = ["-m", "pytest", "-q", "-p", "mintfs.pytest_plugin", "-p", "no:cacheprovider"]
    for where, passed in (("b", 12), ("b/inner", 6), ("tests", 6)):
        done = way.run(*words, cwd=monorepo.path / where)
        assert counts(done) == {"passed": passed}, done.stdout


def test_workers_run_tests_of_several_packages(way, monorepo):
    done = way.pytest(monorepo, "-q", "-n", "2")
    assert counts(done) == {"passed": 4 * 6}, done.stdout


def test_a_mintfs_conf_at_the_root_is_not_needed(way, monorepo):
    (monorepo.path / "mintfs.conf").unlink()
    shutil.rmtree(monorepo.path / "tests")
    assert counts(way.pytest(monorepo, "-q")) == {"passed": 3 * 6}


def test_an_override_takes_precedence_over_a_nearer_file(way, monorepo):
    """A conftest.py is valid for all tests below it, unless a nearer one overrides it."""
    for where, salt in ((".", "root"), ("b/inner", "inner")):
        (monorepo.path / where / "conftest.py").write_text(
            f"""
import mintfs, pytest
ROOT = {str(monorepo.path)!r}
@pytest.fixture(scope="session")
def mintfs_template():
    return mintfs.template(builder="python3 create_db.py {{out}}", salt={salt!r}, root=ROOT)
@pytest.fixture
def salted():
    return mintfs.template(builder="python3 create_db.py {{out}}", salt={salt!r}, root=ROOT)
"""
        )
    for path in monorepo.path.rglob("test_in_*.py"):
        path.write_text("def test_it(mintfs_database, salted): assert mintfs_database.key == salted\n")
    done = way.pytest(monorepo, "-q", "b/inner", "a", "b", "tests")
    assert counts(done) == {"passed": 4}, done.stdout


def test_fixtures_search_from_their_own_file(way, monorepo):
    fixture = """
import mintfs, pytest
@pytest.fixture
def {name}():
    with mintfs.database() as db:
        yield db.path()
"""
    (monorepo.path / "conftest.py").write_text(fixture.format(name="outer"))
    (monorepo.path / "b/conftest.py").write_text(fixture.format(name="of_b"))
    text = """
def test_it(outer, of_b):
    assert "orders" in tables(outer) and "b" in tables(of_b)
"""
    for where in ("b", "b/inner"):
        write_test(monorepo.path / where, "b", text)
    done = way.pytest(monorepo, "-q", "b")
    assert counts(done) == {"passed": 2}, done.stdout


def test_tests_outside_pytests_root_find_their_file(way, monorepo, place):
    """--rootdir is another directory."""
    (place / "elsewhere").mkdir()
    words = ["-m", "pytest", "-q", "-p", "mintfs.pytest_plugin", "-p", "no:cacheprovider"]
    done = way.run(*words, "--rootdir", place / "elsewhere", monorepo.path / "a", cwd=place)
    assert counts(done) == {"passed": 6}, done.stdout


# ---- names ----


def test_a_name_is_what_its_section_builds_now(way, project):
    """Not what was built under it before the last edit. It is resolved once in a process."""
    script = """
import sqlite3, mintfs
with mintfs.database("app") as db:
    print(*[name for name, in sqlite3.connect(db.path()).execute(
        "SELECT name FROM sqlite_master WHERE type = 'table'")])
mintfs.sealed("app")
assert mintfs.memory("app").execute("SELECT * FROM goods")
"""
    assert "late" not in way.script(script, cwd=project.path)
    (project.path / "migrations/2.sql").write_text("CREATE TABLE late(a);")
    for _ in range(2):
        assert "late" in way.script(script, cwd=project.path)
    assert project.runs() == (3 if way.name == "none" else 2)


@pytest.mark.on_ways("mount", "copy")
def test_inputs_are_checked_once_in_a_process(here, project, place, monkeypatch):
    calls = place / "calls"
    program = place / "mintfs"
    program.write_text(f'#!/bin/sh\necho "$1" >>{calls}\nexec {here.env["MINTFS_BINARY"]} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("MINTFS_BINARY", str(program))
    for ask in (mintfs.database, lambda: mintfs.database("app"), mintfs.sealed, mintfs.memory):
        for _ in range(3):
            ask().close() if ask is not mintfs.sealed else ask()
    words = calls.read_text().split()
    assert words.count("build") == 2  # with the name, and without one


def test_two_checkouts_can_use_the_same_name(way, project, place):
    other = Project(place / "worktree/project")
    (other.path / "migrations/2.sql").write_text("ALTER TABLE orders RENAME TO people;")
    script = """
import sqlite3, mintfs
key = mintfs.template()
with mintfs.database("app") as db:
    assert db.key == key
    print(*[name for name, in sqlite3.connect(db.path()).execute("SELECT name FROM sqlite_master")])
"""
    for _ in range(2):
        assert "people" in way.script(script, cwd=other.path)
        assert "people" not in way.script(script, cwd=project.path)


@pytest.mark.on_ways("mount", "copy")
def test_elsewhere_a_name_is_the_last_build_with_a_message(way, project, place):
    way.script("import mintfs; mintfs.template()", cwd=project.path)
    script = "import mintfs; mintfs.database('app').close(); mintfs.database('app').close()"
    done = way.run("-c", script, cwd=place)
    output = [line for line in done.stderr.splitlines() if "[app]" in line]
    assert len(output) == 1 and "the last template built under that name" in output[0]


def test_a_name_given_by_this_process_keeps_its_template(here, project, monkeypatch, place):
    """Even if another checkout has built under that name meanwhile."""
    (project.path / "mintfs.conf").unlink()
    words = {"builder": "python3 create_db.py {out}", "inputs": "migrations", "root": project.path}
    key = mintfs.template("mugs", salt="1", **words)
    here.script(
        f"import mintfs; mintfs.template('mugs', salt='2', builder={words['builder']!r})",
        cwd=project.path,
    )
    with mintfs.database("mugs") as db:
        assert db.key == key


def test_a_broken_file_is_an_error(here, project):
    """It may have the section, so no older template is used instead."""
    mintfs.template("app", builder="python3 create_db.py {out}")
    (project.path / "mintfs.conf").write_text("[app\n")
    with pytest.raises(mintfs.Error, match=r"mintfs.conf:1: a section is \[NAME\]"):
        mintfs.database("app")


# ---- the search ----


@pytest.mark.on_ways("none")
def test_the_search_ends_at_repositories_and_home(here, project, place, monkeypatch):
    deep = project.path / "x/y"
    deep.mkdir(parents=True)
    start = _stdlib.Path(str(deep))
    assert str(_conf_in_force.find(start)) == str(project.path)
    (project.path / "x/.git").mkdir()
    assert _conf_in_force.find(start) is None
    (project.path / "x/.git").rmdir()
    mode = project.path.stat().st_mode
    project.path.chmod(0o1777)
    assert _conf_in_force.find(start) is None
    assert _conf_in_force.find(_stdlib.Path(str(project.path))) is not None
    project.path.chmod(mode)
    monkeypatch.setenv("HOME", str(project.path / "x"))
    _settings.forget()
    assert _conf_in_force.find(start) is None
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(project.path / "x"))
    _settings.forget()
    (project.path / "x/mintfs").mkdir()
    (project.path / "x/mintfs/mintfs.conf").write_text("backend = copy\n")
    # The user's settings have the same name, and describe no template.
    assert str(_conf_in_force.find(_stdlib.Path(str(project.path / "x/mintfs")))) == str(project.path)


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file to another user")
def test_another_users_file_is_refused(way, project):
    conf = project.path / "mintfs.conf"
    os.chown(conf, users.NOBODY, users.NOBODY)
    done = way.run("-c", "import mintfs; mintfs.template()", cwd=project.path, status=1)
    assert f"belongs to user {users.NOBODY}, not to you (0)" in done.stderr
    assert project.runs() == 0
    way.script(
        "import mintfs; mintfs.template()", cwd=project.path, env={"MINTFS_TRUST": str(project.path)}
    )
    assert project.runs() == 1


def test_the_file_is_found_from_below(way, project):
    """The builder runs where the file is."""
    (project.path / "deep/er").mkdir(parents=True)
    way.script("import mintfs; mintfs.database().close()", cwd=project.path / "deep/er")
    way.script("import mintfs; mintfs.template(root='er')", cwd=project.path / "deep")
    assert project.runs() == (2 if way.name == "none" else 1)


def test_root_can_be_above_the_file(way, project):
    package = add_package(project, "package")
    conf = package / "mintfs.conf"
    conf.write_text("root = ..\n" + conf.read_text().replace("migrations", "../migrations"))
    script = """
import sqlite3, mintfs
with mintfs.database("package") as db:
    print(sqlite3.connect(db.path()).execute("SELECT name FROM sqlite_master").fetchall())
"""
    assert "package" in way.script(script, cwd=package)


# ---- files that are not databases ----


def test_a_template_without_sqlite_needs_a_file_name(here, project):
    """The error is short although there are many files."""
    script = 'i=0; while [ $i -lt 1000 ]; do echo >"$0/file-$i"; i=$((i+1)); done'
    key = mintfs.template(builder=["sh", "-c", script, "{dir}"])
    with mintfs.database(key) as db:
        assert list(db.databases()) == []
        for ask in (db.path, lambda: str(db.url), db.uri):
            with pytest.raises(mintfs.SeveralDatabases, match="has no SQLite database") as caught:
                ask()
            assert len(str(caught.value)) < 200 and list(caught.value.names) == []
        assert db.path("file-7").exists()
        with pytest.raises(mintfs.NotFound, match="databases there: none"):
            db.path("file-1000")


def test_errors_do_not_list_thousands_of_databases(here, project):
    (project.path / "many.py").write_text(
        CREATE_DB
        + "for i in range(100):\n"
        + "    sqlite3.connect(f'{sys.argv[1]}.{i:02}').execute('CREATE TABLE t(a)')\n"
    )
    key = mintfs.template(builder="python3 many.py {out}", inputs="migrations")
    with mintfs.database(key) as db:
        assert len(db.databases()) == 101
        with pytest.raises(mintfs.SeveralDatabases, match=r"app.db.00, .* and 81 more$"):
            db.path()


def test_the_file_asked_for_is_the_database(here):
    """An encrypted database beside other files."""
    script = 'echo secret >"$0"; echo more >"$0.txt"'
    key = mintfs.template(builder=["sh", "-c", script, "{out}"], file="crypt.db")
    with mintfs.database(key) as db:
        assert list(db.databases()) == [] and db.path().name == "crypt.db"
        assert db.url.endswith("/crypt.db")


@pytest.mark.parametrize("environ", [{}, {"HOME": "relative"}])
def test_without_home_the_systems_user_data_is_used(monkeypatch, environ):
    monkeypatch.setattr(_settings, "known", lambda: SimpleNamespace(environ=environ))
    assert str(_conf_in_force._home()) == pwd.getpwuid(os.geteuid()).pw_dir
    # A user without an entry, as in containers.
    monkeypatch.setattr(_stdlib.os, "geteuid", lambda: 2**31 - 5)
    assert _conf_in_force._home() is None


def test_a_missing_directory_is_not_shared(place):
    assert not _conf_in_force._is_shared(place / "missing")
    assert not _conf_in_force._is_shared(place)
    place.chmod(0o1777)
    assert _conf_in_force._is_shared(place)
