"""The pytest plugin: runs pytest on small projects, in each way."""

import re

import pytest

from support.basics import eventually
from support.mounts import Mount

from .ways import counts, last_line

pytestmark = pytest.mark.usefixtures("orders")


def test_each_test_has_its_own_database(way, project):
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


def test_a_run_without_databases_prints_nothing(way, project):
    project.write(test_it="def test_it(): pass\n")
    assert "mintfs" not in way.pytest(project).stdout.replace("plugins: mintfs", "")
    assert project.runs() == 0


def test_conftest_can_override_the_template(way, project):
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


def test_pytests_settings_can_name_a_section(way, project):
    conf = project.path / "mintfs.conf"
    conf.write_text(conf.read_text() + "[other]\nbuilder = sh -c ': >\"$0\"' {out}\n")
    project.write(test_it="def test_it(mintfs_db): assert mintfs_db.stat().st_size == 0\n")
    assert counts(way.pytest(project, "-q", "-o", "mintfs_template=other")) == {"passed": 1}
    done = way.pytest(project, "-q", status=1)
    assert "mintfs.conf has several templates; name one: app, other" in done.stdout


def test_pytest_can_be_called_from_another_directory(way, project, place):
    """mintfs.conf is searched for where pytest's settings are, else where pytest was called."""
    project.write(test_it="def test_it(mintfs_db): assert mintfs_db.exists()\n")
    (project.path / "pytest.ini").write_text("[pytest]\n")
    words = ["-m", "pytest", "-q", "-p", "mintfs.pytest_plugin", "-p", "no:cacheprovider"]
    assert "1 passed" in way.run(*words, project.path, cwd=place).stdout
    other_root = way.run(*words, "--rootdir", place, project.path, cwd=project.path)
    assert "1 passed" in other_root.stdout


def test_marked_tests_start_from_nothing(way, project):
    (project.path / "mintfs.conf").unlink()  # which is not needed
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


def test_errors_are_the_commands_messages(way, project):
    (project.path / "create_db.py").write_text("import sys; sys.exit('no such table: mugs')")
    project.write(test_it="def test_it(mintfs_db): pass\n")
    done = way.pytest(project, "-q", status=1)
    assert "BuilderFailed: builder python3 exited with 1" in done.stdout
    assert "no such table: mugs" in done.stdout


def test_several_databases_are_listed(way, project):
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
    assert "has several databases, name one of: app.db, app.db.other" in done.stdout


# ---- pytest's other features ----


def test_pytest_can_run_within_a_test(way, project):
    """As the tests of plugins do. The inner run leaves the databases of the outer one alone."""
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


def test_the_template_can_have_parameters(way, project):
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


def test_one_test_can_have_another_template(way, project):
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


# ---- the command and its mount ----


@pytest.mark.on_ways("copy")
def test_the_summary_leaves_an_evicted_template_out(way, project):
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
def test_a_wrong_command_fails_only_the_tests_that_use_it(way, project):
    project.write(test_it="def test_it(mintfs_db): pass\n", test_other="def test_it(): pass\n")
    env = {"MINTFS_BINARY": "/nonexistent"}
    done = way.pytest(project, "-q", status=1, env=env)
    assert counts(done) == {"passed": 1, "error": 1}
    assert "MINTFS_BINARY is /nonexistent: no such program" in done.stdout


@pytest.mark.on_ways("mount")
def test_on_a_mount_tests_start_no_processes(way, project, place):
    """The command runs once to build, once for the first session, and for the summary."""
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
def test_the_store_can_be_unmounted_and_mounted_between_tests(way, project, mount):
    """After a test has unmounted the store, the next one asks the command again."""
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
    # Sessions that could not be removed without a mount are removed by the next: their owner ended.
    again = Mount(way.store, way.store.home / "mnt")
    eventually(lambda: way.sessions() == [], "the daemon to notice")
    again.stop()
