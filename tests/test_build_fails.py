"""Builders that fail, and builders that leave files which cannot be a template."""

import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from support.basics import MINTFS, PATIENCE_SECONDS, eventually, is_alive, needs_root
from support.checkouts import children_gone, rows, shell


@pytest.mark.parametrize(
    "script, status, message",
    [
        ("exit 7", 7, "builder sh exited with 7; nothing is published"),
        ("kill -KILL $$", 137, "ended by signal 9 (Killed)"),
        ("kill -SEGV $$", 139, "ended by signal 11"),
        ("exit 200", 200, "builder sh exited with 200; nothing is published"),
        ("mkdir -p $MINTFS_DIR/empty/directories", 125, "builder left nothing in"),
        (
            ":",
            125,
            "it may have migrated another database: check DATABASE_URL, or sqlalchemy.url in alembic.ini",
        ),
        (
            "ln -s /etc/passwd $MINTFS_DIR/l",
            125,
            "l -> /etc/passwd: a symbolic link that leads out",
        ),
        (
            "mkdir $MINTFS_DIR/d; ln -s ../../x $MINTFS_DIR/d/l",
            125,
            "d/l -> ../../x: a symbolic link that leads out",
        ),
        ("cd $MINTFS_DIR; ln -s . here; ln -s here/.. out", 125, "a symbolic link that leads out"),
        ("mkfifo $MINTFS_DIR/p", 125, "left p: a named pipe"),
        (
            f'{sys.executable} -c \'import os, socket; os.chdir(os.environ["MINTFS_DIR"]); socket.socket(1).bind("s")\'',
            125,
            "left s: a socket",
        ),
        ("echo broken > $MINTFS_DIR/x; mkdir $MINTFS_DIR/app.db", 125, "but not app.db"),
        ("printf 'SQLite format 3\\0garbage' > $MINTFS_OUT", 125, "broken database: app.db"),
        (
            "sh create.sh $MINTFS_OUT ../runs && head -c 8192 $MINTFS_OUT > ../h && cp ../h $MINTFS_OUT",
            125,
            "broken database: app.db",
        ),
    ],
)
def test_builders_that_leave_what_cannot_be_a_template(project, script, status, message):
    builder = shell(script) + (["{out}"] if "but not" in message else [])
    assert message in project.fail("build", "--", *builder, status=status)
    assert project.leftovers() == [] and project.templates() == []


@needs_root
def test_a_device_is_refused(project):
    message = project.fail("build", "--", *shell("mknod $MINTFS_DIR/n c 1 3"), status=125)
    assert "left n: a device" in message
    assert project.templates() == []


@needs_root
@pytest.mark.parametrize("kind", ["directory", "one file", "tmpfs", "the whole of {dir}"])
def test_a_mount_is_refused_and_what_it_shows_stays_as_it_is(project, kind):
    outside = project.root / "outside"
    outside.mkdir(mode=0o711)
    (outside / "key").write_text("secret")
    (outside / "key").chmod(0o600)
    with sqlite3.connect(outside / "live.db") as db:
        db.executescript("pragma journal_mode=wal; create table t(a)")
    before = (outside / "live.db").read_bytes()
    script, left, place = {
        "directory": (f"mkdir $D/m; mount --bind {outside} $D/m", "m", "/m"),
        "one file": (f"echo >$D/m; mount --bind {outside}/key $D/m", "m", "/m"),
        "tmpfs": ("mkdir -p $D/a/m; mount -t tmpfs none $D/a/m; echo >$D/a/m/x", "a/m", "/a/m"),
        "the whole of {dir}": (f"mount --bind {outside} $D", "/files", ""),
    }[kind]
    script = f'D=$MINTFS_DIR; echo "$D" >dir; sh create.sh $MINTFS_OUT ../runs; {script}'
    message = project.fail("build", "--", *shell(script), status=125)
    directory = (project.root / "dir").read_text().strip()
    try:
        assert f"{left} mounted: a template cannot hold" in message
        assert "umount {dir}" + place in message
        assert "findmnt" in message, message
        assert project.templates() == []
        assert (outside / "key").stat().st_mode & 0o777 == 0o600
        assert outside.stat().st_mode & 0o777 == 0o711
        assert (outside / "live.db").read_bytes() == before
    finally:
        subprocess.run(["umount", directory + place], check=True)
    project.run("gc")
    assert project.leftovers() == []
    assert (outside / "key").read_text() == "secret"


