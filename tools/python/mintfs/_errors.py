"""The exceptions. If the command failed, the text is the command's message."""

from typing import Optional, Sequence

LISTED_MAX = 20


class Error(Exception):
    """The base of all errors of this package."""

    #: The exit status of the command or the builder, if one of them failed.
    status: Optional[int]
    #: All that the command and the builder wrote to standard error.
    output: str

    def __init__(self, message: str, status: Optional[int] = None, output: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.output = output


class UsageError(Error):
    """The arguments are wrong."""


class NotFound(Error):
    """There is no such template, session or file."""


class Busy(Error):
    """It is in use."""


class Corrupt(Error):
    """A template or its manifest is damaged."""


class BuilderFailed(Error):
    """The builder ended with `status`, or could not be run (126, 127). Nothing is published."""


class SeveralDatabases(Error):
    """A file's name is needed: the template has several databases, `names`, or none."""

    names: Sequence[str]

    def __init__(self, what: str, names: Sequence[str]) -> None:
        if names:
            message = f"{what} has several databases, name one of: {listed(names)}"
        else:
            message = f"{what} has no SQLite database: name a file"
        super().__init__(message)
        self.names = names


def listed(names: Sequence[str]) -> str:
    """The names for a message, which leaves some out: a template may have thousands."""
    shown = ", ".join(names[:LISTED_MAX]) or "none"
    more = len(names) - LISTED_MAX
    return f"{shown} and {more} more" if more > 0 else shown
