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
    """Made when called: a namespace with a copy of each mount that there is then."""
    with contextlib.ExitStack() as made:

        def make():
            namespace = Namespace(place, "true", uid=0, with_copies=True)
            made.callback(namespace.close)
            return namespace

        yield make


class User:
    """A process in another namespace that has a file of a session open, written and not synced."""

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


def test_umount_ends_the_daemon_and_names_who_has_a_copy(fuse, store, key, point, other):
    daemon = Daemon(store, point)
    (point / "sessions" / key / "one").mkdir()
    namespace = other()
    began = time.monotonic()
    done = store.run("umount")
    # Before, it waited for 30 s and failed. Nothing holds the daemon: no timing could take so long.
    assert time.monotonic() - began < 20
    assert f"sh ({namespace.holder.pid})" in done.stderr or f"cat ({namespace.holder.pid})" in done.stderr
    daemon.await_end()
    with fails(*DEAD):
        namespace.call(lambda: os.statvfs(point))
    assert store.fail("umount", status=3)
    # What follows is as if there was no other namespace.
    env = {"MINTFS_BACKEND": "fuse", "MINTFS_MOUNT": str(point)}
    assert store.run("session", "new", "app", "two", env=env).stdout.startswith(f"{point}/")
    assert sorted(os.listdir(point / "sessions" / key)) == ["one", "two"]
    store.run("umount")


def test_files_that_are_open_elsewhere_are_served_for_their_time(fuse, store, key, point, other):
    daemon = Daemon(store, point, "-o", "grace=1")
    path = point / "sessions" / key / "one/app.db"
    path.parent.mkdir()
    user = User(other(), path)
    said = store.run("umount").stderr
    assert "waiting at most 11 s" in said and f"process {daemon.pid}" in said
    assert "other mount namespaces" in said
    daemon.await_end()
    user.child.kill()
    # What was written before is not lost.
    daemon = Daemon(store, point)
    assert path.read_bytes()[:8000] == b"unsynced" * 1000
    daemon.stop()


def test_a_plain_umount_waits_for_the_last_open_file(fuse, store, key, point, other):
    """Nobody has asked the daemon to stop: it goes on for them, and others are not kept waiting."""
    daemon = Daemon(store, point, "-o", "grace=0")
    path = point / "sessions" / key / "one/app.db"
    path.parent.mkdir()
    user = User(other(), path)
    subprocess.run(["umount", point], check=True)
    env = {"MINTFS_BACKEND": "auto", "MINTFS_MOUNT": str(point)}
    copied = store.run("session", "new", "app", env=env).stdout.strip()
    assert not copied.startswith(str(point)) and os.path.exists(f"{copied}/app.db")
    said = store.fail("session", "new", "app", status=4, env={**env, "MINTFS_BACKEND": "fuse"})
    assert "still serves" in said and f"process {daemon.pid}" in said and "umount" in said
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
    """It unmounts itself, and was never seen again to end."""
    daemon = Daemon(store, point, "-o", "idle=1")
    other()
    daemon.await_end()


def test_replace_under_a_copy(fuse, store, key, point, other):
    first = Daemon(store, point)
    other()
    again = Daemon(store, point, "--replace")
    assert again.pid != first.pid
    first.await_end_of_process()
    again.stop()


def test_of_an_ordinary_user(fuse, place):
    """A user namespace of his own has a copy; fusermount3 unmounts for him."""
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
def test_sigterm_under_a_copy(start_mount, key, point, other):
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
