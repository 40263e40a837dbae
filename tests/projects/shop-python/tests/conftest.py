"""Fixtures for all tests: each gets a migrated and seeded database of its own."""
from pathlib import Path
from typing import Iterator

import pytest
from sqlalchemy.orm import Session

from shop import repositories
from shop.db import connect, open_session, sqlite_url
from shop.db.models import Customer


@pytest.fixture
def database(mintfs_db: Path) -> Path:
    return mintfs_db


@pytest.fixture
def session(database: Path) -> Iterator[Session]:
    engine = connect(sqlite_url(database))
    with open_session(engine) as session:
        yield session
    engine.dispose()


@pytest.fixture
def ada(session: Session) -> Customer:
    return repositories.customer_by_email(session, "ada@example.com")


@pytest.fixture
def grace(session: Session) -> Customer:
    """She lives abroad, in Vienna."""
    return repositories.customer_by_email(session, "grace@example.com")
