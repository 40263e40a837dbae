"""Fixtures of the tests that use a mount, the watchdog, and the treatment of skipped tests.

A test that uses the fixture `mount` runs on the default mount; if it is marked `on_each_mount`, it
runs on each of VARIANTS. The user of the variant owns the store and the mount, and the test runs as
that user: in a fork, inside the user's own mount namespace.
"""

import faulthandler
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.register_assert_rewrite("support")  # so that their failures are as detailed as those of tests

from support import mounts, processes, users
from support.basics import IS_ROOT, MINTFS, NO_SKIP, SANITIZED
from support.checkouts import Project
from support.stores import Store, binary_for_all, make_home

# On slow machines, tests that have not started after this time are skipped. CORE is run first.
BUDGET_SECONDS = float(os.environ.get("MINTFS_TEST_BUDGET") or "inf")
BUDGET_IS_OVER = f"not begun within the {BUDGET_SECONDS:.0f} s left for tests (MINTFS_TEST_BUDGET)"
CORE = (
    "test_session",
    "test_mount_files",
    "test_sqlite",
    "test_shop",
    "test_mount",
    "test_build",
    "test_key",
    "test_store",
    "test_seal",
    "test_kill",
)
BEGAN = time.monotonic()

TEST_SECONDS = 1200 if SANITIZED else 900

# The parent (nohup, a shell's "&") may have set these to be ignored; a shell cannot trap them then.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass
class Variant:
    name: str
    options: tuple = ()
    uring: bool = False
    user: bool = False


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("default"),
        # One each of: the fast path; no cache of writes; the kernel checks modes; no root.
        Variant("uring", uring=True),
        Variant("strict", ("strict", "no_io_uring")),
        Variant("shared", ("allow_other",)),
        Variant("user", user=True),
    )
}


def pytest_configure(config):
    config.addinivalue_line("markers", "on_each_mount: runs on each variant of a mount")
    config.addinivalue_line("markers", "on_mounts(*names): runs on these variants of a mount")


def pytest_generate_tests(metafunc):
    if "variant" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("on_mounts")
    names = marker.args if marker else ()
    if not names and metafunc.definition.get_closest_marker("on_each_mount"):
        names = [name for name in VARIANTS if name != "default"]
    if names:
        metafunc.parametrize("variant", names, indirect=True)


def rank(name: str) -> int:
    return next((i for i, core in enumerate(CORE) if name.startswith(core)), len(CORE))


def pytest_collection_modifyitems(items):
    if BUDGET_SECONDS != float("inf"):
        items.sort(key=lambda item: rank(item.path.name))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if time.monotonic() - BEGAN > BUDGET_SECONDS:
        pytest.skip(BUDGET_IS_OVER)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.skipped and call.excinfo and BUDGET_IS_OVER in str(call.excinfo.value):
        return
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, though MINTFS_NO_SKIP=1: {report.longrepr[-1]}"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test as the user that its variant names."""
    store = pyfuncitem.funcargs.get("store")
    if not store or not store.namespace or "variant" not in pyfuncitem.fixturenames:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    try:
        store.namespace.call(lambda: (pyfuncitem.obj(**arguments), None)[1])
        failure = None
    except (processes.Failed, OSError) as failed:
        failure = f"as user {store.namespace.uid}: {failed.__cause__ or failed}"
    if failure:
        pytest.fail(failure, pytrace=False)
    return True


class Overtime(BaseException):
    """A BaseException, so that tests do not catch it."""


def _raise_overtime(number, frame):
    raise Overtime(f"the test took over {TEST_SECONDS} s")


def _end_by_force(main_pid):
    faulthandler.dump_traceback(file=sys.__stderr__)
    for pid in list(mounts.live_daemons):
        os.kill(pid, signal.SIGKILL)
    os.kill(main_pid, signal.SIGALRM)


