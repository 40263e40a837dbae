"""What can go wrong. The text is the command's own message wherever it was the command's fault."""

from typing import Optional, Sequence

LISTED_MOST = 20


class Error(Exception):
    """All errors of this package are one of these."""

    #: What the command exited with, if it was the command.
    status: Optional[int]
    #: All that the command and the builder wrote to standard error.
    output: str

    def __init__(self, message: str, status: Optional[int] = None, output: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.output = output


class UsageError(Error):
    """Asked for in a way that makes no sense."""


class NotFound(Error):
    """There is no such template, session or file."""


class Busy(Error):
    """Somebody else has it."""


class Corrupt(Error):
    """A template, or what describes it, is damaged."""


class BuilderFailed(Error):
    """The builder ended with `status`, or could not be run (126, 127): nothing is published."""


class SeveralDatabases(Error):
    """Which one? There are `names`; or none that SQLite knows."""

    names: Sequence[str]

    def __init__(self, what: str, names: Sequence[str]) -> None:
        if names:
            message = f"{what}: say which database, there are: {listed(names)}"
        else:
            message = f"{what} has no SQLite database: say which file is wanted"
        super().__init__(message)
        self.names = names


def listed(names: Sequence[str]) -> str:
    """For a message: a template may have thousands."""
    shown = ", ".join(names[:LISTED_MOST]) or "none"
    more = len(names) - LISTED_MOST
    return f"{shown} and {more} more" if more > 0 else shown
