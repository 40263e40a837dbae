"""The databases of failed tests, which the pytest plugin keeps."""

import os
import re
import sqlite3
import xml.etree.ElementTree as xml
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("orders")

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
def test_the_databases_of_failed_tests_are_kept(way, project, workers):
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
    # The second was closed by its with block before the test ended.
    assert items(places["test_of_the_user"] / "app.db") == ["one"]
    assert items(places["test_of_the_users_fixture"] / "app.db") == ["users"]
    assert items(places["test_it"] / "app.db") == ["shared"]
    assert (places["test_nothing"] / "app.db").read_text() == "something"
    properties = {node.get("value") for node in xml.parse(report).iter("property")}
    assert {str(path) for path in places.values()} <= properties
    listed = way.store.run("clean", "--dry-run").stdout if way.name != "none" else ""
    assert way.name == "none" or f"kept in {project.path}/.pytest_cache/mintfs: " in listed
    # A second run replaces the databases kept by the first.
    (places["test_fails"] / "old").touch()
    again = way.pytest(project, *words, "-k", "test_fails", status=1)
    assert os.listdir(kept(again)["test_fails"]) == ["app.db"]


def test_several_databases_of_one_test_are_kept(way, project):
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
def test_they_are_kept_in_pytests_cache_directory(way, project):
    project.write(test_it="def test_it(mintfs_db): assert 0\n")
    words = ["-m", "pytest", "-q", "-p", "mintfs.pytest_plugin", "--mintfs-keep-failed"]
    done = way.run(*words, "-o", "cache_dir=elsewhere", cwd=project.path, status=1)
    assert kept(done)["test_it"].startswith(f"{project.path}/elsewhere/mintfs/")


def test_without_the_option_nothing_is_kept(way, project):
    project.write(test_it=FAILING)
    done = way.pytest(project, "-q", status=1)
    assert kept(done) == {} and not (project.path / ".pytest_cache").exists()
