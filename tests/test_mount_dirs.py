"""Directories, links and renames in a session behave as on ext4."""

import os
import socket
import stat

import pytest

from support import libc
from support.basics import fails, seeded
from support.processes import Child

pytestmark = pytest.mark.on_each_mount


@pytest.fixture
def tree(mount):
    """A session of a template with a directory tree."""
    mount.store.build_tree("mkdir -p a/b full; echo f >file; echo x >full/x; ln -s file link")
    path = mount.sessions / "tree/one"
    if mount.store.namespace:
        mount.store.namespace.call(lambda: path.mkdir(0o700))
    else:
        path.mkdir(0o700)
    return path


def contents(root) -> dict:
    """Everything below it: {path: type or text}."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            found[name] = "-> " + os.readlink(path)
        else:
            found[name] = "dir" if path.is_dir() else path.read_text()
    return found


# ---- rename ----


def test_files_are_renamed_and_replaced(tree):
    (tree / "file").rename(tree / "moved")
    assert contents(tree) == {
        "a": "dir", "a/b": "dir", "full": "dir", "full/x": "x\n", "link": "-> file", "moved": "f\n",
    }
    with fails("ENOENT"):
        os.stat(tree / "file")
    (tree / "file").write_text("new")
    (tree / "file").rename(tree / "moved")  # replaces another file
    (tree / "moved").rename(tree / "a/b/deep")
    (tree / "a/b/deep").rename(tree / "full/x")
    (tree / "link").rename(tree / "a/link")
    assert contents(tree) == {
        "a": "dir", "a/b": "dir", "a/link": "-> file", "full": "dir", "full/x": "new",
    }
    with fails("ENOENT"):
        os.rename(tree / "none", tree / "other")
    os.rename(tree / "full/x", tree / "full/x")


def test_directories_are_renamed_and_replace_only_empty_ones(tree):
    (tree / "full").rename(tree / "a/b/full")
    assert (tree / "a/b/full/x").read_text() == "x\n"
    (tree / "empty").mkdir()
    (tree / "a/b/full").rename(tree / "empty")  # replaces an empty one
    assert contents(tree / "empty") == {"x": "x\n"}
    (tree / "another").mkdir()
    for old, new, error in (
        ("another", "empty", "ENOTEMPTY"),
        ("another", "file", "ENOTDIR"),
        ("file", "another", "EISDIR"),
        ("a", "a/b/c", "EINVAL"),
        ("a", "a/b", "EINVAL"),
        ("a/b", "a", "ENOTEMPTY"),
        ("another", "none/x", "ENOENT"),
        ("another", "file/x", "ENOTDIR"),
    ):
        with fails(error, "EEXIST" if error == "ENOTEMPTY" else error):
            os.rename(tree / old, tree / new)
    assert os.path.samefile(tree / "a/b/../..", tree)
    (tree / "a/b").rename(tree / "b")
    assert os.path.samefile(tree / "b/..", tree)
    assert os.listdir(tree / "a") == []


def test_rename_noreplace_fails_if_the_target_exists(tree):
    for new in ("link", "a", "full"):
        with fails("EEXIST"):
            libc.renameat2(tree / "file", tree / new, libc.RENAME_NOREPLACE)
    libc.renameat2(tree / "file", tree / "moved", libc.RENAME_NOREPLACE)
    libc.renameat2(tree / "a", tree / "full/a", libc.RENAME_NOREPLACE)
    assert set(contents(tree)) == {"full", "full/a", "full/a/b", "full/x", "link", "moved"}


def test_rename_exchange_swaps_two_entries(tree):
    (tree / "other").write_text("other")
    numbers = [(tree / name).stat().st_ino for name in ("file", "other")]
    libc.renameat2(tree / "file", tree / "other", libc.RENAME_EXCHANGE)
    assert [(tree / name).stat().st_ino for name in ("other", "file")] == numbers
    assert ((tree / "file").read_text(), (tree / "other").read_text()) == ("other", "f\n")
    libc.renameat2(tree / "full", tree / "other", libc.RENAME_EXCHANGE)  # a directory and a file
    assert (tree / "other/x").read_text() == "x\n"
    assert (tree / "full").read_text() == "f\n"
    libc.renameat2(tree / "a/b", tree / "other", libc.RENAME_EXCHANGE)  # two directories
    assert (tree / "a/b/x").read_text() == "x\n"
    assert os.listdir(tree / "other") == []
    libc.renameat2(tree / "link", tree / "a/b/x", libc.RENAME_EXCHANGE)
    assert os.readlink(tree / "a/b/x") == "file"
    with fails("ENOENT"):
        libc.renameat2(tree / "file", tree / "none", libc.RENAME_EXCHANGE)
    for one, two in (("a", "a/b"), ("a/b", "a")):
        with fails("EINVAL"):
            libc.renameat2(tree / one, tree / two, libc.RENAME_EXCHANGE)
    for flags in (libc.RENAME_WHITEOUT, libc.RENAME_EXCHANGE | libc.RENAME_NOREPLACE, 8):
        with fails("EINVAL"):
            libc.renameat2(tree / "file", tree / "new", flags)


def test_renames_stay_within_a_session(tree, mount):
    other = mount.new("tree", "two")
    for old, new in (
        (tree / "file", other / "new"),
        (tree / "full", other / "new"),
        (tree / "file", mount.store.home / "file"),
    ):
        with fails("EXDEV"):
            os.rename(old, new)
        with fails("EXDEV", "EPERM"):
            os.link(old, new)
    with fails("EXDEV"):
        os.rename(mount.templates / "tree/file", tree / "file")
    with fails("EXDEV"):
        os.link(mount.templates / "tree/file", tree / "new")
    assert contents(tree) == contents(other)


def test_an_open_file_stays_usable_after_a_rename(tree):
    with open(tree / "file", "r+") as file:
        (tree / "file").rename(tree / "a/moved")
        (tree / "file").write_text("another")
        file.write("F")
    assert (tree / "a/moved").read_text() == "F\n"
    assert (tree / "file").read_text() == "another"


# ---- links ----


def test_hard_links_share_one_file(tree):
    os.link(tree / "file", tree / "a/second")
    os.link(tree / "a/second", tree / "third")
    assert {(tree / name).stat().st_nlink for name in ("file", "a/second", "third")} == {3}
    assert len({(tree / name).stat().st_ino for name in ("file", "a/second", "third")}) == 1
    (tree / "third").write_text("all")
    assert (tree / "file").read_text() == (tree / "a/second").read_text() == "all"
    os.rename(tree / "file", tree / "third")  # two names of one file: has no effect
    assert (tree / "file").exists() and (tree / "third").exists()
    (tree / "file").unlink()
    (tree / "third").unlink()
    assert (tree / "a/second").stat().st_nlink == 1
    assert (tree / "a/second").read_text() == "all"
    with fails("EPERM"):
        os.link(tree / "a", tree / "directory")
    with fails("EEXIST"):
        os.link(tree / "a/second", tree / "link")
    os.link(tree / "link", tree / "link2", follow_symlinks=False)
    assert os.readlink(tree / "link2") == "file"


def test_symbolic_links_are_read_and_followed(tree):
    for i, target in enumerate(("file", "/", "a/../file", "x" * 4095, "ünï code \n", "missing")):
        (tree / f"l{i}").symlink_to(target)
        assert os.readlink(tree / f"l{i}") == target
        assert (tree / f"l{i}").lstat().st_size == len(target.encode())
    assert (tree / "l0").read_text() == (tree / "l2").read_text() == "f\n"
    with fails("EEXIST"):
        os.symlink("x", tree / "file")
    with fails("ENAMETOOLONG"):
        os.symlink("x" * 5000, tree / "new")
    (tree / "to-a").symlink_to("a")
    assert os.listdir(tree / "to-a") == ["b"]
    (tree / "to-a").unlink()
    assert (tree / "a/b").is_dir()


# ---- directories ----


def test_directories_are_made_and_removed(tree):
    (tree / "new/x").parent.mkdir()
    (tree / "new/x").mkdir()
    for path, error in (("full", "ENOTEMPTY"), ("new", "ENOTEMPTY"), ("file", "ENOTDIR"),
                        ("none", "ENOENT"), ("link", "ENOTDIR")):
        with fails(error):
            os.rmdir(tree / path)
    with fails("EISDIR", "EPERM"):
        os.unlink(tree / "new")
    with fails("EEXIST"):
        os.mkdir(tree / "file")
    (tree / "new/x").rmdir()
    (tree / "new").rmdir()
    (tree / "full/x").unlink()
    (tree / "full").rmdir()
    (tree / "full").mkdir()  # the template's entries do not reappear
    assert os.listdir(tree / "full") == []


def test_link_counts_of_directories_follow_their_children(tree):
    assert tree.stat().st_nlink == 4
    (tree / "new").mkdir()
    assert tree.stat().st_nlink == 5
    (tree / "a/b").rename(tree / "b")
    assert (tree.stat().st_nlink, (tree / "a").stat().st_nlink) == (6, 2)
    (tree / "b").rmdir()
    (tree / "new").rmdir()
    assert tree.stat().st_nlink == 4


@pytest.mark.parametrize("made", [100, 3000])
def test_large_directories_list_every_entry(tree, made):
    names = {f"file-{i:05}" for i in range(made)}
    for name in names:
        (tree / "a" / name).touch()
    assert set(os.listdir(tree / "a")) == names | {"b"}
    fd = os.open(tree / "a", os.O_RDONLY)
    assert len(os.listdir(fd)) == len(os.listdir(fd)) == made + 1
    os.close(fd)


def test_lasting_entries_are_listed_once_while_others_change(tree):
    """An entry that exists all the time is listed exactly once."""
    random = seeded("listing")
    stay = {f"stay-{i:04}" for i in range(400)}
    for i, name in enumerate(sorted(stay)):
        (tree / f"go-{i:04}").touch()
        (tree / name).touch()
    go = [f"go-{i:04}" for i in range(400)]
    for _ in range(10):
        listed = []
        with os.scandir(tree) as entries:
            for i, entry in enumerate(entries):
                listed.append(entry.name)
                if i % 10 == 0 and go:
                    (tree / go.pop(random.randrange(len(go)))).unlink()
                    (tree / f"come-{random.random()}").touch()
        assert len(listed) == len(set(listed))
        assert stay <= set(listed)


def test_everything_can_be_removed_while_listing(tree):
    for i in range(1500):
        (tree / f"file-{i:04}").touch()
    with os.scandir(tree) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                os.unlink(entry.path)
    assert not [name for name in os.listdir(tree) if name.startswith("file")]


def test_another_process_sees_each_change_at_once(tree):
    def look(talk):
        while path := talk.receive():
            talk.send((os.path.lexists(path), sorted(os.listdir(tree / "a"))))

    child = Child(look)

    def seen():
        child.send(str(tree / "a/new"))
        return child.receive()

    for _ in range(20):
        assert seen() == (False, ["b"])
        (tree / "a/new").touch()
        assert seen() == (True, ["b", "new"])
        (tree / "a/new").rename(tree / "a/old")
        assert seen() == (False, ["b", "old"])
        (tree / "a/old").unlink()
    child.send(None)
    child.end()


@pytest.mark.parametrize(
    "name", [b"x" * 255, "ü".encode() * 127, b" ", b"\n\t", b"\xff\xfe\x80", b"-rf", b"*", b"\x01"]
)
def test_odd_names_are_kept_as_bytes(tree, name):
    path = os.fsencode(tree) + b"/" + name
    with open(path, "wb") as file:
        file.write(b"text")
    assert name in os.listdir(os.fsencode(tree))
    os.rename(path, path[:-1] + b"~")
    os.mkdir(path)
    with open(path + b"/x", "wb"):
        pass
    os.unlink(path + b"/x")
    os.rmdir(path)
    assert open(path[:-1] + b"~", "rb").read() == b"text"


def test_names_that_are_too_long_are_refused(tree):
    long = tree / ("x" * 256)
    for call in (
        lambda: os.mkdir(long),
        lambda: os.rename(tree / "file", long),
        lambda: os.symlink("x", long),
        lambda: os.link(tree / "file", long),
        lambda: os.mkfifo(long),
        lambda: os.unlink(long),
        lambda: os.open(long, os.O_CREAT | os.O_WRONLY),
    ):
        with fails("ENAMETOOLONG"):
            call()


# ---- special files ----


def test_fifos_work(tree):
    os.mkfifo(tree / "fifo", 0o600)
    assert stat.S_ISFIFO((tree / "fifo").stat().st_mode)
    with fails("ENXIO"):
        os.open(tree / "fifo", os.O_WRONLY | os.O_NONBLOCK)
    child = Child(lambda talk: open(tree / "fifo").read())
    with open(tree / "fifo", "w") as fifo:
        fifo.write("through the pipe")
    assert child.end() == "through the pipe"


def test_sockets_work(tree, mount):
    here = os.getcwd()
    os.chdir(tree)  # a socket's address has 107 bytes at most
    try:
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind("socket")
            server.listen()
            assert stat.S_ISSOCK(os.stat("socket").st_mode)
            with fails("EADDRINUSE"):
                socket.socket(socket.AF_UNIX).bind("socket")
            client.connect("socket")
            client.send(b"hello")
            assert server.accept()[0].recv(5) == b"hello"
        os.unlink("socket")
    finally:
        os.chdir(here)
    assert not (tree / "socket").exists()


def test_devices_are_refused(tree):
    for mode, number in ((stat.S_IFCHR, os.makedev(1, 3)), (stat.S_IFBLK, os.makedev(7, 0))):
        with fails("EPERM"):
            os.mknod(tree / "device", mode | 0o600, number)
    os.mknod(tree / "plain", stat.S_IFREG | 0o600)
    assert (tree / "plain").read_bytes() == b""
