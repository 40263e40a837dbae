"""The commands that look after the cache: what they say, what they do, and what they refuse."""

import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from support.basics import MINTFS, eventually
from support.catalogs import DAY_NS, check_schema, fake_key, make_template

SESSION = {
    "id": "text",
    "key": "text",
    "backend": "text",
    "state": "text",
    "path": "text|none",
    "shared_bytes": "number|none",
    "own_bytes": "number|none",
    "open_files": "number|none",
}
TEMPLATE = {
    "key": "text",
    "names": ["text"],
    "label": "text",
    "file": "text",
    "size_bytes": "number",
    "file_count": "number",
    "created_ns": "number",
    "builder": "text",
    "build_time_ns": "number",
    "last_used_ns": "number",
    "hits": "number",
    "saved_ns": "number",
    "pinned": "flag",
    "verified": "flag",
    "sessions": "number",
    "shared_bytes": "number",
    "own_bytes": "number",
}
FILE = {
    "path": "text",
    "type": "text",
    "mode": "text",
    "size_bytes": "number",
    "sha256": "text|none",
    "target": "text|none",
    "sqlite": "flag",
    "wal": "flag",
}
SHOWN = {
    **TEMPLATE,
    "path": "text",
    "builder": ["text"],
    "salt": "text|none",
    "arguments": ["text"],
    "environment": ["text"],
    "inputs": [{"path": "text", "sha256": "text"}],
    "files": [FILE],
    "warnings": ["text"],
    "sessions": [SESSION],
}
SUMS = {
    name: "number"
    for name in (
        "hits misses builds build_time_ns saved_ns built_bytes evicted evicted_bytes sessions "
        "requests"
    ).split()
}
NOW = {name: "number" for name in ("templates", "bytes", "sessions", "own_bytes")}
VICTIM = {"key": "text", "names": ["text"], "size_bytes": "number", "last_used_ns": "number"}
SCHEMAS = {
    "ls": {"templates": [TEMPLATE], "sessions": [SESSION]},
    "show": SHOWN,
    "stats": {"days": [{"day": "text", **SUMS}], "total": SUMS, "now": NOW},
    "gc": {
        "evicted": [VICTIM],
        "evicted_bytes": "number",
        "kept": [{**VICTIM, "why": "text"}],
        "left": "number",
        "left_bytes": "number",
        "over": "flag",
        "dry_run": "flag",
    },
    "name": {"names": [{"name": "text", "key": "text"}]},
    "explain": {
        "key": "text",
        "name": "text|none",
        "hit": "flag",
        "nearest": "text|none",
        "differences": [{"kind": "text", "change": "text", "what": "text"}],
    },
    "verify": {
        "templates": "number",
        "bytes": "number",
        "problems": [{"kind": "text", "what": "text", "repaired": "flag"}],
    },
    "rebuild": {"key": "text", "differences": ["text"]},
    "config": {
        "file": "text|none",
        "settings": [
            {
                "name": "text",
                "value": "text|none",
                "from": "text",
                "where": "text|none",
                "variable": "text",
                "meaning": "text",
            }
        ],
    },
}


def read(store, schema, *args, **kwargs):
    """Runs a command with --json; its answer, which is as documented."""
    answer = json.loads(store.run(*args, "--json", **kwargs).stdout)
    check_schema(answer, SCHEMAS[schema])
    return answer


def keys_of(store) -> list:
    return [row["key"] for row in read(store, "ls", "ls")["templates"]]


def row_of(store, key) -> dict:
    return next(row for row in read(store, "ls", "ls")["templates"] if row["key"] == key)


@pytest.fixture
def copies(store):
    """A store whose sessions are copies."""
    store.env["MINTFS_BACKEND"] = "copy"
    store.run("ls")
    yield store
    for row in read(store, "ls", "ls")["sessions"]:
        store.run("session", "rm", row["path"])


# ---- what is there ----


