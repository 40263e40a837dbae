"""The daemon does not keep the limits and priority of the process that started it."""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess

import pytest

from support.basics import IS_ROOT, SANITIZED
from support.mounts import ENABLE_URING, Daemon, Mount, mount_lines, uring_enabled
from support.stores import Store, binary_for_all, make_home
from support.users import NOBODY, as_user

CAP_SYS_RESOURCE = 24
MIB = 1 << 20

# Limits that ulimit could set, too low to serve a mount.
LOW = {
    resource.RLIMIT_FSIZE: (MIB, "ulimit -f"),
    resource.RLIMIT_CPU: (5, "ulimit -t"),
    resource.RLIMIT_AS: (300 * MIB, "ulimit -v"),
    resource.RLIMIT_DATA: (100 * MIB, "ulimit -d"),
    resource.RLIMIT_NOFILE: (20, "ulimit -n"),
}
if SANITIZED:  # AddressSanitizer reserves more than these before main() begins
    del LOW[resource.RLIMIT_AS], LOW[resource.RLIMIT_DATA]
not_sanitized = pytest.mark.skipif(SANITIZED, reason="AddressSanitizer itself fails under the limit")
each_low_limit = pytest.mark.parametrize("kind", LOW, ids=lambda kind: LOW[kind][1])


def limits_of(pid) -> dict:
    return {kind: resource.prlimit(pid, kind) for kind in LOW}


def status_of(pid, field) -> str:
    with open(f"/proc/{pid}/status") as file:
        (line,) = [line for line in file if line.startswith(f"{field}:")]
    return line.split(":", 1)[1].strip()


def may_raise_limits() -> bool:
    return bool(int(status_of("self", "CapEff"), 16) >> CAP_SYS_RESOURCE & 1)


def test_inherited_soft_limits_are_raised(fuse, store, key):
    def lower():
        for kind, (value, _) in LOW.items():
            resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
        resource.setrlimit(resource.RLIMIT_STACK, (1 << 17, resource.getrlimit(resource.RLIMIT_STACK)[1]))

    daemon = Daemon(store, store.home / "mnt", preexec_fn=lower)
    for kind, (soft, hard) in limits_of(daemon.pid).items():
        assert soft == hard, kind
        assert hard == resource.RLIM_INFINITY or kind == resource.RLIMIT_NOFILE
    # More than any of the limits allows.
    session = store.home / "mnt/sessions" / key / "one"
    session.mkdir()
    (session / "large").write_bytes(os.urandom(MIB) * 3)
    assert (session / "large").stat().st_size == 3 * MIB
    daemon.stop()


@each_low_limit
def test_a_hard_limit_is_raised_or_refused(fuse, store, kind):
    """If it cannot be raised, the message says how to mount without the limit."""
    value, flag = LOW[kind]

    def lower():
        resource.setrlimit(kind, (value, value))

    if may_raise_limits():
        daemon = Daemon(store, store.home / "mnt", preexec_fn=lower)
        soft, hard = limits_of(daemon.pid)[kind]
        assert soft == hard and hard in (resource.RLIM_INFINITY, 1 << 20)
        daemon.stop()
        return
    message = store.fail("mount", store.home / "mnt", status=1, preexec_fn=lower)
    assert flag in message and "MINTFS_BACKEND=copy" in message
    assert not mount_lines(store.home / "mnt") and store.leftovers() == []
    checks = json.loads(store.run("doctor", "--json", preexec_fn=lower).stdout)["checks"]
    assert [row for row in checks if row["check"] == "limits" and flag in row["text"]]


@not_sanitized
def test_a_higher_hard_limit_gives_a_warning(fuse, store):
    """Half of the address space is enough to serve, but all sessions share it."""
    size = 4096 * MIB

    def lower():
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    daemon = Daemon(store, store.home / "mnt", preexec_fn=lower)
    if not may_raise_limits():
        assert "4096 MiB, ulimit -v" in daemon.output.stderr
        assert limits_of(daemon.pid)[resource.RLIMIT_AS] == (size, size)
    daemon.stop()


