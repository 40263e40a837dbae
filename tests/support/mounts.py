"""Mounts of a store, and checks that a daemon that ended left nothing."""

import contextlib
import fcntl
import json
import os
import re
import select
import signal
import subprocess
from pathlib import Path

from support.basics import PATIENCE_SECONDS, eventually, is_alive
from support.stores import Store

ENABLE_URING = Path("/sys/module/fuse/parameters/enable_uring")

# The daemons of this test, which the watchdog in conftest.py kills if the test hangs.
live_daemons = set()


class NoUring(Exception):
    """io_uring is not available for FUSE here."""


@contextlib.contextmanager
def uring_enabled():
    """The kernel offers io_uring to mounts made in the block, which one test at a time enters."""
    with open(ENABLE_URING, "r+") as parameter:
        fcntl.flock(parameter, fcntl.LOCK_EX)
        before = parameter.read()
        if before.strip() != "Y":
            ENABLE_URING.write_text("Y")
        try:
            yield
        finally:
            if before.strip() != "Y":
                ENABLE_URING.write_text(before)


def mount_lines(point, mountinfo=None) -> list:
    """The lines of /proc/self/mountinfo for this mount point."""
    text = mountinfo or Path("/proc/self/mountinfo").read_text()
    shown = re.sub(r"[ \t\n\\]", lambda m: f"\\{ord(m.group()):03o}", str(point))
    return [line for line in text.splitlines() if line.split(" ")[4] == shown]


def points_below(path) -> list:
    """The mount points below the path, outer ones first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), line.split(" ")[4]) for line in lines]
    return [Path(point) for point in points if point.startswith(f"{path}/")]


def unmount_lazily(point: Path):
    """Removes a mount that a test leaves on purpose, such as that of a killed daemon."""
    subprocess.run(["umount", "-l", str(point)], check=True)


class Mount:
    """A running `mintfs mount -f`. Every line that it logs must be expected by the test."""

    def __init__(self, store: Store, point: Path, *options: str, scratch: Path = None):
        self.store, self.point = store, point
        words = ["-o", ",".join(options)] if options else []
        words += ["--scratch", scratch] if scratch else []
        self.process = store.start("mount", "-f", *words, point)
        self.pid = self.process.pid
        live_daemons.add(self.pid)
        try:
            line = self._read_stdout(len(f"{point}\n"))
            assert line == f"{point}\n", (line, self.process.poll(), self._stderr())
        except BaseException:
            self.process.kill()
            self.process.wait()
            live_daemons.discard(self.pid)
            raise

    def _read_stdout(self, length: int) -> str:
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_SECONDS)
        assert ready, "the mount printed nothing"
        return self.process.stdout.read(length)

    def _stderr(self) -> str:
        return self.process.stderr.read() if self.process.poll() is not None else "(still running)"

    @property
    def templates(self) -> Path:
        return self.point / "templates"

    @property
    def sessions(self) -> Path:
        return self.point / "sessions"

    def status(self) -> dict:
        return json.loads((self.point / ".mintfs/status.json").read_text())

    def new(self, template: str, session: str) -> Path:
        """Creates a session with mkdir, as any program can."""
        path = self.sessions / template / session
        path.mkdir(mode=0o700)
        return path

    def is_mounted(self) -> bool:
        namespace = self.store.namespace
        return bool(mount_lines(self.point, namespace.mountinfo() if namespace else None))

    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait_for_uring(self):
        """Waits until the status reports io_uring; the first requests use /dev/fuse."""
        read = (lambda: self.store.namespace.call(self.status)) if self.store.namespace else (
            self.status
        )
        for _ in range(20):
            if read()["options"]["io_uring"]:
                return
        raise NoUring("no request used io_uring: the kernel or libfuse lacks it")

    def ended(self, status=0, logged=()):
        """Waits for the daemon to end. It must leave nothing, and must have logged lines that match
        the patterns `logged`, and no others."""
        try:
            out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            live_daemons.discard(self.pid)
        assert (self.process.returncode, out) == (status, ""), (self.process.returncode, out, err)
        lines = err.splitlines()
        unexpected = [line for line in lines if not any(re.search(p, line) for p in logged)]
        assert unexpected == []
        for pattern in logged:
            assert re.search(pattern, err), f"it did not log {pattern!r}: {err!r}"
        assert not self.is_mounted()
        left = self.store.leftovers()
        assert left == [], left

    def stop(self, number=signal.SIGTERM, status=0, logged=()):
        self.process.send_signal(number)
        self.ended(status, logged)

    def kill(self):
        """Sends SIGKILL: the dead mount stays. Checks that the daemon had logged nothing."""
        self.process.kill()
        _, err = self.process.communicate()
        live_daemons.discard(self.pid)
        assert err == ""


class Daemon:
    """A daemon that `mintfs mount` started in the background; its status file has its PID."""

    def __init__(self, store: Store, point: Path, *words: str, **kwargs):
        self.store, self.point = store, point
        self.output = store.run("mount", *words, point, **kwargs)
        assert self.output.stdout == f"{point}\n"
        self.pid = json.loads((point / ".mintfs/status.json").read_text())["pid"]
        live_daemons.add(self.pid)

    def await_end_of_process(self):
        eventually(lambda: not is_alive(self.pid), f"the end of daemon {self.pid}")
        live_daemons.discard(self.pid)

    def await_end(self):
        self.await_end_of_process()
        assert mount_lines(self.point) == []
        left = self.store.leftovers()
        assert left == [], left

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        self.await_end()
