"""Finding the mintfs command and running it.

The command is $MINTFS_BINARY, else the `mintfs` on PATH. An empty $MINTFS_BINARY means that there
is none. If $MINTFS_BINARY cannot be run, that is an error. If the `mintfs` on PATH cannot be run
(for example because it was built for another C library), it is treated as missing, and the reason
is kept for messages.
"""

import re
import sys
from contextlib import contextmanager
from types import FrameType
from typing import (
    IO,
    Any,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    Type,
)

from . import _settings
from ._child_process import Child
from ._errors import BuilderFailed, Busy, Corrupt, Error, NotFound, UsageError
from ._settings import BINARY_VARIABLE as VARIABLE
from ._stdlib import Path, _thread, json, os, shutil, signal, subprocess

PREFIX = "mintfs: "  # before each message of the command
KEY = re.compile("[0-9a-f]{64}")
SHOWN_MAX = 100  # characters of unexpected output that an error quotes
PIPE, STDOUT = subprocess.PIPE, subprocess.STDOUT
CAPTURE_SECONDS = 1.0  # to read the rest of standard error after the command has ended

ERRORS: Dict[int, Type[Error]] = {2: UsageError, 3: NotFound, 4: Busy, 5: Corrupt}
MINTFS_FAILED = 125  # of `key` and `build`: any other status is the builder's


class Found(NamedTuple):
    path: Optional[str]
    why_not: str  # the reason, for messages, if there is no path


_known: Dict[Tuple[Optional[str], str], Found] = {}
#: Programs that report their status through a pipe; earlier versions do not.
_reporting: Set[str] = set()


def find() -> Found:
    """The command; searched for once for each value of $MINTFS_BINARY and $PATH."""
    settings = _settings.known()
    where = (settings.environ.get(VARIABLE), settings.search_path)
    if where not in _known:
        _known[where] = _look(settings)
    return _known[where]


def _look(settings: _settings.Settings) -> Found:
    named = settings.environ.get(VARIABLE)
    if named == "":
        return Found(None, f"{VARIABLE} is empty")
    word = named or "mintfs"
    if os.path.dirname(word):
        word = os.path.join(settings.directory, word)  # commands are run in other directories
    path = shutil.which(word, path=settings.search_path)
    if path is None:
        if named:
            raise Error(f"{VARIABLE} is {named}: no such program")
        return Found(None, "there is no mintfs on PATH")
    reason = _why_it_does_not_run(path, settings.environ)
    if reason and named:
        raise Error(f"{VARIABLE} is {named}: {reason}")
    if reason:
        return Found(None, f"{path}: {reason}")
    return Found(path, "")


def _why_it_does_not_run(path: str, environ: Mapping[str, str]) -> str:
    """Empty if the program runs here."""
    try:
        status, printed, _ = _communicate([path, "--version"], environ, Path(os.sep), STDOUT)
    except OSError as error:
        return error.strerror or str(error)
    text = printed.decode("utf-8", "replace").strip()
    if status:
        return text or f"status {status}"
    if not text.startswith("mintfs "):
        return "it is not mintfs"
    if status is not None:
        _reporting.add(path)
    return ""


def run(
    arguments: Sequence[str],
    env: Optional[Mapping[str, str]] = None,
    cwd: Path = Path(os.sep),
) -> str:
    """Runs a short command, returns its standard output, and passes its standard error on.

    `env` is its environment, by default that of the settings. It does not run in the current
    directory, which may have been removed.
    """
    command = [_path(), *arguments]
    environ = _settings.fixed().environ if env is None else env
    ended, printed, errors = _communicate(command, environ, cwd, PIPE)
    stderr = errors.decode("utf-8", "backslashreplace")
    status = _checked(command[0], ended, stderr)
    if status != 0:
        raise ERRORS.get(status, Error)(message_of(stderr), status, stderr)
    pass_on(stderr)
    return os.fsdecode(printed)


def run_json(
    arguments: Sequence[str],
    env: Optional[Mapping[str, str]] = None,
    cwd: Path = Path(os.sep),
) -> Dict[str, Any]:
    """The same for a command that prints a JSON object."""
    printed = run(arguments, env, cwd)
    try:
        answer = json.loads(printed)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise _unexpected(arguments[0], printed)
    return answer


