"""How a mount ends: on request, by an unmount, or killed; and what the next mount shows."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import time

import pytest

from support.basics import IS_ROOT, eventually, fails, fewer, is_alive, seeded, sha256
from support.databases import check, connected, value
from support.mounts import Daemon, Mount
from support.processes import Child
from support.users import Namespace

each_way_to_ask = pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name
)


# Errors of calls on a dead mount.
DEAD = ("ENOTCONN", "ECONNABORTED", "ECANCELED")


def close_dead(fd):
    """close(2) reports an error if pages could not be written."""
    with contextlib.suppress(OSError):
        os.close(fd)


def again(mount, *options) -> Mount:
    return Mount(mount.store, mount.point, *options)


def synced(path, data):
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def stopping(mount):
    """Waits until it refuses new opens."""

    def refused():
        try:
            os.close(os.open(mount.point / ".mintfs/status.json", os.O_RDONLY))
        except OSError as error:
            assert error.errno == 108, error  # ESHUTDOWN
            return True

    eventually(refused, "that the mount takes no new opens")


# ---- on request ----


@each_way_to_ask
@pytest.mark.on_each_mount
def test_an_unused_mount_ends_at_once(mount, session, number):
    (session / "app.db").read_bytes()
    os.kill(mount.pid, number)
    if os.geteuid() == 0:
        mount.ended()
    else:  # its parent is another process, which looks at what it left
        eventually(lambda: not mount.is_mounted())
        eventually(lambda: not is_alive(mount.pid))


@pytest.mark.on_mounts("uring", "strict")
def test_open_files_are_served_for_the_grace_period(fuse, store, variant, key):
    mount = Mount(store, store.home / "mnt", *variant.options, "grace=600")
    session = mount.new(key, "one")
    with open(session / "app.db", "r+b", buffering=0) as file, open(session / "made", "xb") as made:
        before = file.read()
        mount.process.send_signal(signal.SIGTERM)
        stopping(mount)
        for call in (
            lambda: os.open(session / "app.db", os.O_RDONLY),
            lambda: os.open(session / "new", os.O_WRONLY | os.O_CREAT),
            lambda: os.open(mount.templates / "app/app.db", os.O_RDONLY),
            lambda: os.mkdir(mount.sessions / key / "two"),
        ):
            with fails("ESHUTDOWN"):
                call()
        assert os.path.getsize(session / "app.db") == len(before)
        file.seek(4096)
        file.write(b"served" * 1000)
        assert os.pread(file.fileno(), 4096, 0) == before[:4096]
        made.write(b"late")
        made.flush()
        (session / "made").rename(session / "renamed")
        assert mount.is_running()
    mount.ended()
    mount = again(mount)
    expected = before[:4096] + b"served" * 1000 + before[4096 + 6000 :]
    assert (session / "app.db").read_bytes() == expected
    assert (session / "renamed").read_bytes() == b"late"
    mount.stop()


@pytest.mark.on_mounts("uring", "strict")
def test_after_the_grace_period_the_mount_ends_with_a_warning(fuse, store, variant, key):
    """Data written before the end survives, synced or not."""
    mount = Mount(store, store.home / "mnt", *variant.options, "grace=1")
    session = mount.new(key, "one")
    fd = os.open(session / "app.db", os.O_RDWR)
    os.write(fd, b"not synced" * 10000)
    began = time.monotonic()
    mount.stop(logged=[rf"{mount.point} ends while in use by .*\({os.getpid()}\)"])
    assert time.monotonic() - began >= 1
    with fails(*DEAD, "EIO"):
        os.pwrite(fd, b"lost", 0)
        os.fsync(fd)
    close_dead(fd)
    mount = again(mount)
    assert (session / "app.db").read_bytes()[:100000] == b"not synced" * 10000
    mount.stop()


def test_a_working_directory_counts_as_use(fuse, store, key):
    mount = Mount(store, store.home / "mnt", "grace=600")
    session = mount.new(key, "one")

    def sit(talk):
        os.chdir(session)
        talk.send()
        talk.receive()

    child = Child(sit)
    child.receive()
    mount.process.send_signal(signal.SIGTERM)
    stopping(mount)
    assert mount.is_running() and mount.is_mounted()
    child.send()
    child.end()
    mount.ended()


@pytest.mark.skipif(not IS_ROOT, reason="only root makes mount namespaces")
def test_a_copy_in_another_namespace_does_not_keep_the_daemon(fuse, store, place, key):
    """A container or service that was started meanwhile has such a copy."""
    mount = Mount(store, store.home / "mnt", "grace=1")
    mount.new(key, "one")
    other = Namespace(place, "true", uid=0, with_copies=True)
    try:
        assert other.call(lambda: os.listdir(mount.sessions / key)) == ["one"]
        mount.stop()
        with pytest.raises(OSError):
            other.call(lambda: os.statvfs(mount.point))
        daemon = Daemon(store, mount.point)
        assert daemon.output.stderr == ""
        daemon.stop()
    finally:
        other.close()


def test_a_second_signal_changes_nothing(fuse, store, key):
    mount = Mount(store, store.home / "mnt", "grace=600")
    with open(mount.new(key, "one") / "app.db", "rb") as file:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            mount.process.send_signal(number)
            stopping(mount)
        assert len(file.read(100)) == 100
    mount.ended()


def test_a_background_daemon_stops_on_sigterm(fuse, store, key):
    daemon = Daemon(store, store.home / "mnt")
    (store.home / "mnt/sessions" / key / "one").mkdir()
    daemon.stop()
    daemon = Daemon(store, store.home / "mnt")
    assert os.listdir(store.home / "mnt/sessions" / key) == ["one"]
    daemon.stop()


def test_a_signal_during_startup_ends_the_daemon(fuse, store):
    """It either has started, and ends properly, or is ended by the signal."""
    random = seeded("starting")
    for _ in range(fewer(30)):
        process = store.start("mount", "-f", store.home / "mnt")
        time.sleep(random.random() * 0.03)  # no wait for anything: any moment will do
        process.terminate()
        out, err = process.communicate(timeout=1500)
        assert process.returncode in (0, -signal.SIGTERM), (process.returncode, out, err)
        assert err == ""
        store.run("mount", store.home / "mnt")
        store.run("umount")
        assert store.leftovers() == []


# ---- umount ----


def test_umount_waits_for_the_daemon(mount, store, key):
    mount.new(key, "one")
    done = store.run("umount", mount.point)
    assert (done.stdout, done.stderr) == ("", "")
    assert not is_alive(mount.pid)
    mount.ended()
    assert store.fail("umount", mount.point, status=3)
    assert store.fail("umount", status=3)
    assert store.fail("umount", store.home / "none", status=3)
    assert store.fail("umount", store.home / "none/none", status=3)


def test_umount_of_a_mount_in_use_names_the_process(mount, store, session):
    with open(session / "app.db", "rb") as file:
        for words in ([], [mount.point]):
            message = store.fail("umount", *words, status=4)
            assert f"({os.getpid()})" in message and str(mount.point) in message
        assert mount.is_running() and file.read(6) == b"SQLite"
    child = Child(lambda talk: (os.chdir(session), talk.send(), talk.receive())[0])
    child.receive()
    assert f"({child.pid})" in store.fail("umount", status=4)
    child.send()
    child.end()
    store.run("umount")
    mount.ended()


def test_the_daemon_ends_after_an_unmount_by_other_means(mount, store):
    tool = ["umount"] if IS_ROOT else ["fusermount3", "-u"]
    subprocess.run([*tool, mount.point], check=True)
    mount.ended()


def test_a_lazy_umount_loses_no_dirty_pages(mount, store, key):
    session = mount.new(key, "one")
    with open(session / "app.db", "r+b", buffering=0) as file:
        tool = ["umount", "-l"] if IS_ROOT else ["fusermount3", "-u", "-z"]
        subprocess.run([*tool, mount.point], check=True)
        assert not os.path.ismount(mount.point)
        file.write(b"dirty" * 1000)
        assert os.pread(file.fileno(), 5, 0) == b"dirty"
    mount.ended()
    mount = again(mount)
    assert (session / "app.db").read_bytes()[:5000] == b"dirty" * 1000
    mount.stop()


@pytest.mark.skipif(not IS_ROOT, reason="only root aborts connections")
def test_the_daemon_ends_when_its_connection_is_aborted(mount, store):
    device = os.stat(mount.point).st_dev
    abort = f"/sys/fs/fuse/connections/{os.minor(device)}/abort"
    if not os.path.exists(abort):
        subprocess.run(["mount", "-t", "fusectl", "fusectl", "/sys/fs/fuse/connections"], check=True)
    with open(abort, "w") as file:
        file.write("1")
    mount.process.wait(timeout=1500)
    daemon = Daemon(store, mount.point)
    daemon.stop()
    mount.process.communicate()


# ---- sessions survive ----


@pytest.mark.on_mounts("uring", "strict", "shared")
def test_sessions_survive_umount_and_mount(mount, store, variant, key):
    session = mount.new(key, "one")
    session.chmod(0o750)
    with connected(session / "app.db", "journal_mode=WAL") as db:
        db.execute("insert into t0(text) values('stays')")
    (session / "folder/deep").mkdir(parents=True)
    (session / "folder/deep/file").write_text("text")
    (session / "folder/deep/file").chmod(0o604)
    (session / "link").symlink_to("folder/deep/file")
    os.link(session / "folder/deep/file", session / "second")
    os.mkfifo(session / "fifo")
    os.utime(session / "second", ns=(123456789, 987654321))
    os.truncate(session / "folder/deep/file", 3)
    os.utime(session / "second", ns=(123456789, 987654321))
    gone = mount.new(key, "gone")
    os.rmdir(gone)

    def picture():
        found = {}
        for path in [session, *sorted(session.rglob("*"))]:
            s = path.lstat()
            # Times that the kernel set itself may differ by a tick of its clock.
            mtime = s.st_mtime_ns if s.st_mtime_ns < 10**18 else round(s.st_mtime / 1000)
            found[str(path)] = (
                s.st_mode, s.st_nlink, s.st_uid, s.st_gid, mtime, s.st_ino,
                sha256(path) if path.is_file() else s.st_size,
            )
        return found

    before = picture()
    for how in ("stop", "umount", "kill"):
        if how == "stop":
            mount.stop()
        elif how == "umount":
            store.run("umount")
            mount.ended()
        else:
            mount.kill()
            store.run("umount", mount.point)
        mount = again(mount, *variant.options)
        assert picture() == before
        assert os.listdir(mount.sessions / key) == ["one"]
    with connected(session / "app.db") as db:
        assert value(db, "select count(*) from t0 where text = 'stays'") == 1
    new = mount.new(key, "two").stat().st_ino
    assert new not in [line[5] for line in before.values()]
    mount.stop()


def commit_until_killed(path, mode, talk):
    """Sends each number when its transaction is committed."""
    with connected(path, f"journal_mode={mode}") as db:
        db.execute("create table if not exists log(n integer primary key, data)")
        n = value(db, "select coalesce(max(n), -1) from log") + 1
        talk.send(n - 1)
        while True:
            db.execute("insert into log values(?, randomblob(5000))", (n,))
            talk.send(n)
            n += 1


@pytest.mark.on_mounts("uring", "strict", "shared")
@pytest.mark.parametrize("mode", ("DELETE", "PERSIST", "WAL"))
def test_committed_data_survives_a_killed_daemon(mount, store, variant, key, mode):
    random = seeded("killed", mode)
    path = mount.new(key, "one") / "app.db"
    for round_number in range(fewer(10)):
        writer = Child(lambda talk: commit_until_killed(path, mode, talk))
        last = writer.receive()
        stop = last + random.randrange(1, 30)
        while last < stop:
            last = writer.receive()
        mount.kill()
        # No call hangs: each ends with an error, or is served from the cache.
        promised = last
        with pytest.raises((OSError, AssertionError)):
            while True:
                last = writer.receive()
        # With cached writes, the kernel sends no FSYNC and may report success after the daemon's
        # death. The unlink that commits in DELETE mode is a request, and fails.
        if mode == "DELETE" or "strict" in variant.options:
            promised = last
        store.run("umount", mount.point)
        mount = again(mount, *variant.options)
        check(path)
        with connected(path) as db:
            assert promised <= value(db, "select max(n) from log") <= last + 1
            assert value(db, "select count(*) from log") == value(db, "select max(n) + 1 from log")
    assert sha256(mount.templates / key / "app.db") == sha256(store.template(key))
    mount.stop()


@pytest.mark.on_mounts("uring", "strict")
def test_a_hot_journal_is_rolled_back_after_a_kill(mount, store, variant, key):
    path = mount.new(key, "one") / "app.db"
    with connected(path) as db:
        before = db.execute("select * from t0").fetchall()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma cache_size=5")
    db.execute("begin")
    db.execute("update t0 set text = 'changed', blob = randomblob(4000)")
    assert os.path.getsize(f"{path}-journal") > 4096
    mount.kill()
    with contextlib.suppress(sqlite3.Error):
        db.close()
    store.run("umount", mount.point)
    mount = again(mount, *variant.options)
    assert os.path.getsize(f"{path}-journal") > 4096 or "strict" not in variant.options
    with connected(path) as db:
        assert db.execute("select * from t0").fetchall() == before
    check(path)
    mount.stop()


def test_an_unlinked_open_file_is_gone_after_a_kill(mount, store, key):
    session = mount.new(key, "one")
    fd = os.open(session / "made", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"x" * 100000)
    os.fsync(fd)
    (session / "made").unlink()
    mount.kill()
    close_dead(fd)
    store.run("umount", mount.point)
    mount = again(mount)
    assert os.listdir(session) == ["app.db"]
    assert mount.status()["counters"]["stored_bytes"] == 0
    mount.stop()


@pytest.mark.skipif(not IS_ROOT, reason="only root can mount another boot ID")
def test_sessions_of_another_boot_are_discarded(mount, store, key):
    session = mount.new(key, "one")
    synced(session / "made", b"text")
    mount.stop()
    (log,) = (store.scratch() / "logs").glob("*")
    data = log.read_bytes()
    boot_id = open("/proc/sys/kernel/random/boot_id").read().strip().encode()
    assert boot_id in data
    # The record has a checksum, so the test changes the daemon's boot ID and not the log.
    fake = store.home / "boot_id"
    fake.write_text("00000000-1111-2222-3333-444444444444\n")
    script = 'mount --bind "$1" /proc/sys/kernel/random/boot_id; shift; exec "$@"'
    command = ["unshare", "-m", "sh", "-ec", script, "sh", fake]
    process = subprocess.Popen(
        [*command, store.binary, "mount", "-f", mount.point],
        env=store.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert process.stdout.readline() == f"{mount.point}\n"
    process.terminate()
    out, err = process.communicate(timeout=1500)
    assert process.returncode == 0
    assert "discarded the session" in err and "rebooted since" in err and err.count("\n") == 1
    mount = again(mount)
    assert os.listdir(mount.sessions / key) == []
    mount.stop()
