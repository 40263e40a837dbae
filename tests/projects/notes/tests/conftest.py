"""One path for the whole run, set before the application is imported; new files for each test."""

import os

import mintfs
import pytest

database = mintfs.database()
os.environ["DATABASE_URL"] = database.url

import notes  # noqa: E402


@pytest.fixture(autouse=True)
def fresh_database():
    database.reset()
    yield
    notes.engine.dispose()  # an async test disposes of its own engine, in its loop
