"""Child processes whose exit status is known whatever a test does about SIGCHLD.

If a test or its parent ignores SIGCHLD, the kernel drops the status of each child; if a handler or
a thread waits for any child, it may take ours. In both cases subprocess reports 0. So the child
itself reports its status through a pipe: the mintfs command does so (tools/status_report.h), and
any other program gets a small parent process that does. A child that was killed reports nothing.
"""

import sys
from typing import List, Mapping, Optional, Sequence, Tuple, Union

from ._stdlib import Path, os, shutil, subprocess

if sys.platform != "win32":
    from ._stdlib import fcntl

StrPath = Union[str, Path]
VARIABLE = "MINTFS_STATUS_FD"
#: Read now, since a test may change sys.executable. It is empty in some embedded Pythons.
INTERPRETER = sys.executable or shutil.which("python3") or "python3"

#: Runs a program with default signal handling, and forwards SIGTERM to it; a terminal sends SIGINT
#: to both. The first argument is LC_CTYPE, which a Python in the C locale changes for itself.
PARENT = """
import os, signal, sys
fd = int(os.environ.pop("MINTFS_STATUS_FD"))
os.set_inheritable(fd, False)
os.environ.pop("LC_CTYPE", None)
if sys.argv[1]:
    os.environ["LC_CTYPE"] = sys.argv[1]
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
child = os.fork()
if child == 0:
    for name in ("SIGPIPE", "SIGXFZ", "SIGXFSZ"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    try:
        os.execv(sys.argv[2], sys.argv[2:])
    except OSError as error:
        os.write(fd, b"errno=%d\\n" % error.errno)
    os._exit(126)
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
signal.pthread_sigmask(signal.SIG_SETMASK, mask)
os.write(fd, b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def with_parent(command: Sequence[str], env: Mapping[str, str]) -> List[str]:
    """The command line for a program that does not report its status itself."""
    if sys.platform == "win32":
        return [*command]
    return [INTERPRETER, "-I", "-S", "-c", PARENT, env.get("LC_CTYPE", ""), *command]


class Child:
    """A running process. The caller must call close()."""

    def __init__(
        self,
        command: Sequence[str],
        cwd: StrPath,
        env: Mapping[str, str],
        stderr: int = subprocess.PIPE,
    ) -> None:
        """Starts the command with no standard input, and a pipe as standard output."""
        variables = dict(env)
        self._read = -1
        self.process: "subprocess.Popen[bytes]"
        if sys.platform == "win32":  # pragma: no cover - Windows always keeps the status
            self.process = _start(command, cwd, variables, stderr, ())
            return
        self._read, write = _pipe()
        try:
            variables[VARIABLE] = str(write)
            self.process = _start(command, cwd, variables, stderr, (write,))
        except BaseException:
            self.close()
            raise
        finally:
            os.close(write)

    def status(self) -> Optional[int]:
        """Waits for the child to end. Returns its exit status, or the negative number of the signal
        that killed it, or None if the child reported nothing. Raises OSError if the program could
        not be run."""
        status = self.process.wait()
        if status != 0 or self._read < 0:
            return status  # subprocess makes up no status but 0
        reports = self._reports()
        for report in reports:
            name, _, number = report.partition("=")
            if name == "errno":
                raise OSError(int(number), os.strerror(int(number)))
        return int(reports[-1]) if reports else None

    def _reports(self) -> List[str]:
        """Does not read to the end of the pipe: a fork of another thread may hold the other end."""
        if sys.platform != "win32":
            os.set_blocking(self._read, False)
        try:
            return os.read(self._read, 4096).decode("ascii").split()
        except BlockingIOError:
            return []

    def close(self) -> None:
        read, self._read = self._read, -1
        if read >= 0:
            os.close(read)


def _start(
    command: Sequence[str],
    cwd: StrPath,
    env: Mapping[str, str],
    stderr: int,
    descriptors: Sequence[int],
) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        pass_fds=descriptors,
    )


def _pipe() -> Tuple[int, int]:
    """A pipe whose writing end is not 0, 1 or 2, even if a test has closed those."""
    read, write = os.pipe()
    if sys.platform != "win32" and write <= 2:
        low, write = write, fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, 3)
        os.close(low)
    return read, write
