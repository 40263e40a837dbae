"""A test run's directory, on machines without the mintfs command.

    TMP/mintfs-runs-UID/lock            held while a process joins or leaves a run
    TMP/mintfs-runs-UID/RUN/users/...   one file per process, locked until the process ends
    TMP/mintfs-runs-UID/RUN/...         templates and databases, see _fallback.py

A test run consists of a process and all that inherit MINTFS_RUN from it: the workers of
pytest-xdist, forks, all sessions of nox. The last process to leave removes the directory. The
directories of killed runs are removed by the next run.
"""

import os as real_os
import stat
import sys
from typing import Optional

from . import _settings
from ._errors import Error
from ._locks import Lasting, held, is_held, mutex
from ._remove_tree import remove_tree
from ._stdlib import Path, hashlib, os
from ._unique_names import new_token

VARIABLE = "MINTFS_RUN"
XDIST_VARIABLE = "PYTEST_XDIST_TESTRUNUID"
SHARED_MEMORY = Path("/dev/shm")


class Run:
    """A test run that this process has joined."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._base = directory.parent
        #: A directory in memory for databases, made when first used.
        self.memory = memory_of(directory)
        self.pid = os.getpid()
        #: Identifies this process's membership.
        self.token = f"{self.pid}-{new_token()}"
        self._user = directory / "users" / self.token
        self._user.parent.mkdir(parents=True, exist_ok=True)
        self._lock: Optional[Lasting] = Lasting(self._user, shared_with_forks=True)

    def exists(self) -> bool:
        return self._user.parent.is_dir()

    def leave(self) -> None:
        """Leaves the run; but a fork of the process that joined stays a member, and keeps it."""
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
            pass  # the temporary directory was cleaned up


_current: Optional[Run] = None
_mutex = mutex()


def base() -> Path:
    temporary = _settings.known().temporary
    if sys.platform == "win32":  # pragma: no cover - the temporary directory is the user's there
        return Path(temporary, "mintfs-runs")
    else:
        return Path(temporary, f"mintfs-runs-{os.getuid()}")


def memory_of(directory: Path) -> Path:
    """Depends on the whole path: runs in several temporary directories may have the same name."""
    digest = hashlib.sha256(os.fsencode(directory.absolute())).hexdigest()
    return SHARED_MEMORY / f"{directory.parent.name}-{digest[:16]}"


def current() -> Run:
    """The run of this process, which it joins or begins if necessary."""
    global _current
    with _mutex:
        if _current is None or not _current.exists():
            _current = _join()
        return _current


def leave() -> None:
    """Leaves the run, before the process ends; the next current() joins or begins one again."""
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
    """The inherited name. In the workers of pytest-xdist, whose parent may not have loaded mintfs,
    it comes from the ID of the xdist run."""
    name = _settings.variable(VARIABLE)
    if name.isalnum():
        return name
    xdist = _settings.variable(XDIST_VARIABLE)
    return "xdist" + xdist if xdist.isalnum() else new_token()


def _make_base() -> None:
    """Makes the directory for all runs. Everybody may write to its parent, so check that it is
    ours."""
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
        raise Error(f"{path} is not private to this user: remove it, or set TMPDIR")


def _sweep() -> None:
    for directory in base().iterdir():
        if directory.name != "lock":
            _remove_if_dead(directory)


def _remove_if_dead(directory: Path) -> None:
    for user in directory.glob("users/*"):
        if is_held(user):
            return
    memory = memory_of(directory)
    for place in (directory, memory):
        if place.is_dir() and not place.is_symlink():
            try:
                remove_tree(place)
            except OSError:
                pass  # the next run sweeps again
