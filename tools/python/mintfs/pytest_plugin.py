"""Databases for pytest.

    mintfs_template     the template's key: of mintfs.conf, unless conftest.py overrides it
    mintfs_db           the path of a fresh database, for each test
    mintfs_database     that database as a mintfs.Database: path(), url, reset()
    mintfs_db_class, mintfs_db_module, mintfs_db_session
                        the path of one for all tests of a class, a module, a run (per worker)
    mintfs_memory       an sqlite3 connection to a copy in memory, for each test

A test marked `mintfs_from_nothing` gets a path at which no file exists, and no template is built
for it. With --mintfs-keep-failed the databases of failed tests are kept.
"""

from contextlib import contextmanager
from typing import Any, Iterator, List, Set, Tuple

import mintfs
import pytest

from . import _conf_in_force, _database, _project_conf, _settings
from ._pytest_recorder import RECORDER, Recorder
from ._stdlib import Path, sqlite3

MARKER = "mintfs_from_nothing"
TEMPLATE = "mintfs_template"
ON_TEMPLATE = {
    "mintfs_database",
    "mintfs_db",
    "mintfs_db_class",
    "mintfs_db_module",
    "mintfs_db_session",
    "mintfs_memory",
}


# ---- settings ----


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mintfs")
    group.addoption(
        "--mintfs-keep-failed",
        action="store_true",
        help="copy the databases of failed tests with their side files to .pytest_cache/mintfs/",
    )
    parser.addini("mintfs_template", "the section of mintfs.conf for the fixture mintfs_template")


#: The pytest runs in progress in this process: a test can run pytest itself.
_running: List[pytest.Config] = []


def pytest_configure(config: pytest.Config) -> None:
    _running.append(config)
    config.addinivalue_line(
        "markers",
        f"{MARKER}(file='{_project_conf.DEFAULT_DATABASE}'): "
        "mintfs_db is a path at which no file exists, and mintfs_memory is empty",
    )
    recorder = Recorder(config)
    config.stash[RECORDER] = recorder
    config.pluginmanager.register(recorder, "mintfs-recorder")


def pytest_collection_finish() -> None:
    """After this, fixtures and tests may change the environment."""
    _settings.fixed()


def pytest_unconfigure(config: pytest.Config) -> None:
    if config in _running:
        _running.remove(config)
    if not _running:
        _database.close_all()


@pytest.hookimpl(tryfirst=True)  # type: ignore[misc]
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Our fixtures request mintfs_template when the test runs, which is too late if it is
    parametrized. So it is added to the fixtures of the test here."""
    names = metafunc.fixturenames
    if TEMPLATE in names or not ON_TEMPLATE & set(names):
        return
    if metafunc.definition.get_closest_marker(MARKER):
        return
    marks = metafunc.definition.iter_markers("parametrize")
    if any(TEMPLATE in str(mark.args[:1]) for mark in marks):
        names.append(TEMPLATE)  # pytest parametrizes it
        return
    fixture = _fixture_of(metafunc.definition, TEMPLATE)
    if fixture is not None and fixture.params is not None:
        names.append(TEMPLATE)
        metafunc.parametrize(
            TEMPLATE, fixture.params, indirect=True, ids=fixture.ids, scope=fixture.scope
        )


def _fixture_of(item: Any, name: str) -> Any:
    """The fixture of that name that a test gets."""
    # pytest has no public interface for this. Version 8 takes the node, earlier ones its ID.
    node = item if int(pytest.__version__.split(".")[0]) >= 8 else item.nodeid
    found = item.session._fixturemanager.getfixturedefs(name, node)
    return found[-1] if found else None


# ---- fixtures ----


@pytest.fixture(scope="session")
def mintfs_template(pytestconfig: pytest.Config) -> str:
    """The key of the template of all databases. Override it to use another template."""
    return _template_of(pytestconfig, _default_place(pytestconfig))


def _template_of(config: pytest.Config, place: Path) -> str:
    return mintfs.template(config.getini("mintfs_template") or None, root=place)


def _default_place(config: pytest.Config) -> Path:
    """The directory of the mintfs.conf in force at pytest's root or where pytest was called."""
    called = Path(str(config.invocation_params.dir))
    return _conf_in_force.find(Path(str(config.rootpath))) or _conf_in_force.find(called) or called


@contextmanager
def _fresh(request: pytest.FixtureRequest) -> Iterator[mintfs.Database]:
    marker = request.node.get_closest_marker(MARKER)
    if marker:
        database: mintfs.Database = _database.EmptyDatabase(*marker.args, **marker.kwargs)
    else:
        database = mintfs.database(request.getfixturevalue("mintfs_template"))
    recorder = request.config.stash[RECORDER]
    if request.scope != "function":
        recorder.shared[id(database)] = str(request.fixturename)
    try:
        yield database
    finally:
        recorder.finish(database)


