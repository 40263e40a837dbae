"""URLs and URIs of database files.

SQLAlchemy takes the text between the third slash and "?" as the path, unchanged: it may contain
spaces, "#", "%" and any letters. A path with a "?", or with options for SQLite, is passed as a
percent-encoded file: URI (https://www.sqlite.org/uri.html).
"""

from typing import Mapping, Optional, Union
from urllib.parse import quote

from ._stdlib import PurePath, os

Option = Union[str, int, bool]


def _query(options: Mapping[str, Option]) -> str:
    values = {name: int(v) if isinstance(v, bool) else v for name, v in options.items()}
    return "&".join(f"{quote(name)}={quote(str(value))}" for name, value in values.items())


def _uri(path: PurePath) -> str:
    text = path.as_posix()
    slash = "" if text.startswith("/") else "///"  # file:///C:/...
    return "file:" + slash + quote(os.fsencode(text), safe="/:~")


def file_uri(path: PurePath, **options: Option) -> str:
    """For sqlite3.connect(..., uri=True), ATTACH, and SQLite's shell."""
    return _uri(path) + ("?" + _query(options) if options else "")


def sqlalchemy_url(path: PurePath, driver: Optional[str] = None, **options: Option) -> str:
    """For create_engine(). The options are those of a file: URI or of the driver (timeout=30)."""
    scheme = f"sqlite+{driver}" if driver else "sqlite"
    if not options and "?" not in str(path):
        return f"{scheme}:///{path.as_posix()}"
    return f"{scheme}:///{_uri(path)}?{_query({**options, 'uri': 'true'})}"
