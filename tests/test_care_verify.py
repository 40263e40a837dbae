"""Damaged stores: verify and its repairs, lost catalogs; and clean, which removes a store."""

import contextlib
import json
import os
import shutil
import sqlite3
import stat
import sys
from pathlib import Path

import pytest

from support.basics import eventually, is_asleep, open_files
from support.care import in_terminal, keys_of, lock_it, read, row_of
from support.catalogs import fake_key, make_template


# ---- verify ----


def damage(path: Path, text=b"damage", mode=0o644):
    path.chmod(0o644)
    path.write_bytes(text)
    path.chmod(0o444)


def test_verify_finds_and_repairs_damage(store):
    good, small, changed = (store.build_app(name=n, salt=n) for n in ("good", "small", "changed"))
    assert read(store, "verify", "verify") == {"templates": 3, "bytes": 0, "problems": []}
    assert read(store, "verify", "verify", "--all")["bytes"] > 0
    damage(store.template(small))
    whole = store.template(changed).read_bytes()
    damage(store.template(changed), whole[:-1] + b"!")
    message = store.fail("verify", status=5)
    assert str(store.template(small)) in message and "--repair" in message
    assert str(store.template(changed)) in store.fail("verify", "changed", status=5)
    assert store.fail("verify", "-a", status=5).count("differs from the manifest") == 2
    answer = read(store, "verify", "verify", "--all", "--repair")
    assert {(p["kind"], p["what"], p["repaired"]) for p in answer["problems"]} == {
        ("damaged", small, True),
        ("damaged", changed, True),
    }
    assert keys_of(store) == [good] and store.leftovers() == []
    assert "0 problems" in store.run("verify", "--all").stderr


def test_verify_alone_reports_a_template_under_another_key(store):
    key = store.build_app(name="app")
    templates = store.path / "v1/templates"
    shutil.copytree(templates / key, templates / fake_key(1))
    assert "damaged" not in store.run("show", key).stderr
    assert store.fail("verify", status=5).count(f"it is that of {key}") == 1
    assert store.run("verify", "--repair").stderr.count(f"it is that of {key}") == 1
    assert keys_of(store) == [key]


def test_verify_repairs_a_template_whose_own_files_cannot_be_read(ordinary):
    key = ordinary.build()
    files = ordinary.template(key) / "files"
    files.chmod(0)
    assert f"{key}: Permission denied" in ordinary.fail("verify", status=5)
    assert "is evicted" in ordinary.fail("verify", "--repair", status=0)
    assert ordinary.templates() == []
    assert ordinary.build() == key


def test_verify_does_not_evict_a_damaged_template_in_use(mount, key):
    store = mount.store
    mount.new(key, "one")
    damage(store.template(key))
    assert "stays damaged: in use by a session" in store.fail("verify", "--repair", status=5)


def test_verify_skips_templates_of_a_later_mintfs(store):
    good, later, odd = (store.build_app(name=n, salt=n) for n in ("good", "later", "odd"))
    templates = store.path / "v1/templates"
    manifest = templates / later / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text().replace('"version": 1', '"version": 2'))
    (templates / odd).rename(store.home / "moved")
    (templates / odd).symlink_to(store.home / "moved")
    answer = read(store, "verify", "verify", "--repair", status=5)
    assert answer["templates"] == 3
    assert {(p["kind"], p["what"], p["repaired"]) for p in answer["problems"]} == {
        ("damaged", later, False),
        ("damaged", odd, True),
    }
    assert manifest.exists() and (store.home / "moved/manifest.json").exists()
    assert sorted(os.listdir(templates)) == sorted([good, later])


def test_an_unfinished_template_is_replaced(store):
    """An interrupted restore of a cache leaves it without its manifest."""
    key = store.build_app()
    (store.path / "v1/templates" / key / "manifest.json").unlink()
    assert store.build_app() == key
    assert store.template(key).read_bytes().startswith(b"SQLite format 3")