def test_ls_tells_templates_and_sessions(copies):
    key = copies.build_app()
    copies.build_app()
    path = copies.run("session", "new", "app", "one").stdout.strip()
    listing = read(copies, "ls", "ls")
    (template,) = listing["templates"]
    assert template["names"] == ["app"] and template["label"] == "app"
    assert template["hits"] == 1 and template["saved_ns"] == template["build_time_ns"] > 0
    assert template["sessions"] == 1 and template["own_bytes"] >= template["size_bytes"]
    assert template["builder"].startswith(sys.executable)
    (session,) = listing["sessions"]
    assert (session["id"], session["key"], session["path"]) == ("one", key, path)
    assert (session["backend"], session["state"]) == ("copy", "copy")
    text = copies.run("ls").stdout
    assert re.search(rf"(?m)^app +{key[:12]} ", text), text
    assert re.search(rf"(?m)^one +{key[:12]} +copy ", text), text


def test_ls_of_a_mount_tells_shared_and_own_bytes(mount, key):
    store = mount.store
    session = mount.new(key, "one")
    with open(session / "app.db", "r+b") as file:
        file.seek(4096)
        file.write(b"x" * 4096)
        os.fsync(file.fileno())
    listing = read(store, "ls", "ls")
    (row,) = listing["sessions"]
    assert (row["state"], row["backend"], row["path"]) == ("live", "fuse", str(session))
    assert row["shared_bytes"] == listing["templates"][0]["size_bytes"]
    assert 4096 <= row["own_bytes"] < row["shared_bytes"]
    assert listing["templates"][0]["own_bytes"] == row["own_bytes"]
    live = read(store, "stats", "stats")
    assert live["total"]["sessions"] == 1 and live["total"]["requests"] > 0
    mount.stop()
    (row,) = read(store, "ls", "ls")["sessions"]
    assert (row["id"], row["state"], row["path"]) == ("one", "at rest", None)
    after = read(store, "stats", "stats")
    assert after["total"]["sessions"] == 1
    assert after["total"]["requests"] >= live["total"]["requests"]


@pytest.mark.parametrize("columns", [40, 80])
def test_tables_fit_the_terminal(copies, columns):
    env = {"COLUMNS": str(columns)}
    copies.build_app(name="a-name-of-some-length.for-the-unit-tests-of-the-shop")
    copies.run("session", "new", "a-name-of-some-length.for-the-unit-tests-of-the-shop")
    for command in (["ls"], ["stats"], ["name"]):
        lines = copies.run(*command, env=env).stdout.splitlines()
        assert lines and max(map(len, lines)) <= columns, lines
    assert copies.run("ls").stdout.count("a-name-of-some-length.for-the-unit-tests") == 1


def in_terminal(store, *args, answer=None, env=None) -> tuple:
    """Runs a command in a terminal; its status and all that it wrote there."""
    main, other = pty.openpty()
    process = subprocess.Popen(
        store.command(*args),
        env={**store.env, "TERM": "xterm", **(env or {})},
        stdin=other,
        stdout=other,
        stderr=other,
    )
    os.close(other)
    if answer:
        os.write(main, answer)
    text = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        text += part
    os.close(main)
    return process.wait(), text.decode()


def test_color_only_in_a_terminal_and_not_with_no_color(copies):
    copies.build_app()
    assert "\033[" not in copies.run("ls", env={"TERM": "xterm"}).stdout
    assert "\033[1m" in in_terminal(copies, "ls")[1]
    assert "\033[1m" not in in_terminal(copies, "ls", env={"NO_COLOR": "1"})[1]


def test_show_tells_everything(copies):
    (copies.home / "in").mkdir()
    (copies.home / "in/a.sql").write_text("x")
    builder = ["sh", "-c", "echo $SEED > $0; ln -s app.db $1/link", "{out}", "{dir}"]
    done = copies.run(
        "build", "-n", "app", "-i", "in", "-e", "SEED", "--salt", "s", "--", *builder,
        env={"SEED": "7"}, cwd=copies.home,
    )
    key = done.stdout.strip()
    for text in ("app", key, key[:4], key[:12].upper()):
        shown = read(copies, "show", "show", text)
        assert shown["key"] == key and shown["builder"] == builder and shown["salt"] == "s"
    assert shown["environment"] == ["SEED=7"]
    assert [row["path"] for row in shown["inputs"]] == ["in/a.sql"]
    assert {(f["path"], f["type"], f["target"]) for f in shown["files"]} == {
        ("app.db", "file", None),
        ("link", "link", "app.db"),
    }
    text = copies.run("show", "app").stdout
    for part in (key, "in/a.sql", "SEED=7", "link"):
        assert part in text


