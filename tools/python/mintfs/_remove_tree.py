"""Removing directories in which tests have left what they liked."""

import stat
import sys
from typing import Any, Callable

from ._stdlib import Path, os, shutil


def remove_tree(directory: Path) -> None:
    """All of it. What has gone meanwhile is no error, nor is what was made read-only: Windows
    removes no such file, and no system takes anything out of such a directory. A file or a link in
    its place is removed itself."""
    if os.path.islink(directory) or os.path.isfile(directory):
        os.unlink(directory)
        return
    if sys.version_info >= (3, 12):
        shutil.rmtree(directory, onexc=_mend)
    else:
        shutil.rmtree(directory, onerror=lambda call, path, info: _mend(call, path, info[1]))


def _mend(call: Callable[..., Any], path: str, error: BaseException) -> None:
    if isinstance(error, FileNotFoundError):
        return
    if not isinstance(error, PermissionError):
        raise error
    if call in (os.unlink, os.remove, os.rmdir):
        _open_up(os.path.dirname(path))
        _open_up(path)
        call(path)
    else:  # it could not be looked into
        _open_up(path)
        shutil.rmtree(path)


def _open_up(path: str) -> None:
    if not os.path.islink(path):
        os.chmod(path, stat.S_IRWXU if os.path.isdir(path) else stat.S_IWRITE | stat.S_IREAD)
