"""Directories that change while they are read: a reading ends and shows lasting entries once."""

import ctypes
import json
import os
from itertools import islice

import pytest

from support.basics import eventually, fewer, seeded

pytestmark = pytest.mark.on_each_mount

_libc = ctypes.CDLL(None, use_errno=True)
for name, result, arguments in (
    ("opendir", ctypes.c_void_p, [ctypes.c_char_p]),
    ("readdir64", ctypes.c_void_p, [ctypes.c_void_p]),
    ("telldir", ctypes.c_long, [ctypes.c_void_p]),
    ("seekdir", None, [ctypes.c_void_p, ctypes.c_long]),
    ("rewinddir", None, [ctypes.c_void_p]),
    ("closedir", ctypes.c_int, [ctypes.c_void_p]),
):
    getattr(_libc, name).restype, getattr(_libc, name).argtypes = result, arguments


class Directory:
    """A stream of opendir(3), with telldir(3) and seekdir(3)."""

    NAME_AT = 19  # in struct dirent64

    def __init__(self, path):
        self.stream = _libc.opendir(os.fsencode(path))
        assert self.stream, path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _libc.closedir(self.stream)

    def read(self):
        entry = _libc.readdir64(self.stream)
        return entry and os.fsdecode(ctypes.string_at(entry + self.NAME_AT))

    def rest(self) -> list:
        return list(iter(self.read, None))

    def tell(self) -> int:
        return _libc.telldir(self.stream)

    def seek(self, position: int):
        _libc.seekdir(self.stream, position)

    def rewind(self):
        _libc.rewinddir(self.stream)


@pytest.fixture
def tree(mount):
    """A session with a directory of 40 template files."""
    mount.store.build_tree("mkdir d; for i in $(seq 40); do echo $i >d/t$i; done", name="tree")
    path = mount.sessions / "tree/one"
    if mount.store.namespace:
        mount.store.namespace.call(lambda: path.mkdir(0o700))
    else:
        path.mkdir(0o700)
    return path / "d"


@pytest.fixture
def keys(mount):
    """Three templates, "one" to "three"."""
    return [mount.store.build_tree(f"echo {name} >file", name=name) for name in
            ("one", "two", "three")]


def each(directory, limit: int):
    """Yields its entries as they are read. Fails if the reading does not end."""
    with os.scandir(directory) as entries:
        for count, entry in enumerate(entries):
            assert count < limit, f"{entry.name}: more is read than there was"
            yield entry


def fill(directory, count: int) -> set:
    """Adds that many files and returns all names. The kernel then has no cached listing."""
    for i in range(count):
        (directory / f"f{i:05}").touch()
    names = set(os.listdir(directory))
    (directory / "last").touch()
    return names | {"last"}


@pytest.mark.parametrize("count", [0, 3, 700])
def test_a_reading_ends_while_files_are_renamed(tree, count):
    names = fill(tree, count)
    for entry in each(tree, len(names)):
        os.rename(entry.path, entry.path + ".bak")
    assert set(os.listdir(tree)) == {name + ".bak" for name in names}


@pytest.mark.parametrize("count", [0, 3, 700])
def test_a_reading_ends_while_files_are_created(tree, count):
    names = fill(tree, count)
    seen = []
    for entry in each(tree, len(names)):
        (tree / f"{entry.name}+").touch()
        seen.append(entry.name)
    assert set(seen) == names and len(seen) == len(names)


def test_a_reading_shows_replaced_files_once(tree):
    """A new file is renamed over the old one, as programs save files."""
    names = fill(tree, 700)
    seen = []
    for entry in each(tree, len(names)):
        (tree / "new").write_text(entry.name)
        (tree / "new").rename(entry.path)
        seen.append(entry.name)
    assert set(seen) == names and len(seen) == len(names)
    assert all((tree / name).read_text() == name for name in names)


def test_a_reading_ends_while_files_are_removed_and_created(tree):
    names = fill(tree, 700)
    seen = []
    for entry in each(tree, len(names)):
        os.unlink(entry.path)
        (tree / entry.name).touch()
        seen.append(entry.name)
    assert set(seen) == names and len(seen) == len(names)
    assert set(os.listdir(tree)) == names


def test_a_reading_ends_while_sessions_are_made(mount, keys):
    parent = mount.sessions / keys[0]
    for i in range(200):
        (parent / f"s{i}").mkdir()
    seen = []
    for entry in each(parent, 200):
        os.mkdir(entry.path + "-x")
        seen.append(entry.name)
    assert sorted(seen) == sorted(f"s{i}" for i in range(200))
    assert len(os.listdir(parent)) == 400


