"""clean beside other commands: it waits or is refused, and no daemon serves a removed store."""

import fcntl
import os
import shutil
import subprocess
import sys

import pytest

from load.commands import Drill
from support.basics import SEED, eventually, seeded
from support.mounts import Daemon, mount_lines

HOLDER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_SH)
print("ready", flush=True)
sys.stdin.read()
"""


def test_clean_is_refused_while_another_command_uses_the_store(store, key):
    """The message names the command, and nothing is removed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, store.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout.readline() == b"ready\n"
        message = store.run("clean", "--yes", status=4).stderr
        assert f"({holder.pid})" in message and str(store.path) in message
        assert store.template(key).exists()
        holder.stdin.close()
    store.run("clean", "--yes")
    assert not store.path.exists()


def test_clean_is_refused_during_a_build_which_it_names(store, key):
    """A build that waits for another one counts, too."""
    fifo = store.home / "fifo"
    os.mkfifo(fifo)
    builder = store.start("build", "--", "sh", "-c", f'read x <"{fifo}"; : >"$0"', "{out}")
    with open(fifo, "w") as out:  # opens when the builder reads
        message = store.run("clean", "--yes", status=4).stderr
        assert "is being built" in message
        assert store.template(key).exists()
        out.write("go\n")
    assert builder.wait() == 0, builder.stderr.read()
    builder.communicate()
    store.run("clean", "--yes")
    assert not store.path.exists()


@pytest.mark.parametrize("command", [["build"], ["mount"]])
def test_a_command_that_starts_during_clean_creates_a_new_store(fuse, store, key, command):
    point = store.home / "mnt"
    words = {"build": ["-n", "app", "--", "sh", "-c", ': >"$0"', "{out}"], "mount": [point]}[command[0]]
    fd = os.open(store.path, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)  # as clean does
    starter = store.start(*command, *words)
    line = starter.stderr.readline()
    assert "waiting for mintfs clean" in line
    shutil.rmtree(store.path)
    os.close(fd)
    out, err = starter.communicate(timeout=600)
    assert starter.returncode == 0, err
    assert (store.path / "mintfs-store").exists() and not store.template(key).exists()
    if command == ["mount"]:
        assert os.listdir(point / "templates") == []
        assert str(point) in store.fail("mount", status=4)
        store.run("umount")
        eventually(lambda: not mount_lines(point))
    assert store.leftovers() == []


def test_clean_finds_nothing_in_an_empty_directory(store):
    """Which is what another clean leaves for a moment, and what a build begins with."""
    store.path.mkdir()
    assert "nothing to remove" in store.run("clean", "--yes").stderr
    assert store.path.exists()


def test_cleans_and_builds_at_once_are_all_done(store):
    """Each clean removes a store or finds none, at whatever point the others are."""
    for _ in range(30):
        store.build_app()
        cleans = [store.start("clean", "--yes") for _ in range(4)]
        for clean in cleans:
            out, err = clean.communicate()
            assert clean.returncode in (0, 4), err
    store.run("clean", "--yes")
    assert not store.path.exists()


def test_clean_unmounts_a_mount_that_uses_the_store(mount, key):
    """The mount uses it also after its starter has ended."""
    fd = os.open(mount.store.path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(fd)
    mount.stop()


def test_clean_removes_the_scratch_of_the_mount_that_it_ends(fuse, store, key):
    """Also a scratch without sessions, whose record is removed when the mount ends."""
    place = store.home / "memory"
    place.mkdir()
    Daemon(store, store.home / "mnt", "--scratch", place)
    (scratch,) = place.iterdir()
    assert f"scratch at {scratch}: " in store.run("clean", "--yes").stdout
    assert not scratch.exists() and not store.path.exists()


def test_a_store_that_was_removed_under_its_mount_is_reported(fuse, store, key):
    """After rm -rf the message names the mount, and the command that ends it."""
    point = store.home / "mnt"
    env = {"MINTFS_MOUNT": str(point)}
    daemon = Daemon(store, point)
    shutil.rmtree(store.path)
    store.build_app()
    for command, status in (("mount", 4), ("umount", 3)):
        assert f"mintfs umount {point}" in store.fail(command, status=status, env=env)
    store.run("umount", point, env=env)
    daemon.await_end()
    store.run("mount", env=env)
    assert os.listdir(point / "templates") != []
    store.run("umount", env=env)


def test_mixed_commands_leave_the_store_consistent(fuse, place):
    """A short `scripts/soak commands`."""
    drill = Drill(place, seeded("commands", SEED))
    try:
        drill.run(count=400, most_workers=10)
    finally:
        drill.close()
