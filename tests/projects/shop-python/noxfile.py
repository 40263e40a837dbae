"""The project's checks: `nox` runs them all, `nox -s unit_tests` one of them."""
from pathlib import Path

import mintfs.nox
import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True

BUILD = Path("build")
TEMPLATE = BUILD / ".template-migrated.db"

# The libraries are the distribution's: a session has an interpreter of its own, and nothing else.
VENV = ["--system-site-packages", "--without-pip"]


def _create_template_db(session: nox.Session) -> None:
    """Builds the template of mintfs.conf unless another checkout has built it."""
    BUILD.mkdir(exist_ok=True)
    mintfs.nox.template(session, to=TEMPLATE)


def _run(session: nox.Session, name: str, *command: str) -> None:
    """Runs a module under coverage, which keeps its data under that name."""
    data = f"--data-file={BUILD}/.coverage.{name}"
    session.run("python", "-m", "coverage", "run", data, "-m", *command)


@nox.session(venv_params=VENV)
def unit_tests(session: nox.Session) -> None:
    _create_template_db(session)
    _run(session, "unit", "pytest", "tests/unit", *session.posargs)


@nox.session(venv_params=VENV)
def integration_tests(session: nox.Session) -> None:
    _create_template_db(session)
    _run(session, "integration", "pytest", "tests/integration", *session.posargs)


@nox.session(venv_params=VENV)
def slow_integration_tests(session: nox.Session) -> None:
    _create_template_db(session)
    _run(session, "slow_integration", "pytest", "tests/slow_integration", *session.posargs)


@nox.session(venv_params=VENV)
def e2e_tests(session: nox.Session) -> None:
    _create_template_db(session)
    _run(session, "e2e", "pytest", "tests/e2e", *session.posargs)
    _run(session, "features", "behave", "--format=progress")


@nox.session(venv_params=VENV)
def coverage_report(session: nox.Session) -> None:
    """Fails if the four sessions before it, taken together, left too much out."""
    parts = sorted(str(part) for part in BUILD.glob(".coverage.*"))
    data = f"--data-file={BUILD}/.coverage"
    session.run("python", "-m", "coverage", "combine", "--keep", "--quiet", data, *parts)
    session.run("python", "-m", "coverage", "report", data)
