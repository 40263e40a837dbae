"""How a mount starts: where it may be, when it answers, what the daemon inherits."""

import contextlib
import ctypes
import fcntl
import json
import os
import pty
import shutil
import subprocess
import tempfile
import termios
from pathlib import Path

import pytest

from support import mounts, users
from support.basics import IS_ROOT, MINTFS, fails, needs_root, sha256
from support.mounts import Daemon, Mount, mount_lines
from support.stores import Store, make_home


@pytest.fixture
def point(store):
    """A mount point. A daemon that the test leaves there is stopped, and must end properly."""
    path = store.home / "mnt"
    yield path
    if mount_lines(path):
        store.run("umount", path)
    assert store.leftovers() == []


# ---- starting ----


def test_the_command_returns_when_the_mount_answers(fuse, store, point, key):
    daemon = Daemon(store, point)
    assert daemon.output.stderr == ""
    assert sorted(os.listdir(point)) == [".mintfs", "sessions", "templates"]
    os.mkdir(point / "sessions" / key / "one")
    assert sha256(point / "sessions/app/one/app.db") == sha256(store.template(key))
    store.run("umount", point)
    daemon.await_end()
    assert os.listdir(point) == []


def test_a_shell_does_not_wait_for_the_daemon(fuse, store, point, key):
    script = """
        set -e
        x=$("$1" mount "$2")
        y=$("$1" session new "$3" one)
        echo "$x" "$y" | cat
    """
    done = subprocess.run(
        ["sh", "-c", script, "sh", store.binary, point, key],
        env=store.env, capture_output=True, text=True, timeout=1500,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{point} {point}/sessions/{key}/one\n"


def test_the_daemon_keeps_nothing_of_its_starter(fuse, store, point, tmp_path):
    """It is started from a terminal, in a directory, with open descriptors."""
    kept = open(tmp_path / "kept", "w")
    read_end, write_end = os.pipe()
    terminal, slave = pty.openpty()
    process = store.start(
        "mount", point,
        stdin=slave, stdout=slave, stderr=slave, cwd=tmp_path, umask=0o077,
        pass_fds=(kept.fileno(), write_end), start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    assert process.wait(timeout=1500) == 0
    os.close(write_end)
    os.close(slave)
    assert os.read(read_end, 1) == b""  # no process has the other end
    message = b""
    while True:  # until the terminal hangs up because no process has it open
        try:
            message += os.read(terminal, 1000)
        except OSError:
            break
    assert message == f"{point}\r\n".encode()
    pid = json.loads((point / ".mintfs/status.json").read_text())["pid"]
    fds = {fd: os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    assert {fds[fd] for fd in "012"} == {"/dev/null"}
    for target in fds.values():
        expected = (str(store.path), "/dev/fuse", "/dev/null", "anon_inode:", "/proc", "pipe:")
        assert target.startswith(expected), fds
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    stat = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    group, session, tty = map(int, stat[2:5])
    assert (group, session, tty) == (pid, pid, 0)
    kept.close()


def test_in_the_foreground_the_command_is_the_daemon(mount):
    """mintfs mount -f prints only the mount point."""
    assert mount.status()["pid"] == mount.pid
    assert mount.is_mounted()


def test_the_mount_has_its_type_and_options(fuse, store, point):
    for options, words in (((), []), (("allow_other",), ["allow_other", "default_permissions"])):
        if options and not IS_ROOT:
            continue
        made = Mount(store, point, *options)
        (line,) = mount_lines(point)
        left, _, right = line.partition(" - ")
        assert {"nosuid", "nodev"} <= set(left.split(" ")[5].split(","))
        kind, source, settings = right.split(" ")
        assert (kind, source) == ("fuse.mintfs", "mintfs")
        found = [w for w in ("allow_other", "default_permissions") if w in settings.split(",")]
        assert found == words
        made.stop()


def test_the_mount_point_may_be_relative_or_a_link(fuse, store, point):
    (store.home / "link").symlink_to(point)
    for words in (["mnt"], ["./mnt/"], [str(store.home) + "//mnt"], ["link"]):
        if words == ["link"]:
            point.mkdir(exist_ok=True)
        done = store.run("mount", *words, cwd=store.home)
        assert done.stdout == f"{point}\n"
        store.run("umount", *words, cwd=store.home)


@pytest.mark.parametrize("name", ["with spaces", "ünï-côdé", "back\\slash", "tab\tnew\nline", "%s"])
def test_mount_points_may_have_odd_names(fuse, place, name):
    home = place / name
    home.mkdir()
    store = Store(home)
    key = store.build_app()
    point = home / "mnt of mine"
    made = Mount(store, point)
    path = made.new(key, "one") / "app.db"
    assert sha256(path) == sha256(store.template(key))
    assert made.status()["mount"] == str(point)
    store.run("session", "new", "app", "two")
    store.run("umount", point)
    made.ended()
    daemon = Daemon(store, point)
    assert sorted(os.listdir(point / "sessions" / key)) == ["one", "two"]
    store.run("umount")
    daemon.await_end()


@pytest.mark.parametrize("words", [["-f"], []], ids=["foreground", "daemon"])
def test_a_mount_whose_path_cannot_be_printed_is_unmounted(fuse, store, words):
    """The user cannot know where it is, so the mount ends with the command."""
    point = store.home / "mnt"
    with open("/dev/full", "w") as full:
        starter = store.start("mount", *words, point, stdout=full)
        _, err = starter.communicate(timeout=600)
    assert starter.returncode == 1 and "standard output" in err
    assert not mount_lines(point) and store.leftovers() == []


# ---- unsuitable mount points ----


def test_a_second_mount_names_the_first(mount, store):
    other = store.home / "other"
    for place in (other, mount.point):
        message = store.fail("mount", place, status=4)
        assert str(mount.point) in message and str(mount.pid) in message
    assert not other.exists()
    message = store.fail("mount", "-f", other, status=4)
    assert str(mount.point) in message


def test_of_many_simultaneous_mounts_one_succeeds(fuse, store):
    points = [store.home / f"mnt{i}" for i in range(8)]
    starters = [store.start("mount", point) for point in points]
    ended = [(starter.communicate(timeout=1500), starter.returncode) for starter in starters]
    assert sorted(status for _, status in ended) == [0] + [4] * 7
    (won,) = [point for point, (_, status) in zip(points, ended) if status == 0]
    for (out, err), status in ended:
        assert out == (f"{won}\n" if status == 0 else "")
        assert status == 0 or err.startswith("mintfs: "), err
    store.run("umount", won)


def test_unsuitable_mount_points_are_refused(fuse, store):
    file, full, link = store.home / "file", store.home / "full", store.home / "link"
    file.write_text("text")
    full.mkdir()
    (full / "there").touch()
    link.symlink_to("nowhere")
    store.build_app()
    for place, status, words in (
        (file, 1, "not a directory"),
        (full, 1, "not empty"),
        (store.home / "none/mnt", 3, "none"),
        (link, 3, "link"),
        (file / "mnt", 1, "file"),
        (store.path, 2, "the store"),
        (store.path / "mnt", 2, "the store"),
        (store.path / "v1/templates", 2, "the store"),
        (store.home, 2, "the store"),
        ("/", 4, "mounted"),
        ("", 2, "empty"),
    ):
        message = store.fail("mount", place, status=status, cwd="/")
        assert words in message and message.count("\n") == 1, message
    assert file.read_text() == "text" and os.listdir(full) == ["there"]
    assert not mount_lines(store.home) and not mount_lines(store.path)


@needs_root
def test_a_foreign_mount_is_not_covered(fuse, store):
    point = store.home / "busy"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", point], check=True)
    try:
        for action in ("mount", "umount"):
            message = store.fail(action, point, status=4 if action == "mount" else 3)
            assert str(point) in message
        assert "tmpfs" in mount_lines(point)[0]
    finally:
        subprocess.run(["umount", point], check=True)


def test_a_mount_of_another_store_is_not_covered(mount, place):
    (place / "second").mkdir()
    second = Store(place / "second")
    message = second.fail("mount", mount.point, status=4)
    assert str(mount.point) in message
    assert mount.is_running()


@pytest.mark.parametrize(
    "words", [["-o", "nonsense"], ["-o", "strict=1"], ["-o", "grace=soon"], ["-o", "session_limit=0"],
              ["--nonsense"], ["-o"], ["--scratch"], ["one", "two"], ["-x"]]
)
def test_bad_options_of_mount_are_refused(store, words):
    message = store.fail("mount", *words, status=2, cwd=store.home)
    assert "usage: mintfs mount" in message
    assert words[0] in message or words[-1].split("=")[0] in message


@pytest.mark.parametrize("words", [["--nonsense"], ["one", "two"]])
def test_bad_options_of_umount_are_refused(store, words):
    assert "usage: mintfs umount" in store.fail("umount", *words, status=2)


def test_a_mount_without_dev_fuse_fails_with_advice(fuse, place):
    if not IS_ROOT:
        pytest.skip("only root can hide /dev/fuse")
    hidden = users.Namespace(place, "mount --bind /dev/null /dev/fuse", uid=0)
    try:
        (place / "home").mkdir()
        store = Store(place / "home", hidden)
        message = store.fail("mount", place / "home/mnt", status=1)
        assert "fuse" in message
        assert store.leftovers() == []
    finally:
        hidden.close()


# ---- the default mount point ----


def test_the_environment_chooses_the_default_mount_point(fuse, store):
    """$MINTFS_MOUNT, else $XDG_RUNTIME_DIR/mintfs."""
    asked, runtime = store.home / "asked", store.home / "runtime"
    runtime.mkdir()
    for env, expected in (
        ({"MINTFS_MOUNT": str(asked), "XDG_RUNTIME_DIR": str(runtime)}, asked),
        ({"MINTFS_MOUNT": "", "XDG_RUNTIME_DIR": str(runtime)}, runtime / "mintfs"),
    ):
        for _ in range(2):
            done = store.run("mount", env=env)
            assert done.stdout == f"{expected}\n"
            assert os.listdir(expected / "templates") == []
            store.run("umount")  # it finds the mount point
        assert store.fail("umount", status=3, env=env)


@needs_root
def test_the_default_mount_point_in_tmp_is_private(fuse):
    """/tmp/mintfs-UID has mode 0700. A directory that another user made there is refused."""
    home = Path(tempfile.mkdtemp(prefix="m-", dir="/var/tmp"))
    os.chown(home, users.NOBODY, users.NOBODY)
    point = f"/tmp/mintfs-{users.NOBODY}"
    private_tmp = "mount -t tmpfs -o mode=1777 tmpfs /tmp"
    namespace = users.Namespace(home, f"{users.FUSE_FOR_ALL} && {private_tmp}")
    try:
        store = Store(home, namespace)
        store.binary = shutil.copy(MINTFS, home / "mintfs")
        for env in ({}, {"XDG_RUNTIME_DIR": str(home / "none")}, {"XDG_RUNTIME_DIR": "/proc"}):
            done = store.run("mount", env=env)
            assert done.stdout == f"{point}\n"
            store.run("umount")
            status = namespace.call(lambda: os.stat(point))
            assert (status.st_uid, status.st_mode & 0o7777) == (users.NOBODY, 0o700)
        for command in (
            f"chmod 755 {point}",
            f"chmod 700 {point}; chown {users.SOMEBODY} {point}",
            f"rmdir {point}; ln -s {home} {point}",
            f"rm {point}; touch {point}; chown {users.NOBODY} {point}",
        ):
            namespace.call(lambda: subprocess.run(["sh", "-ec", command], check=True), uid=0)
            assert point in store.fail("mount", status=1)
        assert store.leftovers() == []
    finally:
        namespace.close()
        shutil.rmtree(home)


# ---- dead mounts ----


def test_mount_removes_a_dead_mount(mount, store, key):
    path = mount.new(key, "one") / "app.db"
    path.write_bytes(b"kept")
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    mount.kill()
    with fails("ENOTCONN", "ECONNABORTED", "ECANCELED"):
        os.statvfs(mount.point)
    daemon = Daemon(store, mount.point)
    assert "dead mount" in daemon.output.stderr and str(mount.point) in daemon.output.stderr
    assert path.read_bytes() == b"kept"
    with contextlib.suppress(OSError):
        os.close(fd)
    assert len(mount_lines(mount.point)) == 1
    daemon.stop()


def test_umount_removes_a_dead_mount(mount, store):
    mount.kill()
    store.run("umount", mount.point)
    assert not mount.is_mounted()
    store.fail("umount", mount.point, status=3)
    daemon = Daemon(store, mount.point)
    assert daemon.output.stderr == ""
    daemon.stop()


@pytest.mark.parametrize("command", [["umount"], ["clean", "--yes"]])
def test_the_dead_mount_of_a_killed_daemon_is_found(mount, store, command):
    """It is at a mount point that neither an argument nor a setting names."""
    mount.kill()
    assert mount.is_mounted()
    store.run(*command)
    assert not mount.is_mounted()


@pytest.mark.on_mounts("user")
def test_a_user_can_remove_their_dead_mount(fuse, place, variant):
    if not IS_ROOT:
        pytest.skip("covered by test_mount_removes_a_dead_mount")
    home = make_home(place, users.NOBODY)
    namespace = users.Namespace(home)
    try:
        mine = Store(home, namespace)
        Mount(mine, home / "mnt").kill()
        assert mount_lines(home / "mnt", namespace.mountinfo())
        done = mine.run("mount", home / "mnt")
        assert "dead mount" in done.stderr
        mine.run("umount", home / "mnt")
        Mount(mine, home / "mnt").kill()
        mine.run("umount", home / "mnt")
        assert not mount_lines(home / "mnt", namespace.mountinfo())
    finally:
        namespace.close()


def mount_dead(point, kind, uid, more=""):
    """A FUSE mount of that type and user whose daemon has ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fd},rootmode=40000,user_id={uid},group_id={uid}{more}".encode()
    result = libc.mount(b"other", os.fsencode(point), kind, 6, options)
    assert result == 0, os.strerror(ctypes.get_errno())
    os.close(fd)


@needs_root
@pytest.mark.parametrize("kind, uid", [(b"fuse.other", 0), (b"fuse.mintfs", users.NOBODY)])
def test_dead_mounts_of_others_are_not_removed(fuse, store, kind, uid):
    point = store.home / "dead"
    point.mkdir()
    mount_dead(point, kind, uid)
    try:
        assert str(point) in store.fail("mount", point, status=4)
        if uid == 0:  # root may remove a dead mount of mintfs that it names
            assert str(point) in store.fail("umount", point, status=3)
        assert mount_lines(point)
    finally:
        mounts.unmount_lazily(point)


@needs_root
def test_a_default_mount_point_of_another_user_is_refused(fuse):
    """The other user made the directory, with access for all, and mounted on it."""
    home = Path(tempfile.mkdtemp(prefix="m-", dir="/var/tmp"))
    point = Path("/tmp/mintfs-0")
    namespace = users.Namespace(home, "mount -t tmpfs -o mode=1777 tmpfs /tmp", uid=0)

    def squat():
        point.mkdir(mode=0o700)
        os.chown(point, users.NOBODY, users.NOBODY)
        mount_dead(point, b"fuse.mintfs", users.NOBODY, ",allow_other")

    try:
        store = Store(home, namespace)
        store.binary = shutil.copy(MINTFS, home / "mintfs")
        env = {"XDG_RUNTIME_DIR": ""}
        namespace.call(squat)
        message = store.fail("mount", status=4, env=env)
        assert str(point) in message and f"user {users.NOBODY}" in message
        store.run("umount", point)  # root may remove it if it names it
        assert str(point) in store.fail("mount", status=1, env=env)
        # A dead mount of root over the other user's directory makes no difference.
        namespace.call(lambda: mount_dead(point, b"fuse.mintfs", 0, ""))
        assert f"{point} is not a directory of yours alone" in store.fail("mount", status=1, env=env)
        assert not mount_lines(point, namespace.mountinfo())
        assert store.leftovers() == []
    finally:
        namespace.close()
        shutil.rmtree(home)


# ---- scratch ----


@needs_root
def test_scratch_may_be_on_tmpfs(fuse, store, key):
    memory = store.home / "memory"
    memory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", memory], check=True)
    try:
        daemon = Daemon(store, store.home / "mnt", "--scratch", memory)
        session = store.home / "mnt/sessions" / key / "one"
        session.mkdir()
        (session / "app.db").write_bytes(b"x" * 100000)
        fd = os.open(session / "app.db", os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        (folder,) = memory.iterdir()
        assert folder.name == f"mintfs-{os.geteuid()}" and folder.stat().st_mode & 0o777 == 0o700
        assert sum(f.stat().st_blocks * 512 for f in folder.rglob("*")) > 100000
        assert os.statvfs(session).f_blocks * os.statvfs(session).f_frsize == 64 << 20
        # One daemon serves a scratch: another store cannot use it.
        (store.home / "second").mkdir()
        second = Store(store.home / "second")
        message = second.fail("mount", "--scratch", memory, second.home / "mnt", status=4)
        assert str(folder) in message and str(daemon.pid) in message
        assert second.leftovers() == []
        daemon.stop()
        daemon = Daemon(store, store.home / "mnt", "--scratch", memory)
        assert (session / "app.db").read_bytes() == b"x" * 100000
        daemon.stop()
    finally:
        subprocess.run(["umount", memory], check=True)


def test_unsuitable_scratch_directories_are_refused(fuse, store):
    (store.home / "file").touch()
    full = store.home / f"full/mintfs-{os.geteuid()}"
    full.mkdir(parents=True, mode=0o700)
    (full / "there").touch()
    for scratch, status in (
        (store.home / "none", 3), (store.home / "file", 1), (store.home / "full", 1),
    ):
        message = store.fail("mount", "--scratch", scratch, store.home / "mnt", status=status)
        assert str(scratch) in message
    assert (full / "there").exists()
    assert store.leftovers() == []
