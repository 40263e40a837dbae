"""Sessions that are plain copies: where they are stored, and how they end."""

import json
import os
import resource
import shutil
import signal
import subprocess

import pytest

from support import users
from support.basics import IS_ROOT, sha256
from support.databases import check, connected, pragma
from support.processes import Child
from support.stores import Store, make_home

SHM = "/dev/shm"


class Copies(Store):
    """A store whose sessions are copies, made and read in its namespace."""

    def __init__(self, home, namespace=None):
        super().__init__(home, namespace)
        self.env["MINTFS_BACKEND"] = "copy"

    def new(self, *args):
        """The path, and what the command wrote to stderr."""
        done = self.run("session", "new", *args)
        return done.stdout.strip(), done.stderr

    def clear(self):
        rows = json.loads(self.run("session", "ls", "--json").stdout)["sessions"]
        for row in rows:
            self.run("session", "rm", row["path"])

    def in_memory(self) -> str:
        return f"{SHM}/mintfs-copies-{self.namespace.uid if self.namespace else os.geteuid()}"

    def on_disk(self) -> str:
        return f"{self.path}/v1/copies"


@pytest.fixture
def copies(place):
    made = Copies(make_home(place, os.geteuid()))
    yield made
    made.clear()


@pytest.fixture
def in_namespace(place):
    """Makes a store in a namespace that a shell script sets up; as root."""
    if not IS_ROOT:
        pytest.skip("only root can mount something over /dev/shm")
    namespaces = []

    def make(setup, uid=0):
        home = place / f"home{len(namespaces)}"
        home.mkdir()
        os.chown(home, uid, uid)
        namespaces.append(users.Namespace(home, setup, uid))
        return Copies(home, namespaces[-1])

    yield make
    for namespace in namespaces:
        namespace.close()


def inside(store, function):
    return store.namespace.call(function)


# ---- where they are stored ----


@pytest.mark.skipif(not os.path.ismount(SHM), reason="no tmpfs at /dev/shm")
def test_copies_are_in_memory_if_it_has_room(copies):
    key = copies.build_app()
    path, message = copies.new(key, "one")
    assert path.startswith(f"{copies.in_memory()}/") and path.endswith(f"/{key}/one")
    assert message.count("\n") == 1 and os.path.dirname(os.path.dirname(path)) in message
    for folder in (copies.in_memory(), os.path.dirname(os.path.dirname(path)), path):
        assert os.stat(folder).st_mode & 0o777 == 0o700
    assert copies.new(key, "two")[1] == ""  # the message appears once
    copies.run("session", "rm", "one", "two")
    assert not os.path.exists(os.path.dirname(path))


UNUSABLE_SHM = {
    "tiny": "mount -t tmpfs -o size=1m tmpfs /dev/shm",
    "no tmpfs": 'mkdir "$HOME/none" && mount --bind "$HOME/none" /dev/shm',
    "read-only": "mount -t tmpfs -o ro tmpfs /dev/shm",
    "small": "mount -t tmpfs -o size=60m tmpfs /dev/shm",  # less than must stay free
    "closed": "mount -t tmpfs -o mode=0 tmpfs /dev/shm",
}


@pytest.mark.parametrize(
    "setup, uid",
    [
        pytest.param(setup, uid, id=f"{name}-{uid}")
        for name, setup in UNUSABLE_SHM.items()
        for uid in (0, users.NOBODY)
        if (name, uid) != ("closed", 0)  # root may write whatever the mode
    ],
)
def test_copies_are_on_disk_if_memory_cannot_be_used(in_namespace, setup, uid):
    store = in_namespace(setup, uid)
    key = store.build_app()
    path, message = store.new("app", "one")
    assert path == f"{store.on_disk()}/{key}/one"
    assert store.on_disk() in message
    assert sha256(f"{path}/app.db") == sha256(store.template(key))
    assert inside(store, lambda: [files for _, _, files in os.walk(SHM) if files]) == []
    store.clear()


