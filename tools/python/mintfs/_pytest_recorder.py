"""Keeps the databases of failed tests, and prints the summary at the end of a pytest run."""

import re
from typing import Any, Dict, Generator, List, Optional, Set, Tuple

import mintfs
import pytest

from . import _command, _database, _fallback, _kept_databases, _settings, _template
from ._stdlib import Path, hashlib, shutil, sqlite3
from ._unique_names import make_directory

KEPT = "mintfs_kept"  # the property of a test report that contains the path
NAME_LENGTH = 80
BACKENDS = {"fuse": "on a mount", "copy": "copied", "none": "copied without the command"}


class Recorder:
    """Of one process; the workers of pytest-xdist send their counts to the controller."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.keeps: bool = config.getoption("mintfs_keep_failed")
        self.is_worker = hasattr(config, "workerinput")
        self.started_ns = _template.started_ns()
        #: The names of the fixtures whose databases outlive a test, by the database's id().
        self.shared: Dict[int, str] = {}
        self.memory: Optional[sqlite3.Connection] = None
        self._finished: List[mintfs.Database] = []
        self._kept: Set[str] = set()
        #: If pytest runs inside a test of another run, databases of the outer run are not counted.
        self._others = _database.live()
        self._made_before = dict(_database.made)
        self._of_workers: List[Dict[str, Any]] = []
        # Join a test run before there are workers, so that all of them are part of it.
        if not self.is_worker and _has_no_command():
            try:
                _fallback.suppress_warning()  # the summary has the reason
            except (mintfs.Error, OSError):
                pass  # raised again for a test that needs a database; others run

    # -- keeping

    def finish(self, database: mintfs.Database) -> None:
        """Closes a database, but with --mintfs-keep-failed not before the teardown has ended: it
        may fail, too."""
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
            result = str(place)
        except (OSError, sqlite3.Error) as error:
            result = f"not kept: {error}"
        item.user_properties.append((KEPT, result))
        report.user_properties.append((KEPT, result))

    def _concerns(self, item: pytest.Item, database: mintfs.Database) -> bool:
        fixture = self.shared.get(id(database))
        return fixture is None or fixture in getattr(item, "fixturenames", ())

    def _make_place(self, nodeid: str) -> Path:
        """In pytest's cache directory, or below TMPDIR if the checkout is read-only."""
        name = re.sub(r"[^\w.-]+", "_", nodeid)
        if name != nodeid or len(name) > NAME_LENGTH:
            digest = hashlib.sha256(nodeid.encode("utf-8", "surrogatepass")).hexdigest()
            name = f"{name[-NAME_LENGTH:].lstrip('.')}-{digest[:8]}"
        cache = Path(str(self.config.rootpath)) / _cache_directory(self.config) / "mintfs"
        try:
            shutil.rmtree(cache / name, ignore_errors=True)
            (cache / name).mkdir(parents=True)
            (cache / ".gitignore").write_text("*\n")  # if pytest has not written its own
        except OSError:
            cache = make_directory(Path(_settings.fixed().temporary), "mintfs-kept-")
            (cache / name).mkdir()
        _kept_databases.record(cache, name)
        return cache / name

    # -- summary

    def pytest_sessionfinish(self) -> None:
        if self.is_worker:
            self.config.workeroutput["mintfs"] = self._counts()  # type: ignore[attr-defined]

    @pytest.hookimpl(optionalhook=True)  # type: ignore[misc]
    def pytest_testnodedown(self, node: Any) -> None:
        counts = getattr(node, "workeroutput", {}).get("mintfs")
        if counts:
            self._of_workers.append(counts)

    def _counts(self) -> Dict[str, Any]:
        """In types that pytest-xdist can send."""
        templates = {}
        for key, source in _database.keys_used.items():
            try:
                described = source.template(key)
            except mintfs.Error:
                continue  # evicted meanwhile
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
    """False also if $MINTFS_BINARY cannot be run: that is an error of the tests that use it."""
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
    """Saves all that the test has written, committed or not."""
    connection.commit()
    copy = sqlite3.connect(path)
    try:
        connection.backup(copy)
    finally:
        copy.close()
