"""Restored templates are compared with their manifests before their first use, and other requests
do not wait for that."""

import contextlib
import json
import os
import subprocess

import pytest

from support.basics import SANITIZED, eventually, fails
from support.processes import Child
from support.stores import Store, make_home

on_both_ways = pytest.mark.on_mounts("uring", "strict")

BIG_MIB = 512 if SANITIZED else 2048


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Another store, with a template that takes seconds to read: a file with one large hole."""
    store = Store(make_home(tmp_path_factory.mktemp("elsewhere"), os.geteuid()))
    key = store.build_tree(f"truncate -s {BIG_MIB}M big; echo small >small", name="big")
    yield store, key
    subprocess.run(["chmod", "-R", "u+rwX", str(store.home)], check=True)


def restore(elsewhere, store) -> str:
    """Copies the template into the store, as tar would. Returns its key."""
    other, key = elsewhere
    subprocess.run(["cp", "-a", "--sparse=always", other.path / "v1/templates" / key,
                    store.path / "v1/templates"], check=True)
    return key


def is_verified(store, key) -> bool:
    rows = json.loads(store.run("ls", "--json").stdout)["templates"]
    return next(row["verified"] for row in rows if row["key"] == key)


def make_until_it_works(path):
    """Retries on EAGAIN (it is being compared), as a script would."""

    def made():
        try:
            path.mkdir()
        except BlockingIOError:
            return False
        return True

    eventually(made, f"a session at {path}")


@contextlib.contextmanager
def on_one_cpu():
    """So that all requests of these processes use one queue of io_uring."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def use_a_session(parent, number):
    path = parent / f"s{number}"
    path.mkdir()
    (path / "file").write_text("text")
    assert (path / "app.db").read_bytes()[:6] == b"SQLite"
    path.rmdir()


@on_both_ways
def test_other_requests_are_answered_during_a_comparison(mount, key, elsewhere):
    big = restore(elsewhere, mount.store)
    with on_one_cpu():
        makers = [Child(lambda talk, i=i: make_until_it_works(mount.sessions / big / f"s{i}"))
                  for i in range(12)]
        eventually(lambda: mount.status()["verifying"] == 1, "the comparison")
        number = 0
        while mount.status()["verifying"]:
            use_a_session(mount.sessions / key, number)
            number += 1
        for maker in makers:
            maker.end()
    assert number >= 20
    assert sorted(os.listdir(mount.sessions / big)) == sorted(f"s{i}" for i in range(12))
    assert (mount.sessions / big / "s0/small").read_text() == "small\n"
    assert is_verified(mount.store, big)


@on_both_ways
def test_lookups_start_no_comparison(mount, key, elsewhere):
    big = restore(elsewhere, mount.store)
    assert big in os.listdir(mount.templates)
    assert sorted(os.listdir(mount.templates / big)) == ["big", "small"]
    assert (mount.templates / big / "big").stat().st_size == BIG_MIB << 20
    assert os.listdir(mount.sessions / big) == []
    with fails("ENOENT"):
        os.stat(mount.sessions / big / "none")
    assert mount.status()["verifying"] == 0
    assert not is_verified(mount.store, big)


@on_both_ways
def test_the_mount_can_end_during_a_comparison(mount, key, elsewhere):
    big = restore(elsewhere, mount.store)

    def wait_for_it(talk):
        with contextlib.suppress(OSError):
            while True:
                try:
                    (mount.sessions / big / "one").mkdir()
                except BlockingIOError:
                    continue

    maker = Child(wait_for_it)
    eventually(lambda: mount.status()["verifying"] == 1, "the comparison")
    mount.stop()
    maker.end()
    assert not is_verified(mount.store, big)  # it was not waited for


@on_both_ways
def test_session_new_compares_before_the_daemon(mount, key, elsewhere):
    big = restore(elsewhere, mount.store)
    path = mount.store.run("session", "new", big, "one").stdout.strip()
    assert path == str(mount.sessions / big / "one")
    assert mount.status()["verifying"] == 0
    assert is_verified(mount.store, big)
    (mount.sessions / big / "two").mkdir()  # at once


@on_both_ways
def test_mkdir_waits_for_the_comparison_of_a_small_template(mount, key, tmp_path):
    other = Store(make_home(tmp_path, os.geteuid()))
    restored = other.build_app(salt="restored")
    restore((other, restored), mount.store)
    make_until_it_works(mount.sessions / restored / "one")
    assert is_verified(mount.store, restored)
    subprocess.run(["chmod", "-R", "u+rwX", str(other.home)], check=True)


@on_both_ways
def test_a_damaged_template_can_be_neither_used_nor_read(mount, key, tmp_path):
    other = Store(make_home(tmp_path, os.geteuid()))
    restored = other.build_app(salt="restored")
    file = other.template(restored)
    file.chmod(0o644)
    with open(file, "r+b") as damaged:
        damaged.seek(5000)
        byte = damaged.read(1)
        damaged.seek(5000)
        damaged.write(bytes([byte[0] ^ 1]))
    restore((other, restored), mount.store)
    for use in (
        lambda: (mount.sessions / restored / "one").mkdir(),
        lambda: open(mount.templates / restored / "app.db"),
    ):

        def fails_for_good(use=use):
            try:
                use()
            except BlockingIOError:
                return False
            except OSError as error:
                assert os.strerror(error.errno) == "Bad message", error
                return True
            raise AssertionError("it was used")

        eventually(fails_for_good, "the damage")
    assert os.listdir(mount.sessions / restored) == []
    message = mount.store.fail("session", "new", restored, "one", status=5)
    assert "app.db: its content differs from the manifest" in message
    mount.stop(logged=(r"app\.db: its content differs from the manifest",))
    subprocess.run(["chmod", "-R", "u+rwX", str(other.home)], check=True)


@on_both_ways
def test_session_new_retries_if_the_daemon_must_compare(mount, key, elsewhere):
    """The key was verified before, but its files are new, which only the daemon notices."""
    big = restore(elsewhere, mount.store)
    mount.store.run("verify", big)
    file = mount.store.template(big, "small")
    os.utime(file, (0, 0))
    assert mount.store.run("session", "new", big, "one").stdout.strip()
    assert (mount.sessions / big / "one/small").read_text() == "small\n"
