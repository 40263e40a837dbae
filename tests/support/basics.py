"""The binary under test, how thorough the tests are, seeds, and waiting for conditions."""

import contextlib
import errno
import hashlib
import os
import random
import shutil
import time
from pathlib import Path

import pytest

MINTFS = Path(os.environ.get("MINTFS") or shutil.which("mintfs") or "mintfs").absolute()
SANITIZED = os.environ.get("MINTFS_SANITIZED") == "1"
NO_SKIP = os.environ.get("MINTFS_NO_SKIP") == "1"
SEED = int(os.environ.get("MINTFS_TEST_SEED") or random.randrange(1 << 30))
IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root mounts or gives away files")

# Long enough for a slow machine under the sanitizers. Tests that pass do not wait this long.
PATIENCE_SECONDS = 240 if SANITIZED else 120


def fewer(count: int) -> int:
    """`count`, or a tenth of it under the sanitizers."""
    return max(1, count // 10) if SANITIZED else count


def seeded(*parts) -> random.Random:
    """A random number generator. Prints its seed, which MINTFS_TEST_SEED repeats."""
    seed = ":".join(map(str, (SEED, *parts)))
    print(f"MINTFS_TEST_SEED={SEED} ({seed})")
    return random.Random(seed)


def eventually(condition, what: str = ""):
    """Waits until condition() is true, and returns its value."""
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, f"timed out waiting for {what or condition}"
        time.sleep(0.005)


@contextlib.contextmanager
def fails(*names: str):
    """Asserts that the block raises OSError with one of these error names, such as EROFS."""
    try:
        yield
    except OSError as error:
        assert error.errno in [getattr(errno, name) for name in names], error
    else:
        raise AssertionError(f"no {' or '.join(names)}")


def sha256(path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def disk_bytes(*paths) -> int:
    """The disk usage of files and directories, as du(1) counts it."""
    total = 0
    for path in map(Path, paths):
        for part in (path, *path.rglob("*")):
            total += part.lstat().st_blocks * 512
    return total


def open_files(pid: int) -> list:
    with contextlib.suppress(FileNotFoundError):  # closed meanwhile, or all are
        return [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    return []


def _stat_fields(pid: int) -> list:
    """From field 3 of proc(5), stat: the state; "X" if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["X"]


def is_asleep(pid: int) -> bool:
    return _stat_fields(pid)[0] == "S"


def is_alive(pid: int) -> bool:
    """Whether the process runs. A zombie does not, unless threads of it still end."""
    state, *fields = _stat_fields(pid)
    return state != "X" and (state != "Z" or int(fields[16]) > 1)