def test_what_a_builder_was_called_reaches_no_terminal_unclean(store):
    store.run("ls")
    key = make_template(store.path, 1)
    manifest = store.path / "v1/templates" / key / "manifest.json"
    manifest.write_text(manifest.read_text().replace("number-1", "\\u001b[31mred"))
    for command in (["ls"], ["show", key]):
        assert "\033" not in store.run(*command).stdout


# ---- why a template is not there ----


@pytest.fixture
def project(copies):
    root = copies.home / "project"
    (root / "in").mkdir(parents=True)
    (root / "in/a.sql").write_text("a")
    (root / "in/b.sql").write_text("b")
    copies.root = root
    return copies


COPY = ["sh", "-c", "cat in/* > $0", "{out}"]


def arguments(*options, builder=COPY):
    return ["-n", "app", "-i", "in", "-e", "SEED", *options, "--", *builder]


def test_explain_names_what_differs(project):
    missing = json.loads(project.run("explain", "--json", *arguments(), cwd=project.root).stdout)
    check_schema(missing, SCHEMAS["explain"])
    assert missing["hit"] is False and missing["nearest"] is None
    key = project.run("build", *arguments(), cwd=project.root).stdout.strip()
    hit = json.loads(
        project.run("explain", "--json", *arguments(), cwd=project.root).stdout
    )
    check_schema(hit, SCHEMAS["explain"])
    assert hit["hit"] is True and hit["key"] == key and hit["differences"] == []
    (project.root / "in/a.sql").write_text("changed")
    (project.root / "in/b.sql").unlink()
    (project.root / "in/c.sql").write_text("new")
    changed = arguments("--salt", "2", builder=[*COPY, "more"])
    done = project.run("explain", "--json", *changed, cwd=project.root, env={"SEED": "secret"})
    answer = json.loads(done.stdout)
    assert answer["hit"] is False and answer["nearest"] == key
    assert {(d["kind"], d["change"], d["what"]) for d in answer["differences"]} == {
        ("input", "changed", "in/a.sql"),
        ("input", "removed", "in/b.sql"),
        ("input", "added", "in/c.sql"),
        ("variable", "changed", "SEED"),
        ("argument", "added", "more"),
        ("salt", "changed", "2"),
    }
    assert "secret" not in done.stdout
    text = project.run("explain", *changed, cwd=project.root).stdout
    assert text.startswith("miss: ") and "input removed: in/b.sql\n" in text
    # build says it in one line.
    said = project.run("build", *arguments(), cwd=project.root).stderr
    assert said == (
        f"mintfs: app: not cached; against {key[:12]}: input in/a.sql changed, "
        "input in/b.sql removed and 1 more\n"
    )


def test_explain_takes_the_nearest_of_that_name(project):
    first = project.run("build", *arguments("--salt", "1"), cwd=project.root).stdout.strip()
    (project.root / "in/c.sql").write_text("c")
    second = project.run("build", *arguments("--salt", "1"), cwd=project.root).stdout.strip()
    (project.root / "in/c.sql").write_text("d")
    done = project.run("explain", "--json", *arguments("--salt", "1"), cwd=project.root)
    assert json.loads(done.stdout)["nearest"] == second != first


# ---- eviction ----


def used(store, key, days_ago: float):
    """Pretends that the template was last used so long ago."""
    now = row_of(store, key)["last_used_ns"]
    with sqlite3.connect(store.path / "v1/catalog.db") as db:
        db.execute(
            "update templates set last_used_ns = ? where key = ?", (now - int(days_ago * DAY_NS), key)
        )


def aged(store, count=6, size=1000, name=""):
    """So many templates; the i-th was used i days before the 0-th, which was used just now."""
    store.run("ls")
    keys = [make_template(store.path, i, name=name, size=size) for i in range(count)]
    store.run("ls")
    with sqlite3.connect(store.path / "v1/catalog.db") as db:
        db.execute("delete from names")
        (now,) = db.execute("select cast(strftime('%s', 'now') as integer) * 1000000000").fetchone()
        for i, key in enumerate(keys):
            db.execute(
                "update templates set last_used_ns = ? where key = ?", (now - i * DAY_NS, key)
            )
    return keys


