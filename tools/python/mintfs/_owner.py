"""How mintfs knows that this process still needs its databases: by its process ID, and by a lock.

In another PID namespace, and so in each container, a process ID means another process. All
containers that share a store see all copies in it. So for copies the process also holds a lock, on
a file that `mintfs session new --owner-lock` names, from which others see when it has ended.
"""

import sys
from typing import Dict, List

from ._locks import Lasting, mutex
from ._stdlib import Path, os
from ._unique_names import new_token

#: The option for a database whose owner cannot be named: a time to live.
UNOWNED = "--ttl=24h"

_held: Dict[str, Lasting] = {}  # by path: copies are made in several places
_held_by = 0  # the process ID
_name = ""
_mutex = mutex()


def pid_option() -> List[str]:
    return [f"--owner={os.getpid()}"]


def pid_and_lock_options() -> List[str]:
    """Options of `mintfs session new`, which prints the path to pass to hold()."""
    if sys.platform != "linux":
        return pid_option()
    with _mutex:
        _begin()
        return [*pid_option(), f"--owner-lock={_name}"]


def hold(path: str) -> None:
    """Locks this file until the process ends."""
    with _mutex:
        _begin()
        if path not in _held:
            _held[path] = Lasting(Path(path), shared_with_forks=False)


def _begin() -> None:
    """Starts afresh in a forked process, which is another owner."""
    global _held_by, _name
    if _held_by != os.getpid():
        _held.clear()
        _held_by, _name = os.getpid(), f"py-{os.getpid()}-{new_token()[:12]}"


def leave() -> None:
    """Releases the locks, when this process has no databases any more."""
    with _mutex:
        if _held_by != os.getpid():
            return
        for path, lock in _held.items():
            _remove(Path(path))
            lock.release()
        _held.clear()


def _remove(path: Path) -> None:
    """Removes the file, and its parents if they are empty, but not the store's directory of
    copies."""
    try:
        path.unlink()
        for parent in list(path.parents)[:3]:
            if parent.name == "copies":
                return
            parent.rmdir()
    except OSError:
        pass  # the directory is in use, or was removed already
