"""Locks conflict between processes, and end with the process that held them."""

import fcntl
import os
import struct

import pytest

from support.basics import fails
from support.processes import Child

pytestmark = pytest.mark.on_each_mount

F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38
FREE, READ, WRITE = fcntl.F_UNLCK, fcntl.F_RDLCK, fcntl.F_WRLCK


def range_lock(fd, kind, start, length, command=F_OFD_SETLK):
    """struct flock of a 64-bit Linux."""
    flock = struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)
    return struct.unpack("hhqqi4x", fcntl.fcntl(fd, command, flock))[0]


def holding(take):
    """A process that takes locks of a file by that function, and holds them until asked to end."""

    def hold(talk):
        kept = take()
        talk.send()
        talk.receive()
        return kept and None

    child = Child(hold)
    child.receive()
    return child


def let_go(child):
    child.send()
    child.end()


def test_posix_locks_conflict_between_processes(session):
    path = session / "app.db"

    def take():
        file = open(path, "r+b")
        fcntl.lockf(file, fcntl.LOCK_EX, 10, 100)
        fcntl.lockf(file, fcntl.LOCK_SH, 10, 200)
        return file

    child = holding(take)
    with open(path, "r+b") as file:
        for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH):
            with fails("EAGAIN", "EACCES"):
                fcntl.lockf(file, kind | fcntl.LOCK_NB, 1, 105)
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 205)
        with fails("EAGAIN", "EACCES"):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 205)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 110)
        let_go(child)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_wait_for_a_lock_ends_when_it_is_released(session):
    path = session / "app.db"

    def take():
        file = open(path, "r+b")
        fcntl.lockf(file, fcntl.LOCK_EX)
        return file

    first = holding(take)
    second = Child(lambda talk: take() and None)  # waits
    with open(path, "r+b") as file:
        with fails("EAGAIN", "EACCES"):
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    let_go(first)
    second.end()


def test_open_file_description_locks_conflict_between_handles(session):
    path = session / "app.db"
    with open(path, "r+b") as one, open(path, "r+b") as two:
        range_lock(one, WRITE, 0, 100)
        with fails("EAGAIN", "EACCES"):
            range_lock(two, READ, 50, 10)
        range_lock(two, WRITE, 100, 10)
        assert range_lock(two, WRITE, 0, 10, F_OFD_GETLK) == WRITE
        one.close()
        assert range_lock(two, WRITE, 0, 10, F_OFD_GETLK) == FREE
        range_lock(two, WRITE, 0, 100)


def test_flock_conflicts_between_handles(session):
    path = session / "app.db"

    def take():
        file = open(path, "rb")
        fcntl.flock(file, fcntl.LOCK_SH)
        return file

    children = [holding(take) for _ in range(3)]
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        with fails("EAGAIN"):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for child in children:
            let_go(child)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_locks_of_a_killed_process_are_released(session):
    path = session / "app.db"

    def take():
        file = open(path, "r+b")
        fcntl.lockf(file, fcntl.LOCK_EX)
        other = open(path, "r+b")
        fcntl.flock(other, fcntl.LOCK_EX)
        return file, other

    child = holding(take)
    with open(path, "r+b") as file:
        for lock in (fcntl.lockf, fcntl.flock):
            with fails("EAGAIN", "EACCES"):
                lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    child.kill()
    with open(path, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_locks_in_different_sessions_are_independent(mount, key):
    files = [open(mount.new(key, name) / "app.db", "r+b") for name in ("one", "two")]
    for file in files:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        range_lock(file, WRITE, 0, 0)
    # Readers of a template can lock it.
    for _ in range(2):
        with open(mount.templates / key / "app.db", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            range_lock(file, READ, 0, 0)
    for file in files:
        file.close()


def test_no_append_of_several_processes_is_lost(session):
    path = session / "log"
    path.touch()

    def append(number):
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        for i in range(250):
            os.write(fd, b"%d %06d %s\n" % (number, i, b"x" * (i % 50)))

    children = [Child(lambda talk, number=number: append(number)) for number in range(4)]
    for child in children:
        child.end()
    lines = path.read_bytes().splitlines()
    assert len(lines) == 1000
    for number in range(4):
        mine = [line for line in lines if line.startswith(b"%d " % number)]
        assert [int(line.split()[1]) for line in mine] == list(range(250))
