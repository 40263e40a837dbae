"""The life of sessions: reset and leases; and mounts that end or are replaced."""

import json
import mmap
import os
import signal
import sqlite3
import subprocess

import pytest

from support import mounts
from support.basics import eventually, is_alive, sha256
from support.processes import sleeper

DEAD = ("removed a dead mount",)


@pytest.fixture(params=["fuse", "copy"])
def on(request, store):
    """A store whose sessions are on a mount, or are copies."""
    request.getfixturevalue("mount" if request.param == "fuse" else "copies")
    return store


def sessions(store) -> list:
    return json.loads(store.run("session", "ls", "--json").stdout)["sessions"]


def new(store, *words):
    return store.home / store.run("session", "new", *words).stdout.removesuffix("\n")


# ---- reset ----


def test_reset_keeps_the_path_and_restores_the_files(on, key):
    session = new(on, key, "one")
    fresh = sha256(session / "app.db")
    session.chmod(0o750)
    for _ in range(3):
        (session / "more").write_text("own")
        (session / "folder").mkdir()
        with open(session / "app.db", "r+b") as file:
            file.write(b"changed")
        done = on.run("session", "reset", "one")
        assert (done.stdout, done.stderr) == ("", "")
        assert os.listdir(session) == ["app.db"]
        assert sha256(session / "app.db") == fresh
        assert session.stat().st_mode & 0o7777 == 0o750
    assert [row["path"] for row in sessions(on)] == [str(session)]
    assert sha256(on.template(key)) == fresh


def test_reset_of_an_unknown_session_fails(on, key):
    new(on, key, "one")
    on.fail("session", "reset", "two", status=3)
    on.fail("session", "reset", status=2)
    # The other sessions are reset all the same.
    path = new(on, key, "three")
    (path / "own").touch()
    on.fail("session", "reset", "two", "three", status=3)
    assert os.listdir(path) == ["app.db"]


@pytest.mark.parametrize("way", ["reset", "discard"])
def test_open_files_stay_the_old_ones_after_a_reset(mount, store, key, way):
    """A descriptor, a mapping, a WAL connection and a current directory stay usable."""
    session = mount.new(key, "one")
    fresh = sha256(session / "app.db")
    db = sqlite3.connect(session / "app.db", isolation_level=None)
    db.execute("pragma journal_mode=wal")
    db.execute("create table own(a)")
    (session / "file").write_bytes(bytes(8192))
    fd = os.open(session / "file", os.O_RDWR)
    mapped = mmap.mmap(fd, 8192)
    directory = os.open(session, os.O_RDONLY | os.O_DIRECTORY)
    if way == "reset":
        store.run("session", "reset", "one")
    else:
        session.rmdir()
        assert not session.exists()
        session.mkdir(0o700)
    os.pwrite(fd, b"old", 0)
    mapped[4096:4100] = b"page"
    mapped.flush()
    assert os.pread(fd, 5, 4095) == b"\0page"
    for i in range(50):
        db.execute("insert into own values(?)", (i,))
    assert db.execute("select count(*) from own").fetchone() == (50,)
    with pytest.raises(FileNotFoundError):
        os.open("fresh", os.O_CREAT | os.O_WRONLY, dir_fd=directory)
    assert os.listdir(session) == ["app.db"]
    assert sha256(session / "app.db") == fresh
    db.close()
    mapped.close()
    os.close(fd)
    os.close(directory)
    assert os.listdir(session) == ["app.db"]
    assert sha256(session / "app.db") == fresh
    eventually(lambda: mount.status()["counters"]["stored_bytes"] == 0, "the old files' storage")


def test_an_application_can_reconnect_after_each_reset(mount, store, key):
    """As most applications do: connect to the same path after each of many resets."""
    session = mount.new(key, "one")
    left_open = []
    for i in range(12):
        db = sqlite3.connect(session / "app.db", isolation_level=None)
        db.execute(f"pragma journal_mode={('wal', 'delete')[i % 2]}")
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            db.execute("select * from own")
        db.execute("create table own(a)")
        db.execute("delete from t0")
        if i % 3:
            db.close()
        else:
            left_open.append(db)
        store.run("session", "reset", "one")
    for db in left_open:
        assert db.execute("select count(*) from own").fetchone() == (0,)
        db.close()


