"""Where this process's command, store and mount are. They are fixed when mintfs is first used.

From then on a test may change PATH, HOME, the current directory or all of os.environ: its database
is still made, reset and removed in the same place. A pytest run fixes them when all tests are
collected, before the first of them can change anything.
"""

import os as real_os
import tempfile
from typing import Dict, Mapping, NamedTuple, Optional

from ._locks import mutex
from ._stdlib import os

BINARY_VARIABLE = "MINTFS_BINARY"
BACKEND_VARIABLE = "MINTFS_BACKEND"
# What decides which store and which mount the command uses.
STORE_VARIABLES = ("MINTFS_STORE", "MINTFS_MOUNT", "XDG_CACHE_HOME", "HOME")
# Relative to the directory where mintfs was first used.
PATH_VARIABLES = ("MINTFS_STORE", "MINTFS_MOUNT")
# What a builder's environment takes from the settings, whatever a test has made of it.
PLACES = (*STORE_VARIABLES, BACKEND_VARIABLE, "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")


class Settings(NamedTuple):
    """Of the moment when they were taken."""

    environ: Mapping[str, str]
    directory: str  # the current one
    temporary: str  # where temporary files are put

    @property
    def search_path(self) -> str:
        """PATH, with directories that do not depend on the current one."""
        parts = (self.environ.get("PATH") or os.defpath).split(os.pathsep)
        return os.pathsep.join(os.path.join(self.directory, part) for part in parts)


_fixed: Optional[Settings] = None
_mutex = mutex()


def fixed() -> Settings:
    """Those of this process, from the first call on."""
    global _fixed
    with _mutex:
        if _fixed is None:
            _fixed = _take()
        return _fixed


def known() -> Settings:
    """The same, but they are not fixed by asking."""
    return _fixed or _take()


def variable(name: str) -> str:
    """As it is now; as it was when the settings were fixed, where a test has removed it."""
    return real_os.environ.get(name) or known().environ.get(name) or ""


def forget() -> None:
    """The next use fixes them again."""
    global _fixed
    with _mutex:
        _fixed = None


def absolute(environ: Mapping[str, str], directory: str) -> Dict[str, str]:
    """The environment with places that do not depend on the current directory."""
    made = dict(environ)
    for name in PATH_VARIABLES:
        if made.get(name):
            made[name] = os.path.join(directory, made[name])
    return made


def for_builder() -> Dict[str, str]:
    """This process's environment now, with what a test has removed from it meanwhile; the command
    finds its store and its mount where the settings say."""
    settings = fixed()
    now = dict(real_os.environ)
    made = {**settings.environ, **{n: value for n, value in now.items() if n not in PLACES}}
    first = now.get("PATH")
    if first is not None and first != settings.environ.get("PATH"):
        made["PATH"] = os.pathsep.join((first, settings.search_path))
    return made


def _take() -> Settings:
    directory = current_directory()
    environ = absolute(real_os.environ, directory)
    return Settings(environ, directory, os.path.join(directory, tempfile.gettempdir()))


def current_directory() -> str:
    """Of now."""
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return os.sep
