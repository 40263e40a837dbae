"""Files in a session behave as on ext4."""

import errno
import mmap
import os
import stat
import subprocess
import time

import pytest

from support import libc
from support.basics import MINTFS, eventually, fails, seeded, sha256
from support.processes import Child
from support.users import NOBODY, call_as

pytestmark = pytest.mark.on_each_mount

BLOCK = 4096


# ---- opening ----


def test_appended_bytes_are_at_the_end(session, key, mount):
    path = session / "app.db"
    size = path.stat().st_size
    first = os.open(path, os.O_WRONLY | os.O_APPEND)
    second = os.open(path, os.O_RDWR | os.O_APPEND)
    for i in range(10):
        os.write(first, b"first")
        os.write(second, b"again")
        assert path.stat().st_size == size + 10 * (i + 1)
    os.lseek(second, 0, os.SEEK_SET)
    os.write(second, b"end")
    assert path.read_bytes()[size:] == b"firstagain" * 10 + b"end"
    assert path.read_bytes()[:size] == mount.store.template(key).read_bytes()
    os.close(first)
    os.close(second)


def test_exclusive_creation_fails_if_the_file_exists(session):
    for name in ("app.db", "made"):
        if name == "made":
            os.close(os.open(session / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        with fails("EEXIST"):
            os.open(session / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    (session / "app.db").unlink()
    os.close(os.open(session / "app.db", os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    assert (session / "app.db").read_bytes() == b""


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY, os.O_RDWR | os.O_CREAT])
def test_a_truncating_open_empties_the_file(session, flags):
    path = session / "app.db"
    fd = os.open(path, os.O_RDWR)  # an open handle sees the truncation
    assert os.pread(fd, 16, 0) == b"SQLite format 3\0"
    os.close(os.open(path, flags | os.O_TRUNC))
    assert os.fstat(fd).st_size == path.stat().st_size == 0
    assert os.pread(fd, 16, 0) == b""
    os.close(fd)
    path.write_bytes(b"new")
    assert path.read_bytes() == b"new"


def test_truncated_bytes_never_reappear(session):
    path = session / "app.db"
    size = path.stat().st_size
    os.truncate(path, 5000)
    os.truncate(path, size)
    assert path.read_bytes()[5000:] == bytes(size - 5000)
    os.truncate(path, 100)
    with open(path, "r+b") as file:
        file.seek(size)
        file.write(b"end")
    assert path.read_bytes()[100:] == bytes(size - 100) + b"end"


def test_o_tmpfile_makes_a_file_without_a_name(session):
    try:
        fd = os.open(session, os.O_TMPFILE | os.O_RDWR, 0o600)
    except OSError as error:
        # The libfuse that is linked statically has this request.
        assert error.errno == errno.EOPNOTSUPP and b"libfuse3.so" in MINTFS.read_bytes()
        pytest.skip("the system's libfuse, before 3.17, does not support O_TMPFILE")
    os.write(fd, b"x" * 5000)
    assert os.fstat(fd).st_nlink == 0
    assert os.listdir(session) == ["app.db"]
    libc.link_open_file(fd, session / "named")
    assert os.fstat(fd).st_nlink == 1
    assert (session / "named").read_bytes() == b"x" * 5000
    os.write(fd, b"y")
    os.close(fd)
    assert (session / "named").read_bytes() == b"x" * 5000 + b"y"
    with fails("EOPNOTSUPP", "EROFS", "EPERM"):
        os.open(session.parent, os.O_TMPFILE | os.O_RDWR, 0o600)
    for _ in range(3):  # and stays without a name
        os.close(os.open(session, os.O_TMPFILE | os.O_WRONLY))
    with fails("ENOENT"):
        fd = os.open(session, os.O_TMPFILE | os.O_RDWR | os.O_EXCL)
        libc.link_open_file(fd, session / "never")
    os.close(fd)


def test_direct_io_reads_and_writes(session):
    path = session / "app.db"
    before = path.read_bytes()
    fd = os.open(path, os.O_RDWR | os.O_DIRECT)
    page = mmap.mmap(-1, 2 * BLOCK)
    page.write(b"d" * 2 * BLOCK)
    assert os.pwritev(fd, [page], BLOCK) == 2 * BLOCK
    assert os.preadv(fd, [page], 0) == 2 * BLOCK
    assert page[:] == before[:BLOCK] + b"d" * BLOCK
    os.close(fd)
    assert path.read_bytes() == before[:BLOCK] + b"d" * 2 * BLOCK + before[3 * BLOCK :]


def test_failures_have_the_errno_of_ext4(session):
    (session / "folder").mkdir()
    (session / "loop").symlink_to("loop")
    (session / "nowhere").symlink_to("missing")
    with fails("EISDIR"):
        os.open(session / "folder", os.O_WRONLY)
    with fails("ENOTDIR"):
        os.open(session / "app.db/x", os.O_RDONLY)
    with fails("ENOTDIR"):
        os.open(session / "app.db", os.O_RDONLY | os.O_DIRECTORY)
    with fails("ELOOP"):
        os.open(session / "loop", os.O_RDONLY)
    with fails("ELOOP"):
        os.open(session / "nowhere", os.O_RDONLY | os.O_NOFOLLOW)
    with fails("ENOENT"):
        os.open(session / "nowhere", os.O_RDONLY)
    os.close(os.open(session / "nowhere", os.O_WRONLY | os.O_CREAT))
    assert (session / "missing").exists()
    with fails("EINVAL"):
        os.readlink(session / "app.db")


# ---- sizes and holes ----


def test_a_file_grown_by_truncate_reads_as_zeros(session):
    path = session / "made"
    with open(path, "w+b") as file:
        file.seek(10 * BLOCK + 7)
        file.write(b"end")
    assert path.stat().st_size == 10 * BLOCK + 10
    assert path.read_bytes() == bytes(10 * BLOCK + 7) + b"end"


def test_very_large_offsets_work_up_to_the_limit(session):
    path = session / "made"
    far = 1 << 40
    with open(path, "w+b") as file:
        os.pwrite(file.fileno(), b"far", far)
        os.fsync(file.fileno())
        assert os.fstat(file.fileno()).st_size == far + 3
        assert os.pread(file.fileno(), 10, far - 3) == b"\0\0\0far"
        assert os.fstat(file.fileno()).st_blocks * 512 < 1 << 20
        with fails("EFBIG", "EINVAL"):
            os.ftruncate(file.fileno(), (1 << 62) + 1)
        with fails("EFBIG", "EINVAL"):
            libc.fallocate(file.fileno(), libc.FALLOC_KEEP_SIZE, 1 << 61, 4096)
        assert os.fstat(file.fileno()).st_size == far + 3
    os.truncate(path, 3)
    assert path.read_bytes() == bytes(3)


def test_fallocate_allocates_and_punches(session):
    path = session / "app.db"
    before = path.read_bytes()
    size = len(before)
    fd = os.open(path, os.O_RDWR)
    libc.fallocate(fd, 0, 0, size + 10000)
    assert os.fstat(fd).st_size == size + 10000
    libc.fallocate(fd, libc.FALLOC_KEEP_SIZE, 0, size + 50000)
    assert os.fstat(fd).st_size == size + 10000
    assert path.read_bytes() == before + bytes(10000)
    libc.fallocate(fd, libc.FALLOC_PUNCH_HOLE | libc.FALLOC_KEEP_SIZE, 100, 10000)
    expected = before[:100] + bytes(10000) + before[10100:] + bytes(10000)
    assert path.read_bytes() == expected
    libc.fallocate(fd, libc.FALLOC_ZERO | libc.FALLOC_KEEP_SIZE, 20000, 5000)
    expected = expected[:20000] + bytes(5000) + expected[25000:]
    assert path.read_bytes() == expected
    libc.fallocate(fd, libc.FALLOC_ZERO, len(expected) - 10, 1000)
    assert path.read_bytes() == expected[:-10] + bytes(1000)
    for mode in (libc.FALLOC_COLLAPSE, libc.FALLOC_INSERT, libc.FALLOC_UNSHARE):
        with fails("EOPNOTSUPP"):
            libc.fallocate(fd, mode, 0, BLOCK)
    os.close(fd)
    assert path.stat().st_size == len(expected) - 10 + 1000


def test_dirty_pages_are_not_reported_as_holes(session):
    """A program that copies by SEEK_DATA, as cp and tar -S do, copies all data."""
    path = session / "made"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"B" * 50 * BLOCK, 0)
    os.pwrite(fd, b"x", 200 * BLOCK)
    with mmap.mmap(fd, 0) as stored:
        stored[100 * BLOCK] = 7
        copy = session / "copy"
        subprocess.run(["cp", path, copy], check=True)
        assert copy.read_bytes() == bytes(stored)
    size = 200 * BLOCK + 1
    assert os.lseek(fd, 60 * BLOCK, os.SEEK_DATA) == 60 * BLOCK
    assert os.lseek(fd, 60 * BLOCK, os.SEEK_HOLE) == size
    with fails("ENXIO"):
        os.lseek(fd, size, os.SEEK_DATA)
    os.close(fd)


def test_copy_file_range_copies(session, mount, place):
    size = (session / "app.db").stat().st_size
    source = mount.templates / "app/app.db"
    with open(source, "rb") as a, open(session / "copy", "w+b") as b:
        done = 0
        while n := os.copy_file_range(a.fileno(), b.fileno(), size):
            done += n
        assert done == size
        assert os.copy_file_range(b.fileno(), b.fileno(), 100, 0, size + 7) == 100
    copy = (session / "copy").read_bytes()
    assert copy[:size] == source.read_bytes()
    assert copy[size:] == bytes(7) + copy[:100]
    with open(session / "app.db", "rb") as a, open(mount.store.home / "out", "w+b") as b:
        while os.sendfile(b.fileno(), a.fileno(), None, size):
            pass
    assert sha256(mount.store.home / "out") == sha256(session / "app.db")


# ---- mappings ----


def test_shared_mappings_and_files_are_coherent(session):
    path = session / "app.db"
    before = path.read_bytes()
    with open(path, "r+b") as file:
        shared = mmap.mmap(file.fileno(), 0)
        other = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        private = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        shared[100:104] = b"maps"
        assert other[100:104] == private[100:104] == os.pread(file.fileno(), 4, 100) == b"maps"
        private[200:207] = b"private"
        assert other[200:207] == before[200:207]
        os.pwrite(file.fileno(), b"written", 5000)
        assert shared[5000:5007] == other[5000:5007] == b"written"
        shared.flush()
        for mapping in (shared, other, private):
            mapping.close()
    expected = bytearray(before)
    expected[100:104], expected[5000:5007] = b"maps", b"written"
    assert path.read_bytes() == expected


def test_a_mapping_is_written_without_msync_or_descriptor(session):
    with open(session / "made", "w+b") as file:
        file.truncate(BLOCK)
        shared = mmap.mmap(file.fileno(), BLOCK)
    shared[:5] = b"later"
    shared.close()
    assert (session / "made").read_bytes()[:5] == b"later"


def test_a_mapping_grows_with_its_file(session):
    with open(session / "made", "w+b") as file:
        file.truncate(100)
        shared = mmap.mmap(file.fileno(), 100)
        shared[:3] = b"old"
        file.truncate(3 * BLOCK)
        shared.resize(3 * BLOCK)
        shared[2 * BLOCK :] = b"n" * BLOCK
        shared.close()
    assert (session / "made").read_bytes() == b"old" + bytes(2 * BLOCK - 3) + b"n" * BLOCK


def test_programs_run_from_a_session(session):
    (session / "script").write_text("#!/bin/sh\necho $0 ran\n")
    (session / "script").chmod(0o700)
    assert os.popen(f"'{session}/script'").read().endswith("script ran\n")
    data = open("/bin/true", "rb").read()
    (session / "true").write_bytes(data)
    (session / "true").chmod(0o500)
    assert os.spawnl(os.P_WAIT, session / "true", "true") == 0
    (session / "true").chmod(0o400)
    if os.geteuid() != 0:
        assert os.spawnl(os.P_WAIT, session / "true", "true") == 127
    with fails("EACCES"):
        os.execv(session / "app.db", ["app.db"])


# ---- attributes ----


def test_times_are_kept_to_the_nanosecond(session):
    path = session / "app.db"
    for ns in ((1, 2), (1_700_000_000_123_456_789, 1_600_000_000_987_654_321), (-5, -7)):
        os.utime(path, ns=ns)
        assert (path.stat().st_atime_ns, path.stat().st_mtime_ns) == ns
    os.utime(path)
    assert abs(path.stat().st_mtime - time.time()) < 60
    (session / "link").symlink_to("app.db")
    os.utime(session / "link", ns=(3, 4), follow_symlinks=False)
    assert (session / "link").lstat().st_mtime_ns == 4
    assert path.stat().st_mtime_ns != 4


def test_changes_update_the_times(session):
    path = session / "made"
    path.write_text("text")
    os.utime(path, ns=(5, 5))
    os.utime(session, ns=(6, 6))
    path.write_text("more")
    assert path.stat().st_mtime_ns > 10**18
    assert session.stat().st_mtime_ns == 6
    changed = path.stat().st_ctime_ns
    while time.clock_gettime_ns(libc.CLOCK_REALTIME_COARSE) <= changed:
        pass
    path.chmod(0o600)
    assert path.stat().st_ctime_ns > changed
    (session / "another").touch()
    assert session.stat().st_mtime_ns > 10**18
    os.utime(session, ns=(6, 6))
    (session / "another").unlink()
    assert session.stat().st_mtime_ns > 10**18


def test_times_set_by_utime_survive_close(session):
    """Cached writes must not change the times later."""
    with open(session / "made", "wb") as file:
        file.write(b"x" * 10000)
        file.flush()
        os.utime(session / "made", ns=(7, 8))
    assert (session / "made").stat().st_mtime_ns == 8
    os.utime(session / "app.db", ns=(7, 8))
    (session / "app.db").read_bytes()
    assert (session / "app.db").stat().st_mtime_ns == 8


def test_modes_can_be_changed(session):
    path = session / "app.db"
    for mode in (0o600, 0o444, 0o755, 0o000, 0o1777, 0o640):
        path.chmod(mode)
        assert stat.S_IMODE(path.stat().st_mode) == mode
    (session / "folder").mkdir()
    (session / "folder").chmod(0o1700)
    assert stat.S_IMODE((session / "folder").stat().st_mode) == 0o1700


def test_owners_can_be_changed_as_permitted(session):
    path = session / "app.db"
    os.chown(path, os.geteuid(), os.getegid())
    os.chown(path, -1, -1)
    if os.geteuid() == 0:
        os.chown(path, 1234, 5678)
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 5678)
        os.chown(session / "app.db", -1, 99)
        assert (path.stat().st_uid, path.stat().st_gid) == (1234, 99)
    else:
        with fails("EPERM"):
            os.chown(path, 1234, -1)
        with fails("EPERM"):
            os.chown(path, -1, 1234)


@pytest.mark.on_mounts("shared", "user")
def test_modes_apply_to_their_owner(mount, key):
    """The kernel checks modes on a shared mount, the daemon on a private one."""

    def check():
        session = mount.new(key, "of-a-user")
        path = session / "app.db"
        path.chmod(0o400)
        with fails("EACCES"):
            os.open(path, os.O_RDWR)
        with fails("EACCES"):
            os.truncate(path, 0)
        path.chmod(0o200)
        with fails("EACCES"):
            os.open(path, os.O_RDONLY)
        folder = session / "folder"
        folder.mkdir()
        (folder / "file").touch()
        folder.chmod(0o500)
        for change in (
            lambda: (folder / "new").touch(),
            lambda: (folder / "file").unlink(),
            lambda: (folder / "file").rename(session / "moved"),
            lambda: path.rename(folder / "moved"),
            lambda: os.link(path, folder / "linked"),
        ):
            with fails("EACCES"):
                change()
        assert os.listdir(folder) == ["file"]
        folder.chmod(0o700)

    # Modes do not restrict root, so another user runs it.
    call_as(os.geteuid() or NOBODY, check)


def test_a_write_clears_setuid(session):
    path = session / "made"
    path.write_text("text")
    path.chmod(0o6755)
    with open(path, "a") as file:
        file.write("more")
    kept = os.geteuid() == 0  # CAP_FSETID
    assert stat.S_IMODE(path.stat().st_mode) == (0o6755 if kept else 0o755)
    path.chmod(0o6755)
    os.truncate(path, 2)
    assert stat.S_IMODE(path.stat().st_mode) == (0o6755 if kept else 0o755)


def test_extended_attributes_are_not_supported(session):
    for call in (
        lambda: os.setxattr(session / "app.db", "user.a", b"b"),
        lambda: os.getxattr(session / "app.db", "user.a"),
        lambda: os.removexattr(session / "app.db", "user.a"),
        lambda: os.setxattr(session, "user.a", b"b"),
    ):
        with fails("EOPNOTSUPP"):
            call()
    try:
        assert os.listxattr(session / "app.db") == []
    except OSError as error:
        assert error.errno == 95


# ---- removal while in use ----


def test_unlinked_files_stay_usable_while_open(session):
    with open(session / "app.db", "r+b") as a, open(session / "made", "w+b") as b:
        size = os.fstat(a.fileno()).st_size
        b.write(b"b" * 9000)
        for name in ("app.db", "made"):
            (session / name).unlink()
        assert os.listdir(session) == []
        assert os.fstat(a.fileno()).st_nlink == os.fstat(b.fileno()).st_nlink == 0
        a.seek(size)
        a.write(b"a" * 9000)
        a.flush()
        (session / "app.db").write_bytes(b"new")
        a.seek(0)
        assert len(a.read()) == size + 9000
        b.seek(0)
        assert b.read() == b"b" * 9000
        os.ftruncate(a.fileno(), 3)
    assert (session / "app.db").read_bytes() == b"new"


def test_storage_is_freed_when_files_are_removed(session, mount):
    (session / "made").write_bytes(b"x" * (1 << 20))
    (session / "app.db").unlink()
    fd = os.open(session / "made", os.O_RDONLY)
    os.fsync(fd)
    assert mount.status()["counters"]["stored_bytes"] == 1 << 20
    (session / "made").unlink()
    assert mount.status()["counters"]["stored_bytes"] == 1 << 20
    os.close(fd)
    eventually(lambda: mount.status()["counters"]["stored_bytes"] == 0)


def live_in(folder, talk):
    """Keeps it as the working directory while it is discarded."""
    os.chdir(folder)
    talk.send()
    talk.receive()
    assert os.listdir(".") == []
    for call in (lambda: open("new", "w"), lambda: os.mkdir("new"), lambda: os.stat("made")):
        with fails("ENOENT"):
            call()


def test_a_discarded_session_stays_usable_for_its_users(session, mount, key):
    """Handles, mappings and a working directory keep the old files and never see new ones."""
    page = seeded("gone").randbytes(BLOCK)
    (session / "made").write_text("text")
    file = open(session / "app.db", "r+b")
    before = file.read()
    shared = mmap.mmap(file.fileno(), len(before))
    unread = open(session / "app.db", "rb")
    folder = os.open(session, os.O_RDONLY | os.O_DIRECTORY)
    child = Child(lambda talk: live_in(session, talk))
    child.receive()
    os.rmdir(session)
    child.send()
    child.end()
    assert os.listdir(folder) == []
    with fails("ENOENT"):
        os.open("made", os.O_RDONLY, dir_fd=folder)
    os.mkdir(session)
    file.seek(BLOCK)
    file.write(page)
    file.flush()
    os.fsync(file.fileno())
    shared[:4] = b"old!"
    shared.flush()
    assert unread.read() == b"old!" + before[4:BLOCK] + page + before[2 * BLOCK :]
    assert sha256(session / "app.db") == sha256(mount.store.template(key))
    assert os.fstat(file.fileno()).st_ino != (session / "app.db").stat().st_ino
    shared.close()
    for opened in (file, unread):
        opened.close()
    os.close(folder)
    eventually(lambda: mount.status()["counters"]["stored_bytes"] == 0)
    assert mount.status()["open_files"] == 0


@pytest.mark.parametrize("way", ["removed", "replaced"])
def test_storage_is_freed_with_the_last_use(mount, session, way):
    """Whatever was in use at the discard: files deep in it, files with two names, directories."""
    (session / "a/b/c").mkdir(parents=True)
    for name in ("a/b/c/deep", "a/linked"):
        (session / name).write_bytes(b"x" * (1 << 20))
    os.link(session / "a/linked", session / "a/b/other")
    fds = [os.open(session / name, os.O_RDWR) for name in ("a/b/c/deep", "a/b/other", "app.db")]
    for fd in fds:
        os.pwrite(fd, b"y" * 8192, 0)
        os.fsync(fd)
    os.stat(session / "a/linked")

    def sit(talk):
        os.chdir(session / "a/b")
        talk.send()
        talk.receive()

    child = Child(sit)
    child.receive()
    if way == "removed":
        os.rmdir(session)
    else:
        fresh = session.parent / "fresh"
        fresh.mkdir()
        fresh.rename(session)
        assert os.listdir(session) == ["app.db"]
    assert mount.status()["counters"]["stored_bytes"] > 2 << 20
    for fd in fds:
        assert os.pread(fd, 3, 0) == b"yyy"
        os.close(fd)
    child.send()
    child.end()
    eventually(lambda: mount.status()["counters"]["stored_bytes"] == 0)
    assert mount.status()["open_files"] == 0
