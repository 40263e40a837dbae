"""mintfs build as a script sees it. No test needs a mount."""

import hashlib
import os
import re
import shutil
import signal
import sqlite3
import stat
import sys
import time
from pathlib import Path

import pytest

from support import users
from support.basics import MINTFS, eventually, is_alive, needs_root, seeded
from support.checkouts import KEY, children_gone, rows, shell


# ---- hits and misses ----


def test_a_miss_builds_and_a_hit_runs_nothing(project):
    first = project.build("-n", "unit")
    assert project.runs() == 1
    assert project.build("-n", "unit") == first == project.key()
    assert project.runs() == 1
    assert rows(project.template(first) / "files/app.db")[0] == ("t0", [(0, "ünï")])
    (row,) = project.templates()
    assert (row["key"], row["names"], row["hits"]) == (first, ["unit"], 1)
    assert row["saved_ns"] == row["build_time_ns"] > 0
    assert project.leftovers() == []


def test_only_results_are_on_stdout(project):
    done = project.run("build", "-i", "migrations", "--", *project.builder())
    assert KEY.fullmatch(done.stdout)
    assert "to stdout\n" in done.stderr and "to stderr\n" in done.stderr


def test_a_hit_prints_no_message(project):
    project.build()
    done = project.run("build", "-i", "migrations", "--", *project.builder())
    assert done.stderr == ""


def test_a_name_follows_the_last_build_hit_or_miss(project):
    old = project.build("-n", "unit")
    (project.root / "migrations/3.sql").write_text("create table t3(a);")
    new = project.build("-n", "unit")
    assert {r["key"]: r["names"] for r in project.templates()} == {old: [], new: ["unit"]}
    (project.root / "migrations/3.sql").unlink()
    assert project.build("-n", "unit") == old
    assert {r["key"]: r["names"] for r in project.templates()} == {old: ["unit"], new: []}


def test_sealed_files_are_read_only_and_the_manifest_has_their_modes(project):
    key = project.build(
        builder=shell(
            'mkdir -p "$MINTFS_DIR/a/empty" && echo x > "$MINTFS_DIR/a/x.txt" &&'
            'chmod 640 "$MINTFS_DIR/a/x.txt" && ln -s a/x.txt "$MINTFS_DIR/link"'
        )
    )
    files = project.template(key) / "files"
    assert stat.S_IMODE((files / "a/x.txt").stat().st_mode) == 0o444
    assert stat.S_IMODE((files / "a").stat().st_mode) == 0o755
    assert stat.S_IMODE(files.stat().st_mode) == 0o755
    entries = {e["path"]: e for e in project.manifest(key)["entries"]}
    assert list(entries) == ["a", "a/empty", "a/x.txt", "link"]
    assert entries["a/x.txt"]["mode"] == "0640"
    assert entries["a/x.txt"]["sha256"] == hashlib.sha256(b"x\n").hexdigest()
    assert entries["link"]["target"] == "a/x.txt"


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "wal"])
def test_databases_are_sealed_in_rollback_mode_and_their_journal_mode_is_recorded(project, mode):
    key = project.build(builder=project.builder(mode))
    files = project.template(key) / "files"
    assert [p.name for p in files.iterdir()] == ["app.db"]
    assert (files / "app.db").read_bytes()[18:20] == b"\1\1"
    (entry,) = project.manifest(key)["entries"]
    assert entry["sqlite"] is True and entry.get("wal", False) is (mode == "wal")
    assert len(rows(files / "app.db")) == 3


def test_a_wal_that_was_not_checkpointed_is_in_the_template(project):
    script = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1]);"
        "db.execute('pragma journal_mode=wal'); db.execute('create table t(a)');"
        "db.executemany('insert into t values(?)', [(i,) for i in range(1000)]);"
        "db.commit(); os._exit(0)"
    )
    key = project.build(builder=[sys.executable, "-c", script, "{out}"])
    files = project.template(key) / "files"
    assert [p.name for p in files.iterdir()] == ["app.db"]
    assert len(rows(files / "app.db")[0][1]) == 1000


def test_a_hot_journal_is_rolled_back(project):
    script = (
        "import os, sqlite3, sys; db = sqlite3.connect(sys.argv[1]);"
        "db.execute('pragma cache_size=1'); db.execute('create table t(a)');"
        "db.execute('insert into t values(1)'); db.commit();"
        "db.executemany('insert into t values(?)', [('x' * 3000,) for i in range(1000)]);"
        "assert os.path.exists(sys.argv[1] + '-journal'); os._exit(0)"
    )
    key = project.build(builder=[sys.executable, "-c", script, "{out}"])
    files = project.template(key) / "files"
    assert [p.name for p in files.iterdir()] == ["app.db"]
    assert rows(files / "app.db") == [("t", [(1,)])]


