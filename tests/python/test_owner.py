"""The owner of a database, whose end others notice, also in another container."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.on_ways("copy")

HOLD = """
import glob, mintfs, os, sys
database = mintfs.template("app") and mintfs.database("app")
print(database.directory, *glob.glob(str(database.directory.parent.parent / ".owners/*")), flush=True)
"""
CLOSE_ALL = "os.closerange(3, 10000)\n"
GO_ON_AS_ANOTHER = 'os.execvp("sh", ["sh", "-c", "echo; exec cat >/dev/null"])\n'
FORK_PYTHON = """
if os.fork() == 0:
    import time
    sys.stdin.close()
    print(os.getpid(), flush=True)
    time.sleep(1000)
"""
WAIT = "print(flush=True); sys.stdin.read()\n"


def start(way, project, script) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=project.path,
        env=way.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def is_free(path) -> bool:
    return subprocess.run(["flock", "-s", "-n", path, "true"]).returncode == 0


@pytest.mark.parametrize("then", [WAIT, CLOSE_ALL + WAIT, GO_ON_AS_ANOTHER])
def test_the_lock_lasts_as_long_as_the_process(way, project, then):
    process = start(way, project, HOLD + then)
    directory, lock = process.stdout.readline().split()
    assert process.stdout.readline() == "\n"
    assert os.path.getsize(lock) > 0 and not is_free(lock)
    process.kill()
    process.communicate()
    assert is_free(lock)
    assert way.sessions() == [] and not os.path.exists(directory) and not os.path.exists(lock)


def test_the_lock_does_not_last_in_forks(way, project):
    process = start(way, project, HOLD + FORK_PYTHON + WAIT)
    _, lock = process.stdout.readline().split()
    output = {process.stdout.readline(), process.stdout.readline()}
    (fork,) = [int(line) for line in output if line.strip()]
    process.kill()
    process.wait()
    assert is_free(lock)
    os.kill(fork, 9)
    process.communicate()


def test_the_lock_file_is_removed(way, project):
    """Only the directory of copies in the store stays."""
    process = start(way, project, HOLD + "other = mintfs.database('app'); database.close()\n")
    out, _ = process.communicate()
    assert process.returncode == 0
    _, lock = out.split()
    assert not os.path.exists(os.path.dirname(lock))


COMMAND = """#!/bin/sh
case "$*" in
*{refused}*) echo "mintfs: {message}" >&2; exit {status} ;;
esac
echo "$*" >>"$0.log"
exec {binary} "$@"
"""


@pytest.mark.parametrize(
    "refused, status, message, then",
    [
        ("--owner-lock=", 2, "no such option", "--owner="),
        ("--owner=", 1, "cannot look into this PID namespace", "--ttl=24h"),
    ],
)
def test_options_that_the_command_refuses_are_left_out(way, project, refused, status, message, then):
    """The command may be an earlier version, or the daemon may not see this process."""
    command = project.path / "mintfs"
    command.write_text(
        COMMAND.format(refused=refused, status=status, message=message, binary=way.store.binary)
    )
    command.chmod(0o755)
    way.env["MINTFS_BINARY"] = str(command)
    script = HOLD + "database.close()\n"
    process = start(way, project, script)
    process.communicate()
    assert process.returncode == 0
    (new,) = [line for line in (project.path / "mintfs.log").read_text().splitlines()
              if line.startswith("session new")]  # fmt: skip
    assert then in new and refused not in new


def test_other_failures_are_raised_unchanged(way, project):
    command = project.path / "mintfs"
    command.write_text(
        COMMAND.format(refused="new", status=1, message="it is broken", binary=way.store.binary)
    )
    command.chmod(0o755)
    way.env["MINTFS_BINARY"] = str(command)
    script = """
import mintfs
mintfs.template("app")
try:
    mintfs.database("app")
except mintfs.Error as error:
    print(error)
"""
    out, _ = start(way, project, script).communicate()
    assert out == "it is broken\n"


@pytest.mark.on_ways("none")
def test_a_run_without_the_command_outlives_closed_descriptors(way, project):
    """Another test run does not remove it as dead, and it leaves nothing when it ends."""
    script = 'import mintfs, os, sys\nd = mintfs.template("app") and mintfs.database("app")\nprint(d.path(), flush=True)\n'
    process = start(way, project, script + CLOSE_ALL + "more = open('conftest.py', 'w')\n" + WAIT + "d.reset()\n")
    path = process.stdout.readline().strip()
    assert process.stdout.readline() == "\n"
    other = start(way, project, script)
    other.communicate()
    assert os.path.exists(path)
    process.communicate()
    assert process.returncode == 0 and not os.path.exists(path)
