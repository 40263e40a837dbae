"""The database: engines and sessions; the tables are in models, the first rows in seed."""
import os
from pathlib import Path
from typing import Any, Optional, Union

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Engine
from sqlalchemy.orm import Session

DEFAULT_URL = "sqlite:///shop.db"


def sqlite_url(path: Union[str, Path]) -> URL:
    """The URL of a SQLite file, whatever characters its path has."""
    return URL.create("sqlite", database=str(path))


def connect(url: Union[str, URL, None] = None) -> Engine:
    """An engine on `url`, else on $DATABASE_URL, else on shop.db in the current directory."""
    engine = create_engine(url or os.environ.get("DATABASE_URL") or DEFAULT_URL, future=True)
    event.listen(engine, "connect", _enforce_foreign_keys)
    return engine


def open_session(engine: Engine) -> Session:
    return Session(engine, future=True)


def _enforce_foreign_keys(connection: Any, _record: Optional[Any]) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