def test_the_builder_learns_where_to_write(project):
    key = project.build(
        "--file",
        "data/shop.db",
        builder=shell(
            'test "$MINTFS_OUT" = "$1" && test "$MINTFS_DIR" = "$2" &&'
            'test "$1" = "$2/data/shop.db" && pwd > "$2/cwd" && cat > "$2/stdin" && echo x > "$1"'
        )
        + ["sh", "{out}", "{dir}"],
    )
    files = project.template(key) / "files"
    assert (files / "cwd").read_text().strip() == str(project.root.resolve())
    assert (files / "stdin").read_bytes() == b""
    assert (files / "data/shop.db").read_text() == "x\n"
    assert project.manifest(key)["file"] == "data/shop.db"


def test_paths_may_have_spaces_and_other_unusual_bytes(project, tmp_path):
    root = tmp_path / "ein Verzeichnis mit Ümläuten 'und \"mehr"
    project.root.rename(root)
    project.root = root
    project.env["MINTFS_STORE"] = str(root / "störe $HOME")
    project.store = root / "störe $HOME"
    raw = os.fsdecode(b"not-utf8-\xff\xfe")
    (root / "migrations" / raw).write_text("-- x")
    key = project.build(
        "--to", "a b/ü.db", builder=shell(f'echo x > "$MINTFS_OUT"; echo y > "$MINTFS_DIR/{raw}"')
    )
    assert (root / "a b/ü.db").read_text() == "x\n"
    assert sorted(p.name for p in (project.template(key) / "files").iterdir()) == sorted(
        ["app.db", raw]
    )
    assert project.build(builder=shell(f'echo x > "$MINTFS_OUT"; echo y > "$MINTFS_DIR/{raw}"'))


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o027])
def test_the_umask_does_not_change_the_store(project, umask):
    key = project.build("--to", "copy.db", umask=umask)
    assert stat.S_IMODE(project.store.stat().st_mode) == 0o700
    assert stat.S_IMODE((project.template(key) / "files/app.db").stat().st_mode) == 0o444
    assert stat.S_IMODE((project.root / "copy.db").stat().st_mode) == 0o666 & ~umask
    assert project.build(umask=umask) == key
    assert project.runs() == 1


# ---- builds at the same time ----


def test_32_builds_at_once_run_the_builder_once(project):
    builder = project.builder("wal", "0.5")
    processes = [
        project.start("build", "-i", "migrations", "-n", "unit", "--", *builder) for _ in range(32)
    ]
    done = [p.communicate(timeout=1500) for p in processes]
    assert [p.returncode for p in processes] == [0] * 32, [e for _, e in done]
    assert len({out for out, _ in done}) == 1 and KEY.fullmatch(done[0][0])
    assert project.runs() == 1
    waiting = [err for _, err in done if "waiting for" in err]
    assert all(err.count("\n") == 1 for err in waiting)
    for err in waiting:
        assert re.fullmatch(
            r"mintfs: waiting for (pid \d+|another process), which builds [0-9a-f]{12}( \(unit\))?\n",
            err,
        )
    assert len(waiting) >= 16
    assert project.leftovers() == []
    (row,) = project.templates()
    assert row["hits"] == 31


def test_two_keys_build_at_the_same_time(project):
    """Each builder waits for the other to start, and would wait for ever if they took turns."""
    script = "touch ../{0}; while ! test -e ../{1}; do sleep 0.01; done; echo > $MINTFS_OUT"
    a = project.start("build", "--", *shell(script.format("a", "b")))
    b = project.start("build", "--", *shell(script.format("b", "a")))
    assert a.wait(1500) == 0 and b.wait(1500) == 0
    a.communicate(), b.communicate()