def test_gc_evicts_what_was_used_longest_ago(store):
    keys = aged(store)
    answer = read(store, "gc", "gc", "--max-size", "3500")
    assert {row["key"] for row in answer["evicted"]} == set(keys[3:])
    assert (answer["left"], answer["left_bytes"], answer["over"]) == (3, 3000, False)
    assert sorted(keys_of(store)) == sorted(keys[:3])
    assert store.leftovers() == []
    assert read(store, "stats", "stats")["total"]["evicted"] == 3


def test_gc_goes_by_age(store):
    keys = aged(store)
    store.run("gc", "--max-age", "36h", "--max-size", "none")
    assert sorted(keys_of(store)) == sorted(keys[:2])
    assert "evicted 0 templates" in store.run("gc", "--max-age", "none").stderr


def test_gc_dry_run_changes_nothing(store):
    keys = aged(store)
    said = read(store, "gc", "gc", "--max-size", "0", "--dry-run")
    assert len(said["evicted"]) == 6 and said["dry_run"] is True
    assert store.run("gc", "-d", "--max-size", "0").stdout.count("\n") == 6
    assert sorted(keys_of(store)) == sorted(keys)


def test_names_are_kept_last_and_keep_holds(store):
    keys = aged(store, name="unit")
    other = make_template(store.path, 100, name="other", size=1000)
    store.run("name", "unit", keys[5])
    used(store, other, 50)
    # The oldest of all have names: others go first.
    store.run("gc", "--max-size", "2000", "--max-age", "none")
    assert sorted(keys_of(store)) == sorted([keys[5], other])
    keys += aged(store, 0)
    for i in range(10, 14):
        make_template(store.path, i, name="unit", size=1000)
    store.run("ls")
    store.run("gc", "--max-size", "0", "--keep", "2")
    names = [row["label"] for row in read(store, "ls", "ls")["templates"]]
    assert sorted(names) == ["other", "unit", "unit"]
    store.run("gc", "--max-size", "0", "--keep", "1", "--name", "unit")
    names = [row["label"] for row in read(store, "ls", "ls")["templates"]]
    assert sorted(names) == ["other", "unit"]
    store.run("gc", "--max-size", "0", "-n", "unit")
    assert [row["label"] for row in read(store, "ls", "ls")["templates"]] == ["other"]


def test_pinned_templates_stay(store):
    keys = aged(store, 3)
    store.run("pin", keys[2], keys[1][:12])
    said = read(store, "gc", "gc", "--max-size", "0")
    assert [row["key"] for row in said["evicted"]] == [keys[0]] and said["over"] is True
    assert f"template {keys[2][:12]} stays: pinned" in store.fail("evict", keys[2], status=4)
    # A pin outlives the catalog.
    (store.path / "v1/catalog.db").unlink()
    store.run("gc", "--max-size", "0")
    assert sorted(keys_of(store)) == sorted(keys[1:])
    store.run("unpin", keys[1], keys[2])
    store.run("gc", "--max-size", "0")
    assert keys_of(store) == []


def test_what_a_copy_uses_stays(copies):
    key = copies.build_app()
    copies.run("session", "new", "app", "one")
    said = read(copies, "gc", "gc", "--max-size", "0")
    assert said["evicted"] == [] and "in use by a session" in said["kept"][0]["why"]
    assert "in use by a session" in copies.fail("evict", "app", status=4)
    copies.run("session", "reset", "one")
    copies.run("session", "rm", "one")
    assert copies.run("evict", "app").stdout == f"{key}\n"
    assert "no template" in copies.fail("evict", "app", status=3)


def test_gc_ends_copies_whose_time_is_up(copies):
    copies.build_app()
    copies.run("session", "new", "--ttl", "1", "app", "one")
    eventually(
        lambda: read(copies, "gc", "gc", "--max-size", "0")["evicted"], "the copy's time to be up"
    )


def test_what_a_mounted_session_uses_stays_and_then_goes(mount, key):
    store = mount.store
    session = mount.new(key, "one")
    assert read(store, "gc", "gc", "--max-size", "0")["evicted"] == []
    store.fail("evict", "app", status=4)
    assert (session / "app.db").exists()
    session.rmdir()
    # A moment later the daemon lets go; evict waits for that.
    assert store.run("evict", "app").stdout == f"{key}\n"
    eventually(lambda: not (mount.templates / key).exists(), "the template to be gone")
    assert key not in os.listdir(mount.templates)
    with pytest.raises(FileNotFoundError):
        mount.new(key, "two")


