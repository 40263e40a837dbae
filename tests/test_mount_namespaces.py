"""Other mount namespaces (containers, services, `unshare -m`) that have a copy of the mount."""

import contextlib
import os
import signal
import subprocess
import time

import pytest

from support.basics import IS_ROOT, fails, is_alive
from support.mounts import Daemon, Mount, mount_lines
from support.processes import Child
from support.stores import Store, binary_for_all, make_home
from support.users import NOBODY, Namespace

DEAD = ("ENOTCONN", "ECONNABORTED", "ECANCELED")

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="only root makes mount namespaces")


@pytest.fixture
def point(store):
    return store.home / "mnt"


@pytest.fixture
def other(place):
    """Each call makes a namespace with a copy of each mount that exists then."""
    with contextlib.ExitStack() as made:

        def make():
            namespace = Namespace(place, "true", uid=0, with_copies=True)
            made.callback(namespace.close)
            return namespace

        yield make


class User:
    """A process in another namespace with an open file, written but not synced."""

    def __init__(self, namespace, path):
        def use(talk):
            namespace._enter(0)
            fd = os.open(path, os.O_RDWR)
            os.pwrite(fd, b"unsynced" * 1000, 0)
            talk.send("open")
            talk.receive()
            os.close(fd)

        self.child = Child(use)
        assert self.child.receive() == "open"
        self.pid = self.child.pid

    def close(self):
        self.child.send()
        self.child.end()


def test_umount_ends_the_daemon_and_names_holders_of_copies(fuse, store, key, point, other):
    daemon = Daemon(store, point)
    (point / "sessions" / key / "one").mkdir()
    namespace = other()
    began = time.monotonic()
    done = store.run("umount")
    # It once waited for 30 s and failed. Nothing keeps the daemon, so it must take less.
    assert time.monotonic() - began < 20
    assert f"sh ({namespace.holder.pid})" in done.stderr or f"cat ({namespace.holder.pid})" in done.stderr
    daemon.await_end()
    with fails(*DEAD):
        namespace.call(lambda: os.statvfs(point))
    assert store.fail("umount", status=3)
    # Afterwards everything works as without another namespace.
    env = {"MINTFS_BACKEND": "fuse", "MINTFS_MOUNT": str(point)}
    assert store.run("session", "new", "app", "two", env=env).stdout.startswith(f"{point}/")
    assert sorted(os.listdir(point / "sessions" / key)) == ["one", "two"]
    store.run("umount")


def test_files_open_elsewhere_are_served_for_the_grace_period(fuse, store, key, point, other):
    daemon = Daemon(store, point, "-o", "grace=1")
    path = point / "sessions" / key / "one/app.db"
    path.parent.mkdir()
    user = User(other(), path)
    message = store.run("umount").stderr
    assert "waiting at most 11 s" in message and f"process {daemon.pid}" in message
    assert "other mount namespaces" in message
    daemon.await_end()
    user.child.kill()
    # Data that was written before is not lost.
    daemon = Daemon(store, point)
    assert path.read_bytes()[:8000] == b"unsynced" * 1000
    daemon.stop()


def test_a_plain_umount_waits_for_the_last_open_file(fuse, store, key, point, other):
    """No signal asked the daemon to stop: it serves the open file; umount does not wait."""
    daemon = Daemon(store, point, "-o", "grace=0")
    path = point / "sessions" / key / "one/app.db"
    path.parent.mkdir()
    user = User(other(), path)
    subprocess.run(["umount", point], check=True)
    env = {"MINTFS_BACKEND": "auto", "MINTFS_MOUNT": str(point)}
    copied = store.run("session", "new", "app", env=env).stdout.strip()
    assert not copied.startswith(str(point)) and os.path.exists(f"{copied}/app.db")
    message = store.fail("session", "new", "app", status=4, env={**env, "MINTFS_BACKEND": "fuse"})
    assert "still serves" in message and f"process {daemon.pid}" in message and "umount" in message
    assert is_alive(daemon.pid)
    user.close()
    daemon.await_end()
    store.run("session", "rm", copied)


def test_a_plain_umount_ends_a_daemon_without_open_files(fuse, store, key, point, other):
    daemon = Daemon(store, point)
    other()
    subprocess.run(["umount", point], check=True)
    daemon.await_end()


def test_a_bind_mount_in_the_same_namespace_keeps_the_daemon(fuse, store, key, point):
    daemon = Daemon(store, point)
    (point / "sessions" / key / "one").mkdir()
    bound = store.home / "bound"
    bound.mkdir()
    subprocess.run(["mount", "--bind", point, bound], check=True)
    subprocess.run(["umount", point], check=True)
    try:
        assert os.listdir(bound / "sessions" / key) == ["one"]
        assert is_alive(daemon.pid)
    finally:
        subprocess.run(["umount", bound], check=True)
    daemon.await_end()


def test_an_idle_mount_ends_under_copies_of_it(fuse, store, key, point, other):
    """It unmounts itself; once, the daemon did not end afterwards."""
    daemon = Daemon(store, point, "-o", "idle=1")
    other()
    daemon.await_end()


def test_replace_works_while_a_copy_exists(fuse, store, key, point, other):
    first = Daemon(store, point)
    other()
    again = Daemon(store, point, "--replace")
    assert again.pid != first.pid
    first.await_end_of_process()
    again.stop()


def test_an_ordinary_user_can_unmount_while_a_copy_exists(fuse, place):
    """A user namespace has a copy; the user unmounts through fusermount3."""
    home = make_home(place, NOBODY)
    namespace = Namespace(home)
    holder = None
    try:
        store = Store(home, namespace)
        store.binary = binary_for_all(home)
        store.build_app()
        point = home / "mnt"
        mount = Mount(store, point, "grace=1")
        holder = subprocess.Popen(
            [*namespace.prefix(), "unshare", "-Urm", "sh", "-c", "echo ready; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdout.readline() == b"ready\n"
        assert mount_lines(point, open(f"/proc/{holder.pid}/mountinfo").read())
        done = store.run("umount")
        assert f"({holder.pid})" in done.stderr
        mount.ended()
    finally:
        if holder:
            holder.communicate()
        namespace.close()


@pytest.mark.on_mounts("uring", "strict")
def test_sigterm_stops_new_opens_while_a_copy_exists(start_mount, key, point, other):
    mount = start_mount("grace=600")
    path = mount.new(key, "one") / "app.db"
    user = User(other(), path)
    mount.process.send_signal(signal.SIGTERM)
    with fails("ESHUTDOWN"):
        while True:
            os.close(os.open(path, os.O_RDONLY))
    assert mount.is_running()
    user.close()
    mount.ended()
