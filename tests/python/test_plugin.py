"""The pytest plugin, in each way: runs of pytest on small projects."""

import os
import re
import signal
import sqlite3
import xml.etree.ElementTree as xml
from contextlib import closing
from pathlib import Path

import pytest

from support.basics import eventually, is_alive
from support.mounts import Mount

from .ways import last_line

ORDERS = """
import sqlite3
from contextlib import closing

def order(path, item="mug"):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO orders(item) VALUES (?)", (item,))

def rows(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM orders").fetchone()[0]
"""


@pytest.fixture
def project(project):
    project.write(orders=ORDERS, conftest="")
    return project


def counts(done) -> dict:
    """{"passed": 3, ...} of the last line."""
    found = re.findall(r"(\d+) (passed|failed|errors?|skipped)", done.stdout.splitlines()[-1])
    return {what: int(number) for number, what in found}


def test_each_test_has_its_own(way, project):
    project.write(
        test_it="""
import os
import pytest
from orders import order, rows

@pytest.mark.parametrize("n", range(5))
def test_fresh(mintfs_db, mintfs_database, n):
    assert mintfs_database.path() == mintfs_db
    order(mintfs_db)
    assert rows(mintfs_db) == 1
    mintfs_database.reset()
    assert rows(mintfs_db) == 0

class TestClass:
    def test_one(self, mintfs_db_class, mintfs_db_module, mintfs_db_session):
        for path in (mintfs_db_class, mintfs_db_module, mintfs_db_session):
            order(path)

    def test_two(self, mintfs_db_class, mintfs_db_module, mintfs_db_session):
        paths = {mintfs_db_class, mintfs_db_module, mintfs_db_session}
        assert len(paths) == 3 and [rows(path) for path in paths] == [1, 1, 1]

class TestOther:
    def test_it(self, mintfs_db_class, mintfs_db_module, mintfs_db):
        assert [rows(p) for p in (mintfs_db_class, mintfs_db_module, mintfs_db)] == [0, 1, 0]
""",
        test_other="""
from orders import rows

def test_scopes(mintfs_db_class, mintfs_db_module, mintfs_db_session):
    assert [rows(p) for p in (mintfs_db_class, mintfs_db_module, mintfs_db_session)] == [0, 0, 1]

def test_memory(mintfs_memory):
    assert mintfs_memory.execute("SELECT count(*) FROM goods").fetchone() == (2,)
    mintfs_memory.execute("DELETE FROM goods")

def test_memory_again(mintfs_memory):
    assert mintfs_memory.execute("SELECT count(*) FROM goods").fetchone() == (2,)
""",
    )
    done = way.pytest(project, "-q")
    assert counts(done) == {"passed": 11}
    assert project.runs() == 1
    how = {
        "mount": "12 databases on a mount",
        "copy": "12 databases copied",
        "none": "12 databases copied without the command",
    }[way.name]
    cold = last_line(done.stdout)
    assert cold.startswith(f"mintfs: 0 hits, 1 built, {how}, 0.0 s saved")
    warm = last_line(way.pytest(project, "-q").stdout)
    if way.name == "none":
        assert cold.endswith(", MINTFS_BINARY is empty") and project.runs() == 2
        assert warm == cold and "mintfs:" not in done.stderr
    else:
        assert re.fullmatch(rf"mintfs: 1 hit, 0 built, {how}, \d+\.\d s saved", warm)
        assert project.runs() == 1


def test_who_does_not_use_it_hears_nothing(way, project):
    project.write(test_it="def test_it(): pass\n")
    assert "mintfs" not in way.pytest(project).stdout.replace("plugins: mintfs", "")
    assert project.runs() == 0


