"""Databases of sessions, and the sealed databases of templates."""

import atexit
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Type

from . import _command, _owner, _settings, _sources, _test_run
from ._errors import Error, NotFound, SeveralDatabases, UsageError, listed
from ._project_conf import DEFAULT_DATABASE
from ._remove_tree import remove_tree
from ._sessions import Session, Source, Template
from ._stdlib import Path, PurePath, os, public_path, sqlite3
from ._unique_names import make_directory
from ._urls import Option, file_uri, sqlalchemy_url


class Url(str):
    """The SQLAlchemy URL of the only database. Called with a file's name, it returns the URL of
    that file."""

    _make: Callable[..., str]

    def __new__(cls, text: str, make: Callable[..., str]) -> "Url":
        url = super().__new__(cls, text)
        url._make = make
        return url

    def __call__(
        self, file: Optional[str] = None, driver: Optional[str] = None, **options: Option
    ) -> str:
        return self._make(file, driver, **options)

    def __reduce__(self) -> Tuple[Type[str], Tuple[str]]:
        return str, (str(self),)


class _NoUrl(Url):
    """The `url` of a template with several databases. It can be called with a file's name; using it
    as text raises an error that lists the databases, or yields that list."""

    def __str__(self) -> str:
        return self._make()

    def __format__(self, how: str) -> str:
        return self._make()


class Files:
    """The files of a template: its own, or a session's."""

    #: The directory with the files.
    directory: Path
    #: The template's key.
    key: str
    #: Options that each URL gets.
    options: Dict[str, Option] = {}

    def _template(self) -> Template:
        raise NotImplementedError

    def databases(self) -> Sequence[str]:
        """The SQLite databases of the template, relative to the directory."""
        return self._template().databases

    def path(self, file: Optional[str] = None) -> Path:
        """The path of that file, by default of the only database. If no file is a SQLite database
        (it may be encrypted), the file that the builder was asked for, or the only file."""
        if file is None:
            names = self.databases()
            only = names[0] if len(names) == 1 else None if names else self._template().file
            if only is None:
                raise SeveralDatabases(f"template {self.key[:12]}", names)
            return self.directory / only
        name = PurePath(file)
        if name.is_absolute() or ".." in name.parts:
            raise UsageError(f"{file}: a file's name is relative to the database's directory")
        path = self.directory / str(name)
        if not os.path.exists(path):
            databases = listed(self.databases())
            raise NotFound(f"no {file} in {self.directory}; databases there: {databases}")
        return path

    def uri(self, file: Optional[str] = None, **options: Option) -> str:
        """The path as a file: URI, for sqlite3.connect(..., uri=True)."""
        return file_uri(self.path(file), **{**self.options, **options})

    @property
    def url(self) -> Url:
        """For create_engine(): `url`, or `url("app.db")`, or `url(driver="aiosqlite")`."""
        try:
            return Url(self._url(), self._url)
        except SeveralDatabases as several:
            return _NoUrl(str(several), self._url)

    def _url(
        self, file: Optional[str] = None, driver: Optional[str] = None, **options: Option
    ) -> str:
        return sqlalchemy_url(self.path(file), driver, **{**self.options, **options})


class Sealed(Files):
    """A template's own files, read-only."""

    options = {"mode": "ro", "immutable": 1}

    def __init__(self, source: Source, template: str) -> None:
        described = source.template(template)
        self.directory = public_path(described.directory)
        self.key = described.key
        self._described = described

    def _template(self) -> Template:
        return self._described


class Database(Files):
    """A private, writable database. It exists until close()."""

    #: "fuse", "copy", or "none" if it was made without the mintfs command.
    backend: str

    def __init__(self, source: Source, session: Session) -> None:
        self._source = source
        self._session: Optional[Session] = session
        self._pid = os.getpid()
        self.directory = public_path(session.directory)
        self.key = session.key
        self.backend = session.backend
        _live.append(self)

    def _template(self) -> Template:
        return self._source.template(self.key)

    def path(self, file: Optional[str] = None) -> Path:
        self._open_session()
        return super().path(file)

    def reset(self) -> None:
        """Replaces the files by fresh ones at the same path. Open handles keep the old files."""
        self._source.reset(self._open_session())

    def close(self) -> None:
        """Removes the database and everything in its directory. Calling it twice is harmless."""
        session, self._session = self._session, None
        if self in _live:
            _live.remove(self)
        if session and self._pid == os.getpid():
            self._source.remove(session)

    def _open_session(self) -> Session:
        if self._session is None:
            raise Error(f"the database in {self.directory} was closed")
        return self._session

    def __enter__(self) -> "Database":
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed " if self._session is None else ""
        return f"<mintfs.Database {state}{self.directory}>"


_live: List[Database] = []
#: The number of databases that this process has made, by backend; and the templates used.
made: Dict[str, int] = {}
keys_used: Dict[str, Source] = {}


def live() -> List[Database]:
    """The databases of this process that are not closed."""
    return [database for database in _live if database._pid == os.getpid()]


def make(template: str) -> Database:
    source = _sources.of(template)
    database = Database(source, source.new(template))
    made[database.backend] = made.get(database.backend, 0) + 1
    keys_used[database.key] = source
    return database


def sealed(template: str) -> Sealed:
    return Sealed(_sources.of(template), template)


def fill_memory(template: str, file: Optional[str], **options: Any) -> sqlite3.Connection:
    files = sealed(template)
    keys_used[files.key] = _sources.of(template)
    connection = sqlite3.connect(":memory:", **options)
    original = sqlite3.connect(files.uri(file), uri=True)
    try:
        original.backup(connection)
    finally:
        original.close()
    return connection


class _EmptySource(Source):
    """Empty directories."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file

    def new(self, key: str) -> Session:
        directory = make_directory(Path(_settings.fixed().temporary), "mintfs-nothing-")
        return Session(directory, key, "nothing", "it was asked for")

    def reset(self, session: Session) -> None:
        session.directory.mkdir(mode=0o700, exist_ok=True)
        for path in session.directory.iterdir():
            if path.is_dir() and not path.is_symlink():
                remove_tree(path)
            else:
                path.unlink()

    def remove(self, session: Session) -> None:
        remove_tree(session.directory)

    def _describe(self, text: str, place: Path) -> Template:
        return Template(text, Path(), (self.file,), self.file, 0, 0)


class EmptyDatabase(Database):
    """For tests that start from nothing: a path at which no file exists yet."""

    def __init__(self, file: str = DEFAULT_DATABASE) -> None:
        source = _EmptySource(file)
        super().__init__(source, source.new("nothing"))
        self._file = file

    def path(self, file: Optional[str] = None) -> Path:
        self._open_session()
        return self.directory / (file or self._file)


def close_all() -> None:
    """Closes all databases of this process, before it ends."""
    for database in live():
        try:
            database.close()
        except (Error, OSError) as error:
            _command.pass_on(f"mintfs: {error}\n")
    _owner.leave()
    _test_run.leave()


atexit.register(close_all)