def test_a_reset_survives_a_killed_daemon(mount, store, key):
    session = mount.new(key, "one")
    (session / "own").touch()
    store.run("session", "reset", "one")
    mount.kill()
    again = mounts.Mount(store, mount.point)
    assert os.listdir(session) == ["app.db"]
    assert os.listdir(mount.sessions / key) == ["one"]
    again.stop(logged=DEAD)


# ---- times and owners ----


def test_a_session_ends_after_its_time_to_live(mount, store, key):
    """Never while a file in it is open; a session without one stays."""
    held = new(store, "--ttl", "15s", key, "held")
    stays = new(store, key, "stays")
    with open(held / "app.db", "rb") as file:
        goes = new(store, "--ttl", "1s", key, "goes")
        eventually(lambda: not goes.exists(), "the end of its time")
        assert held.exists() and file.read(6) == b"SQLite"
    eventually(lambda: not held.exists(), "the end, once nothing is open")
    assert [row["id"] for row in sessions(store)] == ["stays"]
    assert stays.exists()


@pytest.mark.parametrize("reset", [False, True], ids=["as-made", "after-a-reset"])
def test_a_session_ends_with_its_owner(mount, store, key, reset):
    owner, other = sleeper(), sleeper()
    goes = new(store, "--owner", owner.pid, key, "goes")
    stays = new(store, "--owner", other.pid, key, "stays")
    if reset:
        store.run("session", "reset", "goes", "stays")
    owner.kill()
    eventually(lambda: not goes.exists(), "the end of the owner's session")
    assert stays.exists()
    other.send()
    other.end()
    eventually(lambda: not stays.exists(), "the end of the other's")


def test_a_reset_keeps_the_time_to_live(mount, store, key):
    session = new(store, "--ttl", "15s", key, "one")
    store.run("session", "reset", "one")
    assert session.exists()
    eventually(lambda: not session.exists(), "the end of its time")


def test_a_zombie_is_no_owner(mount, store, key):
    """It has ended, although its parent has not read its status yet."""
    process = subprocess.Popen(["sleep", "1000"])
    session = new(store, "--owner", process.pid, key, "one")
    process.send_signal(signal.SIGKILL)
    eventually(lambda: not session.exists(), "the end of the zombie's session")
    assert process.wait() == -signal.SIGKILL


def test_without_its_owner_no_session_is_created(on, key):
    process = subprocess.Popen(["true"])
    process.wait()
    on.fail("session", "new", "--owner", process.pid, key, "one", status=3)
    for words in (["--owner", "0"], ["--owner", "x"], ["--ttl", "0"], ["--ttl", "soon"]):
        on.fail("session", "new", *words, key, "one", status=2)
    assert sessions(on) == []


def test_leases_survive_a_restart(mount, store, key):
    """Sessions whose leases ended while there was no daemon are not shown by the next one."""
    owner, other = sleeper(), sleeper()
    new(store, "--owner", owner.pid, key, "gone")
    new(store, "--owner", other.pid, key, "owned")
    new(store, "--ttl", "1s", key, "short")
    mount.stop()
    owner.kill()
    again = mounts.Mount(store, mount.point)
    eventually(lambda: os.listdir(again.sessions / key) == ["owned"], "the end of the other two")
    other.kill()
    eventually(lambda: os.listdir(again.sessions / key) == [], "the end of the last")
    again.stop()


def test_leftovers_are_listed_and_removed(mount, store, key):
    """A session survives its daemon; `session rm` then removes it."""
    mount.new(key, "left")
    session = mount.new(key, "by-path")
    store.run("session", "reset", "left", "by-path")
    mount.kill()
    for words in (["ls", "--json"], ["session", "ls", "--json"]):
        rows = json.loads(store.run(*words).stdout)["sessions"]
        assert sorted((row["id"], row["path"]) for row in rows) == [("by-path", None), ("left", None)]
    assert "at rest" in store.run("session", "ls").stdout
    store.fail("session", "new", key, "left", status=4, env={"MINTFS_BACKEND": "copy"})
    store.fail("session", "reset", "left", status=3)
    store.run("session", "rm", session)
    again = mounts.Mount(store, mount.point)
    assert [row["id"] for row in sessions(store)] == ["left"]
    store.run("session", "rm", "left")
    assert sessions(store) == []
    again.stop(logged=DEAD)


