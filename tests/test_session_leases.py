"""Owners in other PID namespaces, where their IDs mean other processes or none."""

import json
import os
import shlex
import subprocess
import threading
import time
import zlib
from pathlib import Path

import pytest

from support import mounts
from support.basics import IS_ROOT, eventually, fails, needs_root
from support.nests import Nest
from support.processes import sleeper

DAY_NS = 24 * 3600 * 10**9


@pytest.fixture
def nest(request):
    if not IS_ROOT:
        pytest.skip("only root makes a PID namespace with a /proc of its own")
    made = []

    def make(store, **how):
        made.append(Nest(environment=store.env, **how))
        return made[-1]

    yield make
    for nest in made:
        nest.close()


def sessions(store) -> list:
    rows = json.loads(store.run("session", "ls", "--json").stdout)["sessions"]
    return sorted(row["id"] for row in rows)


# ---- on a mount ----


@pytest.mark.parametrize("mount_proc", [True, False])
def test_an_owner_is_looked_up_in_its_own_pid_namespace(mount, store, key, nest, mount_proc):
    """A process with the same ID here, or none, does not matter."""
    inner = nest(store, mount_proc=mount_proc)
    number = inner.sleeper()
    assert number < 1000
    session = Path(inner.ask(*store.command("session", "new", "--owner", number, key, "inner")))
    raw = mount.new(key, "raw")
    assert inner.ask(f"setfattr -n user.mintfs.owner -v {number} {raw} 2>&1") == ""
    # The end of an unrelated owner makes the daemon check all owners.
    other = sleeper()
    goes = Path(store.run("session", "new", "--owner", other.pid, key).stdout.strip())
    other.kill()
    eventually(lambda: not goes.exists(), "the end of another's session")
    assert os.listdir(session) == os.listdir(raw) == ["app.db"]
    inner.ask(f"kill -9 {number}")
    eventually(lambda: not session.exists() and not raw.exists(), "the end of the owner's sessions")


@pytest.mark.on_mounts("user")
def test_an_owner_in_an_ordinary_users_container(mount, store, key):
    """The daemon runs outside as the same user, and needs no privilege to look inside."""
    inner = Nest(rootless=True, environment=store.env)
    try:
        number = inner.sleeper()
        session = Path(inner.ask(*store.command("session", "new", "--owner", number, key, "one")))
        there = mount.sessions / key / f"a.pid-{number}"
        assert inner.ask(f"mkdir {there} 2>&1") == ""
        assert os.listdir(session) == os.listdir(there) == ["app.db"]
        inner.ask(f"kill -9 {number}")
        eventually(lambda: not session.exists() and not there.exists(), "the end of both")
    finally:
        inner.close()


@needs_root
def test_a_process_outside_the_daemons_pid_namespace_cannot_own(fuse, store, key, place):
    """The daemon is in an inner namespace, where our process ID means no process or another one."""
    wrapper = place / "inner"
    wrapper.write_text(f'#!/bin/sh\nexec unshare --pid --fork --kill-child {store.binary} "$@"\n')
    wrapper.chmod(0o755)
    binary, store.binary = store.binary, wrapper
    made = mounts.Mount(store, store.home / "mnt")
    store.binary = binary
    said = store.fail("session", "new", "--owner", os.getpid(), key, "one", status=1)
    assert "--ttl" in said and "namespace" in said
    raw = made.new(key, "raw")
    with fails("EXDEV"):
        os.setxattr(raw, "user.mintfs.owner", b"1")
    timed = Path(store.run("session", "new", "--ttl", "10m", key, "timed").stdout.strip())
    assert sorted(os.listdir(made.sessions / key)) == ["raw", "timed"]
    timed.rmdir()
    raw.rmdir()
    # The daemon's process ID is another process's here, which is neither awaited nor ended.
    store.run("umount")
    made.ended()


# ---- an ID that names an owner ----


def test_an_id_of_mkdir_can_name_an_owner(mount, store, key, nest):
    """At the end of the ID, as a process ID in the namespace of the process that calls mkdir."""
    child, inner = sleeper(), nest(store)
    number = inner.sleeper()
    here = mount.new(key, f"test-7.pid-{child.pid}")
    there = mount.sessions / key / f"a.pid-{number}"
    assert inner.ask(f"mkdir {there} 2>&1") == ""
    for name in ("x.pid-", ".pid-1", "x.pid-1a", "x-pid-1", "x.pid-1234567890"):
        if name[0] != ".":
            mount.new(key, name).rmdir()
    with fails("ESRCH"):
        mount.new(key, "none.pid-999999999")
    # A session that is renamed over it takes its owner over, as in a reset.
    fresh = mount.new(key, "fresh")
    (fresh / "own").touch()
    fresh.rename(here)
    inner.ask(f"kill -9 {number}")
    eventually(lambda: not there.exists(), "the end of the inner one's session")
    assert (here / "own").exists()
    child.kill()
    eventually(lambda: not here.exists(), "the end of ours")
    assert os.listdir(mount.sessions / key) == []