def test_verify_finds_drift_and_leftovers(store):
    key = store.build_app()
    store.run("ls")
    gone = store.build_app(salt="gone")
    shutil.rmtree(store.path / "v1/templates" / gone)
    brought = make_template(store.path, 7)
    left = store.path / "v1/building" / f"{fake_key(3)}.00000001"
    left.mkdir()
    message = store.fail("verify", status=5)
    assert gone[:12] in message and brought[:12] in message and left.name in message
    answer = read(store, "verify", "verify", "--repair")
    assert {(p["kind"], p["what"]) for p in answer["problems"]} == {
        ("gone", gone),
        ("unknown", brought),
        ("leftover", left.name),
    }
    assert "0 problems" in store.run("verify").stderr and not left.exists()
    assert sorted(keys_of(store)) == sorted([key, brought])


def test_verify_takes_no_build_that_ends_meanwhile_for_a_leftover(store):
    """It reads the name of the build's directory, then asks who holds the build's lock."""
    store.build_app()
    work = store.path / "v1/building" / f"{fake_key(3)}.00000001"
    work.mkdir()
    lock = store.path / "v1/locks" / f"build-{fake_key(3)}"
    os.mkfifo(lock)  # which verify opens, and waits for a writer
    verify = store.start("verify")

    def has_read_the_name():
        opened = [path for path in open_files(verify.pid) if path.endswith("/v1/building")]
        return len(opened) > 1 and is_asleep(verify.pid)

    eventually(has_read_the_name, "verify to open the lock")
    work.rmdir()
    lock.open("w").close()
    out, err = verify.communicate()
    assert verify.returncode == 0 and "0 problems" in err, (out, err)


def test_verify_finds_no_fault_in_a_template_that_is_built_again(store):
    """Its build has put the damaged one aside, and its row and its name are still there."""
    key = store.build_app()
    with open(store.path / "v1/locks" / f"build-{key}", "w") as lock:
        lock_it(lock)
        aside = store.path / "v1/building" / f"{key}.00000001"
        (store.path / "v1/templates" / key).rename(aside)
        assert "0 problems" in store.run("verify").stderr
    assert f"{key[:12]}, which does not exist" in store.fail("verify", status=5)


def test_an_eviction_and_the_check_of_the_catalog_wait_for_each_other(store):
    key = store.build_app()
    with open(store.path / "v1/locks/gc", "w") as lock:
        lock_it(lock)
        evict = store.start("evict", key)
        eventually(lambda: any(path.endswith("/locks/gc") for path in open_files(evict.pid)), "evict")
        eventually(lambda: is_asleep(evict.pid), "evict to wait")
        assert store.template(key).exists()
    out, err = evict.communicate()
    assert evict.returncode == 0 and keys_of(store) == [], (out, err)


def test_verify_finds_rows_that_differ_from_their_templates(store):
    keys = [store.build_app(name=name, salt=name) for name in ("a", "b", "c")]
    store.run("pin", "b")
    (store.path / "v1/pins" / keys[1]).unlink()
    with sqlite3.connect(store.path / "v1/catalog.db") as db:
        db.execute("update templates set size_bytes = 1, hits = 7 where key = ?", (keys[0],))
        db.execute("insert into names values('lost', ?, 0)", (fake_key(1),))
    problems = [("stale", keys[0]), ("stale", keys[1]), ("gone", "lost")]
    message = store.fail("verify", status=5)
    assert keys[0][:12] in message and keys[1][:12] in message and "lost" in message
    answer = read(store, "verify", "verify", "--repair")
    assert sorted((p["kind"], p["what"]) for p in answer["problems"]) == sorted(problems)
    assert all(p["repaired"] for p in answer["problems"])
    assert "0 problems" in store.run("verify").stderr
    assert row_of(store, keys[0])["hits"] == 7 and row_of(store, keys[0])["size_bytes"] > 1
    assert row_of(store, keys[1])["pinned"] is False and row_of(store, keys[0])["verified"] is True