def test_an_override(way, project):
    project.write(
        conftest="""
import mintfs, pytest

@pytest.fixture(scope="session")
def mintfs_template():
    return mintfs.template(builder="python3 create_db.py {out}", inputs="migrations", salt="x")
""",
        test_it="""
import mintfs
def test_it(mintfs_db_session, mintfs_database, mintfs_template):
    assert mintfs_database.key == mintfs_template
""",
    )
    (project.path / "mintfs.conf").unlink()
    assert counts(way.pytest(project, "-q")) == {"passed": 1}


def test_a_section_by_name(way, project):
    conf = project.path / "mintfs.conf"
    conf.write_text(conf.read_text() + "[other]\nbuilder = sh -c ': >\"$0\"' {out}\n")
    project.write(test_it="def test_it(mintfs_db): assert mintfs_db.stat().st_size == 0\n")
    assert counts(way.pytest(project, "-q", "-o", "mintfs_template=other")) == {"passed": 1}
    done = way.pytest(project, "-q", status=1)
    assert "mintfs.conf has several templates, say which: app, other" in done.stdout


def test_from_another_directory(way, project, place):
    """mintfs.conf is looked for where pytest's settings are, else where it was called."""
    project.write(test_it="def test_it(mintfs_db): assert mintfs_db.exists()\n")
    (project.path / "pytest.ini").write_text("[pytest]\n")
    words = ["-m", "pytest", "-q", "-p", "mintfs.pytest_plugin", "-p", "no:cacheprovider"]
    way.run(*words, project.path, cwd=place)
    way.run(*words, "--rootdir", place, project.path, cwd=project.path)


def test_from_nothing(way, project):
    (project.path / "mintfs.conf").unlink()  # nothing is asked of it
    project.write(
        test_it="""
import os
import pytest
from orders import order

pytestmark = pytest.mark.mintfs_from_nothing

def test_path(mintfs_db, mintfs_database):
    assert mintfs_db.name == "app.db" and os.listdir(mintfs_db.parent) == []
    mintfs_db.write_text("x")
    (mintfs_db.parent / "deep").mkdir()
    assert mintfs_database.path("more.db") == mintfs_db.parent / "more.db"
    mintfs_database.reset()
    assert os.listdir(mintfs_db.parent) == []
    assert mintfs_database.url.endswith("/app.db")

@pytest.mark.mintfs_from_nothing("other.db")
def test_a_name(mintfs_db):
    assert mintfs_db.name == "other.db"

class TestAll:
    def test_class(self, mintfs_db_class):
        mintfs_db_class.write_text("x")

    def test_and_memory(self, mintfs_db_class, mintfs_memory):
        assert mintfs_db_class.read_text() == "x"
        assert mintfs_memory.execute("SELECT * FROM sqlite_master").fetchall() == []
"""
    )
    done = way.pytest(project, "-q", "--strict-markers")
    assert counts(done) == {"passed": 4} and last_line(done.stdout) is None


def test_errors_are_the_commands_own(way, project):
    (project.path / "create_db.py").write_text("import sys; sys.exit('no such table: mugs')")
    project.write(test_it="def test_it(mintfs_db): pass\n")
    done = way.pytest(project, "-q", status=1)
    assert "BuilderFailed: builder python3 exited with 1" in done.stdout
    assert "no such table: mugs" in done.stdout


def test_several_databases(way, project):
    with (project.path / "create_db.py").open("a") as file:
        file.write("sqlite3.connect(sys.argv[1] + '.other').execute('CREATE TABLE t(a)')\n")
    project.write(
        test_it="""
def test_it(mintfs_database):
    assert mintfs_database.path("app.db.other").exists()

def test_which(mintfs_db): pass

def test_which_of_the_class(mintfs_db_class): pass
"""
    )
    done = way.pytest(project, "-q", status=1)
    assert counts(done) == {"passed": 1, "errors": 2}
    assert "say which database, there are: app.db, app.db.other" in done.stdout


# ---- databases of failed tests ----

