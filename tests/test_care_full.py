"""Eviction on a disk without free bytes or free inodes, where it matters most."""

import json

import pytest

from support.care import aged, keys_of, read
from support.disks import HAS_EXT4, fill_to_the_last_byte, mounted_disk, use_up_inodes


class Full:
    """A kind of full disk: its options, what uses it up, and a store that fits before that."""

    def __init__(self, fill, size, *disk, **options):
        self.fill = fill
        self.size = size
        self.disk = disk
        self.options = options
        self.room_for_two = str(size * 9 // 4)


FULL = {
    "bytes": Full(fill_to_the_last_byte, 200_000, "8m"),
    "inodes": Full(use_up_inodes, 2_000, "16m", inodes=128),
}


@pytest.fixture(params=FULL)
def full(request):
    return FULL[request.param]


@pytest.fixture(params=["tmpfs", "ext4"] if HAS_EXT4 else ["tmpfs"])
def full_store(request, full, store, place):
    """Six templates on a disk that is full."""
    with mounted_disk(place / "disk", request.param, *full.disk, **full.options) as disk:
        store.path = disk / "store"
        store.env["MINTFS_STORE"] = str(store.path)
        store.keys = aged(store, size=full.size)
        full.fill(disk)
        yield store


only_bytes = pytest.mark.parametrize("full", ["bytes"], indirect=True)
only_inodes = pytest.mark.parametrize("full", ["inodes"], indirect=True)


def check_whole(store):
    problems = json.loads(store.run("verify", "--all", "--json").stdout)["problems"]
    assert problems == [] and store.leftovers() == []


def test_gc_frees_a_full_disk(full, full_store):
    store = full_store
    answer = read(store, "gc", "gc", "--max-size", full.room_for_two)
    assert {row["key"] for row in answer["evicted"]} == set(store.keys[2:])
    assert sorted(keys_of(store)) == sorted(store.keys[:2])
    assert read(store, "stats", "stats")["total"]["evicted"] == 4
    check_whole(store)


def test_gc_evicts_everything_on_a_full_disk(full_store):
    store = full_store
    message = store.run("gc", "--max-size", "0").stderr
    assert "evicted 6 templates" in message and message.count("\n") == 1
    assert keys_of(store) == []
    check_whole(store)


def test_evict_frees_a_full_disk(full_store):
    store = full_store
    assert store.run("evict", *store.keys[:3]).stdout.split() == store.keys[:3]
    assert sorted(keys_of(store)) == sorted(store.keys[3:])
    check_whole(store)


@only_bytes
@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_lost_catalog_does_not_prevent_eviction(full_store, harm):
    """Until there is room for a new one, it is rebuilt in memory."""
    store = full_store
    catalog = store.path / "v1/catalog.db"
    if harm == "missing":
        catalog.unlink()
    else:
        catalog.write_bytes(b"rubbish")
    fill_to_the_last_byte(store.path.parent)
    assert len(keys_of(store)) == 6
    message = store.run("gc", "--max-size", "450000").stderr
    assert f"is {harm} and cannot be rebuilt" in message and "in memory for this command" in message
    assert "evicted 4 templates" in message
    again = store.run("ls", "--json").stderr
    assert f"was {harm}: rebuilt from 2 manifests" in again
    check_whole(store)


@only_bytes
def test_clean_works_on_a_full_disk(full_store):
    (full_store.path / "v1/catalog.db").unlink()
    fill_to_the_last_byte(full_store.path.parent)
    full_store.run("clean", "--yes")
    assert not full_store.path.exists()


@only_inodes
def test_gc_by_age_works_on_a_full_disk(full_store):
    store = full_store
    answer = read(store, "gc", "gc", "--max-age", "60h")
    assert {row["key"] for row in answer["evicted"]} == set(store.keys[3:])
    check_whole(store)


@only_inodes
def test_verify_repairs_on_a_full_disk(full_store):
    store = full_store
    file = store.template(store.keys[2])
    file.chmod(0o644)
    file.write_bytes(b"x")
    store.run("verify", "--all", "--repair")
    assert sorted(keys_of(store)) == sorted(set(store.keys) - {store.keys[2]})
    check_whole(store)


@only_inodes
@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_lost_catalog_is_rebuilt_without_inodes(full_store, harm):
    store = full_store
    catalog = store.path / "v1/catalog.db"
    if harm == "missing":
        catalog.unlink()
    else:
        catalog.write_bytes(b"rubbish")
    use_up_inodes(store.path.parent)
    message = store.run("gc", "--max-size", "5000").stderr
    assert "evicted 4 templates" in message
    check_whole(store)


@only_inodes
def test_other_commands_work_on_a_full_disk(full_store):
    store = full_store
    assert len(keys_of(store)) == 6
    store.run("verify", "--all")
    store.run("show", store.keys[0])
    message = store.fail("build", "--", "true", status=125)
    assert "no more files" in message and "mintfs gc" in message
    store.run("clean", "--yes")
    assert not store.path.exists()


def on_ext4(test):
    return test if HAS_EXT4 else None


@on_ext4
def test_gc_evicts_more_templates_than_one_directory_block_names(store, place):
    """Names of locks and of templates moved aside must fit into one block of a directory."""
    with mounted_disk(place / "disk", "ext4", "16m") as disk:
        store.path = disk / "store"
        store.env["MINTFS_STORE"] = str(store.path)
        aged(store, count=150)
        fill_to_the_last_byte(disk)
        answer = read(store, "gc", "gc", "--max-size", "0")
        assert len(answer["evicted"]) == 150 and keys_of(store) == []
        check_whole(store)
