"""Reads return what was written, each session has its own data, and templates never change."""

import os
import sys

import pytest

from support.basics import disk_bytes, eventually, fewer, seeded, sha256
from support.model import Pair
from support.processes import Child

BIG = r"""
import os, sys
size = int(sys.argv[2])
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, size)
for at in range(0, size, size // 64):
    os.pwrite(fd, os.urandom(1 << 16), at)
os.pwrite(fd, b"e" * 4096, size - 4096)
"""


def plain_copy(mount, source, name):
    """A directory beside the mount, on a plain file system."""
    path = mount.store.home / name
    path.write_bytes(source.read_bytes())
    return path


@pytest.mark.on_each_mount
@pytest.mark.parametrize("seed", range(4))
def test_a_file_behaves_like_one_on_a_plain_file_system(mount, session, seed):
    random = seeded("model", seed)
    plain = plain_copy(mount, session / "app.db", "plain")
    pair = Pair(session / "app.db", plain, random)
    for i in range(fewer(3000)):
        pair.step()
        if i % 250 == 0:
            pair.compare()
    pair.compare()
    pair.close()
    pair.compare()


@pytest.mark.on_mounts("uring", "strict")
def test_sessions_are_independent(mount, key):
    """Sessions of one template are compared with plain files; some are made and discarded."""
    random = seeded("apart")
    before = sha256(mount.store.template(key))
    pairs = []
    for i in range(fewer(4000)):
        if len(pairs) < 5 or i % 200 == 0:
            path = mount.new(key, f"s{i}") / "app.db"
            pairs.append(Pair(path, plain_copy(mount, path, f"plain{i}"), random))
        if len(pairs) > 8:
            gone = pairs.pop(random.randrange(len(pairs)))
            gone.compare()
            gone.close()
            os.rmdir(gone.paths[0].parent)
        random.choice(pairs).step()
    for pair in pairs:
        pair.compare()
        pair.close()
    assert sha256(mount.store.template(key)) == before
    assert sha256(mount.templates / key / "app.db") == before


def write_at_random(path, random):
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        for _ in range(random.randrange(1, 6)):
            at = random.randrange(size + 5000)
            os.pwrite(file.fileno(), random.randbytes(random.choice((1, 100, 4096, 9999))), at)
        if random.random() < 0.2:
            os.ftruncate(file.fileno(), random.randrange(size))
        if random.random() < 0.2:
            os.fsync(file.fileno())


@pytest.mark.on_each_mount
def test_a_thousand_sessions_do_not_change_the_template(mount, key):
    random = seeded("thousand")
    inside, shown = mount.store.template(key), mount.templates / key / "app.db"
    before = sha256(inside)
    status = os.stat(inside)
    for i in range(fewer(1000)):
        session = mount.new(key, f"s{i}")
        assert (session / "app.db").stat().st_size == status.st_size
        write_at_random(session / "app.db", random)
        (session / "app.db-journal").write_bytes(random.randbytes(random.randrange(3000)))
        if random.random() < 0.1:
            (session / "app.db").unlink()
        elif random.random() < 0.1:
            (session / "app.db").rename(session / "moved.db")
        if random.random() < 0.5:
            os.rmdir(session)
    assert sha256(inside) == sha256(shown) == before
    after = os.stat(inside)
    assert (after.st_mtime_ns, after.st_ctime_ns, after.st_mode) == (
        status.st_mtime_ns, status.st_ctime_ns, status.st_mode,
    )
    fresh = mount.new(key, "fresh") / "app.db"
    assert sha256(fresh) == before


@pytest.mark.on_each_mount
def test_many_processes_work_each_in_a_session(mount, key):
    def work(number):
        random = seeded("processes", number)
        for i in range(fewer(40)):
            session = mount.sessions / key / f"p{number}-{i}"
            session.mkdir()
            data = random.randbytes(20000)
            (session / "app.db").write_bytes(data)
            (session / "more").write_bytes(data[::-1])
            assert (session / "app.db").read_bytes() == data
            assert (session / "more").read_bytes() == data[::-1]
            os.rmdir(session)

    before = sha256(mount.store.template(key))
    children = [Child(lambda talk, number=number: work(number)) for number in range(6)]
    for child in children:
        child.end()
    assert os.listdir(mount.sessions / key) == []
    assert sha256(mount.templates / key / "app.db") == before


@pytest.mark.on_mounts("uring", "strict")
def test_a_session_of_a_large_template_is_small(mount):
    """One page of 1 GiB is written: the session stores that page and a log."""
    size = 1 << 30
    key = mount.store.build(sys.executable, "-c", BIG, "{out}", size)
    scratch = mount.store.scratch()
    os.sync()
    before = disk_bytes(scratch)
    session = mount.new(key, "one")
    with open(session / "app.db", "r+b") as file, open(mount.store.template(key), "rb") as template:
        at = size // 2 + 4096
        os.pwrite(file.fileno(), b"p" * 4096, at)
        os.fsync(file.fileno())
        assert disk_bytes(scratch) - before < 64 << 10
        around = bytearray(os.pread(template.fileno(), 3 * 4096, at - 4096))
        around[4096:8192] = b"p" * 4096
        assert os.pread(file.fileno(), 3 * 4096, at - 4096) == around
        assert os.pread(file.fileno(), 4096, size - 4096) == b"e" * 4096
    assert mount.status()["sessions"][0]["bytes"] == 4096
    assert os.stat(session / "app.db").st_size == size
    assert disk_bytes(scratch) - before < 64 << 10
    os.rmdir(session)
    eventually(lambda: disk_bytes(scratch) <= before + 8192)


@pytest.mark.on_mounts("uring", "strict")
def test_making_a_session_reads_nothing(mount):
    key = mount.store.build(sys.executable, "-c", BIG, "{out}", 64 << 20)
    mount.new(key, "first")

    def counters():
        text = open(f"/proc/{mount.pid}/io").read()
        return dict(line.split(": ") for line in text.splitlines())

    before, scratch = counters(), disk_bytes(mount.store.scratch())
    for i in range(20):
        mount.new(key, f"s{i}")
    after = counters()
    assert int(after["rchar"]) - int(before["rchar"]) < 20 * 4096
    assert int(after["wchar"]) - int(before["wchar"]) < 20 * 4096
    assert disk_bytes(mount.store.scratch()) - scratch < 20 * 8192


@pytest.mark.on_each_mount
def test_scratch_space_is_freed(mount, key):
    scratch = mount.store.scratch()
    empty = disk_bytes(scratch)
    for i in range(10):
        (mount.new(key, f"s{i}") / "large").write_bytes(b"x" * (1 << 20))
    fd = os.open(mount.sessions / key / "s9/large", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    assert mount.status()["counters"]["stored_bytes"] >= 1 << 20
    for i in range(10):
        os.rmdir(mount.sessions / key / f"s{i}")
    eventually(lambda: mount.status()["counters"]["stored_bytes"] == 0)
    eventually(lambda: disk_bytes(scratch) <= empty + 8192)