def test_a_session_is_not_shown_over_another_template(mount, store):
    """A damaged template is built again, by a builder that is not deterministic."""
    random = "head -c 9000 /dev/urandom >data"
    key = store.build_tree(random)
    (mount.new(key, "one") / "own").write_text("own")
    store.run("session", "reset", f"{key}/one")
    mount.stop()
    made = store.template(key, "data")
    made.chmod(0o644)
    made.write_bytes(b"damage")
    assert store.build_tree(random) == key
    again = mounts.Mount(store, mount.point)
    assert os.listdir(again.sessions / key) == []
    again.new(key, "one")
    again.stop(logged=(f"discarded the session one of template {key[:12]} .*: its template has been rebuilt",))
    last = mounts.Mount(store, mount.point)
    assert os.listdir(last.sessions / key) == ["one"]
    last.stop()


def test_gc_removes_sessions_whose_leases_have_ended(mount, store, key):
    """Where no daemon does; other sessions stay."""
    owner = sleeper()
    new(store, "--owner", owner.pid, key, "over")
    mount.new(key, "stays")
    mount.kill()
    owner.kill()
    store.run("gc", "--dry-run")
    assert sorted(row["id"] for row in sessions(store)) == ["over", "stays"]
    store.run("gc")
    assert [row["id"] for row in sessions(store)] == ["stays"]
    store.run("session", "rm", "stays")
    assert sessions(store) == []
    mounts.unmount_lazily(mount.point)


# ---- mounts that end or are replaced ----


def stays_idle(made) -> bool:
    """No request for several times the idle time of one second."""
    try:
        made.process.wait(timeout=4)
    except subprocess.TimeoutExpired:
        return True
    return False


def test_an_idle_mount_stays_while_a_file_is_open(fuse, store, key):
    made = mounts.Mount(store, store.home / "mnt", "idle=1s")
    with open(made.templates / key / "app.db", "rb"):
        assert stays_idle(made)
    made.ended()


@pytest.mark.parametrize("lease", ["owner", "ttl"])
def test_an_idle_mount_stays_while_a_session_is_owned(fuse, store, key, lease):
    """A test may run long between two requests to its database."""
    made = mounts.Mount(store, store.home / "mnt", "idle=1s")
    owner = sleeper()
    words = {"owner": ["--owner", owner.pid], "ttl": ["--ttl", "10m"]}[lease]
    session = new(store, *words, key, "one")
    # A session whose lease has ended does not keep the mount.
    new(store, "--ttl", "1s", key, "two")
    assert stays_idle(made)
    assert os.listdir(session) == ["app.db"]
    if lease == "ttl":
        session.rmdir()
    owner.kill()
    made.ended()


def test_an_idle_mount_stays_longer_with_sessions_without_owners(fuse, store, key):
    """They come back with the next mount."""
    made = mounts.Mount(store, store.home / "mnt", "idle=1s")
    session = made.new(key, "one")
    (session / "own").touch()
    assert stays_idle(made)
    assert (session / "own").exists()
    made.ended()
    again = mounts.Mount(store, made.point)
    assert (session / "own").exists()
    again.stop()


def test_replace_names_the_processes_that_use_the_mount(mount, store, session):
    with open(session / "app.db", "rb") as file:
        said = store.fail("mount", "--replace", mount.point, status=4)
        assert f"({os.getpid()})" in said
        assert mount.is_running() and file.read(6) == b"SQLite"


def test_replace_restarts_an_unused_mount(mount, store, session):
    (session / "own").write_text("kept")
    first = mounts.Daemon(store, mount.point, "--replace")
    mount.process.communicate()
    mounts.live_daemons.discard(mount.pid)
    assert mount.process.returncode == 0
    # Without a mount point the old one is used again.
    assert store.run("mount", "--replace").stdout == f"{mount.point}\n"
    eventually(lambda: not is_alive(first.pid), "the first daemon's end")
    mounts.live_daemons.discard(first.pid)
    assert (session / "own").read_text() == "kept"
    last = mount.status()["pid"]
    assert last not in (mount.pid, first.pid)
    mounts.live_daemons.add(last)
    store.run("umount")
    assert not is_alive(last)
    mounts.live_daemons.discard(last)
    assert not mount.is_mounted() and store.leftovers() == []


def test_a_daemon_of_another_version_is_reported(mount, store):
    lock = store.path / "v1/locks/mount"
    lines = lock.read_text().split("\n")
    with open(lock, "r+") as file:
        file.write("\n".join([lines[0], "9.9.9", *lines[2:]]))
    said = store.fail("mount", mount.point, status=4)
    assert "9.9.9" in said and "--replace" in said
