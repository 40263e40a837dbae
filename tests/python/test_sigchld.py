"""Tests that ignore SIGCHLD or wait for every child: failures are still noticed."""

import os
import signal
import subprocess
import sys

import mintfs
import pytest
from mintfs import _child_process, _command
from support.basics import eventually

REPORT_DONE = 'echo 0 >&"$MINTFS_STATUS_FD"'
CHANGES = {
    "ignored": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
    "handler": """
def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
signal.signal(signal.SIGCHLD, reap)
""",
    "thread": """
def reap():
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.001)
threading.Thread(target=reap, daemon=True).start()
""",
}

SCRIPT = """
import os, signal, sys, threading, time
import mintfs
{change}

def fails(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error as raised:
        return raised
    raise AssertionError("it did not fail")

for _ in range(3):
    script = "echo half >$0; exit 7"
    asked = dict(builder=["sh", "-c", script, "{{out}}"], inputs=["create_db.py"])
    assert fails(mintfs.BuilderFailed, mintfs.template, "bad", **asked).status == 7
    fails(mintfs.NotFound, mintfs.database, "bad")
    killed = fails(mintfs.Error, mintfs.template, "killed", builder=["sh", "-c", "kill -9 $PPID"])
    assert "killed" in str(killed) or "signal 9" in str(killed), killed
killed = fails(mintfs.BuilderFailed, mintfs.template, "killed", builder=["sh", "-c", "kill -9 $$"])
assert "signal 9" in str(killed) or killed.status == 137, killed
missing = fails(mintfs.BuilderFailed, mintfs.template, "m", builder=["./missing"])
assert missing.status in (126, 127), missing.status
key = mintfs.template()
with mintfs.database(key) as db:
    os.unlink(db.path())
    db.reset()
    assert db.path().exists()
    assert mintfs.memory(key).execute("SELECT * FROM goods").fetchall()
assert not db.directory.exists()
check = "import signal, sys; sys.exit(signal.getsignal(signal.SIGCHLD) != signal.SIG_DFL)"
mintfs.template("app2", builder=["sh", "-c", 'python3 -c "$1" && : >"$0"', "{{out}}", check])
"""


@pytest.mark.parametrize("change", CHANGES)
def test_failures_are_noticed_if_a_test_changes_sigchld(way, project, change):
    done = way.run("-c", SCRIPT.format(change=CHANGES[change]), cwd=project.path)
    assert "Traceback" not in done.stderr, done.stderr


def test_failures_are_noticed_if_the_parent_ignores_sigchld(way, project):
    """Such as a shell's trap '' CHLD, or a daemon that starts jobs."""
    (project.path / "script.py").write_text(SCRIPT.format(change=""))
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=project.path,
        env=way.env,
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
        capture_output=True,
        text=True,
    )
    # subprocess.run reports the real status here: SIGCHLD of this process is unchanged.
    assert done.returncode == 0, done.stderr


def test_failures_are_noticed_with_closed_descriptors(way, project):
    """The pipe then gets the numbers of standard descriptors."""
    script = """
import os, mintfs
from mintfs import _database
key = mintfs.template()
for fd in (0, 1, 2):
    os.close(fd)
try:
    mintfs.template("bad", builder=["sh", "-c", "exit 7"], inputs=["create_db.py"])
except mintfs.BuilderFailed as failed:
    status = failed.status
with mintfs.database(key) as db:
    db.reset()
_database.close_all()
os._exit(40 + status)
"""
    way.run("-c", script, cwd=project.path, status=47)


@pytest.fixture
def command(place, monkeypatch):
    """A program that looks like the mintfs command, with this script as its body."""

    def make(text: str, version: str = REPORT_DONE):
        path = place / "mintfs"
        path.write_text(
            f'#!/bin/bash\nif [ "$1" = --version ]; then echo mintfs 1; {version}; exit; fi\n{text}\n'
        )
        path.chmod(0o755)
        monkeypatch.setattr(_command, "_known", {})
        monkeypatch.setenv("MINTFS_BINARY", str(path))
        monkeypatch.setattr(_command._settings, "_fixed", None)
        monkeypatch.setattr(_command._settings, "fixed", _command._settings.known)

    return make


def test_a_command_that_reports_nothing_was_killed(command):
    """One that has reported for --version was killed, if waitpid() reports 0; others may be earlier
    versions."""
    command("echo done")
    for call in (lambda: _command.run(["ls"]), lambda: _command.build([], "/", {})):
        with pytest.raises(mintfs.Error, match="ended before it was done: it may have been killed"):
            call()
    _command._reporting.clear()
    command("echo done", version=":")
    assert _command.run(["ls"]) == "done\n"


def test_the_reported_status_counts(command):
    command('echo "mintfs: gone" >&2; echo 3 >&"$MINTFS_STATUS_FD"')
    with pytest.raises(mintfs.NotFound, match="^gone$") as caught:
        _command.run(["ls"])
    assert caught.value.status == 3


@pytest.mark.parametrize("answer", ["", "{", "[]", "1"])
def test_unexpected_output_is_an_error(command, answer):
    command(f"printf %s '{answer}'; {REPORT_DONE}")
    with pytest.raises(mintfs.Error, match="unexpected output of mintfs show"):
        _command.run_json(["show"])
    with pytest.raises(mintfs.Error, match="unexpected output of mintfs build"):
        _command.build([], "/", {})


def test_the_builders_parent_changes_nothing_for_it(place):
    """Its environment, signals and descriptors are those that it would have without it."""
    script = "env | sort; ls -l /proc/self/fd | cut -d' ' -f1,9; grep ^Sig[BI] /proc/self/status"
    direct = ["/bin/sh", "-c", script]
    env = {"PATH": os.environ["PATH"], "LANG": "C", "A": "1"}
    expected = subprocess.run(
        direct,
        cwd=place,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    command = _child_process.with_parent(direct, env)
    status, _, output = _command.run_streaming(command, str(place), env, _command.STDOUT)
    assert (status, output) == (0, expected.stdout.decode())


def test_sigterm_is_forwarded_to_the_builder(place):
    script = 'trap "echo terminated; exit 9" TERM; echo $$ >pid; while :; do sleep 0.05; done'
    child = _child_process.Child(
        _child_process.with_parent(["/bin/sh", "-c", script], {}), str(place), dict(os.environ)
    )
    try:
        eventually(lambda: (place / "pid").exists() and (place / "pid").read_text())
        child.process.terminate()
        assert child.process.communicate()[0] == b"terminated\n"
        assert child.status() == 9
    finally:
        child.close()
