"""Parts of a test that need their own process: forks with a connection to the test."""

import ctypes
import multiprocessing
import os
import signal
import sys
import traceback

import pytest

from support.basics import PATIENCE_SECONDS

PR_SET_PDEATHSIG = 1


class Failed(AssertionError):
    """A failure in a fork; its text is the traceback from there."""


class Child:
    """
    A fork that calls function(connection). receive() returns what the function passes to
    connection.send(), and the other way round. end() returns its value, or raises its error.
    """

    def __init__(self, function):
        sys.stdout.flush()
        sys.stderr.flush()
        self.connection, other = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self.connection.close()
            _run(function, other)
        other.close()

    def receive(self):
        assert self.connection.poll(PATIENCE_SECONDS), "the child sent nothing"
        kind, *what = self._message()
        if kind == "sent":
            return what[0]
        self._reap()
        raise Failed(f"the child has ended: {what}")

    def send(self, what=None):
        self.connection.send(what)

    def end(self, patience=None):
        """patience: seconds to wait, None for no limit."""
        try:
            while True:
                assert self.connection.poll(patience), "the child does not end"
                kind, *what = self._message()
                if kind == "ended":
                    break
        except BaseException:
            self.kill()
            raise
        self._reap()
        result, error, text = what
        if error is None:
            return result
        if isinstance(error, str):
            pytest.skip(error)
        if isinstance(error, OSError):
            raise error from Failed(text)
        raise Failed(text)

    def kill(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self._reap()

    def _message(self):
        try:
            return self.connection.recv()
        except EOFError:
            status = self._reap()
            raise Failed(f"the child ended with {status} and sent nothing") from None

    def _reap(self) -> int:
        pid, self.pid = self.pid, 0
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if pid else 0


class _Talk:
    """The child's end of the connection."""

    def __init__(self, connection):
        self._connection = connection

    def send(self, what=None):
        self._connection.send(("sent", what))

    def receive(self):
        return self._connection.recv()


def _run(function, connection):
    result, error, text = None, None, ""
    try:
        die_with_parent()
        result = function(_Talk(connection))
    except pytest.skip.Exception as skipped:  # which cannot be pickled
        error = str(skipped)
    except BaseException as caught:
        error = caught if isinstance(caught, OSError) else True
        text = traceback.format_exc()
    try:
        connection.send(("ended", result, error, text))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(0)


def sleeper() -> Child:
    """A process that waits until it is killed or told to end; it can own sessions."""
    child = Child(lambda talk: (talk.send(), talk.receive())[0])
    child.receive()
    return child


def die_with_parent():
    """Must be called again after a change of user, which clears the setting."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def call_in_fork(function):
    """Calls function() in a fork; returns its value, or raises its error."""
    return Child(lambda _: function()).end()