def test_a_waiter_builds_when_the_builder_fails(project):
    (project.root / "build.sh").write_text(
        "echo run >> ../runs; if test -e ../failed; then echo ok > $MINTFS_OUT; exit 0; fi;"
        "touch ../failed; while ! test -e ../go; do sleep 0.01; done; exit 3"
    )
    first = project.start("build", "--", "sh", "build.sh")
    eventually(lambda: project.runs() == 1, "the first builder")
    second = project.start("build", "--", "sh", "build.sh")
    eventually(lambda: "waiting" in second.stderr.readline(), "the second to wait")
    (project.root.parent / "go").touch()
    assert first.wait(1500) == 3
    assert second.wait(1500) == 0
    assert project.runs() == 2
    first.communicate(), second.communicate()


def test_kills_at_random_moments_leave_no_half_template(project):
    """After SIGKILL to mintfs build or its builder, ls lists whole templates, and a build works."""
    rng = seeded("killed")
    pids = project.root.parent / "pids"
    builder = shell(
        "echo $$ > ../pids.new; mv ../pids.new ../pids;"
        "exec sh create.sh $MINTFS_OUT ../runs wal 0.05"
    )
    for round_ in range(20):
        pids.unlink(missing_ok=True)
        options = ["-i", "migrations", "--salt", str(round_), "-n", "unit"]
        process = project.start("build", *options, "--", *builder)
        target = "mintfs" if round_ % 2 else "builder"
        if target == "builder":
            eventually(lambda: pids.exists() or process.poll() is not None, "the builder")
            time.sleep(rng.uniform(0, 0.15))
            try:
                os.kill(int(pids.read_text()), signal.SIGKILL)
            except (ProcessLookupError, FileNotFoundError):
                pass
        else:
            time.sleep(rng.uniform(0, 0.25))
            process.kill()
        shown = project.templates()
        for row in shown:
            manifest = project.manifest(row["key"])
            for entry in manifest["entries"]:
                data = (project.template(row["key"]) / "files" / entry["path"]).read_bytes()
                assert hashlib.sha256(data).hexdigest() == entry["sha256"]
        process.communicate(timeout=1500)
        assert process.returncode in ((0, 137) if target == "builder" else (0, -9))
        if pids.exists():
            pid = int(pids.read_text())
            eventually(lambda: not is_alive(pid), "the builder to be gone")
        key = project.build(*options[2:], builder=builder)
        assert len(rows(project.template(key) / "files/app.db")) == 3
        assert project.leftovers() == [], target
    assert len(project.templates()) == 20


# Children and grandchildren; one of them has its own session and ignores SIGTERM.
FAMILY = (
    "trap 'echo got INT >&2; exit 9' INT; trap 'echo got TERM >&2; exit 9' TERM;"
    "trap 'echo got HUP >&2; exit 9' HUP;"
    "sleep 1000 & echo $! >> ../children;"
    "setsid sh -c 'trap \"\" INT TERM HUP; echo $$ >> ../children; sleep 1000' &"
    "while test $(wc -l < ../children) -lt 2; do sleep 0.01; done;"
    "echo x > $MINTFS_OUT; touch ../started; while :; do sleep 0.02; done"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_the_builder_and_leave_nothing(project, number):
    process = project.start("build", "--", *shell(FAMILY))
    eventually((project.root.parent / "started").exists, "the builder")
    process.send_signal(number)
    out, err = process.communicate(timeout=1500)
    assert process.returncode == -number
    assert out == "" and f"got {number.name[3:]}\n" in err
    assert children_gone(project)
    assert project.leftovers() == [] and project.templates() == []


def test_killing_mintfs_ends_its_builder(project):
    process = project.start("build", "--", *shell(FAMILY))
    eventually((project.root.parent / "started").exists, "the builder")
    process.kill()
    process.communicate(timeout=1500)
    eventually(lambda: children_gone(project), "the builder's family to be gone")
    assert len(project.leftovers()) >= 1
    project.build()
    assert project.leftovers() == []


def test_builds_sweep_the_locks_of_killed_commands(project):
    """But the lock of a killed daemon tells where its dead mount is."""
    project.build()
    locks = project.store / "v1/locks"
    for name in "mount", "mounting", "gc", "pins":
        (locks / name).touch()
    project.build()
    assert [path.name for path in locks.iterdir()] == ["mount"]


def test_a_parent_may_ignore_sigchld(project):
    def ignore():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    process = project.start("build", "--", *shell("echo > $MINTFS_OUT"), preexec_fn=ignore)
    assert process.wait(1500) == 0
    process.communicate()


def test_a_second_signal_kills_the_builder_at_once(project):
    script = "trap '' INT TERM; touch ../started; while :; do sleep 0.02; done"
    process = project.start("build", "--", *shell(script))
    eventually((project.root.parent / "started").exists, "the builder")
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=1500)
    assert process.returncode == -signal.SIGINT
    assert time.monotonic() - start < 4
    assert project.leftovers() == []