def test_a_reading_shows_reset_sessions_once(mount, keys):
    parent = mount.sessions / keys[0]
    names = {f"s{i}" for i in range(200)}
    for name in names:
        (parent / name).mkdir()
    seen = []
    for entry in each(parent, 200):
        (parent / "new").mkdir()
        (parent / "new").rename(parent / entry.name)
        seen.append(entry.name)
    assert len(seen) == len(set(seen)) and set(seen) == names


@pytest.mark.parametrize("where", ["templates", "sessions"])
def test_a_reading_ends_while_templates_are_built(mount, keys, where):
    seen = []
    with Directory(mount.point / where) as directory:
        for name in iter(directory.read, None):
            seen.append(name)
            assert len(seen) <= 2 + 2 * 3
            if name in ("one", "two", "three"):
                mount.store.build_tree(f"echo {name} >file; echo >more", name=f"{name}-and-more")
    assert set(seen) == {".", "..", "one", "two", "three", *keys}
    # Soon after a reading, the daemon asks the kernel to drop its cached listing.
    eventually(lambda: len(os.listdir(mount.point / where)) == 12, "all twelve")


def test_listings_follow_evictions_and_builds(mount, keys):
    for _ in range(3):
        mount.store.run("evict", "two")
        left = {"one", "three", keys[0], keys[2]}
        eventually(lambda: set(os.listdir(mount.templates)) == left)
        assert mount.store.build_tree("echo two >file", name="two") == keys[1]
        eventually(lambda: set(os.listdir(mount.templates)) == {"one", "two", "three", *keys})


def test_positions_stay_valid_in_a_large_directory(tree):
    random = seeded("positions")
    count = fewer(10000)
    names = fill(tree, count)
    with Directory(tree) as directory:
        places = []  # what comes next at a position
        while True:
            position = directory.tell()
            name = directory.read()
            places.append((position, name))
            if name is None:
                break
        shown = [name for _, name in places[:-1]]
        assert len(shown) == len(set(shown)) and set(shown) == names | {".", ".."}
        assert all(0 <= position < 1 << 31 for position, _ in places)
        for position, name in random.sample(places, 300):
            directory.seek(position)
            assert directory.read() == name
        directory.rewind()
        assert list(islice(iter(directory.read, None), 100)) == shown[:100]
    # New and removed entries do not change the positions of others.
    gone = set(random.sample(sorted(names), count // 2))
    with Directory(tree) as directory:
        for name in gone:
            (tree / name).unlink()
        for i in range(500):
            (tree / f"come{i}").touch()
        for position, name in random.sample(places[2:], 300):
            directory.seek(position)
            read = directory.read()
            assert read == name or name in gone | {None} and not (read or "").startswith("come")


def test_a_tree_can_be_removed_while_another_process_reads_it(tree):
    fill(tree, 3000)
    with Directory(tree) as reader:
        first = list(islice(iter(reader.read, None), 50))
        for name in os.listdir(tree):
            (tree / name).unlink()
        left = reader.rest()
    tree.rmdir()
    assert len(set(first + left)) == len(first + left)


@pytest.mark.parametrize("where", [".", ".mintfs", "templates", "sessions", "templates/one"])
def test_positions_stay_valid_in_fixed_directories(mount, keys, where):
    with Directory(mount.point / where) as directory:
        shown, positions = [], []
        while True:
            positions.append(directory.tell())
            name = directory.read()
            if name is None:
                break
            shown.append(name)
        assert len(shown) == len(set(shown)) > 2
        for i, position in reversed(list(enumerate(positions))):
            directory.seek(position)
            assert directory.rest() == shown[i:]
        assert all(0 <= position < 1 << 31 for position in positions)


def test_a_reader_of_status_json_sees_one_snapshot(mount, keys):
    """A reader gets the text of the time of its open(2), in pieces of any size."""
    for i in range(300):
        (mount.sessions / keys[0] / f"s{i}").mkdir()
    path = mount.point / ".mintfs/status.json"
    with open(path, "rb", buffering=0) as file:
        text = file.read(1000)
        for i in range(300):
            (mount.sessions / keys[0] / f"s{i}").rmdir()
        while piece := file.read(777):
            text += piece
        assert len(json.loads(text)["sessions"]) == 300
        file.seek(0)
        assert file.read(100) == text[:100]
    assert json.loads(path.read_text())["sessions"] == []
