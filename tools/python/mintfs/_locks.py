"""Locks between processes, by a file. The kernel frees them when the holder dies. And locks between
threads, which a forked child finds free."""

import ctypes
import mmap
import sys
from contextlib import contextmanager
from typing import Any, Iterator, Optional

from ._stdlib import Path, _thread, os, time

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

    def _unlock(fd: int) -> None:
        """Closing does it."""

else:
    from ._stdlib import fcntl

    def _lock(fd: int, wait: bool) -> bool:
        """flock(2): each opening of a file has its own, so threads exclude one another too."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)


def mutex() -> _thread.LockType:
    """A lock between threads. The thread that held it does not exist in a forked child, which would
    wait for it in vain."""
    lock = _thread.allocate_lock()
    if sys.platform != "win32":
        os.register_at_fork(after_in_child=getattr(lock, "_at_fork_reinit"))
    return lock


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


class Lasting:
    """A lock that this process holds until it ends or releases it.

    Tests close descriptors that are not theirs, for example by os.closerange(). So the file is
    mapped as well: the kernel frees the lock when both are gone. The descriptor survives exec*(),
    which a mapping does not.
    """

    def __init__(self, path: Path, shared_with_forks: bool) -> None:
        fd = take(path)
        assert fd is not None
        self._fd = fd
        self._address: Optional[int] = None
        os.write(fd, b"\n")  # who looks knows from this that the lock was taken
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
        """Unless the descriptor was closed; its number may be another file's since."""
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
        """Not by mmap.mmap(), which keeps a descriptor of its own; None if it cannot be done."""
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
    assert fd is not None
    try:
        yield
    finally:
        _unlock(fd)  # also for a child that another thread has forked meanwhile
        os.close(fd)
