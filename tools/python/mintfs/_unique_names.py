"""Names that are never given twice, whatever a test makes of random numbers, uuid and the time."""

from ._stdlib import Path, os


def new_token() -> str:
    return os.urandom(16).hex()


def new_id() -> str:
    """Of a session: it tells people whose it is."""
    return f"py-{os.getpid()}-{new_token()[:12]}"


def make_directory(parent: Path, prefix: str) -> Path:
    """A new one, for this user alone."""
    directory = parent / (prefix + new_token()[:12])
    directory.mkdir(mode=0o700)
    return directory
