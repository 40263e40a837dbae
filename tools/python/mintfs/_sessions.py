"""Databases as processes get them: made, reset and removed, wherever they come from.

One process asks the command once for each template. Where the answer lies on a mount, all further
databases of that template are made by mkdir and removed by rmdir: the file system is the interface.
"""

import json
import os
import threading
import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional

from . import _command
from ._errors import Error, NotFound

BACKEND_VARIABLE = "MINTFS_BACKEND"


@dataclass(frozen=True)
class Session:
    """A directory with the files of a template, for one user to write to."""

    directory: Path
    key: str
    #: "fuse", "copy", or "none": a copy made without the command.
    backend: str
    why: str


class Source(ABC):
    """Where sessions come from."""

    @abstractmethod
    def new(self, template: str) -> Session:
        """Of a key or a name."""

    @abstractmethod
    def reset(self, session: Session) -> None:
        """The same path, new files; handles that are open keep the old."""

    @abstractmethod
    def remove(self, session: Session) -> None:
        """One that is gone already is no error."""

    @abstractmethod
    def sealed(self, session: Session) -> Optional[Path]:
        """Where the template's own files can be read, if that is known."""


def new_id() -> str:
    """Tells people whose it is."""
    return f"py-{os.getpid()}-{uuid.uuid4().hex[:12]}"


class CommandSource(Source):
    """The mintfs command, and its mount where there is one."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        # By key or name as asked for: a name stands for what it meant first, for a whole test run.
        self._mounted: Dict[str, Session] = {}

    def new(self, template: str) -> Session:
        with self._mutex:
            known = self._mounted.get(template)
        session = self._make(known) if known else None
        return session or self._ask(template)

    def _make(self, known: Session) -> Optional[Session]:
        """By mkdir alone; None if the mount is not what it was."""
        directory = known.directory.parent / new_id()
        try:
            directory.mkdir(mode=0o700)
        except OSError:
            return None  # the command knows why
        return Session(directory, known.key, known.backend, known.why)

    def _ask(self, template: str) -> Session:
        printed = _command.run(["session", "new", "--json", template, new_id()])
        said = json.loads(printed)
        session = Session(Path(said["path"]), said["key"], said["backend"], said["why"])
        if session.backend == "fuse":
            with self._mutex:
                self._mounted[template] = self._mounted[session.key] = session
        return session

    def reset(self, session: Session) -> None:
        _command.run(["session", "reset", str(session.directory)])

    def remove(self, session: Session) -> None:
        if session.backend == "fuse":
            try:
                session.directory.rmdir()
            except FileNotFoundError:
                pass
            except OSError as error:
                raise Error(f"cannot remove the session {session.directory}: {error}") from None
            return
        try:
            _command.run(["session", "rm", str(session.directory)])
        except NotFound:
            pass

    def sealed(self, session: Session) -> Optional[Path]:
        if session.backend != "fuse":
            return None
        return session.directory.parents[2] / "templates" / session.key
