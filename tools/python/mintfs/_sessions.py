"""Databases as processes get them: made, reset and removed, wherever they come from.

One process asks the command once for each template. Where the answer lies on a mount, all further
databases of that template are made by mkdir and removed by rmdir: the file system is the interface.
An attribute of such a directory names the process with whose end it goes, however that ends.
"""

import stat
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Dict, Iterable, Optional, Tuple

from . import _command, _owner, _settings
from ._errors import Error, NotFound, UsageError
from ._stdlib import Path, os
from ._unique_names import new_id

# With the sticky bit, a test that removes the directory and makes it again finds it empty, as it
# would a copy, and not with the template's files (fs/mount/emptied_sessions.h).
MODE = stat.S_IRWXU | stat.S_ISVTX
OWNER_ATTRIBUTE = "user.mintfs.owner"


@dataclass(frozen=True)
class Session:
    """A directory with the files of a template, for one user to write to."""

    directory: Path
    key: str
    #: "fuse", "copy", or "none": a copy made without the command.
    backend: str
    why: str


@dataclass(frozen=True)
class Template:
    """Its own files, which nobody may write to."""

    key: str
    directory: Path
    #: Of its files those that are databases of SQLite, relative to the directory.
    databases: Tuple[str, ...]
    #: Where there are none: the file that the builder was asked for, or the only one. An encrypted
    #: database is a file like any other.
    file: Optional[str]
    created_ns: int
    build_time_ns: int


def choose_databases(
    files: Iterable[Tuple[str, bool]], asked: str
) -> Tuple[Tuple[str, ...], Optional[str]]:
    """`databases` and `file`, out of (path, is it SQLite's?) and the name of the file asked for."""
    listed = sorted(files)
    paths = [path for path, _ in listed]
    file = asked if asked in paths else paths[0] if len(paths) == 1 else None
    return tuple(path for path, is_sqlite in listed if is_sqlite), file


class Source(ABC):
    """Where sessions come from. Threads may share it: what they note twice is the same."""

    def __init__(self) -> None:
        self._templates: Dict[str, Template] = {}

    @abstractmethod
    def new(self, key: str) -> Session:
        pass

    @abstractmethod
    def reset(self, session: Session) -> None:
        """The same path, new files; handles that are open keep the old."""

    @abstractmethod
    def remove(self, session: Session) -> None:
        """One that is gone already is no error."""

    @abstractmethod
    def _describe(self, text: str, place: Path) -> Template:
        pass

    def template(self, text: str, place: Path = Path(os.sep)) -> Template:
        """Of a key, or of a name as it is understood in a directory. Templates never change, so
        asking once for a key is enough."""
        known = self._templates.get(text)
        if known is None:
            known = self._describe(text, place)
            self._templates[known.key] = known
        return known


class CommandSource(Source):
    """The mintfs command, and its mount where there is one."""

    def __init__(self, store: Dict[str, Optional[str]]) -> None:
        """`store`: the variables that choose it; a test may set them for the program under test."""
        super().__init__()
        self._store = store
        self._mounted: Dict[str, Session] = {}  # by key

    def _environ(self) -> Dict[str, str]:
        settings = _settings.fixed().environ
        env = {name: value for name, value in settings.items() if name not in self._store}
        env.update({name: value for name, value in self._store.items() if value is not None})
        return env

    def _run(self, *arguments: str) -> None:
        _command.run(arguments, self._environ())

    def new(self, key: str) -> Session:
        known = self._mounted.get(key)
        if known:
            directory = known.directory.with_name(new_id())
            try:
                _make(directory)
                return Session(directory, known.key, known.backend, known.why)
            except OSError:
                pass  # the mount is not what it was, and the command tells why
        return self._ask(key)

    def _ask(self, key: str) -> Session:
        said = self._run_new(key, new_id())
        if said.get("owner_lock"):
            _owner.hold(said["owner_lock"])
        session = Session(Path(said["path"]), said["key"], said["backend"], said["why"])
        if session.backend == "fuse":
            session.directory.chmod(MODE)
            self._mounted[session.key] = session
        return session

    def _run_new(self, *operands: str) -> Dict[str, Any]:
        """Owned by this process, as well as that can be said to the command or the mount."""

        def ask(*options: str) -> Dict[str, Any]:
            words = ["session", "new", "--json", *options, *operands]
            return _command.run_json(words, self._environ())

        try:
            return ask(*_owner.number_and_lock())
        except UsageError:  # an earlier version of the command
            return ask(*_owner.number())
        except Error as error:
            if type(error) is not Error:
                raise
            try:  # a daemon in another PID namespace, for one
                return ask(_owner.UNOWNED)
            except Error:
                raise error from None

    def reset(self, session: Session) -> None:
        if session.backend == "fuse":
            try:
                _renew(session.directory)
                return
            except OSError:
                pass  # as above
        self._run("session", "reset", str(session.directory))

    def remove(self, session: Session) -> None:
        if session.backend == "fuse":
            try:
                session.directory.rmdir()
                return
            except OSError:
                pass  # as above
        try:
            self._run("session", "rm", str(session.directory))
        except NotFound:
            pass

    def _describe(self, text: str, place: Path) -> Template:
        said = _command.run_json(["show", "--json", text], self._environ(), place)
        files = ((row["path"], row["sqlite"]) for row in said["files"] if row["type"] == "file")
        return Template(
            said["key"],
            Path(said["path"], "files"),
            *choose_databases(files, said["file"]),
            said["created_ns"],
            said["build_time_ns"],
        )


def _make(directory: Path) -> None:
    """A session of ours on the mount; or none, and OSError."""
    try:
        directory.mkdir(mode=MODE)
        if stat.S_IMODE(directory.stat().st_mode) != MODE:  # the umask took a part of it
            directory.chmod(MODE)
        if sys.platform == "linux":
            os.setxattr(directory, OWNER_ATTRIBUTE, str(os.getpid()).encode())
    except BaseException:  # an interrupt too: without an owner it would stay for a day
        _discard(directory)
        raise


def _discard(directory: Path) -> None:
    try:
        directory.rmdir()
    except OSError:
        pass  # it was not made


def _renew(directory: Path) -> None:
    """A new session is renamed over the old one, whose owner and time stay: one step to others."""
    mode = stat.S_IMODE(directory.stat().st_mode)
    fresh = directory.with_name(new_id())
    _make(fresh)
    try:
        if mode not in (MODE, stat.S_IRWXU):
            fresh.chmod(mode | stat.S_ISVTX)
        fresh.rename(directory)
    except BaseException:
        _discard(fresh)
        raise
