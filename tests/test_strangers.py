"""Symbolic links that others put into the store, and scratches that were damaged at rest."""

import json
import os
import shutil

import pytest

from support.mounts import Mount


@pytest.mark.parametrize("planted", ["building", "locks", "templates", "sessions", "sessions/logs"])
def test_a_link_in_place_of_a_directory_is_not_followed(fuse, store, key, planted):
    """No command changes what the link leads to."""
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


def test_a_link_in_place_of_a_templates_file_is_not_followed(fuse, store, key):
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
        mount.stop(logged=("app.db",))


def test_no_path_leads_out_of_the_mount(mount, key):
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


# ---- damage while nothing is mounted ----


@pytest.fixture
def at_rest(fuse, store, key):
    """A store, not mounted, with sessions one, two and three, each with a file of its own."""
    mount = Mount(store, store.home / "mnt")
    for name in ("one", "two", "three"):
        (mount.new(key, name) / "made").write_text(name * 5000)
    mount.stop()
    return store


def contents(mount, key) -> dict:
    return {path.name: (path / "made").read_text() for path in (mount.sessions / key).iterdir()}


@pytest.mark.parametrize("version", ["rubbish", "2"])
def test_sessions_of_a_damaged_template_return_when_it_is_repaired(at_rest, key, version):
    """Until then they are not shown, and no other session gets their blocks."""
    other = at_rest.build("sh", "-c", 'echo other >"$0"', "{out}", name="other")
    manifest = at_rest.path / "v1/templates" / key / "manifest.json"
    text = manifest.read_text()
    manifest.chmod(0o644)
    manifest.write_text(text.replace('"version": 1', f'"version": {version}'))
    mount = Mount(at_rest, at_rest.home / "mnt")
    fill = mount.new(other, "fill") / "fill"
    fill.write_bytes(b"x" * 1_000_000)
    mount.stop(logged=("is kept, but not shown: its template cannot be read", "manifest.json"))
    manifest.write_text(text)
    mount = Mount(at_rest, at_rest.home / "mnt")
    assert contents(mount, key) == {name: name * 5000 for name in ("one", "two", "three")}
    assert fill.read_bytes() == b"x" * 1_000_000
    mount.stop()


def put_fifo(log):
    log.unlink()
    os.mkfifo(log)


def put_link(log):
    log.unlink()
    log.symlink_to("/etc/passwd")


def put_directory(log):
    log.unlink()
    log.mkdir()


@pytest.mark.parametrize("put", [put_fifo, put_link, put_directory])
def test_a_log_that_is_no_file_costs_one_session(at_rest, key, put):
    logs = at_rest.scratch() / "logs"
    put(sorted(logs.iterdir())[1])
    rows = json.loads(at_rest.run("session", "ls", "--json").stdout)["sessions"]
    assert sorted(row["id"] for row in rows) == ["one", "three"]
    at_rest.run("gc")
    mount = Mount(at_rest, at_rest.home / "mnt")
    assert sorted(contents(mount, key)) == ["one", "three"]
    mount.stop(logged=("is damaged, or an older copy of itself: its session is lost",))


def test_a_damaged_last_change_is_logged(at_rest, key):
    log = sorted((at_rest.scratch() / "logs").iterdir())[1]
    data = bytearray(log.read_bytes())
    data[-12] ^= 0xFF
    log.write_bytes(data)
    mount = Mount(at_rest, at_rest.home / "mnt")
    mount.stop(logged=("the last change is damaged, and undone", "two has lost its last changes"))
