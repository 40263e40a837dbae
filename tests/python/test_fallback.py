"""Without the mintfs command: templates are built once per test run, shared in it, and removed."""

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import mintfs
import pytest
from mintfs import _database, _fallback, _stdlib, _test_run
from support.basics import eventually

TEN = 10


pytestmark = pytest.mark.on_ways("none")


def runs_below(way) -> list:
    return [path for path in way.temporary.glob("mintfs-runs-*/*") if path.name != "lock"]


def is_below(directory, db) -> bool:
    return Path(directory) in db.directory.parents


def test_the_warning_is_printed_once(way, project):
    done = way.run(
        "-c",
        "import mintfs, subprocess, sys\n"
        "mintfs.database().close(); mintfs.database().close()\n"
        "subprocess.run([sys.executable, '-c', 'import mintfs; mintfs.database()'], check=True)\n",
        cwd=project.path,
    )
    output = [line for line in done.stderr.splitlines() if line.startswith("mintfs: ")]
    assert output == [
        "mintfs: MINTFS_BINARY is empty: the builder runs once per test run, "
        "and each database is a copy"
    ]
    assert project.runs() == 1


def test_processes_that_ask_at_the_same_time_build_once(way, project):
    """They belong to the run of their parent, which is in the environment."""
    way.run(
        "-c",
        f"""
import os, subprocess, sys, mintfs
from mintfs import _test_run
_test_run.current()
ask = [sys.executable, "-c", "import mintfs; print(mintfs.template())"]
running = [subprocess.Popen(ask, stdout=subprocess.PIPE) for _ in range({TEN})]
keys = {{process.communicate()[0] for process in running}}
assert len(keys) == 1 and not any(process.returncode for process in running), keys
children = []
for _ in range({TEN}):
    pid = os.fork()
    if pid == 0:
        with mintfs.database() as db:
            os._exit(0 if db.path().exists() else 1)
    children.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * {TEN}
""",
        cwd=project.path,
    )
    assert project.runs() == 1


def test_a_fork_keeps_the_run(way, project):
    way.run(
        "-c",
        """
import os, time, mintfs
mintfs.template()
if os.fork() == 0:
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.01)
    with mintfs.database() as db:
        assert db.path().exists()
    open("done", "w").close()
""",
        cwd=project.path,
    )
    eventually((project.path / "done").exists)
    assert project.runs() == 1
    # A fork is not an owner: its directories are removed by the next run.
    way.script("import mintfs; mintfs.template()", cwd=project.path)


def test_xdist_workers_share_a_run_without_their_parent(way, project):
    """They recognize one another by PYTEST_XDIST_TESTRUNUID."""
    env = {"PYTEST_XDIST_TESTRUNUID": "0123abcd"}
    script = "import sys, mintfs; mintfs.database(); print('ready', flush=True); sys.stdin.read()"
    first = way.start("-c", script, cwd=project.path, env=env)
    # way.start gives no standard input, so the script ends immediately unless something holds it.
    first.communicate()
    assert project.runs() == 1
    holder = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=project.path,
        env={**way.env, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"ready\n"
    way.script("import mintfs; mintfs.database()", cwd=project.path, env=env)
    holder.communicate()
    assert project.runs() == 2


def test_a_killed_run_is_removed_by_the_next(way, project):
    process = way.start(
        "-c",
        "import mintfs, time; mintfs.database(); print(1, flush=True); time.sleep(600)",
        cwd=project.path,
    )
    assert process.stdout.readline() == "1\n"
    (killed,) = runs_below(way)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert killed.exists()
    memory = _test_run.memory_of(killed)
    assert memory.exists() == os.path.ismount(_test_run.SHARED_MEMORY)
    way.script("import mintfs; mintfs.database().close()", cwd=project.path)
    assert not killed.exists() and not memory.exists()


def test_a_killed_builder_does_not_block_the_next(way, project):
    (project.path / "create_db.py").write_text(
        "import os, pathlib, signal, sqlite3, sys\n"
        "if not pathlib.Path('second').exists():\n"
        "    pathlib.Path('second').touch(); os.kill(int(os.environ['ASKS']), signal.SIGKILL)\n"
        "    pathlib.Path(sys.argv[1]).write_text('half')\n"
        "else:\n"
        "    sqlite3.connect(sys.argv[1]).execute('CREATE TABLE whole(a)')\n"
    )
    ask = (
        "import os, mintfs; os.environ['ASKS'] = str(os.getpid()); "
        "mintfs.memory().execute('SELECT * FROM whole')"
    )
    way.script(
        "import subprocess, sys\nfrom mintfs import _test_run\n_test_run.current()\n"
        f"ask = [sys.executable, '-c', {ask!r}]\n"
        "assert subprocess.run(ask).returncode == -9\n"
        "assert subprocess.run(ask).returncode == 0\n",
        cwd=project.path,
    )


def test_a_run_that_was_removed_begins_again(here, project):
    mintfs.template()
    shutil.rmtree(_test_run.base())
    mintfs.template()
    assert project.runs() == 2
    shutil.rmtree(_test_run.base())
    _test_run.leave()


def test_runs_in_two_temporary_directories_are_separate(here, place, monkeypatch):
    """The environment passes the run's name on, but a child with its own TMPDIR is another run."""
    with mintfs.database() as db:
        (place / "elsewhere").mkdir()
        script = "import mintfs; mintfs.database()"
        env = {**here.env, "TMPDIR": str(place / "elsewhere"), "MINTFS_RUN": os.environ["MINTFS_RUN"]}
        subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True)
        assert db.path().exists()