@pytest.fixture(autouse=True)
def watchdog():
    """Ends a test that hangs: first by a signal, then by killing the daemons that it waits for."""
    before = signal.signal(signal.SIGALRM, _raise_overtime)
    timer = threading.Timer(TEST_SECONDS, _end_by_force, [os.getpid()])
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def fuse():
    """Skips the test where FUSE file systems cannot be mounted."""
    if not MINTFS.exists():
        pytest.fail(f"no binary to test at {MINTFS}: set MINTFS")
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        pytest.skip(f"/dev/fuse cannot be opened: {error.strerror}")
    if not IS_ROOT and not shutil.which("fusermount3"):
        pytest.skip("an ordinary user cannot mount without fusermount3")


@pytest.fixture
def faketime():
    """The start of a command that runs another one with its clock moved by what follows."""
    if not shutil.which("faketime"):
        pytest.skip("faketime is not installed: scripts/setup")
    if SANITIZED:
        pytest.skip("libfaketime and AddressSanitizer's allocator wait for each other for ever")
    return ["faketime", "-f"]


@pytest.fixture
def place():
    """An empty directory with a short path that every user can read."""
    path = Path(tempfile.mkdtemp(prefix="m-"))
    path.chmod(0o755)
    yield path
    left = mounts.points_below(path)
    for point in reversed(left):
        mounts.unmount_lazily(point)
    subprocess.run(["chmod", "-R", "u+rwX", str(path)], check=True)
    shutil.rmtree(path)
    assert left == [], "the test left mounts"


@pytest.fixture
def variant(request):
    return VARIANTS[getattr(request, "param", "default")]


@pytest.fixture
def store(place, variant):
    if not variant.user or not IS_ROOT:
        yield Store(make_home(place, os.geteuid()))
        return
    home = make_home(place, users.NOBODY)
    namespace = users.Namespace(home)
    try:
        made = Store(home, namespace)
        made.binary = binary_for_all(home)
        yield made
    finally:
        namespace.close()


@pytest.fixture
def start_mount(fuse, store, variant):
    """start_mount(OPTION...): mounts the store with the variant's options, at "mnt" beside it."""

    def start(*options) -> mounts.Mount:
        point = store.home / "mnt"
        if variant.uring:
            if not os.access(mounts.ENABLE_URING, os.W_OK):
                pytest.skip("only root can turn io_uring on for FUSE, where the kernel has it")
            with mounts.uring_enabled():
                made = mounts.Mount(store, point, *variant.options, *options)
                try:
                    made.wait_for_uring()
                except mounts.NoUring as missing:
                    made.stop()
                    pytest.skip(str(missing))
                return made
        if variant.options.count("allow_other") and not IS_ROOT:
            pytest.skip("allow_other wants root, or user_allow_other in /etc/fuse.conf")
        return mounts.Mount(store, point, *variant.options, *options)

    return start


@pytest.fixture
def mount(start_mount):
    """The mounted store. Unless the test stops the daemon, the fixture does, and checks its end."""
    made = start_mount()
    yield made
    if made.process.returncode is None:
        made.stop()


@pytest.fixture
def key(store):
    """The template "app": a database app.db of 4 tables with 50 rows each."""
    return store.build_app()


@pytest.fixture
def session(mount, key):
    """A session of the template "app"."""
    path = mount.sessions / key / "one"
    if mount.store.namespace:
        mount.store.namespace.call(lambda: path.mkdir(0o700))
    else:
        path.mkdir(0o700)
    return path


@pytest.fixture
def copies(store):
    """A store whose sessions are copies."""
    store.env["MINTFS_BACKEND"] = "copy"
    store.run("ls")
    yield store
    for row in json.loads(store.run("ls", "--json").stdout)["sessions"]:
        store.run("session", "rm", row["path"])


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path / "checkout", tmp_path / "store", tmp_path / "runs")
    yield made
    # A test may have copied a template, which is read-only; pytest must be able to remove it.
    subprocess.run(["chmod", "-R", "u+rwX", str(tmp_path)], check=False)


@pytest.fixture
def ordinary(place):
    """A project in which mintfs runs as an ordinary user, even if root runs the tests."""
    made = Project(place / "checkout", place / "store", place / "runs")
    if IS_ROOT:
        made.binary = shutil.copy(MINTFS, place / "mintfs")
        made.as_user = {"user": users.NOBODY, "group": users.NOBODY, "extra_groups": []}
        for path in (place, *place.rglob("*")):
            os.chown(path, users.NOBODY, users.NOBODY)
    return made
