"""Many tests, pytest-xdist, and killed runs, in each way."""

import os
import signal

import pytest

from support.basics import eventually, is_alive

from .ways import counts, last_line

pytestmark = pytest.mark.usefixtures("orders")

MANY = 500


def test_five_hundred_tests_write_in_parallel(way, project):
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


def test_a_killed_run_leaves_nothing(way, project):
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
    else:  # the next run removes it
        project.write(test_it="def test_it(mintfs_db): pass\n")
        way.pytest(project)


def test_a_killed_controller_leaves_nothing(way, project):
    """Only the controller is killed: its workers lose their pipe, and end."""
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
    else:
        (project.path / "test_many.py").write_text("def test_it(mintfs_db): pass\n")
        way.pytest(project)
        assert way.sessions() == [], "the next run did not sweep"


def test_a_crashed_worker_leaves_nothing(way, project):
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
