"""One template for all sessions of nox, whatever their interpreters."""

import re

import pytest

from .test_readme import blocks

NOXFILE = """
import os
import mintfs.nox
import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_external_run = True
VENV = ["--system-site-packages", "--without-pip"]

def tests(session):
    key = mintfs.nox.template(session, to="build/template.db")
    session.run("python", "-m", "pytest", "-q", "-p", "mintfs.pytest_plugin")
    session.run("python", "-c", f"import mintfs; assert mintfs.template() == {key!r}")

@nox.session(venv_params=VENV)
def unit_tests(session):
    tests(session)

@nox.session(venv_params=VENV)
def slow_tests(session):
    tests(session)

@nox.session(venv_params=VENV)
def other_template(session):
    key = mintfs.nox.template(
        session, "other", inputs=["migrations"], builder=["python", "create_db.py", "{out}"]
    )
    session.run("python", "-c", f"import mintfs; assert mintfs.database().key == {key!r}")

@nox.session(venv_params=VENV)
def fails(session):
    mintfs.nox.template(session, builder="sh -c 'echo the reason >&2; exit 7'")
    session.run("python", "-c", "print('not reached')")
"""
TEST = """
import os, mintfs
def test_it(mintfs_database):
    assert mintfs_database.key == os.environ["MINTFS_TEMPLATE"]
    assert mintfs_database.path().exists()
"""


def nox(way, project, *words, **kwargs):
    done = way.run("-m", "nox", *words, cwd=project.path, **kwargs)
    return done.stdout + done.stderr


def test_sessions_with_several_interpreters_share_a_template(way, project):
    project.write(noxfile=NOXFILE, test_it=TEST)
    outer = {"MINTFS_TEMPLATE": "0" * 64}  # set by the process that called nox
    cold = nox(way, project, "-s", "unit_tests", "slow_tests", env=outer)
    assert project.interpreters() == [f"{project.path}/.nox/unit_tests/bin/python3"]
    keys = re.findall(r"mintfs: template ([0-9a-f]{64})", cold)
    assert len(keys) == 2 and len(set(keys)) == 1
    summaries = re.findall(r"mintfs: (\d) hits?, (\d) built", cold)
    if way.name == "none":
        assert cold.count("the builder runs once per test run") == 1
        assert summaries == [("0", "1"), ("0", "1")]
    else:
        # The first nox session built it, for all later processes.
        assert summaries == [("0", "1"), ("1", "0")]
    assert (project.path / "build/template.db").exists()
    nox(way, project, "-R", "-s", "slow_tests")
    assert project.runs() == (2 if way.name == "none" else 1)


def test_a_session_can_use_another_template_or_fail(way, project):
    project.write(noxfile=NOXFILE, test_it=TEST)
    (project.path / "mintfs.conf").unlink()
    nox(way, project, "-s", "other_template")
    assert project.interpreters() == [f"{project.path}/.nox/other_template/bin/python"]
    output = nox(way, project, "-s", "fails", status=1)
    assert "the reason" in output and "mintfs: builder sh exited with 7" in output
    assert "not reached" not in output and "Traceback" not in output
    output = nox(way, project, "-s", "unit_tests", status=1)
    assert "mintfs.conf" in output and "Traceback" not in output


def test_the_documented_noxfile_works(way, project):
    project.write(noxfile=blocks()["noxfile.py"], test_it=TEST)
    env = {"PYTEST_PLUGINS": "mintfs.pytest_plugin", "PATH": f"{interpreter()}:/usr/bin:/bin"}
    assert "1 passed" in nox(way, project, env=env)


def interpreter() -> str:
    import os
    import sys

    return os.path.dirname(sys.executable)


@pytest.mark.on_ways("copy")
def test_the_builder_gets_the_sessions_environment(way, project):
    project.write(
        noxfile="""
import os, mintfs.nox, nox
@nox.session(venv_backend="none")
def here(session):
    session.env["SEED"] = "7"
    session.env["PATH"] = "/nowhere:" + session.env["PATH"]
    builder = ["sh", "-c", '[ "$SEED" = 7 ] && : >"$0"', "{out}"]
    one = mintfs.nox.template(session, builder=builder, env="SEED")
    two = mintfs.nox.template(session, builder=builder, env="SEED", environ={
        **os.environ, "SEED": "7"})
    assert one == two
"""
    )
    assert "Session here was successful" in nox(way, project)
