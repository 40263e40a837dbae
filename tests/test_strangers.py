"""Symbolic links planted in the store are not followed, and the store is not within the mount."""

import os
import shutil

import pytest

from support.mounts import Mount


@pytest.mark.parametrize("planted", ["building", "locks", "templates", "sessions", "sessions/logs"])
def test_a_planted_directory(fuse, store, key, planted):
    """Instead of a directory of the store, a link to one with something to lose."""
    victim = store.home / "victim"
    inner = victim / "0000000000000001"
    inner.mkdir(parents=True)
    (inner / "precious").write_text("precious")
    place = store.path / "v1" / planted
    if place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(victim)
    for words in (
        ("build", "--salt", "more", "--", "sh", "-c", 'echo x >"$0"', "{out}"),
        ("mount", store.home / "mnt"),
        ("ls",),
    ):
        process = store.start(*words)
        process.communicate(timeout=1500)
        if words[0] == "mount" and process.returncode == 0:
            store.run("umount", store.home / "mnt")
    assert os.listdir(victim) == [inner.name]
    assert (inner / "precious").read_text() == "precious"
    assert os.listdir(inner) == ["precious"]


def test_a_planted_file_of_a_template(fuse, store, key):
    secret = store.home / "secret"
    secret.write_bytes(b"secret" * 10000)
    shown = store.template(key)
    shown.parent.chmod(0o755)
    shown.unlink()
    shown.symlink_to(secret)
    mount = Mount(store, store.home / "mnt")
    try:
        with pytest.raises(OSError):
            (mount.templates / key / "app.db").read_bytes()
        with pytest.raises(OSError):
            (mount.new(key, "one") / "app.db").read_bytes()
    finally:
        mount.stop(said=("app.db",))


def test_the_store_is_not_within_the_mount(mount, key):
    """Nothing in the mount is a way out of it."""
    found = []
    for folder, folders, files in os.walk(mount.point):
        found += [f"{folder}/{name}" for name in folders + files]
    for path in found:
        if os.path.islink(path):
            assert "/" not in os.readlink(path), path
    mount.new(key, "one")
    for escape in ("../../../..", "../../../../store"):
        path = os.path.realpath(mount.sessions / key / "one" / escape)
        assert path == os.path.normpath(mount.sessions / key / "one" / escape)