def test_copies_are_on_disk_when_memory_is_full(in_namespace):
    """The next copies are on disk; ls and rm handle both."""
    store = in_namespace("mount -t tmpfs -o size=200m tmpfs /dev/shm")
    script = "head -c 30000000 /dev/urandom >big"
    key = store.build_tree(script)
    paths = [store.new(key, f"s{i}")[0] for i in range(6)]
    roots = [path.startswith(SHM) for path in paths]
    assert roots == sorted(roots, reverse=True) and True in roots and False in roots
    free = inside(store, lambda: os.statvfs(SHM).f_bavail * os.statvfs(SHM).f_bsize)
    assert free >= 64 << 20
    rows = json.loads(store.run("session", "ls", "--json").stdout)["sessions"]
    assert sorted(row["path"] for row in rows) == sorted(paths)
    for i in (0, 5):
        assert "s" in store.fail("session", "new", key, f"s{i}", status=4)
    store.run("session", "rm", *[f"s{i}" for i in range(6)])
    assert json.loads(store.run("session", "ls", "--json").stdout)["sessions"] == []
    assert inside(store, lambda: [n for n in os.listdir(SHM) if os.listdir(f"{SHM}/{n}")]) == []


@pytest.mark.parametrize(
    "spoil",
    [
        f"mkdir -m 700 {SHM}/mintfs-copies-{users.NOBODY} && "
        f"chown {users.SOMEBODY} {SHM}/mintfs-copies-{users.NOBODY}",
        f"mkdir -m 777 {SHM}/mintfs-copies-{users.NOBODY} && "
        f"chmod 777 {SHM}/mintfs-copies-{users.NOBODY} && "
        f"chown {users.NOBODY} {SHM}/mintfs-copies-{users.NOBODY}",
        f"ln -s /tmp {SHM}/mintfs-copies-{users.NOBODY}",
        f"touch {SHM}/mintfs-copies-{users.NOBODY}",
    ],
    ids=["another's", "open", "link", "file"],
)
def test_a_directory_in_memory_that_others_prepared_is_not_used(in_namespace, spoil):
    setup = f"mount -t tmpfs -o mode=1777 tmpfs /dev/shm && {spoil}"
    store = in_namespace(setup, users.NOBODY)
    store.build_app()
    path, _ = store.new("app", "one")
    assert path.startswith(f"{store.on_disk()}/")
    store.run("session", "rm", "one")


@pytest.mark.skipif(not IS_ROOT or not shutil.which("mkfs.xfs"), reason="needs root and mkfs.xfs")
def test_copies_are_on_disk_if_blocks_can_be_shared(in_namespace, place):
    image = place / "image"
    with open(image, "wb") as file:
        file.truncate(400 << 20)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    store = in_namespace(f'mkdir "$HOME/disk" && mount -o loop {image} "$HOME/disk"')
    store.path = store.home / "disk/store"
    store.env["MINTFS_STORE"] = str(store.path)
    key = store.build_tree("head -c 20000000 /dev/urandom >big")
    used = lambda: os.statvfs(store.home / "disk").f_bfree * 4096  # noqa: E731
    before = inside(store, used)
    path, _ = store.new(key, "one")
    assert path.startswith(store.on_disk())
    assert before - inside(store, used) < 1 << 20
    store.run("session", "rm", "one")


@pytest.mark.parametrize("uid", [0, users.NOBODY])
@pytest.mark.parametrize("sweeper", ["the first copy of a new store", "gc"])
def test_copies_of_a_removed_store_are_swept(in_namespace, uid, sweeper):
    """`git clean` and CI runners remove a store in a checkout, but not its copies in memory."""
    store = in_namespace("mount -t tmpfs -o mode=1777,size=200m tmpfs /dev/shm", uid)
    store.build_app()
    owner = subprocess.Popen(["sleep", "1000"])
    try:
        dead, _ = store.new("app", "dead", "--owner", owner.pid)
        live, _ = store.new("app", "live", "--ttl", "1h")
        assert dead.startswith(store.in_memory()) and live.startswith(store.in_memory())
    finally:
        owner.kill()
        owner.wait()
    shutil.rmtree(store.path)
    store.path = store.home / "other"
    store.env["MINTFS_STORE"] = str(store.path)
    store.build_app()
    store.run("gc") if sweeper == "gc" else store.new("app", "one")
    assert not inside(store, lambda: os.path.exists(dead))
    assert inside(store, lambda: os.path.exists(live))


# ---- their content ----


