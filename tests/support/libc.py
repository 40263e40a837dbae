"""System calls that this Python has no function for; errors are OSError."""

import ctypes
import os

AT_FDCWD = -100
AT_SYMLINK_FOLLOW = 0x400
CLOCK_REALTIME_COARSE = 5
RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT = 1, 2, 4
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_COLLAPSE, FALLOC_ZERO = 0x01, 0x02, 0x08, 0x10
FALLOC_INSERT, FALLOC_UNSHARE = 0x20, 0x40

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, *what) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), *what)
    return result


def renameat2(old, new, flags: int):
    _check(
        _libc.renameat2(AT_FDCWD, os.fsencode(old), AT_FDCWD, os.fsencode(new), flags), str(old)
    )


def fallocate(fd: int, mode: int, offset: int, length: int):
    _check(_libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))


def link_open_file(fd: int, path):
    """Gives a file that has no name one, as open(2) says of O_TMPFILE."""
    source = f"/proc/self/fd/{fd}".encode()
    _check(_libc.linkat(AT_FDCWD, source, AT_FDCWD, os.fsencode(path), AT_SYMLINK_FOLLOW), path)
