"""Databases for pytest.

    mintfs_template     the key: that of mintfs.conf, or what your conftest.py makes of it
    mintfs_db           the path of a fresh database, for each test
    mintfs_database     the same as a mintfs.Database: path(), url, reset()
    mintfs_db_class, mintfs_db_module, mintfs_db_session
                        the path of one for all tests of a class, a module, a run (of one worker)
    mintfs_memory       an sqlite3 connection to a copy in memory, for each test

A test marked `mintfs_from_nothing` gets a path where no file is yet, and no template is built for
it. With --mintfs-keep-failed the databases of failed tests stay for a look.
"""

import re
from contextlib import contextmanager
from typing import Any, Dict, Generator, Iterator, List, Optional, Set, Tuple

import pytest

import mintfs

from . import _command, _conf, _database, _kept, _run, _settings, _template
from ._stdlib import Path, hashlib, shutil, sqlite3
from ._unique import make_directory

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
KEPT = "mintfs_kept"  # the property of a report that says where
NAME_LENGTH = 80
BACKENDS = {"fuse": "on a mount", "copy": "copied", "none": "copied without the command"}


# ---- settings ----


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mintfs")
    group.addoption(
        "--mintfs-keep-failed",
        action="store_true",
        help="copy the databases of failed tests, side files too, to .pytest_cache/mintfs/",
    )
    parser.addini("mintfs_template", "the section of mintfs.conf that mintfs_template stands for")


#: Those of this process that are not over: pytest can be run inside a test.
_running: List[pytest.Config] = []


def pytest_configure(config: pytest.Config) -> None:
    _running.append(config)
    config.addinivalue_line(
        "markers",
        f"{MARKER}(file='{_conf.DEFAULT_DATABASE}'): "
        "mintfs_db is a path where no file is yet, and mintfs_memory is empty",
    )
    recorder = Recorder(config)
    config.stash[RECORDER] = recorder
    config.pluginmanager.register(recorder, "mintfs-recorder")


def pytest_collection_finish() -> None:
    """From here on fixtures and tests may change the environment."""
    _settings.fixed()


def pytest_unconfigure(config: pytest.Config) -> None:
    if config in _running:
        _running.remove(config)
    if not _running:
        _database.close_all()