@pytest.fixture
def mintfs_database(request: pytest.FixtureRequest) -> Iterator[mintfs.Database]:
    """A fresh database for the test."""
    with _fresh(request) as database:
        yield database


@pytest.fixture
def mintfs_db(mintfs_database: mintfs.Database) -> Path:
    """The path of a fresh database for the test, the one of mintfs_database."""
    return mintfs_database.path()


@pytest.fixture(scope="class")
def mintfs_db_class(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The path of a database that the tests of a class share."""
    with _fresh(request) as database:
        yield database.path()


@pytest.fixture(scope="module")
def mintfs_db_module(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The path of a database that the tests of a module share."""
    with _fresh(request) as database:
        yield database.path()


@pytest.fixture(scope="session")
def mintfs_db_session(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The path of a database that all tests share; each worker of pytest-xdist has its own."""
    yield from _database_of_the_session(request)


def _database_of_the_session(request: pytest.FixtureRequest) -> Iterator[Path]:
    with _fresh(request) as database:
        yield database.path()


@pytest.fixture
def mintfs_memory(request: pytest.FixtureRequest) -> Iterator[sqlite3.Connection]:
    """A connection to a copy of the template in memory; any thread may use it."""
    if request.node.get_closest_marker(MARKER):
        connection = sqlite3.connect(":memory:", check_same_thread=False)
    else:
        key = request.getfixturevalue("mintfs_template")
        connection = mintfs.memory(key, check_same_thread=False)
    recorder = request.config.stash[RECORDER]
    recorder.memory = connection
    yield connection
    recorder.memory = None
    connection.close()


# ---- tests with a nearer mintfs.conf than pytest's root ----


#: The (node ID, name) of the fixtures that were added.
PLACES = pytest.StashKey[Set[Tuple[str, str]]]()


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Adds fixtures for the tests below a directory with its own mintfs.conf, as if they were in
    the directory's conftest.py."""
    if not isinstance(collector, pytest.Module):
        return
    place = _conf_in_force.find(Path(str(collector.path)).parent)
    if place is None or place == _default_place(collector.config):
        return
    nothing: Set[Tuple[str, str]] = set()
    given = collector.session.stash.setdefault(PLACES, nothing)
    root = Path(str(collector.config.rootpath)).resolve()
    # Outside pytest's root there is no node for the directory, but one for each module.
    below = root in place.parents
    nodeid = place.relative_to(root).as_posix() if below else collector.nodeid
    for name, make in ((TEMPLATE, _TemplateOf), ("mintfs_db_session", _SessionDatabaseOf)):
        if (nodeid, name) in given or not _is_ours(collector, name):
            continue
        given.add((nodeid, name))
        manager: Any = collector.session._fixturemanager
        manager.parsefactories(make(place), nodeid)
        # The nearest must be last, in whichever order modules are collected.
        manager._arg2fixturedefs[name].sort(key=lambda found: len(Path(found.baseid).parts))


class _TemplateOf:
    def __init__(self, place: Path) -> None:
        self._place = place

    @pytest.fixture(scope="session")
    def mintfs_template(self, pytestconfig: pytest.Config) -> str:
        return _template_of(pytestconfig, self._place)


class _SessionDatabaseOf:
    def __init__(self, place: Path) -> None:
        self._place = place

    @pytest.fixture(scope="session")
    def mintfs_db_session(self, request: pytest.FixtureRequest) -> Iterator[Path]:
        yield from _database_of_the_session(request)


def _is_ours(node: Any, name: str) -> bool:
    """False if a conftest.py or a test module overrides the fixture."""
    found = _fixture_of(node, name)
    return found is not None and found.func.__module__ == __name__


@pytest.hookimpl(hookwrapper=True)  # type: ignore[misc]
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """In a test, the search for mintfs.conf begins at the test's directory."""
    with _conf_in_force.running_in(Path(str(item.path)).parent):
        yield


@pytest.hookimpl(hookwrapper=True)  # type: ignore[misc]
def pytest_fixture_setup(fixturedef: Any, request: pytest.FixtureRequest) -> Iterator[None]:
    """In a fixture, it begins at the directory of the fixture's file, unless that is not known."""
    place = Path(str(request.config.rootpath), fixturedef.baseid.split("::")[0])
    directory = place if place.is_dir() else place.parent
    with _conf_in_force.running_in(directory if fixturedef.baseid else None):
        yield
