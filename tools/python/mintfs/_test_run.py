"""A test run's own directory, on machines without the mintfs command.

    TMP/mintfs-runs-UID/lock            held while runs come and go
    TMP/mintfs-runs-UID/RUN/users/...   one file a process, locked as long as it lives
    TMP/mintfs-runs-UID/RUN/...         templates and databases, see _fallback.py

A test run is what inherits MINTFS_RUN from one process: the workers of pytest-xdist, forks, all
sessions of nox. Whoever leaves last removes the directory; what killed runs left is removed by the
next run.
"""

import os as real_os
import stat
import sys
from typing import Optional

from . import _settings
from ._errors import Error
from ._locks import Lasting, held, mutex, take
from ._remove_tree import remove_tree
from ._stdlib import Path, hashlib, os
from ._unique_names import new_token

VARIABLE = "MINTFS_RUN"
XDIST_VARIABLE = "PYTEST_XDIST_TESTRUNUID"
SHARED_MEMORY = Path("/dev/shm")


class Run:
    """One that this process is part of."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._base = directory.parent
        #: The same in memory, for databases; made when first used.
        self.memory = memory_of(directory)
        self.pid = os.getpid()
        #: Of this joining alone.
        self.token = f"{self.pid}-{new_token()}"
        self._user = directory / "users" / self.token
        self._user.parent.mkdir(parents=True, exist_ok=True)
        self._lock: Optional[Lasting] = Lasting(self._user, shared_with_forks=True)

    def is_there(self) -> bool:
        return self._user.parent.is_dir()

    def leave(self) -> None:
        """For the process that joined; a fork of it stays, and keeps the run."""
        if self._lock is None or self.pid != os.getpid():
            return
        self._lock.release()
        self._lock = None
        try:
            with held(self._base / "lock"):
                _remove_if_dead(self.directory)
                if sys.platform != "win32" and os.listdir(self._base) == ["lock"]:
                    os.unlink(self._base / "lock")
                    os.rmdir(self._base)
        except FileNotFoundError:
            pass  # somebody cleaned up the temporary directory


_current: Optional[Run] = None
_mutex = mutex()


def base() -> Path:
    temporary = _settings.known().temporary
    if sys.platform == "win32":  # pragma: no cover - the temporary directory is the user's there
        return Path(temporary, "mintfs-runs")
    else:
        return Path(temporary, f"mintfs-runs-{os.getuid()}")


def memory_of(directory: Path) -> Path:
    """Runs of one name can be two, where one of them has another temporary directory."""
    digest = hashlib.sha256(os.fsencode(directory.absolute())).hexdigest()
    return SHARED_MEMORY / f"{directory.parent.name}-{digest[:16]}"


def current() -> Run:
    """The run of this process, joined or begun."""
    global _current
    with _mutex:
        if _current is None or not _current.is_there():
            _current = _join()
        return _current


def leave() -> None:
    """Before the process ends, if that is known; the next current() begins anew."""
    global _current
    with _mutex:
        if _current is not None:
            _current.leave()
            _current = None


def _join() -> Run:
    while True:
        _make_base()
        try:
            with held(base() / "lock"):
                _sweep()
                run = Run(base() / _name())
        except FileNotFoundError:
            continue  # the last user of another run has just removed it all
        real_os.environ[VARIABLE] = run.directory.name
        return run


def _name() -> str:
    """Handed down; or the same in all workers of pytest-xdist, whose parent knows nothing of us."""
    name = _settings.variable(VARIABLE)
    if name.isalnum():
        return name
    xdist = _settings.variable(XDIST_VARIABLE)
    return "xdist" + xdist if xdist.isalnum() else new_token()


def _make_base() -> None:
    """Ours alone, in a place where everybody may make directories."""
    path = base()
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    if sys.platform == "win32":  # pragma: no cover - the temporary directory is the user's there
        return
    status = path.lstat()
    if (
        not stat.S_ISDIR(status.st_mode)
        or status.st_uid != os.getuid()
        or stat.S_IMODE(status.st_mode) & 0o077
    ):
        raise Error(f"{path} is not this user's alone: remove it, or set TMPDIR")


def _sweep() -> None:
    for directory in base().iterdir():
        if directory.name != "lock":
            _remove_if_dead(directory)


def _remove_if_dead(directory: Path) -> None:
    for user in directory.glob("users/*"):
        fd = take(user, wait=False)
        if fd is None:
            return
        os.close(fd)
    memory = memory_of(directory)
    for place in (directory, memory):
        if place.is_dir() and not place.is_symlink():
            try:
                remove_tree(place)
            except OSError:
                pass  # the next run sweeps again