def test_evicted_and_built_anew_below_a_mount(mount, key):
    store = mount.store
    for turn in range(3):
        session = mount.new(key, "one")
        db = sqlite3.connect(session / "app.db")
        assert db.execute("select count(*) from t0").fetchone() == (50,)
        db.close()
        assert (mount.templates / key / "app.db").read_bytes()[:6] == b"SQLite"
        keep = open(mount.templates / key / "app.db", "rb")
        session.rmdir()
        assert store.run("evict", key).stdout == f"{key}\n"
        assert keep.read(6) == b"SQLite"
        keep.close()
        assert store.build_app() == key


def test_sessions_at_rest_keep_their_template(fuse, store, place, variant):
    from support.mounts import Mount

    for options in ([], ["--scratch", place / "scratch"]):
        (place / "scratch").mkdir(exist_ok=True)
        key = store.build_app()
        start = store.start
        store.start = lambda *args, **kw: start(
            *(["mount", *options, *args[1:]] if args[0] == "mount" else args), **kw
        )
        try:
            first = Mount(store, store.home / "mnt")
            first.new(key, "one")
            first.stop()
            assert "in use by a session" in store.fail("evict", "app", status=4)
            assert read(store, "gc", "gc", "--max-size", "0")["evicted"] == []
            (row,) = read(store, "ls", "ls")["sessions"]
            assert row["state"] == "at rest"
            again = Mount(store, store.home / "mnt")
            (again.sessions / key / "one").rmdir()
            again.stop()
        finally:
            store.start = start
        assert store.run("evict", "app").stdout == f"{key}\n"
        assert not list((store.path / "v1").glob("scratches/*"))


def test_a_scratch_that_is_gone_keeps_nothing(fuse, store, place):
    from support.mounts import Mount

    scratch = place / "scratch"
    scratch.mkdir()
    key = store.build_app()
    start = store.start
    store.start = lambda *args, **kw: start(
        *(["mount", "--scratch", scratch, *args[1:]] if args[0] == "mount" else args), **kw
    )
    first = Mount(store, store.home / "mnt")
    first.new(key, "one")
    first.stop()
    store.start = start
    shutil.rmtree(scratch)
    assert store.run("evict", "app").stdout == f"{key}\n"


def test_limits_are_held_after_each_build(copies):
    copies.env["MINTFS_MAX_SIZE"] = "1"
    first = copies.build_app(salt="1")
    done = copies.run(
        "build", "-n", "app", "--salt", "2", "--", "sh", "-c", "echo x > $0", "{out}"
    )
    assert "evicted 1 template not used lately" in done.stderr
    assert "over the limit of 1 B" in done.stderr
    assert keys_of(copies) == [done.stdout.strip()] != [first]


def test_a_damaged_template_can_be_evicted(store):
    key = store.build_app()
    manifest = store.path / "v1/templates" / key / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text("rubbish")
    (store.path / "v1/catalog.db").unlink()
    assert store.run("evict", key).stdout == f"{key}\n"
    assert store.build_app() == key


# ---- names ----


def test_names(store):
    key = store.build_app()
    store.run("name", "release-1.0", key[:12])
    assert read(store, "name", "name") == {
        "names": [{"name": "app", "key": key}, {"name": "release-1.0", "key": key}]
    }
    store.run("name", "--delete", "app")
    store.fail("show", "app", status=3)
    assert row_of(store, key)["names"] == ["release-1.0"]
    assert f"release-1.0  {key[:12]}\n" in store.run("name").stdout
    store.run("name", "-d", "release-1.0")
    assert store.run("name").stdout == ""


# ---- verify ----


def damage(path: Path, text=b"damage", mode=0o644):
    path.chmod(0o644)
    path.write_bytes(text)
    path.chmod(0o444)