@pytest.hookimpl(tryfirst=True)  # type: ignore[misc]
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Fixtures ask for mintfs_template when the test runs, too late for one that has parameters."""
    names = metafunc.fixturenames
    if TEMPLATE in names or not ON_TEMPLATE & set(names):
        return
    if metafunc.definition.get_closest_marker(MARKER):
        return
    marks = metafunc.definition.iter_markers("parametrize")
    if any(TEMPLATE in str(mark.args[:1]) for mark in marks):
        names.append(TEMPLATE)  # and pytest does the rest
        return
    fixture = _fixture_of(metafunc.definition)
    if fixture is not None and fixture.params is not None:
        names.append(TEMPLATE)
        metafunc.parametrize(
            TEMPLATE, fixture.params, indirect=True, ids=fixture.ids, scope=fixture.scope
        )


def _fixture_of(item: Any) -> Any:
    """Of the fixtures called mintfs_template that which counts for a test."""
    # pytest has no public way to ask; version 8 wants the node where those before want its name.
    node = item if int(pytest.__version__.split(".")[0]) >= 8 else item.nodeid
    found = item.session._fixturemanager.getfixturedefs(TEMPLATE, node)
    return found[-1] if found else None


# ---- fixtures ----


@pytest.fixture(scope="session")
def mintfs_template(pytestconfig: pytest.Config) -> str:
    """The key of the template that all databases come from. Override it to say another."""
    place = pytestconfig.rootpath
    if not (place / _conf.FILE).exists():
        place = pytestconfig.invocation_params.dir
    return mintfs.template(pytestconfig.getini("mintfs_template") or None, root=place)


@contextmanager
def _fresh(request: pytest.FixtureRequest) -> Iterator[mintfs.Database]:
    marker = request.node.get_closest_marker(MARKER)
    if marker:
        database: mintfs.Database = _database.Nothing(*marker.args, **marker.kwargs)
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
    """The path of a fresh database for the test: that of mintfs_database."""
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


# ---- what becomes of the databases of failed tests, and what is told at the end ----


class Recorder:
    """Of one process; the workers of pytest-xdist hand what they know to their controller."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.keeps: bool = config.getoption("mintfs_keep_failed")
        self.is_worker = hasattr(config, "workerinput")
        self.started_ns = _template.started_ns()
        #: The fixtures of databases that outlive a test.
        self.shared: Dict[int, str] = {}
        self.memory: Optional[sqlite3.Connection] = None
        self._finished: List[mintfs.Database] = []
        self._kept: Set[str] = set()
        #: Those of a run of pytest around this one are not ours to keep or to count.
        self._others = _database.live()
        self._made_before = dict(_database.made)
        self._of_workers: List[Dict[str, Any]] = []
        # Before there are workers, so that all of them are part of one run.
        if not self.is_worker and _has_no_command():
            try:
                (_run.current().directory / "told").touch()  # the last line will tell
            except (mintfs.Error, OSError):
                pass  # who asks for a database is told; other projects' tests go on

    # -- keeping

    def finish(self, database: mintfs.Database) -> None:
        """Whether the test fails in its teardown is not known before its end."""
        if self.keeps:
            self._finished.append(database)
        else:
            self._close(database)

    def _close(self, database: mintfs.Database) -> None:
        self.shared.pop(id(database), None)
        database.close()

    @pytest.hookimpl(hookwrapper=True)  # type: ignore[misc]
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, None]:
        report = (yield).get_result()
        if not self.keeps:
            return
        if report.when == "setup":
            self._kept.discard(item.nodeid)
        if report.failed and item.nodeid not in self._kept:
            self._keep(item, report)
        if report.when == "teardown":
            for database in self._finished:
                self._close(database)
            self._finished.clear()

    def _keep(self, item: pytest.Item, report: pytest.TestReport) -> None:
        live = [database for database in _database.live() if database not in self._others]
        databases = [database for database in live if self._concerns(item, database)]
        if not databases and self.memory is None:
            return
        self._kept.add(item.nodeid)
        try:
            place = self._make_place(item.nodeid)
            for number, database in enumerate(databases):
                part = place if number == 0 else place / str(number + 1)
                shutil.copytree(database.directory, part, symlinks=True, dirs_exist_ok=True)
            if self.memory is not None:
                _save(self.memory, place / "memory.db")
            told = str(place)
        except (OSError, sqlite3.Error) as error:
            told = f"not kept: {error}"
        item.user_properties.append((KEPT, told))
        report.user_properties.append((KEPT, told))

    def _concerns(self, item: pytest.Item, database: mintfs.Database) -> bool:
        fixture = self.shared.get(id(database))
        return fixture is None or fixture in getattr(item, "fixturenames", ())

    def _make_place(self, nodeid: str) -> Path:
        """In the cache's directory, or where one can be made: the checkout may be read-only."""
        name = re.sub(r"[^\w.-]+", "_", nodeid)
        if name != nodeid or len(name) > NAME_LENGTH:
            digest = hashlib.sha256(nodeid.encode("utf-8", "surrogatepass")).hexdigest()
            name = f"{name[-NAME_LENGTH:].lstrip('.')}-{digest[:8]}"
        cache = Path(str(self.config.rootpath)) / _cache_directory(self.config) / "mintfs"
        try:
            shutil.rmtree(cache / name, ignore_errors=True)
            (cache / name).mkdir(parents=True)
            (cache / ".gitignore").write_text("*\n")  # pytest's own covers what it makes itself
        except OSError:
            cache = make_directory(Path(_settings.fixed().temporary), "mintfs-kept-")
            (cache / name).mkdir()
        _kept.tell(cache, name)
        return cache / name

    # -- telling

    def pytest_sessionfinish(self) -> None:
        if self.is_worker:
            self.config.workeroutput["mintfs"] = self._counts()  # type: ignore[attr-defined]

    @pytest.hookimpl(optionalhook=True)  # type: ignore[misc]
    def pytest_testnodedown(self, node: Any) -> None:
        counts = getattr(node, "workeroutput", {}).get("mintfs")
        if counts:
            self._of_workers.append(counts)

    def _counts(self) -> Dict[str, Any]:
        """In types that can be sent."""
        templates = {}
        for key, source in _database.keys_used.items():
            try:
                described = source.template(key)
            except mintfs.Error:
                continue  # it was evicted meanwhile
            templates[key] = (described.created_ns, described.build_time_ns)
        before = self._made_before
        made = {name: n - before.get(name, 0) for name, n in _database.made.items()}
        return {"made": {name: n for name, n in made.items() if n}, "templates": templates}

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        kept = {}
        for reports in terminalreporter.stats.values():
            for report in reports:
                for name, value in getattr(report, "user_properties", ()):
                    if name == KEPT:
                        kept[report.nodeid] = value
        if kept:
            terminalreporter.section("databases of failed tests")
            for nodeid, place in kept.items():
                terminalreporter.write_line(f"{nodeid}: {place}")
        line = self._summary([self._counts(), *self._of_workers])
        if line:
            terminalreporter.write_line(line)

    def _summary(self, counts: List[Dict[str, Any]]) -> str:
        made: Dict[str, int] = {}
        templates: Dict[str, Tuple[int, int]] = {}
        for part in counts:
            templates.update(part["templates"])
            for backend, count in part["made"].items():
                made[backend] = made.get(backend, 0) + count
        if not templates:
            return ""
        if _has_no_command():
            hits = []
        else:
            hits = [saved for created, saved in templates.values() if created < self.started_ns]
        parts = [
            _count(len(hits), "hit"),
            f"{len(templates) - len(hits)} built",
            *(f"{_count(n, 'database')} {BACKENDS[name]}" for name, n in sorted(made.items())),
            f"{sum(hits) / 1e9:.1f} s saved",
        ]
        if _has_no_command():
            parts.append(_command.find().why_not)
        return "mintfs: " + ", ".join(parts)


RECORDER = pytest.StashKey[Recorder]()


def _has_no_command() -> bool:
    """One that was named and cannot be run is an error where it is used, not of each run."""
    try:
        return _command.find().path is None
    except mintfs.Error:
        return False


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _cache_directory(config: pytest.Config) -> str:
    try:
        return str(config.getini("cache_dir"))
    except (KeyError, ValueError):
        return ".pytest_cache"  # without pytest's cache plugin


def _save(connection: sqlite3.Connection, path: Path) -> None:
    """What the test wrote counts, committed or not."""
    connection.commit()
    copy = sqlite3.connect(path)
    try:
        connection.backup(copy)
    finally:
        copy.close()
