"""Tests that change their own process: databases are still made, reset and removed."""

import os
import subprocess
import sys

import pytest

import mintfs
from mintfs import _locks, _sessions

from .ways import counts

pytestmark = pytest.mark.usefixtures("orders")

PATCHES = """
import builtins, os, random, shutil, socket, sqlite3, subprocess, tempfile, threading, time, uuid
from unittest import mock
import pytest

def refuse(*_, **__):
    raise AssertionError("a function that the test has patched was called")

def clear_environment(patch):
    for name in list(os.environ):
        patch.delenv(name)

def change_path(patch):
    patch.setenv("PATH", "/nonexistent")

def change_places(patch):
    for name in ("HOME", "MINTFS_STORE", "MINTFS_MOUNT", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        patch.setenv(name, "/nonexistent")
    patch.setenv("MINTFS_BINARY", "/nonexistent/mintfs")
    patch.setenv("MINTFS_BACKEND", "none of these")

def replace_environment(patch):
    patch.setattr(os, "environ", {})

def subprocess_run(patch):
    patch.setattr(subprocess, "run", refuse)

def subprocess_popen(patch):
    patch.setattr(subprocess, "Popen", mock.MagicMock())

def processes(patch):
    for name in ("fork", "pipe", "waitpid", "posix_spawn", "execve"):
        patch.setattr(os, name, refuse)
    for name in ("getpid", "getppid", "getuid", "geteuid"):
        patch.setattr(os, name, lambda: 4711)

def same_names(patch):
    random.seed(1)
    patch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=1))
    patch.setattr(os, "urandom", lambda size: bytes(size))
    patch.setattr(random, "Random", refuse)

def same_time(patch):
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter"):
        patch.setattr(time, name, lambda: 0)
    patch.setattr(time, "sleep", refuse)

def files(patch):
    for name in ("mkdir", "makedirs", "rmdir", "rename", "replace", "unlink", "remove", "chmod",
                 "open", "listdir", "scandir", "setxattr", "getcwd", "walk"):
        patch.setattr(os, name, refuse)
    for name in ("rmtree", "copytree", "copyfile", "copy2", "which", "disk_usage"):
        patch.setattr(shutil, name, refuse)
    patch.setattr(builtins, "open", mock.mock_open(read_data="none of yours"))

def paths(patch):
    import pathlib
    for name in ("mkdir", "rmdir", "rename", "unlink", "exists", "is_dir", "iterdir", "open",
                 "read_text", "resolve"):
        patch.setattr(pathlib.Path, name, refuse)

def temporary_files(patch):
    patch.setattr(tempfile, "tempdir", "/nonexistent")
    for name in ("mkdtemp", "gettempdir", "NamedTemporaryFile"):
        patch.setattr(tempfile, name, refuse)

def current_directory(patch):
    here = tempfile.mkdtemp()
    patch.chdir(here)
    os.rmdir(here)

def threads(patch):
    patch.setattr(threading, "Thread", mock.MagicMock())

def network(patch):
    patch.setattr(socket, "socket", refuse)

ALL = [clear_environment, change_path, change_places, replace_environment, subprocess_run,
       subprocess_popen, processes, same_names, same_time, files, paths, temporary_files,
       current_directory, threads, network]
"""

CONFTEST = """
import pytest
from patches import ALL

@pytest.fixture(params=ALL, ids=lambda change: change.__name__)
def changed(request):
    with pytest.MonkeyPatch.context() as patch:
        request.param(patch)
        yield
"""

TESTS = """
import _sqlite3, os
import mintfs
from orders import order, rows

connect = _sqlite3.connect

def count(path):
    connection = connect(str(path))
    try:
        (found,), = connection.execute("SELECT count(*) FROM orders").fetchall()
        connection.execute("INSERT INTO orders(item) VALUES ('mug')")
        connection.commit()
        return found
    finally:
        connection.close()

def test_before(changed, mintfs_db):
    assert count(mintfs_db) == 0

def test_after(mintfs_db, changed):
    assert count(mintfs_db) == 0

def test_more(mintfs_database, changed):
    path = mintfs_database.path()
    assert (count(path), count(path)) == (0, 1)
    mintfs_database.reset()
    assert count(mintfs_database.path("app.db")) == 0
    assert list(mintfs_database.databases()) == ["app.db"]
    with mintfs.database(mintfs_database.key) as one, mintfs.database("app") as two:
        assert {one.key, two.key} == {mintfs_database.key} and one.directory != two.directory
        assert (count(one.path()), count(two.path())) == (0, 0)

def test_memory(changed, mintfs_memory):
    assert mintfs_memory.execute("SELECT count(*) FROM goods").fetchone() == (2,)
"""