def test_verify_finds_and_mends(store):
    good, small, changed = (store.build_app(name=n, salt=n) for n in ("good", "small", "changed"))
    assert read(store, "verify", "verify") == {"templates": 3, "bytes": 0, "problems": []}
    assert read(store, "verify", "verify", "--all")["bytes"] > 0
    damage(store.template(small))
    whole = store.template(changed).read_bytes()
    damage(store.template(changed), whole[:-1] + b"!")
    said = store.fail("verify", status=5)
    assert str(store.template(small)) in said and "--repair" in said
    assert str(store.template(changed)) in store.fail("verify", "changed", status=5)
    assert store.fail("verify", "-a", status=5).count("differs from the manifest") == 2
    answer = read(store, "verify", "verify", "--all", "--repair")
    assert {(p["kind"], p["what"], p["repaired"]) for p in answer["problems"]} == {
        ("damaged", small, True),
        ("damaged", changed, True),
    }
    assert keys_of(store) == [good] and store.leftovers() == []
    assert "0 problems" in store.run("verify", "--all").stderr


def test_verify_leaves_a_damaged_template_to_its_session(mount, key):
    store = mount.store
    mount.new(key, "one")
    damage(store.template(key))
    assert "stays damaged: in use by a session" in store.fail("verify", "--repair", status=5)


def test_verify_finds_drift_and_leftovers(store):
    key = store.build_app()
    store.run("ls")
    gone = store.build_app(salt="gone")
    shutil.rmtree(store.path / "v1/templates" / gone)
    brought = make_template(store.path, 7)
    left = store.path / "v1/building" / f"{fake_key(3)}.00000001"
    left.mkdir()
    said = store.fail("verify", status=5)
    assert gone[:12] in said and brought[:12] in said and left.name in said
    answer = read(store, "verify", "verify", "--repair")
    assert {(p["kind"], p["what"]) for p in answer["problems"]} == {
        ("gone", gone),
        ("unknown", brought),
        ("leftover", left.name),
    }
    assert "0 problems" in store.run("verify").stderr and not left.exists()
    assert sorted(keys_of(store)) == sorted([key, brought])


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
    answer = read(store, "rebuild", "verify", "--rebuild", same[:12], cwd=root)
    assert answer == {"key": same, "differences": []}
    done = store.run("verify", "--rebuild", "other", cwd=root, status=5)
    assert "table t: 1 of 1 cached rows differ" in done.stdout and "made" in done.stdout
    assert "not deterministic" in done.stderr and "table u" not in done.stdout
    (root / "make.py").write_text("changed")
    said = store.fail("verify", "--rebuild", "other", cwd=root, status=1)
    assert "input make.py changed" in said
    assert sorted(keys_of(store)) == sorted([same, other]) and store.leftovers() == []


# ---- clean ----


def test_clean_takes_all_away_and_leaves_what_is_not_ours(copies):
    copies.build_app()
    path = Path(copies.run("session", "new", "app", "one").stdout.strip())
    kept = copies.path / "v1/kept/test_x"
    kept.mkdir(parents=True)
    own = copies.path / "notes.txt"
    own.write_text("mine")
    listed = copies.run("clean", "--dry-run").stdout
    assert f"store at {copies.path}: 1 templates, 1 sessions" in listed
    assert str(kept) in listed and path.exists()
    said = copies.run("clean", status=2)
    assert "--yes" in said.stderr and path.exists()
    assert in_terminal(copies, "clean", answer=b"n\n")[0] == 1 and path.exists()
    status, text = in_terminal(copies, "clean", answer=b"y\n")
    assert status == 0 and "Remove all of it?" in text, text
    assert not path.exists() and list(copies.path.iterdir()) == [own]
    assert "is not a store of mintfs" in copies.fail("clean", "-y", status=1)
    own.unlink()
    assert copies.path.exists()
    copies.path.rmdir()
    assert "nothing to remove" in copies.run("clean", "-y").stderr


def test_clean_unmounts_first_and_not_what_is_in_use(mount, key):
    session = mount.new(key, "one")
    with open(session / "app.db", "rb"):
        assert "in use by" in mount.store.run("clean", "--yes", status=4).stderr
    assert session.exists()
    mount.store.run("clean", "--yes")
    assert not mount.store.path.exists()
    assert mount.process.wait() == 0
    mount.process.communicate()


# ---- settings ----


def settings(store, **kwargs) -> dict:
    return {row["name"]: row for row in read(store, "config", "config", **kwargs)["settings"]}


