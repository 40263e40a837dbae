"""Where a benchmark runs: its directories and processes, which are all removed at the end."""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MINTFS = os.environ.get("MINTFS", "mintfs")
DRIVER = os.environ.get("SESSION_BENCH", "session_bench")
ENABLE_URING = Path("/sys/module/fuse/parameters/enable_uring")
IS_ROOT = os.geteuid() == 0
NOBODY = 65534  # fusermount3 looks up the user's name; every machine has this user
PATIENCE_SECONDS = 60


class CannotRun(Exception):
    """A contender cannot take part here; the text is the reason."""


def say(text: str):
    print(text, file=sys.stderr, flush=True)


def run(*command, user=False, **options) -> str:
    """Runs a command and returns its output, or raises CalledProcessError with its message."""
    words = as_user(user) + [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        message = done.stderr.strip() or done.stdout.strip()
        raise subprocess.CalledProcessError(done.returncode, words, done.stdout, message)
    return done.stdout


def as_user(user: bool) -> list:
    """The words before a command that run it as an ordinary user, if we are root."""
    if not user or not IS_ROOT:
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]


def has_program(name: str) -> bool:
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


def need_programs(programs: dict):
    """`programs` is {program: its package}."""
    for name, package in programs.items():
        if not has_program(name):
            raise CannotRun(f"no {name} here: it is in the package {package}")


def need_root():
    if not IS_ROOT:
        raise CannotRun("needs root")


class Places:
    """Directories on disk and on tmpfs, and a stack of what must be undone at the end."""

    def __init__(self, disk: Path):
        self.stack = contextlib.ExitStack()
        self.disk = self._directory(disk)
        self.tmpfs = self._directory(Path("/dev/shm"))

    def _directory(self, where: Path) -> Path:
        path = Path(tempfile.mkdtemp(prefix="mintfs-bench-", dir=where))
        path.chmod(0o755)
        self.stack.callback(remove_tree, path)
        return path

    def __enter__(self):
        # Ctrl-C does not reach our children, because each is in a session of its own.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
        if IS_ROOT and in_own_namespace():
            unmount_copies_of_others()
            self._open_fuse()
            self._let_users_share()
        return self

    def __exit__(self, *error):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        return self.stack.__exit__(*error)

    def _open_fuse(self):
        """If only root may open /dev/fuse, mounts a node for all users over it in our namespace."""
        node = self.disk / "fuse"
        try:
            if os.stat("/dev/fuse").st_mode & 0o006 != 0o006:
                os.mknod(node, 0o020666, os.makedev(10, 229))
                node.chmod(0o666)
                run("mount", "--bind", node, "/dev/fuse")
                self.stack.callback(run, "umount", "-l", "/dev/fuse")
        except (OSError, subprocess.CalledProcessError) as error:
            say(f"an ordinary user cannot open /dev/fuse here: {error}")

    def _let_users_share(self):
        """allow_other needs a line in fuse.conf: mounts one that has it in our namespace."""
        conf = self.disk / "fuse.conf"
        conf.write_text("user_allow_other\n", encoding="ascii")
        conf.chmod(0o644)
        if Path("/etc/fuse.conf").exists():
            run("mount", "--bind", conf, "/etc/fuse.conf")
            self.stack.callback(run, "umount", "-l", "/etc/fuse.conf")

    def make(self, parent: Path, name: str, user: bool = False) -> Path:
        path = parent / name
        path.mkdir()
        if user and IS_ROOT:
            os.chown(path, NOBODY, NOBODY)
        return path

    def start(self, *command, user=False, stack=None, **options) -> subprocess.Popen:
        """A process that gets SIGTERM at the end of the stack, or at our death at the latest."""
        words = ["setpriv", "--pdeathsig", "TERM", *as_user(user)[1:], *map(str, command)]
        process = subprocess.Popen(words, start_new_session=True, text=True, **options)
        (stack or self.stack).callback(end_process, process)
        return process


def in_own_namespace() -> bool:
    """scripts/bench passes the mount namespace in which it was started."""
    outer = os.environ.get("MINTFS_BENCH_OUTER_MOUNTS")
    return outer is not None and outer != os.readlink("/proc/self/ns/mnt")


def unmount_copies_of_others():
    """The new namespace has a copy of each FUSE mount, which would keep its daemon running."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        fields = line.split(" ")
        if fields[fields.index("-") + 1].startswith("fuse"):
            point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), fields[4])
            subprocess.run(["umount", "-l", point], check=False, capture_output=True)


def end_process(process: subprocess.Popen):
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def remove_tree(path: Path):
    """Also where directories are read-only."""
    for directory, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(directory, 0o700)
    shutil.rmtree(path)


def await_that(condition, what: str):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise CannotRun(f"waited in vain: {what}")
        time.sleep(0.01)


@contextlib.contextmanager
def uring_offered():
    """Makes the kernel offer io_uring to new mounts, if we may; one caller at a time."""
    if not IS_ROOT or not ENABLE_URING.exists():
        yield
        return
    with open(ENABLE_URING, encoding="ascii") as parameter:
        fcntl.flock(parameter, fcntl.LOCK_EX)
        before = parameter.read().strip()
        if before != "Y":
            ENABLE_URING.write_text("Y", encoding="ascii")
        try:
            yield
        finally:
            if before != "Y":
                ENABLE_URING.write_text(before, encoding="ascii")


class Mount:
    """A mount of a store in the foreground, and its status.json."""

    def __init__(self, places: Places, name: str, *, store: Path, user: bool, options=(), scratch,
                 uring=False, stack=None):
        self.user, self.store = user, store
        self.point = places.make(places.disk, f"mnt-{name}", user)
        self.scratch = places.make(scratch, f"scratch-{name}", user)
        with uring_offered():
            self.process = places.start(
                MINTFS, "mount", "-f", "--scratch", self.scratch,
                *(["-o", ",".join(options)] if options else []), self.point,
                user=user, stack=stack, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, "MINTFS_STORE": str(store), "HOME": str(places.disk)})
            if not self.process.stdout.readline():
                raise CannotRun(self.process.stderr.read().strip() or "the mount failed")
            if uring:
                self._await_uring()

    def status(self) -> dict:
        return json.loads(run("cat", self.point / ".mintfs/status.json", user=self.user))

    def _await_uring(self):
        """The first requests always come through /dev/fuse."""
        end = time.monotonic() + 3
        while not self.status()["options"]["io_uring"]:
            if time.monotonic() > end:
                raise CannotRun("requests do not come through io_uring: either the kernel's module "
                                f"parameter {ENABLE_URING} is N, or this libfuse does not support it")
            time.sleep(0.05)

    def sessions(self, key: str) -> Path:
        return self.point / "sessions" / key


def build_template(store: Path, source: Path, user: bool) -> str:
    """Builds a template that is a copy of this file, and returns its key."""
    environment = {**os.environ, "MINTFS_STORE": str(store), "HOME": str(store.parent)}
    output = run(MINTFS, "build", "--root", source.parent, "-i", source, "--", "cp", source,
                 "{out}", user=user, env=environment, cwd=source.parent)
    return output.strip()
