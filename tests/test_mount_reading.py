"""Directories that change while they are read: readers end, and see each lasting entry once."""

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
    """A stream of opendir(3), whose position can be told and sought."""

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
    """A session with a directory of 40 files of the template."""
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
    """Its entries, as they are read; a reading that goes on and on fails."""
    with os.scandir(directory) as entries:
        for count, entry in enumerate(entries):
            assert count < limit, f"{entry.name}: more is read than there was"
            yield entry


def fill(directory, count: int) -> set:
    """So many files more; all names. The kernel has no listing of it then that it would go by."""
    for i in range(count):
        (directory / f"f{i:05}").touch()
    names = set(os.listdir(directory))
    (directory / "last").touch()
    return names | {"last"}


@pytest.mark.parametrize("count", [0, 3, 700])
def test_renaming_while_reading_ends(tree, count):
    names = fill(tree, count)
    for entry in each(tree, len(names)):
        os.rename(entry.path, entry.path + ".bak")
    assert set(os.listdir(tree)) == {name + ".bak" for name in names}


@pytest.mark.parametrize("count", [0, 3, 700])
def test_creating_while_reading_ends(tree, count):
    names = fill(tree, count)
    seen = []
    for entry in each(tree, len(names)):
        (tree / f"{entry.name}+").touch()
        seen.append(entry.name)
    assert set(seen) == names and len(seen) == len(names)


def test_replacing_while_reading_shows_each_name_once(tree):
    """As programs save files: a new one is renamed over the old one."""
    names = fill(tree, 700)
    seen = []
    for entry in each(tree, len(names)):
        (tree / "new").write_text(entry.name)
        (tree / "new").rename(entry.path)
        seen.append(entry.name)
    assert set(seen) == names and len(seen) == len(names)
    assert all((tree / name).read_text() == name for name in names)


def test_removing_and_creating_again_while_reading_ends(tree):
    names = fill(tree, 700)
    seen = []
    for entry in each(tree, len(names)):
        os.unlink(entry.path)
        (tree / entry.name).touch()
        seen.append(entry.name)
    assert set(seen) == names and len(seen) == len(names)
    assert set(os.listdir(tree)) == names


def test_making_sessions_while_reading_ends(mount, keys):
    parent = mount.sessions / keys[0]
    for i in range(200):
        (parent / f"s{i}").mkdir()
    seen = []
    for entry in each(parent, 200):
        os.mkdir(entry.path + "-x")
        seen.append(entry.name)
    assert sorted(seen) == sorted(f"s{i}" for i in range(200))
    assert len(os.listdir(parent)) == 400


def test_resetting_sessions_while_reading_shows_each_once(mount, keys):
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
def test_building_templates_while_reading_ends(mount, keys, where):
    seen = []
    with Directory(mount.point / where) as directory:
        for name in iter(directory.read, None):
            seen.append(name)
            assert len(seen) <= 2 + 2 * 3
            if name in ("one", "two", "three"):
                mount.store.build_tree(f"echo {name} >file; echo >more", name=f"{name}-and-more")
    assert set(seen) == {".", "..", "one", "two", "three", *keys}
    # The kernel is told soon after a reading that it must not go by it.
    eventually(lambda: len(os.listdir(mount.point / where)) == 12, "all twelve")


def test_evicted_and_built_templates_are_listed(mount, keys):
    for _ in range(3):
        mount.store.run("evict", "two")
        left = {"one", "three", keys[0], keys[2]}
        eventually(lambda: set(os.listdir(mount.templates)) == left)
        assert mount.store.build_tree("echo two >file", name="two") == keys[1]
        eventually(lambda: set(os.listdir(mount.templates)) == {"one", "two", "three", *keys})


def test_positions_hold_in_a_large_directory(tree):
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
    # Others' coming and going moves no position of what stays.
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


def test_removing_a_tree_while_another_reads_it(tree):
    fill(tree, 3000)
    with Directory(tree) as reader:
        first = list(islice(iter(reader.read, None), 50))
        for name in os.listdir(tree):
            (tree / name).unlink()
        left = reader.rest()
    tree.rmdir()
    assert len(set(first + left)) == len(first + left)


@pytest.mark.parametrize("where", [".", ".mintfs", "templates", "sessions", "templates/one"])
def test_positions_of_what_never_changes(mount, keys, where):
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


def test_status_while_it_is_read(mount, keys):
    """A reader has one text from its open(2) on, in pieces of any size."""
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
