"""Fixtures of the Python package's tests."""

import sys
import tempfile

import pytest

from .ways import BACKENDS, ORDERS, PACKAGE, Project, Way

sys.path.insert(0, str(PACKAGE))


def pytest_configure(config):
    config.addinivalue_line("markers", "on_ways(*names): run only in these ways of mount, copy and none")


def pytest_generate_tests(metafunc):
    if "way" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("on_ways")
        metafunc.parametrize("way", marker.args if marker else BACKENDS, indirect=True)


@pytest.fixture
def way(request, place):
    """Each way of having a database; checks that no session is left at the end."""
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
def orders(project):
    """Adds the module orders to the project, and an empty conftest.py so that tests find it."""
    project.write(orders=ORDERS, conftest="")


@pytest.fixture
def here(way, project, monkeypatch):
    """Makes this process work in that way, in the project's directory."""
    for name in [name for name in way.env if name.startswith(("MINTFS", "PYTHONPATH", "TMPDIR"))]:
        monkeypatch.setenv(name, way.env[name])
    for name in ("MINTFS_RUN", "MINTFS_TEMPLATE", "MINTFS_STARTED", "PYTEST_XDIST_TESTRUNUID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(way.temporary))
    monkeypatch.chdir(project.path)

    from mintfs import _database, _resolve_name, _settings, _sources

    for module in (_settings, _resolve_name, _sources):
        module.forget()
    yield way
    _database.close_all()
    for module in (_settings, _resolve_name, _sources):
        module.forget()