FAILING = """
import sqlite3
import pytest
import mintfs
from orders import order, rows

def test_fails(mintfs_db):
    order(mintfs_db, "kept")
    assert rows(mintfs_db) == 0

@pytest.mark.parametrize("text", ["a/b ü" + 200 * "x"])
def test_open(mintfs_db, text):
    connection = sqlite3.connect(mintfs_db)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("INSERT INTO orders(item) VALUES ('in the wal')")
    connection.commit()
    assert 0

def test_memory(mintfs_memory):
    mintfs_memory.execute("INSERT INTO orders(item) VALUES ('remembered')")
    assert 0

def test_memory_closed(mintfs_memory):
    mintfs_memory.close()
    assert 0

def test_passes(mintfs_db):
    order(mintfs_db)

@pytest.fixture
def breaks_in_setup(mintfs_db):
    order(mintfs_db, "set up")
    assert 0

def test_setup(breaks_in_setup): pass

@pytest.fixture
def breaks_in_teardown(mintfs_db):
    yield mintfs_db
    assert 0

def test_teardown(breaks_in_teardown):
    order(breaks_in_teardown, "torn down")

def test_both(breaks_in_teardown):
    order(breaks_in_teardown, "both")
    assert 0

def test_of_the_user(mintfs_db):
    with mintfs.database() as db:
        order(mintfs_db, "one")
        order(db.path(), "two")
        pytest.fail("x")

@pytest.fixture
def users():
    with mintfs.database() as db:
        yield db

def test_of_the_users_fixture(users):
    order(users.path(), "users")
    assert 0

class TestShared:
    def test_it(self, mintfs_db_class):
        order(mintfs_db_class, "shared")
        assert 0

    def test_who_does_not_use_it(self):
        assert 0

def test_without_any():
    assert 0

@pytest.mark.mintfs_from_nothing
def test_nothing(mintfs_db):
    mintfs_db.write_text("something")
    assert 0

@pytest.mark.xfail
def test_expected(mintfs_db):
    assert 0
"""


def kept(done) -> dict:
    """{"test_fails": "/where/it/is", ...}"""
    _, _, text = done.stdout.partition("databases of failed tests")
    found = re.findall(r"^test_it\.py::(?:\w+::)*(\w+)(?:\[.*\])?: (.*)$", text, re.MULTILINE)
    return {test: place for test, place in found if test.startswith("test_")}


def items(path) -> list:
    with closing(sqlite3.connect(path)) as connection:
        return [item for (item,) in connection.execute("SELECT item FROM orders")]


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_the_databases_of_failed_tests(way, project, workers):
    project.write(test_it=FAILING)
    report = project.path / "junit.xml"
    words = ["-q", "--tb=no", "--mintfs-keep-failed", f"--junitxml={report}", *workers]
    done = way.pytest(project, *words, status=1)
    places = {test: Path(place) for test, place in kept(done).items()}
    assert places.pop("test_memory_closed") == Path(
        "not kept: Cannot operate on a closed database."
    )
    assert set(places) == {
        "test_fails",
        "test_open",
        "test_memory",
        "test_setup",
        "test_teardown",
        "test_both",
        "test_of_the_user",
        "test_of_the_users_fixture",
        "test_it",
        "test_nothing",
    }
    assert {path.parent for path in places.values()} == {project.path / ".pytest_cache/mintfs"}
    assert len(set(places.values())) == len(places)
    assert items(places["test_fails"] / "app.db") == ["kept"]
    assert (places["test_open"] / "app.db-wal").stat().st_size > 0
    assert items(places["test_open"] / "app.db") == ["in the wal"]
    assert items(places["test_memory"] / "memory.db") == ["remembered"]
    assert items(places["test_setup"] / "app.db") == ["set up"]
    assert items(places["test_teardown"] / "app.db") == ["torn down"]
    assert items(places["test_both"] / "app.db") == ["both"]
    # The second was closed by its with block before the test was over.
    assert items(places["test_of_the_user"] / "app.db") == ["one"]
    assert items(places["test_of_the_users_fixture"] / "app.db") == ["users"]
    assert items(places["test_it"] / "app.db") == ["shared"]
    assert (places["test_nothing"] / "app.db").read_text() == "something"
    properties = {node.get("value") for node in xml.parse(report).iter("property")}
    assert {str(path) for path in places.values()} <= properties
    listed = way.store.run("clean", "--dry-run").stdout if way.name != "none" else ""
    assert way.name == "none" or f"kept in {project.path}/.pytest_cache/mintfs: " in listed
    # Once more: what was kept before is replaced.
    (places["test_fails"] / "old").touch()
    again = way.pytest(project, *words, "-k", "test_fails", status=1)
    assert os.listdir(kept(again)["test_fails"]) == ["app.db"]


