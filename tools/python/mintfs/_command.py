"""Finding the mintfs command and running it.

The command is $MINTFS_BINARY, else the `mintfs` on PATH. An empty $MINTFS_BINARY says that there
is none. One that was named but cannot be run is an error; one that lies on PATH and cannot be run
(built for another C library, say) counts as none, and the reason is kept for whoever tells.
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
SHOWN_MOST = 100  # characters of an answer that is not understood
PIPE, STDOUT = subprocess.PIPE, subprocess.STDOUT
CAPTURE_SECONDS = 1.0  # for standard error, once the command is gone

ERRORS: Dict[int, Type[Error]] = {2: UsageError, 3: NotFound, 4: Busy, 5: Corrupt}
MINTFS_FAILED = 125  # of `key` and `build`: any other status is the builder's


class Found(NamedTuple):
    path: Optional[str]
    why_not: str  # for a person, where there is no path


_known: Dict[Tuple[Optional[str], str], Found] = {}
#: Programs that report their status through a pipe, as an earlier version does not.
_reporting: Set[str] = set()


def find() -> Found:
    """The command; looked for once for each value of the variables that tell where."""
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
    trouble = _try(path, settings.environ)
    if trouble and named:
        raise Error(f"{VARIABLE} is {named}: {trouble}")
    if trouble:
        return Found(None, f"{path}: {trouble}")
    return Found(path, "")


def _try(path: str, environ: Mapping[str, str]) -> str:
    """What keeps the program from running here, or nothing."""
    try:
        status, printed, _ = _communicate([path, "--version"], environ, Path(os.sep), STDOUT)
    except OSError as error:
        return error.strerror or str(error)
    text = printed.decode("utf-8", "replace").strip()
    if status:
        return text or f"status {status}"
    if not text.startswith("mintfs "):
        return "says it is something else"
    if status is not None:
        _reporting.add(path)
    return ""


def run(
    arguments: Sequence[str],
    env: Optional[Mapping[str, str]] = None,
    cwd: Path = Path(os.sep),
) -> str:
    """Runs the command, quickly done, and returns what it printed; what it said is passed on.

    `env`: its environment, if not that of the settings. Not in the current directory, which may
    have been removed.
    """
    command = [_path(), *arguments]
    environ = _settings.fixed().environ if env is None else env
    ended, printed, words = _communicate(command, environ, cwd, PIPE)
    said = words.decode("utf-8", "backslashreplace")
    status = _checked(command[0], ended, said)
    if status != 0:
        raise ERRORS.get(status, Error)(message_of(said), status, said)
    pass_on(said)
    return os.fsdecode(printed)


def run_json(
    arguments: Sequence[str],
    env: Optional[Mapping[str, str]] = None,
    cwd: Path = Path(os.sep),
) -> Dict[str, Any]:
    """The same for one that prints a JSON object."""
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
    """Status, as of Child.status(), standard output and standard error."""
    child = Child(command, cwd, env, stderr)
    try:
        with child.process as process:
            try:
                printed, said = process.communicate()
            except BaseException:
                process.kill()
                raise
        return child.status(), printed, said or b""
    finally:
        child.close()


def build(arguments: Sequence[str], cwd: str, env: Mapping[str, str]) -> str:
    """Runs `mintfs build`; the builder's words are passed on as they come."""
    command = [_path(), "build", *arguments]
    ended, printed, said = run_aloud(command, cwd, env, printed=True)
    status = _checked(command[0], ended, said)
    if status == MINTFS_FAILED:
        raise Error(message_of(said), status, said)
    if status != 0:
        raise BuilderFailed(message_of(said), status, said)
    key = os.fsdecode(printed).strip()
    if not KEY.fullmatch(key):
        raise _unexpected("build", key)
    return key


def _checked(path: str, status: Optional[int], said: str) -> int:
    """A limit that a test has set (ulimit -f), or a lack of memory, ends it without a message."""
    if status is None and path in _reporting:
        raise Error(
            "the mintfs command ended before it was done: it may have been killed", None, said
        )
    if status is not None and status < 0:
        raise Error(f"the mintfs command was ended by signal {-status}", status, said)
    return status or 0


def _unexpected(what: str, printed: str) -> Error:
    shown = repr(printed[:SHOWN_MOST]) if printed else "nothing"
    return Error(f"cannot make sense of the answer of mintfs {what}: it printed {shown}")


def run_aloud(
    command: Sequence[str], cwd: str, env: Mapping[str, str], printed: bool
) -> Tuple[Optional[int], bytes, str]:
    """Runs a command, and passes its standard error on while it runs.

    Returns the status (see Child.status()), the standard output, and the standard error. With
    `printed` False, standard output is treated as standard error.
    """
    # What the builder leaves running may keep its standard error open, and is not waited for.
    read = _thread.allocate_lock()
    read.acquire()
    said: List[str] = []
    child = out = None
    try:
        with _interrupts_held():
            child = Child(command, cwd, env, PIPE if printed else STDOUT)
        process = child.process
        out, err = (process.stdout, process.stderr) if printed else (None, process.stdout)
        assert err is not None
        _thread.start_new_thread(_tee, (err, said, read))  # threading is what tests patch
        # Python sees a signal that comes just before a system call only after it: none is for long.
        while not read.acquire(timeout=CAPTURE_SECONDS) and process.poll() is None:
            pass
        status = child.status()
        result = out.read() if out else b""  # one line, which fits into the pipe
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
    return status, result, "".join(said)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A KeyboardInterrupt comes at the end of the block, when the process that was started in it is
    known and can be ended."""
    handler = signal.getsignal(signal.SIGINT)
    held: List[Tuple[int, Optional[FrameType]]] = []
    try:
        if callable(handler):
            signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    except ValueError:  # only the main thread gets it
        handler = None
    try:
        yield
    finally:
        if callable(handler):
            signal.signal(signal.SIGINT, handler)
            for number, frame in held:
                handler(number, frame)


def _tee(stream: IO[bytes], said: List[str], done: _thread.LockType) -> None:
    """Frees the lock when the stream has ended."""
    try:
        with stream:
            for line in stream:
                text = line.decode("utf-8", "backslashreplace")
                said.append(text)
                pass_on(text)
    finally:
        done.release()


def pass_on(text: str) -> None:
    """To standard error, if there is one that is open."""
    if not text or sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def message_of(said: str) -> str:
    """The command's own last message, which is the error's; else the last line that was said."""
    lines = [line for line in said.splitlines() if line.strip()]
    own = [line[len(PREFIX) :] for line in lines if line.startswith(PREFIX)]
    return (own or lines or ["the command failed without a word"])[-1]


def _path() -> str:
    found = find()
    if found.path is None:
        raise Error(f"no mintfs command: {found.why_not}")
    return found.path
