"""A daemon that is asked to stop ends even if one of its threads does not."""

import ctypes
import os
import signal
from pathlib import Path

import pytest

from support.basics import eventually
from support.mounts import Daemon, is_alive, live_daemons, mount_lines

PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)


def hold(thread):
    """Stops only that thread, until its process ends."""
    if libc.ptrace(PTRACE_SEIZE, thread, None, None) != 0:
        pytest.skip(f"ptrace: {os.strerror(ctypes.get_errno())}")
    assert libc.ptrace(PTRACE_INTERRUPT, thread, None, None) == 0
    os.waitpid(thread, WALL)


def reap(thread):
    try:
        os.waitpid(thread, WALL | os.WNOHANG)
    except ChildProcessError:
        pass


def workers_of(daemon):
    tasks = Path(f"/proc/{daemon.pid}/task").iterdir()
    return [int(task.name) for task in tasks if (task / "comm").read_text() == "fuse_worker\n"]


def test_a_daemon_with_a_stuck_thread_ends(fuse, store, key):
    point = store.home / "mnt"
    daemon = Daemon(store, point, "-o", "grace=0,no_io_uring")
    session = point / "sessions" / key / "one"
    session.mkdir()
    if not workers_of(daemon):
        daemon.stop()
        pytest.skip("libfuse before 3.18 does not name its threads")
    with open(session / "file", "w") as file:
        file.write("kept")
        file.flush()
        os.fsync(file.fileno())
        worker = workers_of(daemon)[0]
        hold(worker)
        os.kill(daemon.pid, signal.SIGTERM)
        eventually(lambda: (reap(worker), not is_alive(daemon.pid))[1], "the end of the daemon")
    live_daemons.discard(daemon.pid)
    assert mount_lines(point) == []
    again = Daemon(store, point)
    assert (session / "file").read_text() == "kept"
    again.stop()