def test_several_of_one_test(way, project):
    project.write(
        test_it="""
from orders import order
def test_it(mintfs_db, mintfs_db_module):
    order(mintfs_db, "mine")
    order(mintfs_db_module, "shared")
    assert 0
"""
    )
    done = way.pytest(project, "-q", "--mintfs-keep-failed", status=1)
    place = Path(kept(done)["test_it"])
    found = [items(place / "app.db"), items(place / "2/app.db")]
    assert sorted(found) == [["mine"], ["shared"]]


@pytest.mark.on_ways("copy")
def test_with_the_cache_plugin_and_its_setting(way, project):
    project.write(test_it="def test_it(mintfs_db): assert 0\n")
    words = ["-m", "pytest", "-q", "-p", "mintfs.pytest_plugin", "--mintfs-keep-failed"]
    done = way.run(*words, "-o", "cache_dir=elsewhere", cwd=project.path, status=1)
    assert kept(done)["test_it"].startswith(f"{project.path}/elsewhere/mintfs/")


def test_without_the_option_nothing_is_kept(way, project):
    project.write(test_it=FAILING)
    done = way.pytest(project, "-q", status=1)
    assert kept(done) == {} and not (project.path / ".pytest_cache").exists()


# ---- others' pytest ----


def test_pytest_within_pytest(way, project):
    """As plugins test themselves: the inner run leaves the outer's databases alone."""
    project.write(
        conftest="pytest_plugins = ['pytester']\n",
        test_it="""
import shutil
from orders import order, rows

def test_outer(mintfs_db, mintfs_db_session, pytester, request):
    order(mintfs_db)
    shutil.copytree(request.config.rootpath / "migrations", pytester.path / "migrations")
    for name in ("create_db.py", "mintfs.conf"):
        shutil.copy(request.config.rootpath / name, pytester.path)
    pytester.makepyfile("def test_inner(mintfs_db): assert not mintfs_db.exists()")
    result = pytester.inline_run("-p", "mintfs.pytest_plugin", "--mintfs-keep-failed")
    result.assertoutcome(failed=1)
    assert rows(mintfs_db) == 1

def test_after(mintfs_db_session):
    assert rows(mintfs_db_session) == 0
""",
    )
    done = way.pytest(project, "-q")
    assert counts(done) == {"passed": 2}, done.stdout


PARAMETERS = """
import mintfs, pytest

def template(salt):
    return mintfs.template(builder="python3 create_db.py {{out}}", inputs="migrations", salt=salt)

@pytest.fixture(scope="session", {how})
def mintfs_template(request):
    return template(request.param)
"""


