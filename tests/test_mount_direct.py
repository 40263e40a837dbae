"""O_DIRECT, with and without AIO, while other threads read through the page cache."""

import ctypes
import mmap
import os
import threading

import pytest

from support.basics import fewer, seeded
from support.libc import AsyncWrites

pytestmark = pytest.mark.on_each_mount

PIECE_BYTES, PIECES = 65536, 16
FILE_BYTES = PIECE_BYTES * PIECES


def zeros(session):
    path = session / "file"
    path.write_bytes(bytes(FILE_BYTES))
    return path


class Readers:
    """Threads that read the file through the page cache repeatedly."""

    def __init__(self, path, count=2):
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._read, args=(path,)) for _ in range(count)]

    def _read(self, path):
        fd = os.open(path, os.O_RDONLY)
        while not self.over.is_set():
            for i in range(PIECES):
                os.pread(fd, PIECE_BYTES, i * PIECE_BYTES)
        os.close(fd)

    def __enter__(self):
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_buffered_readers_see_what_aio_wrote(session):
    """As xfstests generic/451 checks."""
    file = zeros(session)
    direct = os.open(file, os.O_RDWR | os.O_DIRECT)
    buffered = os.open(file, os.O_RDONLY)
    buffer = mmap.mmap(-1, FILE_BYTES)
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    with AsyncWrites(PIECES) as aio, Readers(file):
        for round_ in range(fewer(300)):
            buffer[:] = bytes([round_ % 255 + 1]) * FILE_BYTES
            written = aio.write(direct, [(address + i * PIECE_BYTES, PIECE_BYTES, i * PIECE_BYTES)
                                         for i in range(PIECES)])
            assert written == [PIECE_BYTES] * PIECES
            for i in range(PIECES):
                piece = os.pread(buffered, PIECE_BYTES, i * PIECE_BYTES)
                assert set(piece) == {round_ % 255 + 1}, f"round {round_}, piece {i}: {set(piece)}"
    os.close(direct)
    os.close(buffered)


def test_direct_and_buffered_writes_change_one_file(session):
    """The file equals a copy in memory, to which the same writes are applied."""
    file = zeros(session)
    random = seeded("direct")
    model = bytearray(FILE_BYTES)
    direct = os.open(file, os.O_RDWR | os.O_DIRECT)
    buffered = os.open(file, os.O_RDWR)
    block = mmap.mmap(-1, 8 * 4096)
    for _ in range(fewer(1000)):
        at = random.randrange(FILE_BYTES // 4096 - 8) * 4096
        size = random.randrange(1, 8) * 4096
        if random.random() < 0.5:
            block[:] = random.randbytes(len(block))
            assert os.pwritev(direct, [memoryview(block)[:size]], at) == size
            model[at : at + size] = block[:size]
        else:
            data = random.randbytes(size - random.randrange(4096))
            assert os.pwrite(buffered, data, at) == len(data)
            model[at : at + len(data)] = data
        at = random.randrange(FILE_BYTES // 4096 - 8) * 4096
        assert os.pread(buffered, len(block), at) == model[at : at + len(block)]
        assert os.preadv(direct, [block], at) == len(block)
        assert block[:] == model[at : at + len(block)]
    os.close(direct)
    os.close(buffered)
    assert file.read_bytes() == model
