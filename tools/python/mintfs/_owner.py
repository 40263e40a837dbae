"""How mintfs knows for how long this process needs its databases: by its number, and by a lock.

A number means another process in each PID namespace, so in each container. Where databases are
copies, all containers that share a store look at all of them; there the process also holds a lock,
on a file that `mintfs session new --owner-lock` names, so that others see when it is gone.
"""

import sys
from typing import Dict, List

from ._locks import Lasting, mutex
from ._stdlib import Path, os
from ._unique_names import new_token

#: For how long a database may live where its owner cannot be named.
UNOWNED = "--ttl=24h"

_held: Dict[str, Lasting] = {}  # by path: copies are made in several places
_held_by = 0  # the process
_name = ""
_mutex = mutex()


def number() -> List[str]:
    return [f"--owner={os.getpid()}"]


def number_and_lock() -> List[str]:
    """Options of `mintfs session new`, whose answer is for hold()."""
    if sys.platform != "linux":
        return number()
    with _mutex:
        _begin()
        return [*number(), f"--owner-lock={_name}"]


def hold(path: str) -> None:
    """Locks the file that the command has told, as long as this process lives."""
    with _mutex:
        _begin()
        if path not in _held:
            _held[path] = Lasting(Path(path), shared_with_forks=False)


def _begin() -> None:
    """A fork of the owner is another owner."""
    global _held_by, _name
    if _held_by != os.getpid():
        _held.clear()
        _held_by, _name = os.getpid(), f"py-{os.getpid()}-{new_token()[:12]}"


def leave() -> None:
    """When this process has no databases any more."""
    with _mutex:
        if _held_by != os.getpid():
            return
        for path, lock in _held.items():
            _remove(Path(path))
            lock.release()
        _held.clear()


def _remove(path: Path) -> None:
    """With the directories around it that are empty then, but for that of copies in the store."""
    try:
        path.unlink()
        for parent in list(path.parents)[:3]:
            if parent.name == "copies":
                return
            parent.rmdir()
    except OSError:
        pass  # others are there, or it was all removed