def test_a_template_with_parameters(way, project):
    project.write(
        conftest=PARAMETERS.format(how="params=['a', 'b']"),
        test_it="""
import pytest
from conftest import template

seen = set()

def test_it(mintfs_database):
    seen.add(mintfs_database.key)

def test_by_name_too(mintfs_template, mintfs_memory):
    assert mintfs_template in seen

@pytest.fixture
def through(mintfs_db_class):
    return mintfs_db_class

def test_through_another(through):
    assert through.exists()

@pytest.mark.parametrize("mintfs_template", ["c"], indirect=True)
def test_of_its_own(mintfs_database):
    assert mintfs_database.key == template("c") not in seen

@pytest.mark.mintfs_from_nothing
def test_nothing(mintfs_db):
    assert len(seen) == 2 and not mintfs_db.exists()
""",
    )
    done = way.pytest(project, "-q")
    assert counts(done) == {"passed": 8}, done.stdout


def test_a_template_for_one_test(way, project):
    project.write(
        test_it="""
import mintfs, pytest
OTHER = dict(builder="python3 create_db.py {out}", inputs="migrations", salt="other")

@pytest.fixture(scope="session")
def other():
    return mintfs.template(**OTHER)

class TestOther:
    @pytest.fixture(scope="class")
    def mintfs_template(self, other):
        return other

    def test_it(self, mintfs_database):
        assert mintfs_database.key == mintfs.template(**OTHER)

def test_it(mintfs_database):
    assert mintfs_database.key == mintfs.template()
""",
    )
    done = way.pytest(project, "-q")
    assert counts(done) == {"passed": 2}, done.stdout


# ---- pytest-xdist ----

MANY = 500


def test_five_hundred_tests_that_write(way, project):
    project.write(
        test_many=f"""
import pytest
from orders import order, rows

@pytest.mark.parametrize("n", range({MANY}))
def test_it(mintfs_db, n):
    assert rows(mintfs_db) == 0
    order(mintfs_db, n)
    assert rows(mintfs_db) == 1
"""
    )
    done = way.pytest(project, "-q", "-n", "2")
    assert counts(done) == {"passed": MANY}
    assert project.runs() == 1
    assert f" 1 built, {MANY} databases " in last_line(done.stdout)


def test_killed_in_the_middle(way, project):
    project.write(
        test_it="""
import os, time
def test_it(mintfs_db, mintfs_db_session):
    worker = os.environ["PYTEST_XDIST_WORKER"]
    with open(worker, "w") as file:
        file.write(str(os.getpid()))
    os.rename(worker, f"started-{worker}")
    time.sleep(600)
def test_too(mintfs_db, mintfs_db_session):
    test_it(mintfs_db, mintfs_db_session)
"""
    )
    words = ["-m", "pytest", "-p", "mintfs.pytest_plugin", "-n", "2", "-p", "no:cacheprovider"]
    process = way.start(*words, cwd=project.path)
    workers = []
    for name in ("gw0", "gw1"):
        started = project.path / f"started-{name}"
        workers.append(int(eventually(lambda: started.exists() and started.read_text())))
    assert way.name == "none" or len(way.sessions()) == 4
    for pid in (process.pid, *workers):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    if way.name == "mount":
        eventually(lambda: way.sessions() == [], "the daemon to notice")
    else:  # the next one sweeps
        project.write(test_it="def test_it(mintfs_db): pass\n")
        way.pytest(project)


def test_killed_amid_five_hundred(way, project):
    """The controller alone: its workers lose their pipe, and end with what they have."""
    project.write(
        test_many=f"""
import os
import pytest
from orders import order

@pytest.mark.parametrize("n", range({MANY}))
def test_it(mintfs_db, n):
    order(mintfs_db, n)
    with open("done-" + os.environ["PYTEST_XDIST_WORKER"], "a") as log:
        log.write(f"{{os.getpid()}}\\n")
"""
    )
    words = ["-m", "pytest", "-p", "mintfs.pytest_plugin", "-n", "2", "-p", "no:cacheprovider"]
    process = way.start(*words, cwd=project.path)
    logs = [project.path / f"done-{name}" for name in ("gw0", "gw1")]
    eventually(lambda: all(log.exists() and len(log.read_text().split()) > 20 for log in logs))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    workers = [int(log.read_text().split()[0]) for log in logs]
    eventually(lambda: not any(is_alive(pid) for pid in workers), "the workers' end")
    if way.name == "mount":
        eventually(lambda: way.sessions() == [], "the daemon to notice")
    else:  # the next one sweeps
        (project.path / "test_many.py").write_text("def test_it(mintfs_db): pass\n")
        way.pytest(project)


