"""Unique names, even if a test patches random numbers, uuid and the time."""

from ._stdlib import Path, os


def new_token() -> str:
    return os.urandom(16).hex()


def new_id() -> str:
    """A session's ID, which shows people the process that owns it."""
    return f"py-{os.getpid()}-{new_token()[:12]}"


def make_directory(parent: Path, prefix: str) -> Path:
    """Makes a new directory, private to this user."""
    directory = parent / (prefix + new_token()[:12])
    directory.mkdir(mode=0o700)
    return directory
