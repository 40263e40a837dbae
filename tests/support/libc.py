"""System calls for which Python has no function. Errors raise OSError."""

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
    """Names a file that was opened with O_TMPFILE, as open(2) describes."""
    source = f"/proc/self/fd/{fd}".encode()
    _check(_libc.linkat(AT_FDCWD, source, AT_FDCWD, os.fsencode(path), AT_SYMLINK_FOLLOW), path)


class _Iocb(ctypes.Structure):
    """struct iocb of <linux/aio_abi.h>, on little-endian machines."""

    _fields_ = [
        ("data", ctypes.c_uint64),
        ("key", ctypes.c_uint32),
        ("rw_flags", ctypes.c_int32),
        ("opcode", ctypes.c_uint16),
        ("priority", ctypes.c_int16),
        ("fd", ctypes.c_uint32),
        ("buffer", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("reserved", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),
        ("eventfd", ctypes.c_uint32),
    ]


class _Event(ctypes.Structure):
    _fields_ = [("data", ctypes.c_uint64), ("iocb", ctypes.c_uint64),
                ("result", ctypes.c_int64), ("result2", ctypes.c_int64)]


class AsyncWrites:
    """Linux native AIO, for which neither Python nor the C library has functions."""

    WRITE = 1
    NUMBERS = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2)}

    def __init__(self, depth: int):
        self.context = ctypes.c_ulong(0)
        self.setup, self.destroy, self.get, self.submit = self.NUMBERS[os.uname().machine]
        _check(_libc.syscall(self.setup, depth, ctypes.byref(self.context)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _check(_libc.syscall(self.destroy, self.context))

    def write(self, fd: int, pieces) -> list:
        """Submits all pieces (address, size, offset) at once; returns results as they complete."""
        blocks = [_Iocb(opcode=self.WRITE, fd=fd, buffer=address, size=size, offset=offset)
                  for address, size, offset in pieces]
        pointers = (ctypes.POINTER(_Iocb) * len(blocks))(*map(ctypes.pointer, blocks))
        submitted = _check(_libc.syscall(self.submit, self.context, ctypes.c_long(len(blocks)),
                                         pointers))
        assert submitted == len(blocks)
        events = (_Event * len(blocks))()
        count = ctypes.c_long(len(blocks))
        assert _check(_libc.syscall(self.get, self.context, count, count, events, None)) == len(
            blocks
        )
        return [event.result for event in events]