def test_databases_work_whatever_a_test_changes(way, project):
    """Before its database is made, or after it; and no database remains."""
    project.write(patches=PATCHES, conftest=CONFTEST, test_it=TESTS)
    done = way.pytest(project, "-q")
    assert counts(done) == {"passed": 4 * 15}, done.stdout
    assert project.runs() == 1


@pytest.mark.parametrize(
    "change", ["clear_environment", "change_path", "processes", "files", "current_directory"]
)
def test_databases_work_if_the_first_test_changes_things(way, project, change):
    """When the fixture is set up, nothing has been built, and the command has not been run."""
    project.write(patches=PATCHES, conftest=CONFTEST, test_it=TESTS)
    done = way.pytest(project, "-q", f"test_it.py::test_before[{change}]")
    assert counts(done) == {"passed": 1}, done.stdout


#: With the other changes, pytest cannot report a failure.
PYTEST_SURVIVES = (
    "clear_environment", "change_path", "change_places", "subprocess_run", "subprocess_popen",
    "same_names", "same_time", "threads", "network",
)  # fmt: skip


def test_the_database_of_a_failed_test_that_changed_things_is_kept(way, project):
    project.write(
        patches=PATCHES,
        conftest=CONFTEST,
        test_it="""
def test_it(changed, mintfs_db):
    assert 0

def test_the_other_way_round(mintfs_db, changed):
    assert 0
""",
    )
    survives = " or ".join(PYTEST_SURVIVES)
    done = way.pytest(project, "-q", "--mintfs-keep-failed", "-k", survives, status=1)
    assert counts(done) == {"failed": 2 * len(PYTEST_SURVIVES)}, done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("test_it.py::")]
    places = [line.partition(": ")[2] for line in lines]
    assert len(places) == 2 * len(PYTEST_SURVIVES), done.stdout
    for place in places:
        check = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM goods')"
        subprocess.run([sys.executable, "-c", check, f"{place}/app.db"], check=True)


def test_settings_stay_fixed_without_pytest(way, project):
    """From the first use until the process ends."""
    project.write(patches=PATCHES)
    way.script(
        """
import os, pytest, mintfs, patches
key = mintfs.template()
for change in patches.ALL:
    with pytest.MonkeyPatch.context() as patch:
        change(patch)
        with mintfs.database(key) as db:
            path = str(db.path())
            db.reset()
    assert not os.path.exists(path)
patches.clear_environment(pytest.MonkeyPatch())
left = mintfs.database()
""",
        cwd=project.path,
    )
    assert project.runs() == 1


def test_workers_and_child_processes_have_databases(way, project):
    """With pytest-xdist, in forks, and under multiprocessing."""
    project.write(
        patches=PATCHES,
        conftest=CONFTEST,
        test_it=TESTS
        + """
def ask(results):
    with mintfs.database(KEY) as db:
        results.put(count(db.path()))

KEY = mintfs.template()

def test_multiprocessing(monkeypatch, mintfs_db):
    import multiprocessing
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    for name in list(os.environ):
        monkeypatch.delenv(name)
    child = context.Process(target=ask, args=(results,))
    child.start()
    assert results.get(timeout=60) == 0
    child.join()

def test_fork(monkeypatch, mintfs_db):
    for name in list(os.environ):
        monkeypatch.delenv(name)
    pid = os.fork()
    if pid == 0:
        try:
            with mintfs.database(KEY) as db:
                os._exit(count(db.path()))
        finally:
            os._exit(99)
    assert os.waitpid(pid, 0)[1] == 0
    assert count(mintfs_db) == 0
""",
    )
    done = way.pytest(project, "-q", "-n", "2", "-k", "test_before or test_fork or test_multi")
    assert counts(done) == {"passed": 15 + 2}, done.stdout
    assert project.runs() == 1


# ---- relative stores ----


@pytest.mark.on_ways("copy")
def test_a_relative_store_is_relative_to_the_first_directory(way, project, place):
    """The directory where pytest or the script was started, not that of the project."""
    project.write(
        test_it="""
import os, mintfs
from orders import rows

def test_first(mintfs_db):
    assert rows(mintfs_db) == 0

def test_chdir(tmp_path, monkeypatch, mintfs_database):
    monkeypatch.chdir(tmp_path)
    mintfs_database.reset()
    root = os.path.dirname(os.path.abspath(__file__))
    with mintfs.database(mintfs.template("app", root=root)) as db:
        assert rows(db.path()) == 0
    assert os.listdir(tmp_path) == []
"""
    )
    (project.path / "pytest.ini").write_text("[pytest]\n")
    (project.path / "deep/deeper").mkdir(parents=True)
    env = {"MINTFS_STORE": ".store"}
    words = ["-m", "pytest", "-q", "-p", "mintfs.pytest_plugin", "-p", "no:cacheprovider"]
    for start in (project.path, project.path / "deep/deeper"):
        done = way.run(*words, project.path / "test_it.py", cwd=start, env=env)
        assert counts(done) == {"passed": 2}
        assert (start / ".store/v1/templates").is_dir()
        script = f"import mintfs; mintfs.template(root={str(project.path)!r})"
        way.run("-c", script, cwd=start, env=env)
    stores = [path for path in place.rglob(".store")]
    assert len(stores) == 2 and project.runs() == 2


