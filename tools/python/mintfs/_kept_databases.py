"""Records for `mintfs clean` where the databases of failed tests were kept.

In the directory that contains them, the file mintfs-kept lists them, one per line. In the store,
v1/kept has a symbolic link to the directory. If either cannot be written, that is not an error: the
databases are kept all the same.
"""

from typing import Optional

from . import _command
from ._errors import Error
from ._stdlib import Path, hashlib, io, os

MARKER = "mintfs-kept"


def record(directory: Path, name: str) -> None:
    """Records that `directory`/`name` was kept."""
    try:
        with io.open(directory / MARKER, "a+", encoding="utf-8") as file:
            file.seek(0)
            if name not in file.read().splitlines():
                file.write(f"{name}\n")
        store = _store()
        if store is not None:
            _link(store / "v1" / "kept", directory.resolve())
    except (OSError, ValueError, Error):
        pass


def _store() -> Optional[Path]:
    """The store, if it exists."""
    if _command.find().path is None:
        return None
    settings = _command.run_json(["config", "--json"])["settings"]
    path = next((row["value"] for row in settings if row["name"] == "store"), None)
    return Path(path) if path and os.path.isdir(os.path.join(path, "v1")) else None


def _link(links: Path, directory: Path) -> None:
    links.mkdir(mode=0o700, exist_ok=True)
    link = links / hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    if not link.is_symlink():
        link.symlink_to(directory)