def test_a_copy_of_a_sparse_file_is_sparse(copies):
    """So are files that sealing copies (with two names), and the file of --to."""
    key = copies.build_tree("truncate -s 200M big; echo data >>big; ln big more")
    path, _ = copies.new(key)
    copies.run("build", "--to", copies.home / "to", "--", "truncate", "-s", "200M", "{out}")
    for file in (
        f"{path}/big",
        f"{path}/more",
        copies.template(key, "big"),
        copies.template(key, "more"),
        copies.home / "to",
    ):
        status = os.stat(file)
        assert status.st_size in (200 << 20, (200 << 20) + 5)
        assert status.st_blocks * 512 < 1 << 20, file


@pytest.mark.parametrize("mode", ("delete", "wal"))
def test_copies_are_independent_databases(copies, mode):
    key = copies.build_app(journal_mode=mode)
    before = sha256(copies.template(key))

    def work(number):
        for i in range(5):
            path, _ = copies.new("app", f"w{number}-{i}")
            with connected(f"{path}/app.db") as db:
                assert pragma(db, "journal_mode") == mode
                db.execute("delete from t0")
            check(f"{path}/app.db")
            copies.run("session", "rm", path)

    children = [Child(lambda talk, number=number: work(number)) for number in range(4)]
    for child in children:
        child.end()
    assert sha256(copies.template(key)) == before
    assert json.loads(copies.run("session", "ls", "--json").stdout)["sessions"] == []


def test_an_unfinished_copy_is_not_a_session(copies):
    """A copy appears complete, by one rename; an unfinished one is never listed."""
    key = copies.build_tree("head -c 50000000 /dev/zero | tr '\\0' x >big")
    process = copies.start("session", "new", key, "one")
    while process.poll() is None:
        rows = json.loads(copies.run("session", "ls", "--json").stdout)["sessions"]
        if rows:
            assert os.path.getsize(f"{rows[0]['path']}/big") == 50000000
    process.communicate()
    for _ in range(3):
        process = copies.start("session", "new", key, "two")
        process.kill()
        process.communicate()
        rows = json.loads(copies.run("session", "ls", "--json").stdout)["sessions"]
        for row in rows:
            assert os.path.getsize(f"{row['path']}/big") == 50000000
        if len(rows) == 2:
            copies.run("session", "rm", "two")
    assert copies.new(key, "two")[0]


def test_a_builder_ends_by_the_signal_of_a_file_size_limit(copies):
    """mintfs itself reports an error and leaves nothing behind."""
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))}
    large = ("sh", "-c", 'head -c 4M /dev/zero >"$0"; echo $? >&2', "{out}")
    assert "\n153\n" in "\n" + copies.run("build", "--salt", "1", "--", *large, **limit).stderr
    key = copies.build(*large)
    message = copies.fail("session", "new", key, status=1, **limit)
    assert "File too large" in message and key in message
    assert json.loads(copies.run("session", "ls", "--json").stdout)["sessions"] == []


def test_a_copy_and_a_mounted_session_with_one_id_are_told_apart(mount, key):
    """The message names each as the command accepts it: by key and ID, or by a path."""
    store = mount.store
    view = mount.sessions / key / "same"
    copy = store.run("session", "new", key, "same", env={"MINTFS_BACKEND": "copy"}).stdout.strip()
    view.mkdir()
    message = store.fail("session", "rm", "same", status=2)
    assert f"two sessions {key[:12]}/same" in message and copy in message and str(view) in message
    store.run("session", "rm", copy)
    store.run("session", "rm", f"{key[:12]}/same")
    assert json.loads(store.run("session", "ls", "--json").stdout)["sessions"] == []


def test_a_limit_on_file_sizes_is_reported_as_an_error(copies):
    """Unlike a builder, mintfs is not ended by a signal."""
    copies.build("sh", "-c", 'head -c 300000 /dev/zero >"$0"', "{out}", name="app")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))

    def limited(*args):
        return subprocess.run(
            copies.command(*args), env=copies.env, preexec_fn=limit, capture_output=True, text=True, timeout=60
        )

    done = limited("session", "new", "app", "one")
    assert done.returncode == 1 and "File too large" in done.stderr, done
    assert not list(copies.path.glob("v1/copies/*"))
    done = limited("build", "--", "sh", "-c", 'exec head -c 200000 /dev/zero >"$0"', "{out}")
    assert f"was ended by signal {signal.SIGXFSZ:d}" in done.stderr, done
    copies.new("app", "one")
