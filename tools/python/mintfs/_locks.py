"""Locks between processes, by a file. The kernel frees them when the holder dies."""

import sys
from contextlib import contextmanager
from typing import Iterator, Optional

from ._stdlib import Path, os, time

MODE = 0o600

if sys.platform == "win32":  # pragma: no cover - another system's branch; types are checked for it
    from ._stdlib import msvcrt

    def _lock(fd: int, wait: bool) -> bool:
        """LK_LOCK gives up after ten seconds."""
        while True:
            try:
                msvcrt.locking(fd, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
                return True
            except OSError:
                if not wait:
                    return False

else:
    from ._stdlib import fcntl

    def _lock(fd: int, wait: bool) -> bool:
        """flock(2): each opening of a file has its own, so threads exclude one another too."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True


def take(path: Path, wait: bool = True) -> Optional[int]:
    """The descriptor whose closing gives the lock back; None if another has it and `wait` is not.

    A forked child shares the lock with its parent until both have closed it.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    while True:
        fd = os.open(path, flags, MODE)
        try:
            taken = _lock(fd, wait)
            if taken and _is_still(fd, path):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        if not taken:
            return None
        time.sleep(0.001)  # its holder removed it meanwhile


def _is_still(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


@contextmanager
def held(path: Path) -> Iterator[None]:
    fd = take(path)
    assert fd is not None
    try:
        yield
    finally:
        os.close(fd)