def test_verify_rebuild_compares_rows(store):
    root = store.home / "project"
    root.mkdir()
    (root / "make.py").write_text(
        "import sqlite3, sys, time\n"
        "db = sqlite3.connect(sys.argv[1])\n"
        "db.execute('create table t(a, made)')\n"
        "db.execute('create table u(a)')\n"
        "db.execute('insert into t values(1, ?)', (eval(sys.argv[2]),))\n"
        "db.commit()\n"
    )

    def build(expression, name):
        words = ["-n", name, "-i", "make.py", "--", sys.executable, "make.py", "{out}", expression]
        return store.run("build", *words, cwd=root).stdout.strip()

    same, other = build("5", "same"), build("time.time()", "other")
    assert "is the same" in store.run("verify", "--rebuild", "same", cwd=root).stderr
    answer = read(store, "verify --rebuild", "verify", "--rebuild", same[:12], cwd=root)
    assert answer == {"key": same, "differences": []}
    done = store.run("verify", "--rebuild", "other", cwd=root, status=5)
    assert "table t: 1 of 1 cached rows differ" in done.stdout and "made" in done.stdout
    assert "not deterministic" in done.stderr and "table u" not in done.stdout
    (root / "make.py").write_text("changed")
    message = store.fail("verify", "--rebuild", "other", cwd=root, status=1)
    assert "input make.py changed" in message
    assert sorted(keys_of(store)) == sorted([same, other]) and store.leftovers() == []


# ---- clean ----


def test_clean_removes_the_store_and_keeps_other_files(copies):
    copies.build_app()
    path = Path(copies.run("session", "new", "app", "one").stdout.strip())
    kept, gone = copies.home / "project/.pytest_cache/mintfs", copies.home / "gone"
    (kept / "test_x").mkdir(parents=True)
    (kept / "test_x/app.db").write_text("kept")
    (kept / "mintfs-kept").write_text(f"test_x\n..\n.\n../../..\n{kept}\n\ntest_gone\n")
    (copies.path / "v1/kept").mkdir()
    for i, directory in enumerate((kept, gone, copies.home)):
        (copies.path / f"v1/kept/{i:016x}").symlink_to(directory)
    own = copies.path / "notes.txt"
    own.write_text("mine")
    listed = copies.run("clean", "--dry-run").stdout
    assert f"store at {copies.path}: 1 template, 1 session, " in listed
    assert f"databases of failed tests kept in {kept}: 1, " in listed and listed.count("kept") == 1
    assert path.exists()
    message = copies.run("clean", status=2).stderr
    assert "--yes" in message and path.exists()
    assert in_terminal(copies, "clean", answer=b"n\n")[0] == 1 and path.exists()
    status, text = in_terminal(copies, "clean", answer=b"y\n")
    assert status == 1 and "Remove all of it?" in text, text
    assert f"{own} stays: mintfs did not put it there" in text
    assert not path.exists() and own.read_text() == "mine"
    # It is still a store, for the next build and for the next clean.
    assert copies.run("ls", "--json").returncode == 0
    own.unlink()
    copies.run("clean", "--yes")
    assert not copies.path.exists()
    assert not kept.exists() and kept.parent.exists()
    assert "nothing to remove" in copies.run("clean", "-y").stderr


FOREIGN = [
    "notes",
    "v1/notes",
    "v1/building/notes",
    f"v1/building/{'0' * 64}",
    "v1/copies/notes",
    "v1/kept/notes",
    "v1/locks/notes",
    "v1/locks/build-notes",
    "v1/pins/notes",
    "v1/scratches/notes",
    "v1/sessions/notes",
    "v1/sessions/logs/notes",
    "v1/templates/notes",
    "v1/templates/.notes.tmp",
]


def test_clean_keeps_files_that_mintfs_did_not_create(copies):
    """Wherever they are in the store; each is named, and a second clean removes the rest."""
    key = copies.build_app()
    copies.run("pin", key)
    copies.run("session", "new", "app", "one")
    before = {path for path in copies.path.rglob("*") if path.is_file()}
    leftovers = [  # of mintfs processes that were killed
        f"v1/building/{key}.01234567/out",
        f"v1/locks/use-{key}",
        "v1/locks/gc",
        "v1/scratches/.0123456789abcdef.123.tmp",
        "v1/sessions/logs/0123456789abcdef.new",
        "v1/sessions/blocks",
        "v1/copies/.unfinished-0123456789abcdef/app.db",
        "v1/catalog.db-journal",
    ]
    for name in (*FOREIGN, *leftovers):
        (copies.path / name).parent.mkdir(parents=True, exist_ok=True)
        (copies.path / name).write_text("mine")
    (copies.path / "v1/templates/directory").mkdir()
    (copies.path / "v1/templates/directory/file").write_text("mine")
    message = copies.run("clean", "--yes", status=1).stderr
    for name in (*FOREIGN, "v1/templates/directory"):
        assert f"{copies.path}/{name} stays: mintfs did not put it there\n" in message, name
    assert message.count(" stays: ") == len(FOREIGN) + 1
    there = {path for path in copies.path.rglob("*") if path.is_file()}
    kept = {copies.path / name for name in (*FOREIGN, "v1/templates/directory/file")}
    markers = {copies.path / "mintfs-store", copies.path / "CACHEDIR.TAG"}
    assert there == kept | markers and before & there == markers
    for path in kept:
        assert path.read_text() == "mine"
        path.unlink()
    (copies.path / "v1/templates/directory").rmdir()
    assert copies.run("clean", "--yes").stderr == "mintfs: removed\n"
    assert not copies.path.exists()


