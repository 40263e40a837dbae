"""PostgreSQL's data directories: only one that was shut down becomes a template."""

import os
import struct
from pathlib import Path

import pytest

from support.checkouts import shell

# pg_control_version of 9.6, 12, 13 to 16, 17 and 18.
VERSIONS = (960, 1201, 1300, 1700, 1800)
CLEAN = {1: "shut down", 2: "shut down in recovery"}
UNCLEAN = {
    0: "starting up",
    3: "shutting down",
    4: "in crash recovery",
    5: "in archive recovery",
    6: "in production",
}


def make(path, version, state, size=8192):
    """Creates the part of a data directory that sealing reads."""
    (path / "global").mkdir(parents=True)
    (path / "PG_VERSION").write_text("15\n")
    control = struct.pack("=QIII", 1234567890123456789, version, 202209061, state)
    (path / "global/pg_control").write_bytes((control + bytes(8192))[:size])


def build(project, where, status=0):
    return project.run(
        "build", "--", *shell(f'cp -r data "$MINTFS_DIR{where}"'), "-", os.urandom(8).hex(), status=status
    )


def paths(project, done):
    return [e["path"] for e in project.manifest(done.stdout.strip())["entries"]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("state", CLEAN)
def test_a_directory_that_was_shut_down_is_published(project, version, state):
    make(project.root / "data", version, state)
    done = build(project, "/pg")
    assert project.manifest(done.stdout.strip())["warnings"] == []
    assert "pg/global/pg_control" in paths(project, done)


@pytest.mark.parametrize("where, shown, command", [
    ("/pg", "pg/global/pg_control", "$MINTFS_DIR/pg/"),
    ("/a/b", "a/b/global/pg_control", "$MINTFS_DIR/a/b/"),
    ("", "data/global/pg_control", "$MINTFS_DIR/data/"),
])
@pytest.mark.parametrize("state", UNCLEAN)
def test_a_directory_that_was_not_shut_down_is_refused(project, state, where, shown, command):
    make(project.root / "data", 1300, state)
    done = project.run(
        "build", "--", *shell('mkdir -p "$MINTFS_DIR/a"; cp -r data "$MINTFS_DIR' + where + '"'),
        status=125,
    )
    assert f'not shut down: {shown} says "{UNCLEAN[state]}"' in done.stderr
    assert f'pg_ctl stop -D "{command}" -m fast' in done.stderr
    assert project.templates() == []


def test_a_data_directory_in_the_root_of_the_template_is_checked(project):
    make(project.root / "data", 1300, 6)
    done = project.run("build", "--", *shell('cp -r data/. "$MINTFS_DIR"'), status=125)
    assert 'global/pg_control says "in production"' in done.stderr


def test_a_pid_file_beside_a_clean_state_is_left_out(project):
    """With it a server would not start while a process has that number."""
    make(project.root / "data", 1300, 1)
    (project.root / "data/postmaster.pid").write_text("1\n/somewhere\n")
    done = build(project, "/pg")
    assert "pg/postmaster.pid is left out" in done.stderr
    assert "pg/postmaster.pid" not in paths(project, done)


@pytest.mark.parametrize("version, state", [(1300, 7), (0x14050000, 1), (0, 1)])
def test_an_unknown_format_is_a_warning(project, version, state):
    make(project.root / "data", version, state)
    done = build(project, "/pg")
    (warning,) = project.manifest(done.stdout.strip())["warnings"]
    assert warning.startswith("pg/global/pg_control: ")


@pytest.mark.parametrize("size", (0, 19))
def test_a_truncated_control_file_is_refused(project, size):
    make(project.root / "data", 1300, 1, size)
    assert "pg/global/pg_control is cut off" in build(project, "/pg", status=125).stderr


def test_a_control_file_outside_a_data_directory_is_an_ordinary_file(project):
    make(project.root / "data", 1300, 6)
    (project.root / "data/PG_VERSION").unlink()
    assert "pg/global/pg_control" in paths(project, build(project, "/pg"))


SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))

REAL = """\
set -e
data=$MINTFS_DIR/pg sockets=$(mktemp -d)
initdb -D "$data" --no-sync -A trust -U me >/dev/null
pg_ctl -D "$data" -w -o "-k $sockets -c listen_addresses= -c fsync=off" -l "$sockets/log" start >/dev/null
psql -h "$sockets" -U me -qc 'create table t(a int)' postgres
pg_ctl -D "$data" -w -m MODE stop >/dev/null
rm -r "$sockets"
"""

# Where a server is installed; the made directories above are tested everywhere.
if SERVERS:

    @pytest.mark.parametrize("mode, status", [("fast", 0), ("smart", 0), ("immediate", 125)])
    def test_a_real_server(ordinary, mode, status):
        """The state is where PostgreSQL itself writes it."""
        env = {"PATH": f"{SERVERS[-1].parent}:{os.environ['PATH']}"}
        script = REAL.replace("MODE", mode)
        done = ordinary.run("build", "--", *shell(script), env=env, status=status)
        if status:
            assert 'pg/global/pg_control says "in production"' in done.stderr
            return
        entries = ordinary.manifest(done.stdout.strip())["entries"]
        assert "pg/postmaster.pid" not in [e["path"] for e in entries]