def test_a_session_started_under_a_low_limit_is_a_copy(fuse, store, key):
    """This applies while nobody else has mounted the store."""
    if may_raise_limits():
        env = {"MINTFS_BACKEND": "copy"}
    else:
        env = {"MINTFS_BACKEND": "auto", "MINTFS_MOUNT": str(store.home / "mnt")}
        large = store.build("sh", "-c", 'head -c 9000000 /dev/zero >"$0"', "{out}", name="large")
        key = large

    def lower():
        resource.setrlimit(resource.RLIMIT_CPU, (5, 5))

    done = store.run("session", "new", key, env=env, preexec_fn=lower)
    assert "/sessions/" not in done.stdout and os.path.isdir(done.stdout.strip())
    assert not mount_lines(store.home / "mnt")
    store.run("session", "rm", done.stdout.strip(), env=env)


def test_the_mount_ends_in_order_when_cpu_time_runs_out(mount, key):
    """SIGXCPU arrives before the kernel's SIGKILL; open files are served for the grace period."""
    path = mount.new(key, "one") / "app.db"
    before = path.read_bytes()
    mount.stop(signal.SIGXCPU, logged=["used up its CPU time .*ulimit -t"])
    again = Mount(mount.store, mount.point)
    assert path.read_bytes() == before
    again.stop()


def queue_signals(count):
    """For a process that waits until it is killed, with that many pending signals."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGRTMIN})
    for _ in range(count):
        os.kill(os.getpid(), signal.SIGRTMIN)


@pytest.mark.parametrize("limit", [0, 20], ids=["none", "used-by-another"])
@pytest.mark.parametrize("uring", [False, True], ids=["device", "uring"])
def test_a_daemon_ends_even_if_no_signal_can_be_queued(fuse, store, key, limit, uring):
    """libfuse cancels its threads with a real-time signal, which needs room in the user's queue."""
    options = ["-o", "grace=0" if uring else "grace=0,no_io_uring"]
    if uring and not os.access(ENABLE_URING, os.W_OK):
        pytest.skip("only root can turn io_uring on for FUSE, where the kernel has it")

    def lower():
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (limit, limit))

    other = subprocess.Popen(["sleep", "1000"], preexec_fn=lambda: queue_signals(100))
    try:
        with uring_enabled() if uring else contextlib.nullcontext():
            daemon = Daemon(store, store.home / "mnt", *options, preexec_fn=lower)
        if may_raise_limits():
            soft, hard = resource.prlimit(daemon.pid, resource.RLIMIT_SIGPENDING)
            assert soft == hard == resource.RLIM_INFINITY
        session = store.home / "mnt/sessions" / key / "one"
        session.mkdir(exist_ok=True)
        # An open file keeps the connection, so that the threads do not end with it.
        with open(session / "app.db", "r+b") as file:
            file.write(b"kept")
            file.flush()
            os.fsync(file.fileno())
            os.kill(daemon.pid, signal.SIGTERM)
            # If glibc has begun to cancel a worker, it may not wake: then it takes 30 s.
            daemon.await_end_of_process()
        assert mount_lines(store.home / "mnt") == []
    finally:
        other.kill()
        other.wait()
    again = Daemon(store, store.home / "mnt")
    assert (session / "app.db").read_bytes()[:4] == b"kept"
    again.stop()


def test_inherited_signals_and_priority_are_reset(fuse, store):
    def lower():
        os.nice(5)
        os.umask(0o777)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM})

    # With a file creation mask of 0777 the command could not make its own store.
    store.build_app()
    daemon = Daemon(store, store.home / "mnt", preexec_fn=lower)
    if IS_ROOT:
        assert os.getpriority(os.PRIO_PROCESS, daemon.pid) == 0
    assert os.sched_getaffinity(daemon.pid) >= os.sched_getaffinity(0)
    assert status_of(daemon.pid, "Umask") == "0077"
    ignored = int(status_of(daemon.pid, "SigIgn"), 16)
    assert ignored >> (signal.SIGXFSZ - 1) & 1, "write(2) is to report EFBIG"
    daemon.stop()


@not_sanitized
def test_a_mount_that_cannot_start_threads_fails_with_status_1(fuse, place):
    """Status 4 would mean that the store is mounted already."""
    uid = NOBODY if IS_ROOT else os.geteuid()
    home = make_home(place, uid)
    store = Store(home)
    store.binary = binary_for_all(home)
    limited = ["prlimit", "--nproc=1", str(store.binary)]
    store.command = lambda *words: [*as_user(uid), *limited, *map(str, words)]
    for words in (["-f"], []):
        message = store.fail("mount", *words, home / "mnt", status=1)
        assert "cannot start" in message and "ulimit -u" in message
    assert store.leftovers() == []
    shutil.rmtree(store.path)