def test_clean_unmounts_first_unless_a_session_is_in_use(mount, key):
    session = mount.new(key, "one")
    with open(session / "app.db", "rb"):
        assert "in use by" in mount.store.run("clean", "--yes", status=4).stderr
    assert session.exists()
    mount.store.run("clean", "--yes")
    assert not mount.store.path.exists()
    _, err = mount.process.communicate(timeout=1500)
    assert mount.process.returncode == 0, err


# ---- a damaged catalog ----


@pytest.mark.parametrize("harm", ["deleted", "emptied", "truncated", "cut", "rubbish"])
def test_a_lost_catalog_is_rebuilt(store, harm):
    keys = [store.build_app(salt=str(i)) for i in range(3)]
    store.run("pin", keys[0])
    catalog = store.path / "v1/catalog.db"
    if harm == "deleted":
        catalog.unlink()
    elif harm in ("emptied", "truncated", "cut"):
        left = {"emptied": 0, "truncated": catalog.stat().st_size // 2, "cut": 60}
        os.truncate(catalog, left[harm])
    else:
        catalog.write_bytes(b"rubbish" * 1000)
    done = store.run("ls", "--json")
    assert "rebuilt from 3 manifests" in done.stderr and done.stderr.count("\n") == 1
    assert sorted(row["key"] for row in json.loads(done.stdout)["templates"]) == sorted(keys)
    assert row_of(store, keys[0])["pinned"] is True
    for command in (["stats"], ["verify", "-a"], ["gc"], ["show", keys[1]]):
        store.run(*command)


def test_a_later_catalog_is_refused_and_not_changed(store):
    key = store.build_app()
    catalog = store.path / "v1/catalog.db"
    with sqlite3.connect(catalog) as db:
        db.execute("pragma user_version = 99")
    before = catalog.read_bytes()
    commands = [
        ["ls"], ["show", key], ["stats"], ["gc"], ["evict", key], ["pin", key], ["name", "x", key],
        ["verify"], ["explain", "--", "true"],
    ]
    for command in commands:
        assert "made by a later mintfs" in store.fail(*command, status=5)
    assert catalog.read_bytes() == before and store.template(key).exists()
    assert not list((store.path / "v1").glob("pins/*"))


def test_a_refused_pin_changes_nothing(store):
    key = store.build_app()
    pins = store.path / "v1/pins"
    store.run("pin", key)
    with contextlib.closing(sqlite3.connect(store.path / "v1/catalog.db")) as db:
        db.execute("pragma user_version = 99")
        store.fail("unpin", key, status=5)
        assert os.listdir(pins) == [key]
        db.execute("pragma user_version = 1")
        store.run("unpin", key)
        db.execute("pragma user_version = 99")
        store.fail("pin", key, status=5)
        assert os.listdir(pins) == []
        db.execute("pragma user_version = 1")
    # A template whose manifest cannot be read is not kept.
    unreadable = make_template(store.path, 1)
    (store.path / "v1/templates" / unreadable / "manifest.json").write_text("rubbish")
    store.fail("pin", unreadable, status=3)
    assert os.listdir(pins) == []


@pytest.mark.parametrize("catalog", ["verified", "missing"])
def test_links_that_lead_out_through_other_links_are_refused(store, catalog):
    """A restored cache may contain them; each target alone seems to stay inside."""
    victim = store.path / "v1/victim"
    key = store.build_tree("ln -s . here; echo x >x; ln -s here/x app.db", name="app")
    victim.write_text("precious")
    folder = store.path / "v1/templates" / key
    manifest = json.loads((folder / "manifest.json").read_text())
    (entry,) = [entry for entry in manifest["entries"] if entry["path"] == "app.db"]
    entry["target"] = "here/here/here/here/../../../../victim"
    (folder / "manifest.json").chmod(0o644)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "files/app.db").unlink()
    (folder / "files/app.db").symlink_to(entry["target"])
    if catalog == "missing":
        (store.path / "v1/catalog.db").unlink()
    message = store.fail("session", "new", key, status=5, env={"MINTFS_BACKEND": "copy"})
    assert "files/app.db -> here/here/here" in message and "leads out of the template" in message
    assert "leads out" in store.run("verify", status=5).stderr
    assert "leads out" in store.run("verify", key, status=5).stderr
    assert victim.read_text() == "precious"
    store.run("verify", "--repair")
    assert store.build_tree("ln -s . here; echo x >x; ln -s here/x app.db", name="app") == key


