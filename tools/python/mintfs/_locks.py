"""Locks between processes, on a file, which the kernel releases when the holder dies; and locks
between threads, which are free in a forked child."""

import ctypes
import mmap
import sys
from contextlib import contextmanager
from typing import Any, Iterator, Optional

from ._stdlib import Path, _thread, os, time

MODE = 0o600

if sys.platform == "win32":  # pragma: no cover - not run on Linux, but its types are checked
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

    def _unlock(fd: int) -> None:
        """Closing the file releases the lock."""

else:
    from ._stdlib import fcntl

    def _lock(fd: int, wait: bool) -> bool:
        """flock(2): each open file has its own lock, so that threads exclude one another, too."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


def mutex() -> _thread.LockType:
    """A lock between threads. In a forked child it is free, because the thread that held it does
    not exist there and would never release it."""
    lock = _thread.allocate_lock()
    if sys.platform != "win32":
        os.register_at_fork(after_in_child=getattr(lock, "_at_fork_reinit"))
    return lock


def take(path: Path) -> int:
    """Waits for the lock. Closing the returned descriptor releases it.

    A forked child shares the lock with its parent until both have closed it.
    """
    while True:
        fd = _take_once(path, wait=True)
        if fd is not None:
            return fd
        time.sleep(0.001)  # its holder removed the file meanwhile


def is_held(path: Path) -> bool:
    """Whether another process, or another descriptor of this one, holds the lock."""
    fd = _take_once(path, wait=False)
    if fd is None:
        return True
    os.close(fd)
    return False


def _take_once(path: Path, wait: bool) -> Optional[int]:
    """None if another holds it and `wait` is false, or if the file was removed meanwhile."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), MODE)
    try:
        if _lock(fd, wait) and _is_still(fd, path):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _is_still(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


class Lasting:
    """A lock that this process holds until it ends or releases it.

    Tests close descriptors that are not theirs, for example by os.closerange(). So the file is
    mapped as well: the kernel frees the lock when both are gone. The descriptor survives exec*(),
    which a mapping does not.
    """

    def __init__(self, path: Path, *, shared_with_forks: bool) -> None:
        self._fd = fd = take(path)
        self._address: Optional[int] = None
        os.write(fd, b"\n")  # tells a reader that the lock has been taken
        self._status = os.fstat(fd)
        if sys.platform != "win32":
            os.set_inheritable(fd, True)
            self._address = _map(fd, shared_with_forks)
            if not shared_with_forks:
                os.register_at_fork(after_in_child=self._close)

    def release(self) -> None:
        self._close()
        if sys.platform != "win32" and self._address is not None:
            _libc().munmap(self._address, mmap.PAGESIZE)
        self._address = None

    def _close(self) -> None:
        """Closes the descriptor, unless a test has closed it and its number is another file now."""
        try:
            if self._fd >= 0 and os.path.samestat(self._status, os.fstat(self._fd)):
                os.close(self._fd)
        except OSError:
            pass
        self._fd = -1


if sys.platform != "win32":

    def _libc() -> Any:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        return libc

    def _map(fd: int, shared_with_forks: bool) -> Optional[int]:
        """Maps the file; None on failure. mmap.mmap() would keep a descriptor of its own."""
        libc = _libc()
        address: int = libc.mmap(None, mmap.PAGESIZE, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
        if address in (None, ctypes.c_void_p(-1).value):
            return None
        if not shared_with_forks and sys.platform == "linux":
            libc.madvise(address, mmap.PAGESIZE, mmap.MADV_DONTFORK)
        return address


@contextmanager
def held(path: Path) -> Iterator[None]:
    fd = take(path)
    try:
        yield
    finally:
        _unlock(fd)  # closing is not enough if another thread has forked meanwhile
        os.close(fd)