def _communicate(
    command: Sequence[str], env: Mapping[str, str], cwd: Path, stderr: int
) -> Tuple[Optional[int], bytes, bytes]:
    """Returns the status (see Child.status()), the standard output and the standard error."""
    child = Child(command, cwd, env, stderr)
    try:
        with child.process as process:
            try:
                printed, errors = process.communicate()
            except BaseException:
                process.kill()
                raise
        return child.status(), printed, errors or b""
    finally:
        child.close()


def build(arguments: Sequence[str], cwd: str, env: Mapping[str, str]) -> str:
    """Runs `mintfs build`, passes its standard error on while it runs, and returns the key."""
    command = [_path(), "build", *arguments]
    ended, printed, errors = run_streaming(command, cwd, env, PIPE)
    status = _checked(command[0], ended, errors)
    if status == MINTFS_FAILED:
        raise Error(message_of(errors), status, errors)
    if status != 0:
        raise BuilderFailed(message_of(errors), status, errors)
    key = os.fsdecode(printed).strip()
    if not KEY.fullmatch(key):
        raise _unexpected("build", key)
    return key


def _checked(path: str, status: Optional[int], errors: str) -> int:
    """The exit status. Raises an error if the command was killed, which prints no message: by a
    limit that a test has set (ulimit -f), say, or for lack of memory."""
    if status is None and path in _reporting:
        raise Error(
            "the mintfs command ended before it was done: it may have been killed", None, errors
        )
    if status is not None and status < 0:
        raise Error(f"the mintfs command was ended by signal {-status}", status, errors)
    return status or 0


def _unexpected(what: str, printed: str) -> Error:
    shown = repr(printed[:SHOWN_MAX]) if printed else "nothing"
    return Error(f"unexpected output of mintfs {what}: it printed {shown}")


def run_streaming(
    command: Sequence[str], cwd: str, env: Mapping[str, str], stderr: int
) -> Tuple[Optional[int], bytes, str]:
    """Runs a command, and passes its standard error on while it runs.

    Returns the status (see Child.status()), the standard output, and the standard error. If
    `stderr` is STDOUT and not PIPE, both outputs are treated as standard error.
    """
    # Do not wait for processes that the builder leaves running and that hold its standard error.
    read = _thread.allocate_lock()
    read.acquire()
    text: List[str] = []
    child = out = None
    try:
        with _interrupts_held():
            child = Child(command, cwd, env, stderr)
        process = child.process
        out, err = (None, process.stdout) if stderr == STDOUT else (process.stdout, process.stderr)
        assert err is not None
        _thread.start_new_thread(_tee, (err, text, read))  # tests patch threading
        # If a signal arrives just before a system call, Python handles it only after the call. So
        # no call blocks for long.
        while not read.acquire(timeout=CAPTURE_SECONDS) and process.poll() is None:
            pass
        status = child.status()
        printed = out.read() if out else b""  # one line, which fits into the pipe
    except BaseException:
        if child:
            child.process.terminate()
            child.process.wait()
        raise
    finally:
        if out:
            out.close()
        if child:
            child.close()
    return status, printed, "".join(text)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Delays KeyboardInterrupt to the end of the block, when the process that the block has started
    is known and can be ended."""
    handler = signal.getsignal(signal.SIGINT)
    held: List[Tuple[int, Optional[FrameType]]] = []
    try:
        if callable(handler):
            signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    except ValueError:  # not the main thread, which alone is interrupted
        handler = None
    try:
        yield
    finally:
        if callable(handler):
            signal.signal(signal.SIGINT, handler)
            for number, frame in held:
                handler(number, frame)


def _tee(stream: IO[bytes], lines: List[str], done: _thread.LockType) -> None:
    """Releases the lock when the stream has ended."""
    try:
        with stream:
            for line in stream:
                text = line.decode("utf-8", "backslashreplace")
                lines.append(text)
                pass_on(text)
    finally:
        done.release()


def pass_on(text: str) -> None:
    """Writes to standard error, if it is open."""
    if not text or sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def message_of(errors: str) -> str:
    """The last message of mintfs itself, else the last line of the standard error."""
    lines = [line for line in errors.splitlines() if line.strip()]
    own = [line[len(PREFIX) :] for line in lines if line.startswith(PREFIX)]
    return (own or lines or ["the command failed without a message"])[-1]


def _path() -> str:
    found = find()
    if found.path is None:
        raise Error(f"no mintfs command: {found.why_not}")
    return found.path