def test_owners_in_ids_survive_a_restart(mount, store, key):
    child, other = sleeper(), sleeper()
    mount.new(key, f"gone.pid-{child.pid}")
    mount.new(key, f"stays.pid-{other.pid}")
    mount.kill()
    child.kill()
    again = mounts.Mount(store, mount.point)
    stays = [f"stays.pid-{other.pid}"]
    eventually(lambda: os.listdir(again.sessions / key) == stays, "the end of the other")
    other.kill()
    eventually(lambda: os.listdir(again.sessions / key) == [], "the end of the last")
    again.stop(logged=("removed a dead mount",))


@pytest.mark.parametrize("backend", ["mount", "copies"])
def test_session_new_takes_an_owner_from_an_id(request, store, key, backend):
    request.getfixturevalue(backend)
    child, other = sleeper(), sleeper()
    store.run("session", "new", key, f"one.pid-{child.pid}")
    store.run("session", "new", "--owner", other.pid, key, f"two.pid-{child.pid}")
    said = store.fail("session", "new", key, "none.pid-999999999", status=3)
    assert "no process 999999999" in said
    child.kill()
    eventually(lambda: len(sessions(store)) == 1, "the end of the first")
    assert sessions(store)[0].startswith("two.pid-")
    other.kill()
    eventually(lambda: sessions(store) == [], "the end of the other's")


# ---- copies ----


def new_copy(store, *words) -> Path:
    return Path(store.run("session", "new", *words).stdout.strip())


def lease_of(copy: Path) -> Path:
    return copy.with_name(f".lease-{copy.name}")


def rewrite(copy: Path, change):
    """Changes the words of a lease: ends, seen, boot ID, two namespaces, PID, start, lock."""
    magic, *words, _ = lease_of(copy).read_text().split()
    assert magic == "mintfs-lease-2"
    change(words)
    text = " ".join([magic, *words]) + " "
    sum_ = zlib.crc32(text.encode(), zlib.crc32(bytes(8)))
    lease_of(copy).write_text(f"{text}{sum_:08x}\n")


def age(copy: Path, ns: int):
    def change(words):
        words[1] = str(int(words[1]) - ns)

    rewrite(copy, change)


def test_a_copy_survives_commands_of_another_pid_namespace(copies, key, nest):
    """Two containers share a store, and create and list sessions in turn."""
    one, two = nest(copies), nest(copies)
    owners = {one: one.sleeper(), two: two.sleeper()}
    made = {}
    for turn in range(3):
        for inner, number in owners.items():
            words = copies.command("session", "new", "--owner", number, key)
            path = Path(inner.ask(*words).split()[-1])
            made.setdefault(inner, []).append(path.name)
            assert sessions(copies) == sorted(made.get(one, []) + made.get(two, []))
            two.ask(*copies.command("gc"))
    # Commands in its own namespace see that an owner is gone; ours do not until the lease is old.
    one.ask(f"kill -9 {owners[one]}; wait")
    assert sessions(copies) == sorted(made[one] + made[two])
    one.ask(*copies.command("gc"))
    assert sessions(copies) == sorted(made[two])
    copies.run("gc")
    assert sessions(copies) == sorted(made[two])


def test_a_copy_ends_a_day_after_its_unseen_owners_last_sign(copies, key):
    copy = new_copy(copies, "--owner", os.getpid(), key, "one")
    timed = new_copy(copies, "--owner", os.getpid(), "--ttl", "100d", key, "timed")

    def move_away(words):
        words[3] = str(int(words[3]) + 1)  # the PID namespace

    for path in (copy, timed):
        rewrite(path, move_away)
        age(path, DAY_NS - 60 * 10**9)
    assert sessions(copies) == ["one", "timed"]
    # A reset is a sign of life: the copy stays another day.
    copies.run("session", "reset", "one")
    for path in (copy, timed):
        age(path, 2 * 60 * 10**9)
    assert sessions(copies) == ["one", "timed"]
    for path in (copy, timed):
        age(path, DAY_NS)
    assert sessions(copies) == ["timed"]
    assert not lease_of(copy).exists()


def test_a_visible_owner_renews_its_lease(copies, key):
    copy = new_copy(copies, "--owner", os.getpid(), key, "one")
    young = lease_of(copy).read_bytes()
    assert sessions(copies) == ["one"] and lease_of(copy).read_bytes() == young
    age(copy, 30 * DAY_NS)
    assert sessions(copies) == ["one"]
    seen = int(lease_of(copy).read_text().split()[2])
    assert abs(time.time_ns() - seen) < DAY_NS