def test_a_base_directory_of_others_is_refused(here):
    not_private = "is not private to this user"
    _test_run.base().mkdir(mode=0o777)
    _test_run.base().chmod(0o777)
    with pytest.raises(mintfs.Error, match=not_private):
        mintfs.template()
    _test_run.base().rmdir()
    _test_run.base().symlink_to("/etc")
    with pytest.raises(mintfs.Error, match=not_private):
        mintfs.template()
    _test_run.base().unlink()


def test_a_bad_run_name_is_ignored(here, monkeypatch):
    """The variable cannot lead to another directory."""
    monkeypatch.setenv("MINTFS_RUN", "../../etc")
    assert _test_run.current().directory.parent == _test_run.base()


def test_copies_are_in_memory_if_there_is_room(here, monkeypatch):
    with mintfs.database() as db:
        in_memory = os.path.ismount(_test_run.SHARED_MEMORY) and os.access(_test_run.SHARED_MEMORY, os.W_OK)
        assert is_below(_test_run.SHARED_MEMORY, db) == in_memory
        assert stat.S_IMODE(db.directory.stat().st_mode) == 0o700
    monkeypatch.setattr(_fallback, "ROOM_TO_LEAVE_BYTES", 1 << 62)
    with mintfs.database() as db:
        assert is_below(_test_run.current().directory, db)
    monkeypatch.setattr(_test_run, "SHARED_MEMORY", _stdlib.Path("/nonexistent"))
    with mintfs.database() as db:
        assert is_below(_test_run.current().directory, db)


def test_memory_of_another_user_is_not_used(here, monkeypatch):
    run, base = _test_run.current(), _test_run.base()
    mintfs.template()
    monkeypatch.setattr(_fallback, "_has_room", lambda place, size: True)
    with monkeypatch.context() as patch:
        patch.setattr(run, "memory", _stdlib.Path("/usr"))
        patch.setattr(_test_run, "base", lambda: base)
        patch.setattr(_stdlib.os, "getuid", lambda: 12345)
        with mintfs.database() as db:
            assert is_below(run.directory, db)


def test_templates_are_read_only(here):
    path = mintfs.sealed().path()
    assert path.stat().st_mode & 0o222 == 0
    with mintfs.database() as db:
        assert db.path().stat().st_mode & stat.S_IWUSR


def test_a_full_disk_leaves_no_partial_copy(here, monkeypatch):
    mintfs.template()

    def full(source, to):
        Path(to).touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_fallback, "_copy_writable", full)
        with pytest.raises(OSError):
            mintfs.database()
    places = (_test_run.current().memory, _test_run.current().directory / "sessions")
    assert [path for place in places if place.exists() for path in place.iterdir()] == []
    mintfs.database().close()


def test_python_is_the_first_interpreter_on_path(here, project, monkeypatch):
    """By either name; if PATH has none, it is the interpreter that runs the tests."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "executable", os.path.realpath(sys.executable))
    for word in ("python", "python3"):
        mintfs.template(builder=[word, project.path / "create_db.py", "{out}"])
        mintfs.template(
            builder=[word, project.path / "create_db.py", "{out}"],
            salt="2",
            environ={"PATH": "/nonexistent"},
        )
    assert {os.path.realpath(path) for path in project.interpreters()} == {
        os.path.realpath(sys.executable)
    }
    assert project.runs() == 4


def test_wal_mode_is_kept(here):
    script = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); "
        "db.execute('PRAGMA journal_mode = wal'); db.execute('CREATE TABLE t(a)')"
    )
    key = mintfs.template(builder=["python3", "-c", script, "{out}"], to="placed.db")
    with mintfs.database(key) as db:
        connection = sqlite3.connect(db.path())
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.close()
        db.reset()
    assert mintfs.memory(key).execute("SELECT * FROM t").fetchall() == []


def test_names_cannot_leave_the_run(here):
    mintfs.template()
    for name in ("..", "../names/app", "."):
        with pytest.raises(mintfs.NotFound):
            mintfs.database(name)


def test_a_failed_close_prints_a_message(here, monkeypatch, capfd):
    database = mintfs.database()

    def refuse(self, session):
        raise mintfs.Error("it stays")

    with monkeypatch.context() as patch:
        patch.setattr(_fallback.FallbackSource, "remove", refuse)
        _database.close_all()
    assert "mintfs: it stays\n" in capfd.readouterr().err
    assert not database.directory.exists()  # it was removed with the run
