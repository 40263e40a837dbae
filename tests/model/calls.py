"""
The calls, as plain data, so that a failing sequence can be shortened and printed.

A call is a tuple: the name of a method of Side, and its arguments. A Side makes the call below its
root and returns what a program would see: a value, or the name of an errno.
"""

import contextlib
import errno
import mmap
import os
import random
import stat

from support import libc

NAMES = ("a", "b", "app.db", "tree", "tree/one", "tree/deep", "tree/deep/two", "d", "d/a", "d/e")
SLOTS = range(5)
OLD = 10**9  # seconds; earlier times were set by the calls


def pattern(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


class Side:
    def __init__(self, root):
        self.root = str(root)
        self.files = {}

    def path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def do(self, call):
        try:
            return getattr(self, call[0])(*call[1:])
        except OSError as error:
            return errno.errorcode[error.errno]
        except KeyError:
            return "no such slot"

    def close_all(self):
        for slot in list(self.files):
            self.close(slot)

    # ---- open files ----

    def open(self, slot, name, flags, mode):
        self.close(slot)
        self.files[slot] = os.open(self.path(name), flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode)

    def tmpfile(self, slot, name):
        self.close(slot)
        self.files[slot] = os.open(self.path(name), os.O_TMPFILE | os.O_RDWR, 0o600)

    def link_open(self, slot, name):
        libc.link_open_file(self.files[slot], self.path(name))

    def close(self, slot):
        if slot in self.files:
            os.close(self.files.pop(slot))

    def pread(self, slot, offset, size):
        return os.pread(self.files[slot], size, offset)

    def read(self, slot, size):
        return os.read(self.files[slot], size)

    def pwrite(self, slot, offset, size, seed):
        return os.pwrite(self.files[slot], pattern(seed, size), offset)

    def write(self, slot, size, seed):
        return os.write(self.files[slot], pattern(seed, size))

    def seek(self, slot, offset, whence):
        if not self._is_regular(slot):
            return "no file"
        return os.lseek(self.files[slot], offset, whence)

    def ftruncate(self, slot, size):
        os.ftruncate(self.files[slot], size)
        os.utime(self.files[slot])

    def fallocate(self, slot, mode, offset, size):
        libc.fallocate(self.files[slot], mode, offset, size)
        os.utime(self.files[slot])  # file systems differ in whether a call without effect changes the time

    def _is_regular(self, slot):
        return stat.S_ISREG(os.fstat(self.files[slot]).st_mode)

    def store(self, slot, offset, size, seed):
        """Writes through a shared mapping, within the file."""
        fd = self.files[slot]
        if not self._is_regular(slot):  # file systems differ in the size of directories
            return "no file"
        end = os.fstat(fd).st_size
        if offset + size > end:
            return "beyond the end"
        with mmap.mmap(fd, end) as mapped:
            before = mapped[offset : offset + size]
            mapped[offset : offset + size] = pattern(seed, size)
        return before

    def copy(self, from_slot, to_slot, from_offset, to_offset, size):
        source, target = self.files[from_slot], self.files[to_slot]
        if os.fstat(source).st_ino == os.fstat(target).st_ino:
            return "one file"
        done = 0
        while done < size:
            count = os.copy_file_range(
                source, target, size - done, from_offset + done, to_offset + done
            )
            if not count:
                break
            done += count
        return done

    def fsync(self, slot):
        os.fsync(self.files[slot])

    def fstat(self, slot):
        return self._attributes(os.fstat(self.files[slot]))

    def fchmod(self, slot, mode):
        os.fchmod(self.files[slot], mode)

    # ---- names ----

    def mkdir(self, name, mode):
        os.mkdir(self.path(name), mode)

    def rmdir(self, name):
        os.rmdir(self.path(name))

    def unlink(self, name):
        os.unlink(self.path(name))

    def rename(self, name, other, flags):
        libc.renameat2(self.path(name), self.path(other), flags)

    def link(self, name, other):
        os.link(self.path(name), self.path(other), follow_symlinks=False)

    def symlink(self, target, name):
        os.symlink(target, self.path(name))

    def readlink(self, name):
        return os.readlink(self.path(name))

    def mkfifo(self, name, mode):
        os.mkfifo(self.path(name), mode)

    def stat(self, name):
        return self._attributes(os.lstat(self.path(name)))

    def list(self, name):
        return sorted(os.listdir(self.path(name)))

    def truncate(self, name, size):
        if stat.S_ISFIFO(os.lstat(self.path(name)).st_mode):
            return "a fifo"
        os.truncate(self.path(name), size)
        os.utime(self.path(name))  # file systems differ in whether an unchanged size changes it

    def chmod(self, name, mode):
        if os.path.islink(self.path(name)):
            return "a link"
        os.chmod(self.path(name), mode)

    def chown(self, name, uid, gid):
        os.lchown(self.path(name), uid, gid)

    def utime(self, name, seconds):
        os.utime(self.path(name), (seconds, seconds + 0.25), follow_symlinks=False)

    def access(self, name, mode):
        return os.access(self.path(name), mode)

    # ---- the whole tree ----

    @staticmethod
    def _attributes(found: os.stat_result) -> dict:
        seen = {"mode": oct(found.st_mode), "links": found.st_nlink}
        seen |= {"owner": (found.st_uid, found.st_gid)}
        if not stat.S_ISDIR(found.st_mode):
            seen["size"] = found.st_size
        if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):
            seen["mtime"] = found.st_mtime_ns if found.st_mtime < OLD else "now"
        return seen

    def tree(self) -> dict:
        """All names, with attributes and bytes; `same` is the first name of a hard link."""
        found, first = {}, {}
        for folder, folders, files in os.walk(self.root):
            folders.sort()
            for name in sorted(folders + files):
                path = f"{folder}/{name}"
                shown = os.path.relpath(path, self.root)
                status = os.lstat(path)
                entry = self._attributes(status)
                if stat.S_ISREG(status.st_mode):
                    with open(path, "rb") as file:
                        entry["bytes"] = file.read()
                    entry["same"] = first.setdefault(status.st_ino, shown)
                elif stat.S_ISLNK(status.st_mode):
                    entry["target"] = os.readlink(path)
                found[shown] = entry
        for slot, fd in self.files.items():
            with contextlib.suppress(OSError):  # opened for writing only
                found[f"slot {slot}"] = {"bytes": os.pread(fd, 1 << 24, 0)}
        return found

    def check_holes(self):
        """What is reported as a hole reads as zeros."""
        for folder, _, files in os.walk(self.root):
            for name in files:
                path = f"{folder}/{name}"
                if not stat.S_ISREG(os.lstat(path).st_mode):
                    continue
                with open(path, "rb", buffering=0) as file:
                    end, at = os.fstat(file.fileno()).st_size, 0
                    while at < end:
                        try:
                            data = os.lseek(file.fileno(), at, os.SEEK_DATA)
                        except OSError as error:
                            assert error.errno == errno.ENXIO
                            data = end
                        hole = os.pread(file.fileno(), data - at, at)
                        assert not hole.strip(b"\0"), f"{path}: bytes in a hole at {at}"
                        if data >= end:
                            break
                        at = os.lseek(file.fileno(), data, os.SEEK_HOLE)
                        assert at > data

    def sync(self):
        """Syncs all files, and sets their times: a kill may lose times that the kernel caches."""
        for folder, _, files in os.walk(self.root):
            for name in files:
                path = f"{folder}/{name}"
                if stat.S_ISREG(os.lstat(path).st_mode):
                    fd = os.open(path, os.O_RDONLY)
                    os.utime(fd)
                    os.fsync(fd)
                    os.close(fd)