# ---- when a template counts as verified ----


def fingerprint(store, key):
    with contextlib.closing(sqlite3.connect(store.path / "v1/catalog.db")) as db:
        return db.execute("select verified from templates where key = ?", (key,)).fetchone()[0]


def change_directory(folder):
    """Replaces it by another directory whose types and sizes are the same."""
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    change_in_place(other)
    shutil.rmtree(folder)
    other.rename(folder)


def change_in_place(folder):
    file = folder / "files/app.db"
    before = file.stat()
    file.chmod(0o644)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    file.chmod(0o444)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def change_file(folder):
    """As change_in_place(), but renames another file over it."""
    file = folder / "files/app.db"
    before = file.stat()
    other = folder / "files/other"
    other.write_bytes(file.read_bytes()[:-1] + b"x")
    other.chmod(0o444)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(file)


@pytest.mark.parametrize("change", [change_directory, change_in_place, change_file])
def test_a_template_that_changed_is_verified_again(store, change):
    key = store.build_app()
    assert fingerprint(store, key) > 1
    change(store.path / "v1/templates" / key)
    message = store.fail("session", "new", key, status=5, env={"MINTFS_BACKEND": "copy"})
    assert "its content differs from the manifest" in message
    done = store.run("build", "-n", "app", "--", "cp", store.home / "4-50-4096-delete.db", "{out}")
    assert done.stdout.strip() == key and "put aside and built again" in done.stderr
    assert done.stderr.count("differs from the manifest") == 1
    assert json.loads(store.run("verify", "--all", "--json").stdout)["problems"] == []


def test_a_manifest_that_changed_is_verified_again(store):
    key = store.build_app()
    path = store.path / "v1/templates" / key / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["entries"][0]["sha256"] = "0" * 64
    path.chmod(0o644)
    path.write_text(json.dumps(manifest))
    assert "differs from the manifest" in store.fail(
        "session", "new", key, status=5, env={"MINTFS_BACKEND": "copy"}
    )


@pytest.mark.parametrize("change", ["copy", "move", "links", "modes", "earlier version"])
def test_an_unchanged_template_is_verified_once(store, change):
    """The store was moved, a backup linked its files, or tar set modes by another umask."""
    key = store.build_app()
    before = fingerprint(store, key)
    files = store.path / "v1/templates" / key / "files"
    if change == "copy":
        shutil.copytree(store.path, store.home / "copy", symlinks=True)
        shutil.rmtree(store.path)
        (store.home / "copy").rename(store.path)
    elif change == "move":
        store.path.rename(store.home / "moved")
        (store.home / "moved").rename(store.path)
    elif change == "links":
        os.link(files / "app.db", store.home / "backup")
    elif change == "modes":
        (files / "app.db").chmod(0o664)
    else:
        with contextlib.closing(sqlite3.connect(store.path / "v1/catalog.db")) as db, db:
            db.execute("update templates set verified = 1")
    assert store.build_app() == key
    after = fingerprint(store, key)
    assert after > 1 and (after == before) == (change in ("move", "earlier version"))
    assert store.build_app() == key and fingerprint(store, key) == after
    store.run("verify", "--all")
    assert fingerprint(store, key) == after
    assert stat.S_IMODE((files / "app.db").stat().st_mode) == 0o444
