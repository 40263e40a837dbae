"""Where this process's command, store and mount are: determined when mintfs is first used.

Afterwards a test may change PATH, HOME, the current directory or all of os.environ: its database is
still made, reset and removed in the same place. A pytest run fixes the settings when all tests have
been collected, before the first of them can change anything.
"""

import os as real_os
import tempfile
from typing import Dict, Mapping, NamedTuple, Optional

from ._locks import mutex
from ._stdlib import os

BINARY_VARIABLE = "MINTFS_BINARY"
BACKEND_VARIABLE = "MINTFS_BACKEND"
# The variables that decide which store and which mount the command uses.
STORE_VARIABLES = ("MINTFS_STORE", "MINTFS_MOUNT", "XDG_CACHE_HOME", "HOME")
# Those of them that may be relative, to the directory where mintfs was first used.
PATH_VARIABLES = ("MINTFS_STORE", "MINTFS_MOUNT")
# The variables that a builder gets from the settings, even if a test has changed them.
PLACES = (*STORE_VARIABLES, BACKEND_VARIABLE, "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")


class Settings(NamedTuple):
    """The surroundings of the process at the time when they were read."""

    environ: Mapping[str, str]
    directory: str  # the current directory
    temporary: str  # the directory for temporary files

    @property
    def search_path(self) -> str:
        """PATH with absolute directories."""
        parts = (self.environ.get("PATH") or os.defpath).split(os.pathsep)
        return os.pathsep.join(os.path.join(self.directory, part) for part in parts)


_fixed: Optional[Settings] = None
_mutex = mutex()


def fixed() -> Settings:
    """The settings of this process, read at the first call."""
    global _fixed
    with _mutex:
        if _fixed is None:
            _fixed = _read()
        return _fixed


def known() -> Settings:
    """The same, but without fixing them."""
    return _fixed or _read()


def variable(name: str) -> str:
    """The variable's value now, or if a test has removed it, when the settings were fixed."""
    return real_os.environ.get(name) or known().environ.get(name) or ""


def forget() -> None:
    """The next use reads them again."""
    global _fixed
    with _mutex:
        _fixed = None


def absolute(environ: Mapping[str, str], directory: str) -> Dict[str, str]:
    """The environment with absolute paths in PATH_VARIABLES."""
    made = dict(environ)
    for name in PATH_VARIABLES:
        if made.get(name):
            made[name] = os.path.join(directory, made[name])
    return made


def for_builder() -> Dict[str, str]:
    """This process's environment now, with the variables that a test has removed meanwhile, and
    those that decide the store and the mount as in the settings."""
    settings = fixed()
    now = dict(real_os.environ)
    made = {**settings.environ, **{n: value for n, value in now.items() if n not in PLACES}}
    first = now.get("PATH")
    if first is not None and first != settings.environ.get("PATH"):
        made["PATH"] = os.pathsep.join((first, settings.search_path))
    return made


def _read() -> Settings:
    directory = current_directory()
    environ = absolute(real_os.environ, directory)
    return Settings(environ, directory, os.path.join(directory, tempfile.gettempdir()))


def current_directory() -> str:
    """The current directory now."""
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return os.sep