def test_a_builder_that_cannot_run_exits_with_126_or_127(project):
    (project.root / "noexec.sh").write_text("#!/bin/sh\n")
    assert "cannot run the builder no-such-program" in project.fail(
        "build", "--", "no-such-program", status=127
    )
    assert "Permission denied" in project.fail("build", "--", "./noexec.sh", status=126)
    assert project.leftovers() == []


def test_the_named_file_must_exist(project):
    message = project.fail("build", "--file", "x.db", "--", *shell("echo > $MINTFS_DIR/y.db"))
    assert "but not x.db" in message
    # Without --file and {out}, any files are a template.
    key = project.build(builder=shell("echo > $MINTFS_DIR/y.db"))
    assert [e["path"] for e in project.manifest(key)["entries"]] == ["y.db"]


def test_the_only_database_is_the_template_s_file(project):
    builder = ["sh", "create.sh", "{dir}/shop.sqlite", "../runs"]
    key = project.build("--to", "copy.db", builder=builder)
    assert project.manifest(key)["file"] == "shop.sqlite"
    assert len(rows(project.root / "copy.db")) == 3


def test_an_input_that_the_builder_changes_is_an_error(project):
    message = project.fail(
        "build", "-i", "migrations", "--", *shell("echo > migrations/9.sql; echo > $MINTFS_OUT")
    )
    assert "input migrations/9.sql was added while the builder ran" in message
    message = project.fail(
        "build", "-i", "migrations", "--", *shell("echo -- >> migrations/9.sql; echo > $MINTFS_OUT")
    )
    assert "input migrations/9.sql was changed while the builder ran" in message
    message = project.fail(
        "build", "-i", "migrations", "--", *shell("rm migrations/9.sql; echo > $MINTFS_OUT")
    )
    assert "input migrations/9.sql was removed while the builder ran" in message
    assert project.templates() == [] and project.leftovers() == []


def test_a_builder_may_not_ask_for_its_own_template(project):
    (project.root / "build.sh").write_text(f"{MINTFS} build -i migrations -- sh build.sh")
    message = project.fail("build", "-i", "migrations", "--", "sh", "build.sh", status=125)
    assert "asks for the very template that it makes" in message
    # It may ask for another one.
    (project.root / "outer.sh").write_text(
        f"k=$({MINTFS} build -- sh -c 'echo inner > $MINTFS_OUT') && echo $k > $MINTFS_OUT"
    )
    key = project.build(builder=["sh", "outer.sh"])
    inner = (project.template(key) / "files/app.db").read_text().strip()
    assert (project.template(inner) / "files/app.db").read_text() == "inner\n"


def test_a_process_that_is_still_writing_is_an_error(project):
    script = (
        "exec 9<>$MINTFS_OUT; echo x >&9; (sleep 1000 >/dev/null 2>&1 & echo $! > ../children);"
        "touch ../started"
    )
    message = project.fail("build", "--", *shell(script))
    assert "app.db: a process still has it open for writing" in message
    eventually(lambda: children_gone(project), "the process to be gone")
    assert project.templates() == [] and project.leftovers() == []