def test_a_worker_that_crashes(way, project):
    project.write(
        test_it="""
import os
import pytest
@pytest.mark.parametrize("n", range(6))
def test_it(mintfs_db, n):
    if n == 2:
        os._exit(1)
"""
    )
    done = way.pytest(project, "-q", "-n", "2", status=1)
    assert counts(done) == {"passed": 5, "failed": 1}
    if way.name == "mount":
        eventually(lambda: way.sessions() == [], "the daemon to notice")
    else:
        way.pytest(project, "-q", "--deselect", "test_it.py::test_it[2]")


@pytest.mark.on_ways("copy")
def test_a_template_that_is_evicted_meanwhile(way, project):
    """The last line does without it."""
    project.write(
        test_it="""
import os, subprocess, mintfs
def test_it():
    with mintfs.database() as db:
        key = db.key
    subprocess.run([os.environ["MINTFS_BINARY"], "evict", key], check=True)
"""
    )
    assert last_line(way.pytest(project, "-q").stdout) is None


@pytest.mark.on_ways("copy")
def test_a_command_that_is_named_wrongly(way, project):
    project.write(test_it="def test_it(mintfs_db): pass\n", test_other="def test_it(): pass\n")
    env = {"MINTFS_BINARY": "/nonexistent"}
    done = way.pytest(project, "-q", status=1, env=env)
    assert counts(done) == {"passed": 1, "error": 1}
    assert "MINTFS_BINARY is /nonexistent: no such program" in done.stdout


@pytest.mark.on_ways("mount")
def test_no_process_for_each_test(way, project, place):
    """On a mount the command runs once to build and once to ask, and at the end for the summary."""
    calls = place / "calls"
    program = place / "mintfs"
    program.write_text(f'#!/bin/sh\necho "$@" >>{calls}\nexec {way.env["MINTFS_BINARY"]} "$@"\n')
    program.chmod(0o755)
    project.write(
        test_it="""
import pytest
@pytest.mark.parametrize("n", range(20))
def test_it(mintfs_database, n):
    mintfs_database.path()
    mintfs_database.reset()
"""
    )
    way.pytest(project, "-q", env={"MINTFS_BINARY": str(program)})
    words = [line.split()[0] for line in calls.read_text().splitlines()]
    assert words == ["--version", "build", "session", "show"]


@pytest.mark.on_ways("mount")
def test_the_mount_goes_and_comes_meanwhile(way, project, mount):
    """What is open no more is unmounted in a test; the next asks the command again."""
    project.write(
        test_it="""
import os, subprocess
import mintfs
from orders import order, rows

def mintfs_command(*words):
    subprocess.run([os.environ["MINTFS_BINARY"], *words], check=True)

def test_before(mintfs_db):
    order(mintfs_db)

def test_meanwhile(mintfs_database):
    path = mintfs_database.path()
    mintfs_command("umount")
    mintfs_command("mount", str(path.parents[3]))
    assert rows(path) == 0
    mintfs_database.reset()
    mintfs_command("umount")
    with mintfs.database() as db:
        assert rows(db.path()) == 0

def test_after(mintfs_db):
    assert rows(mintfs_db) == 0
"""
    )
    done = way.pytest(project, "-q", env={"MINTFS_BACKEND": "auto"})
    assert counts(done) == {"passed": 3}
    mount.ended()
    # What could not be removed while there was no mount goes with the next: its owner is gone.
    again = Mount(way.store, way.store.home / "mnt")
    eventually(lambda: way.sessions() == [], "the daemon to notice")
    again.stop()
