"""Removing directories in which tests may have left anything."""

import stat
import sys
from typing import Any, Callable

from ._stdlib import Path, os, shutil


def remove_tree(directory: Path) -> None:
    """Removes a directory with its contents. Files that have vanished are not an error, nor are
    read-only files (which Windows does not remove) or read-only directories. If `directory` is a
    file or a link, that is removed."""
    if os.path.islink(directory) or os.path.isfile(directory):
        os.unlink(directory)
        return
    if sys.version_info >= (3, 12):
        shutil.rmtree(directory, onexc=_retry)
    else:
        shutil.rmtree(directory, onerror=lambda call, path, info: _retry(call, path, info[1]))


def _retry(call: Callable[..., Any], path: str, error: BaseException) -> None:
    """Repeats a call that has failed for lack of permission, after granting it."""
    if isinstance(error, FileNotFoundError):
        return
    if not isinstance(error, PermissionError):
        raise error
    if call in (os.unlink, os.remove, os.rmdir):
        _permit(os.path.dirname(path))
        _permit(path)
        call(path)
    else:  # the directory could not be read
        _permit(path)
        shutil.rmtree(path)


def _permit(path: str) -> None:
    if not os.path.islink(path):
        os.chmod(path, stat.S_IRWXU if os.path.isdir(path) else stat.S_IWRITE | stat.S_IREAD)