# ---- random calls ----


def _offset(rng):
    kind = rng.random()
    if kind < 0.5:
        return rng.randrange(0, 70_000)
    if kind < 0.9:
        return rng.randrange(0, 18) * 4096 + rng.choice((-1, 0, 0, 0, 1, 100)) % 70_000
    return rng.randrange(0, 3_000_000)


def _size(rng):
    return rng.choice((1, 7, 100, 512, 4095, 4096, 4097, 8192, rng.randrange(1, 40_000)))


def random_call(rng: random.Random) -> tuple:
    name, other, slot = rng.choice(NAMES), rng.choice(NAMES), rng.choice(SLOTS)
    keep, punch, zero = libc.FALLOC_KEEP_SIZE, libc.FALLOC_PUNCH_HOLE, libc.FALLOC_ZERO
    flags = rng.choice((os.O_RDWR, os.O_RDWR, os.O_RDONLY, os.O_WRONLY))
    for flag, share in ((os.O_CREAT, 0.6), (os.O_EXCL, 0.1), (os.O_TRUNC, 0.1), (os.O_APPEND, 0.1)):
        if rng.random() < share:
            flags |= flag
    if not flags & os.O_CREAT:
        flags &= ~os.O_EXCL
    mode = rng.choice((0o600, 0o644, 0o755, 0o444, 0o4755, 0o2755, 0o777))
    seed = rng.randrange(1 << 30)
    modes = (0, keep, punch | keep, punch | keep, zero, zero | keep)
    choices = (
        (10, lambda: ("open", slot, name, flags | os.O_NONBLOCK, mode)),
        (2, lambda: ("close", slot)),
        (8, lambda: ("pread", slot, _offset(rng), _size(rng))),
        (3, lambda: ("read", slot, _size(rng))),
        (14, lambda: ("pwrite", slot, _offset(rng), _size(rng), seed)),
        (5, lambda: ("write", slot, _size(rng), seed)),
        (3, lambda: ("seek", slot, _offset(rng), rng.choice((os.SEEK_SET, os.SEEK_END)))),
        (5, lambda: ("ftruncate", slot, rng.choice((0, _offset(rng), _offset(rng))))),
        (5, lambda: ("fallocate", slot, rng.choice(modes), _offset(rng), _size(rng))),
        (5, lambda: ("store", slot, _offset(rng), _size(rng), seed)),
        (3, lambda: ("copy", slot, rng.choice(SLOTS), _offset(rng), _offset(rng), _size(rng))),
        (2, lambda: ("fsync", slot)),
        (3, lambda: ("fstat", slot)),
        (1, lambda: ("fchmod", slot, mode)),
        (1, lambda: ("tmpfile", slot, rng.choice(("d", "tree", "tree/deep")))),
        (1, lambda: ("link_open", slot, name)),
        (4, lambda: ("mkdir", name, mode)),
        (3, lambda: ("rmdir", name)),
        (4, lambda: ("unlink", name)),
        (8, lambda: ("rename", name, other, rng.choice((0, 0, 0, 1, 2)))),
        (4, lambda: ("link", name, other)),
        (2, lambda: ("symlink", rng.choice(("a", "../b", "nowhere", "x" * 300)), name)),
        (2, lambda: ("readlink", name)),
        (1, lambda: ("mkfifo", name, mode)),
        (4, lambda: ("stat", name)),
        (3, lambda: ("list", rng.choice((name, ".")))),
        (3, lambda: ("truncate", name, _offset(rng))),
        (2, lambda: ("chmod", name, mode)),
        (1, lambda: ("chown", name, rng.choice((0, 1000)), rng.choice((0, 1000)))),
        (3, lambda: ("utime", name, rng.randrange(OLD // 2))),
        (1, lambda: ("access", name, rng.choice((os.F_OK, os.R_OK | os.W_OK)))),
    )
    weights, makers = zip(*choices)
    return rng.choices(makers, weights)[0]()