def test_a_waiter_can_be_interrupted(project):
    script = "touch ../started; while ! test -e ../go; do sleep 0.02; done; echo > $MINTFS_OUT"
    first = project.start("build", "--", *shell(script))
    eventually((project.root.parent / "started").exists, "the builder")
    second = project.start("build", "--", *shell(script))
    assert "waiting for pid" in second.stderr.readline()
    second.send_signal(signal.SIGTERM)
    assert second.wait(1500) == -signal.SIGTERM
    (project.root.parent / "go").touch()
    assert first.wait(1500) == 0
    first.communicate(), second.communicate()


# ---- --to ----


def test_to_copies_the_file(project):
    target = project.root / "build/sub/.template.db"
    key = project.build("--to", target, builder=project.builder("wal"))
    assert target.read_bytes()[18:20] == b"\2\2"
    with sqlite3.connect(target) as db:
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)
        db.execute("insert into t0 values(9, 'mine')")
    db.close()
    # A hit replaces a file that has changed, and removes its side files.
    Path(f"{target}-wal").write_bytes(b"stale")
    assert project.build("--to", target, builder=project.builder("wal")) == key
    assert not Path(f"{target}-wal").exists()
    assert rows(target)[0] == ("t0", [(0, "ünï")])
    # It does not touch a file that has not changed.
    before = target.stat()
    project.build("--to", target, builder=project.builder("wal"))
    assert target.stat().st_ino == before.st_ino and target.stat().st_mtime_ns == before.st_mtime_ns
    assert [p.name for p in target.parent.iterdir()] == [".template.db"]


@needs_root
def test_the_old_database_keeps_its_log_when_to_fails(ordinary):
    """The log has the last transactions; in a sticky directory others' files cannot be renamed."""
    place = ordinary.root / "sticky"
    place.mkdir()
    db = sqlite3.connect(place / "made.db")
    db.executescript("pragma journal_mode=wal; create table old(a); insert into old values(7)")
    for side in ("", "-wal"):
        shutil.copy(place / f"made.db{side}", place / f"app.db{side}")
    db.close()
    os.chown(place / "app.db-wal", users.NOBODY, users.NOBODY)
    place.chmod(0o1777)
    names = sorted(os.listdir(place))
    message = ordinary.fail("build", "--to", place / "app.db", "--", *ordinary.builder())
    assert "sticky/app.db: Operation not permitted" in message
    assert sorted(os.listdir(place)) == names
    assert sqlite3.connect(place / "app.db").execute("select * from old").fetchall() == [(7,)]


def test_to_refuses_what_is_not_a_regular_file(project):
    (project.root / "null").symlink_to("/dev/null")
    for place in ("/dev/null", "null"):
        message = project.fail("build", "--to", place, "--", *project.builder())
        assert "exists and is not a regular file" in message
    assert project.runs() == 0 and Path("/dev/null").is_char_device()
    assert (project.root / "null").is_symlink()


def test_a_builder_may_start_from_another_template(project):
    (project.root / "outer.sh").write_text(
        f"{MINTFS} build --to $1 -- sh -c 'sqlite3 $MINTFS_OUT \"create table inner(a)\"'\n"
        'sqlite3 "$1" "create table outer(a)"\n'
    )
    key = project.build(builder=["sh", "outer.sh", "{out}"])
    assert [name for name, _ in rows(project.template(key) / "files/app.db")] == ["inner", "outer"]
    store = {"MINTFS_DIR": str(project.store / "v1/building")}
    message = project.fail(
        "build", "--to", project.store / "v1/building/x", "--", *project.builder(), env=store
    )
    assert "is in the store" in message


def test_to_refuses_directories_and_the_store(project):
    (project.root / "dir").mkdir()
    for place in ("dir", "new/", ""):
        project.fail("build", "-i", "migrations", "--to", place, "--", *project.builder())
    assert project.runs() == 0
    message = project.fail("build", "--to", "create.sh/x", "--", *shell("echo > $MINTFS_OUT"))
    assert "--to create.sh/x" in message
    message = project.fail(
        "build", "--to", "x", "--", *shell("echo > $MINTFS_DIR/a; echo > $MINTFS_DIR/b")
    )
    assert "the template has no file app.db" in message
    assert not (project.root / "x").exists()
