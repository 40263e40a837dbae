"""Eviction on a disk that has room for bytes and none for another file."""

import json

import pytest

from support.care import aged, keys_of, read
from support.disks import HAS_EXT4, mounted_disk, use_up_inodes


@pytest.fixture(params=["tmpfs", "ext4"] if HAS_EXT4 else ["tmpfs"])
def full_store(request, store, place):
    """Six templates, and not one inode left of the disk that they are on."""
    with mounted_disk(place / "disk", request.param, "16m", inodes=128) as disk:
        store.path = disk / "store"
        store.env["MINTFS_STORE"] = str(store.path)
        store.keys = aged(store, size=2000)
        use_up_inodes(disk)
        yield store


def check_whole(store):
    problems = json.loads(store.run("verify", "--all", "--json").stdout)["problems"]
    assert problems == [] and store.leftovers() == []


def test_gc_makes_room(full_store):
    store = full_store
    answer = read(store, "gc", "gc", "--max-size", "5000")
    assert {row["key"] for row in answer["evicted"]} == set(store.keys[2:])
    assert sorted(keys_of(store)) == sorted(store.keys[:2])
    assert read(store, "stats", "stats")["total"]["evicted"] == 4
    check_whole(store)


def test_gc_of_all_says_no_more_than_ever(full_store):
    store = full_store
    said = store.run("gc", "--max-size", "0").stderr
    assert "evicted 6 templates" in said and said.count("\n") == 1
    assert keys_of(store) == []
    check_whole(store)


def test_gc_by_age(full_store):
    store = full_store
    answer = read(store, "gc", "gc", "--max-age", "60h")
    assert {row["key"] for row in answer["evicted"]} == set(store.keys[3:])
    check_whole(store)


def test_evict_makes_room(full_store):
    store = full_store
    assert store.run("evict", *store.keys[:3]).stdout.split() == store.keys[:3]
    assert sorted(keys_of(store)) == sorted(store.keys[3:])
    check_whole(store)


def test_verify_repairs(full_store):
    store = full_store
    file = store.template(store.keys[2])
    file.chmod(0o644)
    file.write_bytes(b"x")
    store.run("verify", "--all", "--repair")
    assert sorted(keys_of(store)) == sorted(set(store.keys) - {store.keys[2]})
    check_whole(store)


@pytest.mark.parametrize("harm", ["missing", "damaged"])
def test_a_lost_catalog_keeps_nobody_from_making_room(full_store, harm):
    store = full_store
    catalog = store.path / "v1/catalog.db"
    if harm == "missing":
        catalog.unlink()
    else:
        catalog.write_bytes(b"rubbish")
    use_up_inodes(store.path.parent)
    said = store.run("gc", "--max-size", "5000").stderr
    assert "evicted 4 templates" in said
    check_whole(store)


def test_the_other_commands(full_store):
    store = full_store
    assert len(keys_of(store)) == 6
    store.run("verify", "--all")
    store.run("show", store.keys[0])
    said = store.fail("build", "--", "true", status=125)
    assert "no more files" in said and "mintfs gc" in said
    store.run("clean", "--yes")
    assert not store.path.exists()