def test_killing_the_guard_ends_the_builder(project):
    """The builder's processes end; earlier children of mintfs keep running."""
    family = (
        "sleep 1000 & echo $! >>../children; setsid sh -c 'echo $$ >>../children; sleep 1000' &"
        "while test $(wc -l <../children) -lt 2; do sleep 0.01; done; echo >../started; wait"
    )
    command = shlex.join([str(MINTFS), "build", "--", *shell(family)])
    process = subprocess.Popen(
        ["sh", "-c", f"sleep 1000 >/dev/null 2>&1 & echo $! >before; exec {command}"],
        cwd=project.root,
        env=project.env,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually((project.root.parent / "started").exists, "the builder's family")
    before = int((project.root / "before").read_text())
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (guard,) = {int(child) for child in children} - {before}
    os.kill(guard, signal.SIGKILL)
    message = process.communicate(timeout=PATIENCE_SECONDS)[1]
    assert process.returncode == 137 and "ended by signal 9" in message
    assert children_gone(project) and is_alive(before)
    os.kill(before, signal.SIGKILL)
    assert project.templates() == [] and project.leftovers() == []


def test_a_process_that_keeps_the_database_open_is_an_error(project):
    script = (
        "import os, sqlite3, sys, time; db = sqlite3.connect(sys.argv[1]);"
        "db.execute('pragma journal_mode=wal'); db.execute('create table t(a)');"
        "ready, tell = os.pipe(); os.fork() and (os.close(tell), os.read(ready, 1), os._exit(0));"
        "db = sqlite3.connect(sys.argv[1]); db.execute('select * from t').fetchall();"
        "open('../children', 'w').write(str(os.getpid())); os.write(tell, b'.'); time.sleep(1000)"
    )
    message = project.fail("build", "--", sys.executable, "-c", script, "{out}")
    assert "app.db" in message and "process still" in message
    eventually(lambda: children_gone(project), "the process to be gone")
    assert project.templates() == [] and project.leftovers() == []


def test_what_a_late_process_wrote_is_checked_as_well(project):
    """It dies in a transaction after the builder's end: its journal is rolled back."""
    (project.root / "late.py").write_text(
        "import os, sqlite3, sys, time\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('create table t(a)'); db.execute('insert into t values(1)'); db.close()\n"
        "ready, tell = os.pipe()\n"
        "if os.fork():\n"
        "    os.close(tell); os.read(ready, 1); os._exit(0)\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('pragma cache_size=5'); db.execute('begin')\n"
        "db.executemany('insert into t values(?)', [(bytes(300),)] * 3000)\n"
        "os.write(tell, b'.'); time.sleep(0.3); open(sys.argv[1] + '-more', 'w').close()\n"
        "os._exit(1)\n"
    )
    key = project.build(builder=[sys.executable, "late.py", "{out}"])
    files = project.template(key) / "files"
    assert sorted(os.listdir(files)) == ["app.db", "app.db-more"]
    assert rows(files / "app.db") == [("t", [(1,)])]


@pytest.mark.parametrize("mode", ["0", "300"])
def test_a_directory_without_permissions_is_sealed(ordinary, mode):
    key = ordinary.build(builder=shell(f"echo > $MINTFS_OUT; chmod {mode} $MINTFS_DIR"))
    assert [e["path"] for e in ordinary.manifest(key)["entries"]] == ["app.db"]


def test_an_empty_database_is_a_warning(project):
    done = project.run("build", "--", *shell(": > $MINTFS_OUT"))
    assert "builder left app.db empty; it may have migrated another database" in done.stderr


@needs_root
def test_an_immutable_database_is_refused_with_the_reason(project):
    script = 'sqlite3 $MINTFS_OUT "create table t(a)"; chattr +i $MINTFS_OUT || exit 125'
    try:
        done = project.run("build", "--", *shell(script), status=125)
        if "exited with 125" in done.stderr:
            pytest.skip("the file system has no immutable files")
        assert "sealing app.db: " in done.stderr and "readonly database" in done.stderr
        assert "not an error" not in done.stderr
    finally:
        for left in project.store.glob("v1/building/*/files/app.db"):
            subprocess.run(["chattr", "-i", left], check=True)


def test_hard_links_to_files_outside_become_copies(project):
    outside = project.root / "outside.db"
    with sqlite3.connect(outside) as db:
        db.execute("pragma journal_mode=wal")
        db.execute("create table t(a)")
    db.close()
    before = outside.read_bytes()
    key = project.build(builder=shell("ln outside.db $MINTFS_OUT || cp outside.db $MINTFS_OUT"))
    assert outside.read_bytes() == before
    assert outside.stat().st_nlink == 1 and outside.stat().st_mode & 0o200
    assert project.manifest(key)["entries"][0]["wal"] is True


def test_the_builder_inherits_no_descriptor(project):
    script = (
        "import os, sys; here = '/proc/self/fd/'; open_now = os.listdir(here);"
        "links = [f for f in open_now if int(f) > 2 and os.path.lexists(here + f)];"
        "open(sys.argv[1], 'w').write(repr(links))"
    )
    key = project.build(builder=[sys.executable, "-c", script, "{out}"])
    assert (project.template(key) / "files/app.db").read_text() == "[]"
