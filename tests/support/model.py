"""Random operations on a file in a session and on a plain file, which must stay equal."""

import mmap
import os

from support import libc

PAGE = 4096
SIZE_LIMIT = 1 << 21


class Pair:
    """The file under test and a plain file. Each operation is applied to both."""

    def __init__(self, path, plain, random):
        self.paths = (path, plain)
        self.random = random
        self.log = []
        self._open()

    def _open(self):
        self.fds = [os.open(path, os.O_RDWR) for path in self.paths]
        self.size = os.fstat(self.fds[1]).st_size
        self.maps = None

    def _close_maps(self):
        for mapping in self.maps or ():
            mapping.close()
        self.maps = None

    def close(self):
        self._close_maps()
        for fd in self.fds:
            os.close(fd)

    def _both(self, function):
        answers = []
        for fd in self.fds:
            try:
                answers.append(function(fd))
            except OSError as error:
                answers.append(error.errno)
        assert answers[0] == answers[1], (answers, self.log[-20:])
        return answers[0]

    def _offset(self) -> int:
        """An offset in the file or a little after its end, often at a page boundary."""
        at = self.random.randrange(min(self.size + 3 * PAGE, SIZE_LIMIT))
        return at // PAGE * PAGE + self.random.choice((0, 0, -1, 1)) if at % 3 == 0 and at > PAGE else at

    def _length(self) -> int:
        return self.random.choice((1, 7, 512, PAGE, PAGE + 1, self.random.randrange(1, 70000)))

    # ---- the operations ----

    def write(self):
        at, data = self._offset(), self.random.randbytes(self._length())
        self.log.append(("write", at, len(data)))
        self._both(lambda fd: os.pwrite(fd, data, at))

    def read(self):
        at, length = self._offset(), self._length()
        self.log.append(("read", at, length))
        self._both(lambda fd: os.pread(fd, length, at))

    def truncate(self):
        size = self.random.choice((0, self._offset(), self._offset(), self.size))
        self.log.append(("truncate", size))
        self._close_maps()  # access to a mapping beyond the end of its file raises SIGBUS
        self._both(lambda fd: os.ftruncate(fd, size))

    def punch(self):
        at, length = self._offset(), self._length()
        mode = libc.FALLOC_PUNCH_HOLE | libc.FALLOC_KEEP_SIZE
        self.log.append(("punch", at, length))
        self._both(lambda fd: libc.fallocate(fd, mode, at, length))

    def zero(self):
        at, length = self._offset(), self._length()
        mode = libc.FALLOC_ZERO | self.random.choice((0, libc.FALLOC_KEEP_SIZE))
        self.log.append(("zero", at, length, mode))
        self._both(lambda fd: libc.fallocate(fd, mode, at, length))

    def allocate(self):
        at, length = self._offset(), self._length()
        mode = self.random.choice((0, libc.FALLOC_KEEP_SIZE))
        self.log.append(("allocate", at, length, mode))
        self._both(lambda fd: libc.fallocate(fd, mode, at, length))

    def map(self):
        """Writes and reads through shared mappings, which are kept for some steps."""
        if self.size == 0:
            return
        if not self.maps or len(self.maps[0]) > self.size or self.random.random() < 0.2:
            self._close_maps()
            self.maps = [mmap.mmap(fd, self.size) for fd in self.fds]
        at = self.random.randrange(len(self.maps[0]))
        data = self.random.randbytes(min(self._length(), len(self.maps[0]) - at))
        self.log.append(("map", at, len(data)))
        for mapping in self.maps:
            mapping[at : at + len(data)] = data
        at = self.random.randrange(len(self.maps[0]))
        length = self._length()
        assert self.maps[0][at : at + length] == self.maps[1][at : at + length], self.log[-20:]

    def sync(self):
        self.log.append(("sync",))
        if self.maps:
            self.maps[0].flush()
        os.fsync(self.fds[0])

    def reopen(self):
        self.log.append(("reopen",))
        self.close()
        self._open()

    def copy(self):
        source, target, length = self._offset(), self._offset(), self._length()
        if source < target < source + length or target < source < target + length:
            return
        self.log.append(("copy", source, target, length))
        self._both(lambda fd: os.copy_file_range(fd, fd, length, source, target))

    def step(self):
        operations = (
            (30, self.write), (25, self.read), (6, self.truncate), (5, self.punch), (4, self.zero),
            (3, self.allocate), (15, self.map), (3, self.sync), (2, self.reopen), (4, self.copy),
        )
        weights, functions = zip(*operations)
        self.random.choices(functions, weights)[0]()
        self.size = os.fstat(self.fds[1]).st_size
        assert os.fstat(self.fds[0]).st_size == self.size, self.log[-20:]

    def compare(self):
        with open(self.paths[0], "rb") as one, open(self.paths[1], "rb") as other:
            assert one.read() == other.read(), self.log[-20:]
