"""The project's checks: `nox` runs them all, `nox -s unit_tests` one of them."""
import hashlib
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True

BUILD = Path("build")
TEMPLATE = BUILD / ".template-migrated.db"
STAMP = BUILD / ".template-inputs"
INPUTS = (
    "alembic.ini migrations requirements.txt shop/__init__.py shop/db template_db.py"
).split()

# The libraries are the distribution's: a session has an interpreter of its own, and nothing else.
VENV = ["--system-site-packages", "--without-pip"]


def _inputs_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted({f for name in INPUTS for f in [Path(name), *Path(name).rglob("*")]}):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _create_template_db(session: nox.Session) -> None:
    """Makes the database that tests copy, unless the existing one has the same inputs."""
    BUILD.mkdir(exist_ok=True)
    digest = _inputs_digest()
    if TEMPLATE.exists() and STAMP.exists() and STAMP.read_text() == digest:
        return
    TEMPLATE.unlink(missing_ok=True)
    session.run(f"{session.bin}/python", "template_db.py", str(TEMPLATE))
    STAMP.write_text(digest)


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
