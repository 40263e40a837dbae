"""Every test gets its database in mint condition.

    key = mintfs.template("app", inputs=["migrations"], builder="python create_db.py {out}")
    with mintfs.database(key) as db:
        engine = create_engine(db.url)

A template is built once for each schema. Each database is a copy-on-write view of one, which costs
next to nothing where the store is mounted, and otherwise a copy. Without the mintfs command (macOS,
Windows) the builder runs once per test run and databases are copies. See README.md.
"""

from pkgutil import get_data as _get_data
from sqlite3 import Connection as _Connection
from typing import Any as _Any
from typing import Optional as _Optional

from . import _database, _resolve_name
from ._database import Database, Files, Sealed
from ._errors import BuilderFailed, Busy, Corrupt, Error, NotFound, SeveralDatabases, UsageError
from ._template import template

__all__ = [
    "BuilderFailed",
    "Busy",
    "Corrupt",
    "Database",
    "Error",
    "Files",
    "NotFound",
    "Sealed",
    "SeveralDatabases",
    "UsageError",
    "__version__",
    "database",
    "memory",
    "sealed",
    "template",
]

__version__ = (_get_data(__name__, "VERSION") or b"").decode().strip()


def database(template_key: _Optional[str] = None) -> Database:
    """A fresh database of a template, by key or name; by default the template of mintfs.conf.

    It is removed by close(), at the end of a `with` block, or when the process ends in any way.
    """
    return _database.make(_resolve_name.key_of(template_key))


def sealed(template_key: _Optional[str] = None) -> Sealed:
    """The template's own files, read-only: its URLs contain mode=ro and immutable=1."""
    return _database.sealed(_resolve_name.key_of(template_key))


def memory(
    template_key: _Optional[str] = None, file: _Optional[str] = None, **options: _Any
) -> _Connection:
    """A :memory: connection with the contents of the template's only database, or of `file`.

    Options are those of sqlite3.connect().
    """
    return _database.fill_memory(_resolve_name.key_of(template_key), file, **options)
