"""Both suites, on one template: the first one builds it unless another checkout has."""

import mintfs.nox
import nox

nox.options.default_venv_backend = "venv"
VENV = ["--system-site-packages", "--without-pip"]


@nox.session(venv_params=VENV)
def tests(session):
    mintfs.nox.template(session)
    session.run("python", "-m", "pytest", "-q", "-p", "mintfs.pytest_plugin", *session.posargs)


@nox.session(venv_params=VENV)
def features(session):
    mintfs.nox.template(session)
    session.run("python", "-m", "behave", "--format=progress")
