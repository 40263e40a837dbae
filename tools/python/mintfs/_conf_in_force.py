"""Which mintfs.conf is in force: the nearest one, from a directory upwards.

The rules are those of the command (fs/store/project_conf_find.h): the search ends at the root of a
repository, at the home directory, at the root of the file system, or below a directory in which
everybody may write, such as /tmp. A file that belongs to neither the user nor root is refused,
unless MINTFS_TRUST lists its directory or a parent of it.
"""

import stat
import sys
from contextlib import contextmanager
from typing import Iterator, List, Optional

from . import _settings
from ._errors import Error
from ._project_conf import FILE
from ._stdlib import Path, os

REPOSITORIES = (".git", ".hg", ".jj", ".svn", ".bzr", "_darcs")
TRUST_VARIABLE = "MINTFS_TRUST"


def find(start: Path) -> Optional[Path]:
    """The directory of the mintfs.conf in force, with any owner; None if there is none."""
    directory = first = start.resolve()
    home = _home()
    own = _own_settings(home)
    while directory == first or not _is_shared(directory):
        path = directory / FILE
        if os.path.lexists(path) and not (own and _is_same(path, own)):
            return directory
        if directory.parent == directory or (home and _is_same(directory, home)):
            return None
        if any(os.path.lexists(directory / name) for name in REPOSITORIES):
            return None
        directory = directory.parent
    return None


def _is_shared(directory: Path) -> bool:
    """Whether everybody may write there, as in /tmp."""
    try:
        mode = directory.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_ISVTX and mode & stat.S_IWOTH)


def check_owner(directory: Path) -> None:
    """Raises an error if the builder in this directory's mintfs.conf must not be run."""
    if sys.platform == "win32":
        return
    path = directory / FILE
    for owner in (path.lstat().st_uid, path.stat().st_uid):
        if owner in (0, os.geteuid()) or _is_caller(owner) or _is_trusted(directory):
            continue
        raise Error(
            f"{path} belongs to user {owner}, not to you ({os.geteuid()}), and is not used; if you "
            f"trust the files in {directory}, type: export {TRUST_VARIABLE}='{directory}'"
        )


def _is_caller(owner: int) -> bool:
    """Whether this is the user who called sudo."""
    is_root = sys.platform != "win32" and os.geteuid() == 0
    return is_root and _settings.variable("SUDO_UID") == str(owner)


def _is_trusted(directory: Path) -> bool:
    listed = _settings.variable(TRUST_VARIABLE).split(":")
    trusted = [Path(text).resolve() for text in listed if text]
    return any(place == directory or place in directory.parents for place in trusted)


def _home() -> Optional[Path]:
    home = _settings.known().environ.get("HOME", "")
    if sys.platform != "win32" and not home.startswith("/"):
        import pwd

        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            return None
    return Path(home) if home else None


def _own_settings(home: Optional[Path]) -> Optional[Path]:
    """The user's settings, a file of the same name."""
    config = _settings.known().environ.get("XDG_CONFIG_HOME", "")
    if config.startswith("/"):
        return Path(config, "mintfs", FILE)
    return home / ".config" / "mintfs" / FILE if home else None


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


# ---- where the search begins ----

#: The directories of the tests and fixtures that are being run, the innermost last.
_running: List[Path] = []


@contextmanager
def running_in(directory: Optional[Path]) -> Iterator[None]:
    """Within the block, code of this directory runs. None: it is not known whose code."""
    if directory is None:
        yield
        return
    _running.append(directory)
    try:
        yield
    finally:
        _running.pop()


def start() -> Path:
    """Where the search for mintfs.conf begins: the current directory, but within a test the test's
    directory, unless the test has changed to a directory where a mintfs.conf is in force."""
    here = _settings.current_directory()
    places = [Path(here), *_running[-1:]]
    if here == _settings.fixed().directory:
        places.reverse()
    return next((place for place in places if find(place)), Path(here))