# ---- fake file systems and clocks ----


def test_pyfakefs_does_not_reach_databases(way, project):
    pytest.importorskip("pyfakefs")
    project.write(
        test_it="""
import os, pathlib, sqlite3
import mintfs
from orders import rows

def test_after(mintfs_db, fs):
    assert rows(mintfs_db) == 0 and os.listdir("/") != []
    assert not os.path.exists(mintfs_db)

def test_before(fs, mintfs_db):
    assert rows(mintfs_db) == 0
    assert not os.path.exists(mintfs_db)

def test_database(fs, mintfs_database):
    assert rows(mintfs_database.path()) == 0
    assert rows(str(mintfs_database.directory / "app.db")) == 0
    assert mintfs_database.url.endswith("/app.db")
    mintfs_database.reset()
    with mintfs.database(mintfs_database.key) as db:
        assert rows(db.path()) == 0

def test_memory(fs, mintfs_memory):
    assert mintfs_memory.execute("SELECT count(*) FROM goods").fetchone() == (2,)

def test_kept(fs, mintfs_db):
    assert 0

def test_real_again(mintfs_db):
    assert os.path.exists(mintfs_db) and isinstance(mintfs_db, pathlib.Path)
"""
    )
    done = way.pytest(project, "-q", "--mintfs-keep-failed", "-p", "no:randomly", status=1)
    assert counts(done) == {"passed": 5, "failed": 1}, done.stdout
    kept = [line for line in done.stdout.splitlines() if line.startswith("test_it.py::test_kept: ")]
    assert len(kept) == 1 and not kept[0].endswith("not kept"), done.stdout
    done = way.pytest(project, "-q", "test_it.py::test_before")
    assert counts(done) == {"passed": 1}


def test_freezegun_does_not_reach_databases(way, project):
    pytest.importorskip("freezegun")
    project.write(
        test_it="""
import pytest, mintfs
from freezegun import freeze_time
from orders import rows

@freeze_time("2012-01-14")
def test_inside(mintfs_database):
    mintfs_database.reset()
    with mintfs.database() as db:
        assert rows(db.path()) == 0

@pytest.fixture
def frozen():
    with freeze_time("1999-12-31"):
        yield

def test_around(frozen, mintfs_db):
    assert rows(mintfs_db) == 0
"""
    )
    done = way.pytest(project, "-q")
    assert counts(done) == {"passed": 2}, done.stdout
    assert "1 built" in done.stdout


def test_a_fork_does_not_wait_for_other_threads(way, project):
    """Another thread may hold a lock of the package, and does not exist in the child."""
    way.script(
        """
import os, signal, threading, mintfs
from mintfs import _owner, _test_run, _settings
key = mintfs.template()
for module in (_owner, _test_run, _settings):
    with module._mutex:
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            with mintfs.database(key) as db:
                db.reset()
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, module
""",
        cwd=project.path,
    )


def test_a_fork_does_not_keep_the_lock_of_another_thread(here, project):
    path = project.path / "lock"
    ends = os.pipe()
    with _locks.held(path):
        child = os.fork()
        if child == 0:
            os.close(ends[1])
            os.read(ends[0], 1)
            os._exit(0)
    try:
        assert not _locks.is_held(path)
    finally:
        os.close(ends[1])
        os.waitpid(child, 0)
        os.close(ends[0])


@pytest.mark.on_ways("mount")
def test_an_interrupt_leaves_no_session_without_an_owner(here, monkeypatch):
    """pytest-timeout may interrupt anywhere. A session without an owner would stay for a day."""
    key = mintfs.template()
    mintfs.database(key).close()

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_sessions.os, "setxattr", interrupt)
        with pytest.raises(KeyboardInterrupt):
            mintfs.database(key)
    assert here.sessions() == []
    with mintfs.database(key) as db:
        with monkeypatch.context() as patch:
            patch.setattr(_sessions.os, "setxattr", interrupt)
            with pytest.raises(KeyboardInterrupt):
                db.reset()
        assert [row["path"] for row in here.sessions()] == [str(db.directory)]