def test_config_tells_values_and_where_they_come_from(store):
    file = store.home / ".config/mintfs/mintfs.conf"
    assert settings(store)["max-size"]["value"] == "5G"
    assert settings(store)["max-age"]["from"] == "default"
    file.parent.mkdir(parents=True)
    file.write_text("# mine\n\nmax-size = 20G\nkeep=2\nidle = 1h\n")
    rows = settings(store, env={"MINTFS_KEEP": "7", "MINTFS_IDLE": ""})
    assert (rows["max-size"]["value"], rows["max-size"]["where"]) == ("20G", f"{file}:3")
    assert (rows["keep"]["value"], rows["keep"]["where"]) == ("7", "MINTFS_KEEP")
    assert (rows["idle"]["value"], rows["idle"]["from"]) == ("1h", "file")
    assert (rows["store"]["value"], rows["store"]["where"]) == (str(store.path), "MINTFS_STORE")
    assert str(file) in store.run("config").stdout
    elsewhere = store.home / "xdg"
    (elsewhere / "mintfs").mkdir(parents=True)
    (elsewhere / "mintfs/mintfs.conf").write_text(f"store = {store.home}/other\n")
    env = {"XDG_CONFIG_HOME": str(elsewhere), "MINTFS_STORE": ""}
    assert settings(store, env=env)["store"]["value"] == f"{store.home}/other"
    store.run("ls", env=env)
    assert (store.home / "other/v1").is_dir()


def test_the_file_holds_for_gc_and_a_flag_holds_over_it(store):
    aged(store)
    file = store.home / ".config/mintfs/mintfs.conf"
    file.parent.mkdir(parents=True)
    file.write_text("max-size = 4000\nmax-age = none\n")
    assert "evicted 2 templates" in store.run("gc", "--max-age", "none").stderr
    store.run("gc", "--max-size", "3000", env={"MINTFS_MAX_SIZE": "100"})
    assert len(keys_of(store)) == 3
    store.run("gc", env={"MINTFS_MAX_SIZE": "1000"})
    assert len(keys_of(store)) == 1


@pytest.mark.parametrize(
    "text, said",
    [
        ("max-size = big\n", 'mintfs.conf:1: max-size is "big", not a size such as 500M or 2G'),
        ("\nmaxsize = 1\n", 'mintfs.conf:2: no setting "maxsize"; mintfs config lists them'),
        ("[app]\n", "mintfs.conf:1: not NAME = VALUE: [app]"),
        ("backend = nfs\n", "one of auto, fuse, copy"),
        ("keep = \n", "not a number"),
        ("keep = 1\0\n", "not a text file"),
    ],
)
def test_a_bad_file_is_said_with_its_line(store, text, said):
    file = store.home / ".config/mintfs/mintfs.conf"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    for command in ("config", "gc", "ls"):
        assert said in store.fail(command, status=2)


# ---- arguments ----

