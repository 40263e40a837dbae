"""Sessions as a process creates, resets and removes them, from the command or without it.

A process asks the command once for each template. If that session is on a mount, all further
sessions of the template are made by mkdir and removed by rmdir: the file system is the interface.
An attribute of such a directory names the owner process, at whose end the session is removed.
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
    """A directory with the files of a template, private and writable."""

    directory: Path
    key: str
    #: "fuse", "copy", or "none": a copy made without the command.
    backend: str
    why: str


@dataclass(frozen=True)
class Template:
    """A template's own files, read-only."""

    key: str
    directory: Path
    #: The files that are SQLite databases, relative to the directory.
    databases: Tuple[str, ...]
    #: If there are none, for example because they are encrypted: the file that the builder was
    #: asked for, or the only file.
    file: Optional[str]
    created_ns: int
    build_time_ns: int


def choose_databases(
    files: Iterable[Tuple[str, bool]], asked: str
) -> Tuple[Tuple[str, ...], Optional[str]]:
    """Template's `databases` and `file`, from pairs (path, whether it is a SQLite database) and the
    name of the file that the builder was asked for."""
    listed = sorted(files)
    paths = [path for path, _ in listed]
    file = asked if asked in paths else paths[0] if len(paths) == 1 else None
    return tuple(path for path, is_sqlite in listed if is_sqlite), file


class Source(ABC):
    """Where sessions come from. Threads may share it: if two store a value, it is the same."""

    def __init__(self) -> None:
        self._templates: Dict[str, Template] = {}

    @abstractmethod
    def new(self, key: str) -> Session:
        pass

    @abstractmethod
    def reset(self, session: Session) -> None:
        """Replaces the files at the same path; open handles keep the old ones."""

    @abstractmethod
    def remove(self, session: Session) -> None:
        """It is not an error if the session does not exist any more."""

    @abstractmethod
    def _describe(self, text: str, place: Path) -> Template:
        pass

    def template(self, text: str, place: Path = Path(os.sep)) -> Template:
        """The template of a key, or of a name as the command resolves it in `place`. Templates
        never change, so one request per key is enough."""
        known = self._templates.get(text)
        if known is None:
            known = self._describe(text, place)
            self._templates[known.key] = known
        return known


class CommandSource(Source):
    """Sessions from the mintfs command, and from its mount if there is one."""

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
                pass  # the mount has changed or ended: the command reports why
        return self._ask(key)

    def _ask(self, key: str) -> Session:
        made = self._run_new(key, new_id())
        if made.get("owner_lock"):
            _owner.hold(made["owner_lock"])
        session = Session(Path(made["path"]), made["key"], made["backend"], made["why"])
        if session.backend == "fuse":
            session.directory.chmod(MODE)
            self._mounted[session.key] = session
        return session

    def _run_new(self, *operands: str) -> Dict[str, Any]:
        """Creates a session owned by this process, as far as the command and the mount support
        that."""

        def ask(*options: str) -> Dict[str, Any]:
            words = ["session", "new", "--json", *options, *operands]
            return _command.run_json(words, self._environ())

        try:
            return ask(*_owner.pid_and_lock_options())
        except UsageError:  # an earlier version of the command
            return ask(*_owner.pid_option())
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
        shown = _command.run_json(["show", "--json", text], self._environ(), place)
        files = ((row["path"], row["sqlite"]) for row in shown["files"] if row["type"] == "file")
        return Template(
            shown["key"],
            Path(shown["path"], "files"),
            *choose_databases(files, shown["file"]),
            shown["created_ns"],
            shown["build_time_ns"],
        )


def _make(directory: Path) -> None:
    """Creates a session on the mount, owned by this process. After an OSError there is none."""
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
    """Renames a new session over the old one, in one step; the mount keeps the old one's owner and
    times."""
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
