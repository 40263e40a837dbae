"""Fixtures of the Python package's tests."""

import sys
import tempfile

import pytest

from .ways import BACKENDS, PACKAGE, Project, Way

sys.path.insert(0, str(PACKAGE))


@pytest.fixture(params=BACKENDS)
def way(request, place):
    """Each of them; in the end nothing is left of what was made."""
    if request.param == "mount":
        request.getfixturevalue("mount")
    store = request.getfixturevalue("store")
    made = Way(request.param, store, store.home / "tmp")
    yield made
    assert made.sessions() == []


@pytest.fixture
def project(place):
    return Project(place / "project")


@pytest.fixture
def here(way, project, monkeypatch):
    """This very process works that way, in the project's directory."""
    for name in [name for name in way.env if name.startswith(("MINTFS", "XDG", "TMP"))]:
        monkeypatch.setenv(name, way.env[name])
    monkeypatch.delenv("MINTFS_RUN", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(way.temporary))
    monkeypatch.chdir(project.path)
    yield way

    from mintfs import _database

    _database.close_all()