BAD = [
    (["ls", "x"], 2, "takes no operand: x"),
    (["ls", "--jsn"], 2, "unknown option --jsn"),
    (["show"], 2, "wants the KEY or NAME"),
    (["show", "a", "b"], 2, "wants the KEY or NAME"),
    (["show", "-x", "a"], 2, "unknown option -x"),
    (["show", "nothing"], 3, 'no template "nothing"'),
    (["show", "0" * 64], 3, "no template"),
    (["show", "a b"], 2, "neither a key nor a name"),
    (["stats", "x"], 2, "takes no operand: x"),
    (["stats", "--day"], 2, "unknown option --day"),
    (["gc", "--max-size"], 2, "--max-size wants a value"),
    (["gc", "--max-size", "big"], 2, '--max-size is "big", not a size such as 500M or 2G'),
    (["gc", "--max-size", "-1"], 2, "not a size"),
    (["gc", "--max-age", "2 weeks"], 2, "not a time such as"),
    (["gc", "--max-age", "9999999999999d"], 2, "not a time such as"),
    (["gc", "--keep", "all"], 2, '--keep is "all", not a number'),
    (["gc", "--name", "a b"], 2, '"a b" is no name'),
    (["gc", "app"], 2, "mintfs evict takes keys and names"),
    (["gc", "--all"], 2, "unknown option --all"),
    (["evict"], 2, "wants the KEY or NAME"),
    (["evict", "--force", "x"], 2, "unknown option --force"),
    (["evict", "nothing"], 3, 'no template "nothing"'),
    (["pin"], 2, "wants the KEY or NAME"),
    (["pin", "nothing"], 3, 'no template "nothing"'),
    (["pin", "-x"], 2, "unknown option -x"),
    (["unpin"], 2, "wants the KEY or NAME"),
    (["unpin", "nothing"], 3, 'no template "nothing"'),
    (["name", "new"], 2, "wants a new NAME and the KEY or NAME"),
    (["name", "a b", "app"], 2, '"a b" is no name'),
    (["name", "deadbeef", "app"], 2, '"deadbeef" is no name'),
    (["name", "new", "nothing"], 3, 'no template "nothing"'),
    (["name", "-d"], 2, "--delete wants names"),
    (["name", "-d", "nothing"], 3, 'no name "nothing"; mintfs name lists them'),
    (["name", "--rm"], 2, "unknown option --rm"),
    (["verify", "nothing"], 3, 'no template "nothing"'),
    (["verify", "--all", "app"], 2, "--all leaves nothing to name: app"),
    (["verify", "--rebuild"], 2, "--rebuild wants the KEY or NAME"),
    (["verify", "--rebuild", "nothing"], 3, 'no template "nothing"'),
    (["verify", "--rebuild", "app", "--all"], 2, "--rebuild goes alone"),
    (["verify", "--fix"], 2, "unknown option --fix"),
    (["explain"], 3, "mintfs.conf"),
    (["explain", "-i"], 2, "a value is missing behind -i"),
    (["explain", "-i", "missing", "--", "true"], 3, "missing"),
    (["explain", "--"], 2, "no builder behind --"),
    (["config", "x"], 2, "takes no operand: x"),
    (["config", "--set"], 2, "unknown option --set"),
    (["clean", "x"], 2, "takes no operand: x"),
    (["clean", "--all"], 2, "unknown option --all"),
]


@pytest.mark.parametrize("args, status, said", BAD, ids=lambda value: str(value)[:40])
def test_bad_arguments_are_named(store, args, status, said):
    store.build("sh", "-c", "echo x > $0", "{out}")
    message = store.fail(*args, status=status)
    assert said in message, message


@pytest.mark.parametrize(
    "command",
    "ls show stats gc evict pin unpin name verify explain config clean".split(),
)
def test_help_names_every_flag_and_each_is_tested(store, command):
    text = store.run("help", command).stdout
    assert store.run(command, "--help").stdout == text == store.run(command, "-h").stdout
    flags = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text))
    tests = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_care*.py"))
    for flag in flags:
        assert f'"{flag}"' in tests, f"{command} {flag} is run by no test"


def test_a_key_that_is_not_unique(store):
    store.run("ls")
    numbers = {}
    for number in range(2000):
        other = numbers.setdefault(fake_key(number)[:4], number)
        if other != number:
            break
    for each in (number, other):
        make_template(store.path, each)
    short = fake_key(number)[:4]
    for command in ("show", "evict", "pin"):
        assert "give more digits" in store.fail(command, short, status=2)
    assert read(store, "show", "show", fake_key(number)[:12])["key"] == fake_key(number)


# ---- a catalog that is not as it was ----


@pytest.mark.parametrize("harm", ["deleted", "truncated", "rubbish"])
def test_a_lost_catalog_is_rebuilt(store, harm):
    keys = [store.build_app(salt=str(i)) for i in range(3)]
    store.run("pin", keys[0])
    catalog = store.path / "v1/catalog.db"
    if harm == "deleted":
        catalog.unlink()
    elif harm == "truncated":
        os.truncate(catalog, catalog.stat().st_size // 2)
    else:
        catalog.write_bytes(b"rubbish" * 1000)
    done = store.run("ls", "--json")
    assert "rebuilt from 3 manifests" in done.stderr and done.stderr.count("\n") == 1
    assert sorted(row["key"] for row in json.loads(done.stdout)["templates"]) == sorted(keys)
    assert row_of(store, keys[0])["pinned"] is True
    for command in (["stats"], ["verify", "-a"], ["gc"], ["show", keys[1]]):
        store.run(*command)


def test_a_later_catalog_is_refused_and_left_alone(store):
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