@pytest.mark.parametrize("lock", ["never taken", "held", "free", "missing"])
def test_the_lock_of_an_unseen_owner_decides(copies, key, lock):
    made = copies.run("session", "new", "--json", "--owner", os.getpid(), "--owner-lock", "me", key)
    row = json.loads(made.stdout)
    copy, path = Path(row["path"]), Path(row["owner_lock"])
    rewrite(copy, lambda words: words.__setitem__(3, "1"))
    assert path == copy.parent.parent / ".owners/me" and path.stat().st_size == 0
    held = None
    if lock != "never taken":
        held = subprocess.Popen(
            ["flock", path, "sh", "-c", 'echo >>"$0"; echo held; exec cat', path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert held.stdout.readline() == b"held\n"
        assert sessions(copies) == [row["id"]]
        age(copy, 10 * DAY_NS)
        assert sessions(copies) == [row["id"]], "its owner holds the lock"
    if lock == "missing":
        path.unlink()
        assert sessions(copies) == [row["id"]]
    if lock in ("free", "missing"):
        held.communicate()
    expected = [] if lock == "free" else [row["id"]]
    assert sessions(copies) == expected
    if lock == "free":
        assert not path.parent.exists()
    if lock == "held":
        held.communicate()
        assert sessions(copies) == []
    if lock == "never taken":
        age(copy, 10 * DAY_NS)
        assert sessions(copies) == []
        os.utime(path, (0, 0))
        assert sessions(copies) == [] and not path.parent.exists()


def test_leases_of_another_boot_or_version_are_understood(copies, key):
    """Processes and locks of another boot or machine cannot be seen here."""
    boot = new_copy(copies, "--owner", os.getpid(), key, "boot")
    rewrite(boot, lambda words: words.__setitem__(2, "0" * 36))
    rewrite(boot, lambda words: words.__setitem__(5, "999999999"))
    later = new_copy(copies, "--owner", os.getpid(), key, "later")
    lease_of(later).write_text("mintfs-lease-3 1 2 3\n")
    damaged = new_copy(copies, "--ttl", "1s", key, "damaged")
    text = lease_of(damaged).read_text()
    lease_of(damaged).write_text(text.replace("mintfs-lease-2 1", "mintfs-lease-2 0"))
    before = new_copy(copies, key, "before")
    lease_of(before).write_text("0 999999999 4711\n")
    over = new_copy(copies, key, "over")
    lease_of(over).write_text("1 0 0\n")
    assert sessions(copies) == ["before", "boot", "damaged", "later"]
    for path in (boot, before):
        os.utime(lease_of(path), (0, 0))
    age(boot, 2 * DAY_NS)
    assert sessions(copies) == ["damaged", "later"]


def test_a_lease_without_a_copy_is_removed(copies, key):
    """A killed command leaves one; it does not apply to the next session with this ID."""
    copy = new_copy(copies, "--owner", os.getpid(), key, "one")
    new_copy(copies, key, "two")
    left = lease_of(copy).read_text()
    copies.run("session", "rm", "one")
    assert not lease_of(copy).exists()
    lease_of(copy).write_text("1 0 0\n")
    assert new_copy(copies, key, "one") == copy
    assert sessions(copies) == ["one", "two"] and not lease_of(copy).exists()
    lease_of(copy.with_name("three")).write_text(left)
    half = copy.with_name("..lease-three.0123456789.tmp")
    half.write_text("mintfs-l")
    assert sessions(copies) == ["one", "two"]
    assert not lease_of(copy.with_name("three")).exists() and not half.exists()


def test_with_a_foreign_proc_no_copy_gets_an_owner(copies, key, nest):
    """As after unshare --pid without --mount-proc: the ID would mean another process."""
    inner = nest(copies, mount_proc=False)
    said = inner.ask(shlex.join(copies.command("session", "new", "--owner", 1, key)) + " 2>&1")
    assert "--ttl" in said and "/proc" in said
    assert sessions(copies) == []
    assert inner.ask(*copies.command("session", "new", "--ttl", "10m", key, "timed"))
    assert sessions(copies) == ["timed"]


@pytest.mark.parametrize("clock", ["+3650d", "-3650d"])
def test_a_test_that_changes_its_clock_ends_no_copies(copies, key, faketime, clock):
    """It may run mintfs, which checks all copies."""
    new_copy(copies, "--ttl", "10m", key, "timed")
    unseen = new_copy(copies, "--owner", os.getpid(), key, "unseen")
    rewrite(unseen, lambda words: words.__setitem__(3, "1"))
    new = copies.command("session", "new", "--ttl", "10m", key, "moved")
    subprocess.run([*faketime, clock, *new], env=copies.env, check=True, stdout=subprocess.DEVNULL)
    assert sessions(copies) == ["moved", "timed", "unseen"]


def test_sweeps_do_not_disturb_copies_in_the_making(copies, key):
    """A sweep does not mistake an unfinished copy for the leftover of a killed command."""
    copy = new_copy(copies, key, "one")
    ended = []
    sweepers = [threading.Thread(target=lambda: sweep_until(copies, ended)) for _ in range(3)]
    for thread in sweepers:
        thread.start()
    try:
        for i in range(80):
            (copy / "own").touch()
            copies.run("session", "reset", "one")
            assert os.listdir(copy) == ["app.db"]
            copies.run("session", "rm", new_copy(copies, key, f"n{i}"))
    finally:
        ended.append(True)
        for thread in sweepers:
            thread.join()
    assert os.listdir(copy.parent) == ["one"]


def sweep_until(store, ended: list):
    while not ended:
        store.run("gc")
