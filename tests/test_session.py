"""mintfs session new, ls and rm give the same answers with and without a mount."""

import itertools
import json
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy

from support import users
from support.basics import IS_ROOT, eventually, open_files, sha256
from support.catalogs import fake_key, make_template
from support.databases import check, connected, pragma, value
from support.mounts import mount_lines
from support.stores import Store, make_home


class Backend:
    """A store whose sessions are on a mount or are copies; all runs of mintfs see which."""

    def __init__(self, name, store, mount):
        self.name, self.store, self.mount = name, store, mount
        self.env = {} if mount else {"MINTFS_BACKEND": "copy"}

    def run(self, *args, **kwargs):
        kwargs["env"] = {**self.env, **kwargs.pop("env", {})}
        return self.store.run(*args, **kwargs)

    def fail(self, *args, status, **kwargs) -> str:
        kwargs["env"] = {**self.env, **kwargs.pop("env", {})}
        return self.store.fail(*args, status=status, **kwargs)

    def new(self, *args, **kwargs):
        return os.fspath(self.run("session", "new", *args, **kwargs).stdout.removesuffix("\n"))

    def ls(self) -> list:
        return json.loads(self.run("session", "ls", "--json").stdout)["sessions"]

    def ids(self) -> list:
        return sorted(row["id"] for row in self.ls())


@pytest.fixture(params=["fuse", "copy"])
def backend(request, store):
    if request.param == "fuse":
        yield Backend("fuse", store, request.getfixturevalue("mount"))
        return
    made = Backend("copy", store, None)
    yield made
    for row in made.ls():
        made.run("session", "rm", row["path"])
    assert store.leftovers() == []


# ---- new ----


def test_new_prints_the_directory(backend, key):
    path = backend.new("app")
    assert os.path.isabs(path) and sorted(os.listdir(path)) == ["app.db"]
    assert sha256(f"{path}/app.db") == sha256(backend.store.template(key))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    assert os.access(f"{path}/app.db", os.W_OK)
    folder, session_id = os.path.split(path)
    assert os.path.basename(folder) == key
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", session_id)
    with connected(f"{path}/app.db") as db:
        db.execute("insert into t0(text) values('x')")
    assert backend.new("app") != path
    if backend.mount:
        assert path.startswith(f"{backend.mount.point}/sessions/")


def test_new_by_key_short_key_and_name(backend, key):
    folders = set()
    for i, template in enumerate((key, key[:8], key[:63], "app", key.upper())):
        path = backend.new(template, f"s{i}")
        assert path.endswith(f"/{key}/s{i}")
        folders.add(os.path.dirname(path))
    assert len(folders) == 1
    assert backend.ids() == [f"s{i}" for i in range(5)]


def test_new_builds_a_section_that_is_not_built_yet(backend, place):
    """The named one of several in mintfs.conf; elsewhere the name means its last build."""
    (place / "mintfs.conf").write_text(
        "".join(f"[{name}]\nbuilder = sh -c 'echo {name} >$MINTFS_OUT'\n" for name in ("one", "two"))
    )
    os.chmod(place, 0o777)
    for _ in range(2):
        assert open(backend.new("two", cwd=place) + "/app.db").read() == "two\n"
    assert "name one: one, two" in backend.fail("session", "new", status=2, cwd=place)
    assert "has no [three]" in backend.fail("session", "new", "three", status=3, cwd=place)


def test_unknown_templates_are_an_error(backend, key):
    other = "0" * 64 if not key.startswith("0") else "f" * 64
    for template, status in (
        (other, 3), (other[:63], 3), (key[:62] + ("0" if key[62] != "0" else "1"), 3),
        ("nothing", 3), ("app2", 3), ("", 2), ("..", 2), ("../x", 2), ("a b", 2), ("x" * 65, 2),
        (f"{key}0", 2),
    ):
        said = backend.fail("session", "new", template, "one", status=status)
        assert template[:60] in said
    assert backend.ids() == []


def test_a_short_key_that_fits_two_templates_is_refused(backend):
    """Four digits are a short key; three are not."""
    backend.run("ls")
    numbers = {}
    for number in itertools.count():
        digits = fake_key(number)[:4]
        if digits in numbers:
            break
        numbers[digits] = number
    keys = [make_template(backend.store.path, found) for found in (numbers[digits], number)]
    message = backend.fail("session", "new", digits, status=2)
    assert all(key[:12] in message for key in keys)
    assert digits[:3] in backend.fail("session", "new", digits[:3], status=3)
    assert backend.ids() == []
    longer = len(os.path.commonprefix(keys)) + 1
    backend.new(keys[1][:longer], "one")
    assert [row["key"] for row in backend.ls()] == [keys[1]]


def test_bad_and_taken_ids_are_refused(backend, key):
    for bad in (".hidden", "a b", "x" * 129, "a/b", "..", "", "ü", "a\nb", "x" * 256):
        backend.fail("session", "new", "app", bad, status=2)
    first = backend.new("app", "one")
    with open(f"{first}/mark", "w"):
        pass
    for template in ("app", key):
        assert "one" in backend.fail("session", "new", template, "one", status=4)
    assert os.path.exists(f"{first}/mark")
    backend.store.build_app(name="other", salt="x")
    assert backend.new("other", "one") != first  # IDs are each template's own
    assert backend.ids() == ["one", "one"]


def test_url_prints_the_address_of_the_database(backend, key):
    url = backend.run("session", "new", "--url", "app", "one").stdout.strip()
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("insert into t0(text) values('by url')")
        count = connection.exec_driver_sql("select count(*) from t0").scalar()
        assert count == 51
    engine.dispose()
    (row,) = backend.ls()
    check(f"{row['path']}/app.db")


@pytest.mark.parametrize("name", ["que?ry", "per%20cent", "ha#sh", "blank space", "ünï"])
def test_url_encodes_a_path_with_special_characters(fuse, place, name):
    home = place / name
    home.mkdir()
    store = Store(home)
    store.build_app()
    for words in (["mount", home / "mnt"], None):
        env = {} if words else {"MINTFS_BACKEND": "copy", "TMPDIR": str(home)}
        if words:
            store.run(*words)
        url = store.run("session", "new", "--url", "app", "one", env=env).stdout.strip()
        engine = sqlalchemy.create_engine(url)
        with engine.begin() as connection:
            assert connection.exec_driver_sql("select count(*) from t0").scalar() == 50
            path = connection.exec_driver_sql("pragma database_list").fetchone()[2]
        engine.dispose()
        rows = json.loads(store.run("session", "ls", "--json").stdout)["sessions"]
        assert path in [f"{row['path']}/app.db" for row in rows]
        store.run("session", "rm", os.path.dirname(path))
        if words:
            store.run("umount")


def test_url_needs_a_template_with_one_database(backend):
    backend.store.build_tree("echo text >file", name="text")
    two = "import sqlite3\nfor n in 'ab':\n db=sqlite3.connect(n); db.execute('create table t(x)')"
    words = ["sh", "-c", f'cd "$0"; {shlex.quote(sys.executable)} -c "$1"', "{dir}", two]
    backend.store.build(*words, name="two")
    for template in ("text", "two"):
        said = backend.fail("session", "new", "--url", template, status=2)
        assert "--url" in said
    assert backend.ids() == []


def test_json_has_its_fields(backend, key):
    made = json.loads(backend.run("session", "new", "--json", "app", "one").stdout)
    assert made["key"] == key and made["id"] == "one" and made["backend"] == backend.name
    assert os.listdir(made["path"]) == ["app.db"]
    assert made["why"]
    (row,) = backend.ls()
    assert (row["id"], row["key"], row["path"]) == ("one", key, made["path"])
    assert row["backend"] == backend.name
    for member in ("bytes", "open_files"):
        assert row[member] == (0 if backend.mount else None)


def test_new_without_a_name_uses_the_only_section(backend, place):
    project = place / "project"
    project.mkdir()
    (project / "input").write_text("first")
    (project / "mintfs.conf").write_text(
        "[shop]\ninput = input\nbuilder = sh -c 'cat input >\"$0\"; echo ran >>../runs' {out}\n"
    )
    os.chmod(place, 0o777)
    for _ in range(2):
        path = backend.new(cwd=project)
        assert open(f"{path}/app.db").read() == "first"
    assert (place / "runs").read_text() == "ran\n"
    (project / "input").write_text("second")
    assert open(backend.new(cwd=project) + "/app.db").read() == "second"
    assert backend.fail("session", "new", status=3, cwd=place)


@pytest.mark.parametrize(
    "words", [[], ["nothing"], ["new", "--nonsense"], ["new", "a", "b", "c"], ["ls", "x"],
              ["ls", "--nonsense"], ["rm"], ["rm", "--nonsense"]]
)
def test_bad_usage_is_refused(store, words):
    assert "usage: mintfs session" in store.fail("session", *words, status=2)


# ---- a session begins as the builder left it ----


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_session_begins_in_the_builders_journal_mode(backend, mode):
    backend.store.build_app(journal_mode=mode)
    path = backend.new("app", "one") + "/app.db"
    with connected(path) as db:
        assert pragma(db, "journal_mode") == mode
        db.execute("insert into t0(text) values('x')")
        assert value(db, "select count(*) from t0") == 51
    check(path)


def test_a_session_has_the_tree_of_the_builder(backend):
    key = backend.store.build_tree(
        """
        mkdir -p a/b empty; echo deep >a/b/file; ln -s a/b/file link; : >none
        printf 'x' >run; chmod 755 run; chmod 400 a/b/file; chmod 700 a
        """
    )
    path = backend.new(key, "one")
    assert sorted(os.listdir(path)) == ["a", "empty", "link", "none", "run"]
    assert open(f"{path}/link").read() == "deep\n"
    modes = {name: stat.S_IMODE(os.stat(f"{path}/{name}").st_mode) for name in ("run", "a/b/file", "a")}
    assert modes == {"run": 0o755, "a/b/file": 0o600, "a": 0o700}
    open(f"{path}/a/b/file", "a").write("more")
    os.mkdir(f"{path}/empty/new")
    fresh = backend.new(key, "two")
    assert open(f"{fresh}/link").read() == "deep\n" and os.listdir(f"{fresh}/empty") == []


# ---- ls and rm ----


def test_ls_prints_a_table(backend, key):
    assert backend.run("session", "ls").stdout == ""
    paths = [backend.new("app", name) for name in ("one", "two")]
    lines = backend.run("session", "ls").stdout.splitlines()
    assert len(lines) == 3 and lines[0].split()[:3] == ["ID", "KEY", "BACKEND"]
    for path, name in zip(paths, ("one", "two")):
        (line,) = [line for line in lines if line.startswith(f"{name} ")]
        assert key[:12] in line and path in line and backend.name in line


def test_the_command_asks_the_mount_in_blocks(mount, store, key):
    """Not byte by byte: a test suite creates and removes a session for each test."""

    def reads() -> int:
        return mount.status()["counters"]["requests"].get("READ", 0)

    store.run("session", "new", key, "one")
    before = reads()
    store.run("session", "ls")
    store.run("session", "rm", "one")
    assert reads() - before < 20


def test_rm_takes_each_way_to_name_a_session(backend, key):
    for i, name in enumerate(("path", "id", "key/id", "short/id", "name/id", "slash", "dots")):
        path = backend.new("app", f"s{i}")
        words = {
            "path": path, "id": f"s{i}", "key/id": f"{key}/s{i}", "short/id": f"{key[:10]}/s{i}",
            "name/id": f"app/s{i}", "slash": f"{path}/", "dots": f"{path}/../s{i}",
        }
        with open(f"{path}/more", "w"):
            pass
        done = backend.run("session", "rm", words[name])
        assert done.stdout == ""
        assert ("[app]" in done.stderr) if name == "name/id" else done.stderr == ""
        assert not os.path.exists(path)
    assert backend.ids() == []


def test_rm_removes_several_sessions(backend, key):
    paths = [backend.new("app", f"s{i}") for i in range(4)]
    backend.run("session", "rm", "s0", paths[1])
    said = backend.fail("session", "rm", "s2", "none", "s3", status=3)
    assert "none" in said
    assert backend.ids() == []


def test_rm_of_an_unknown_session_fails(backend, key):
    path = backend.new("app", "one")
    for words, named in (
        ("none", "none"), (f"{key}/none", "none"), ("app/none", "none"), ("nothing/one", "nothing"),
        (f"{path}x", f"{path}x"), ("/", "/"), ("/etc", "/etc"), ("..", ".."), ("", ""),
        (f"{path}/app.db", f"{path}/app.db"), (os.path.dirname(path), key),
        (str(backend.store.path), "store"),
    ):
        assert named in backend.fail("session", "rm", words, status=3)
    assert backend.ids() == ["one"]
    assert os.path.exists("/etc/passwd")


def test_an_id_of_two_templates_is_ambiguous(backend, key):
    other = backend.store.build_app(name="other", salt="x")
    for template in (key, other):
        backend.new(template, "one")
    assert "one" in backend.fail("session", "rm", "one", status=2)
    backend.run("session", "rm", "other/one")
    assert [row["key"] for row in backend.ls()] == [key]
    backend.run("session", "rm", "one")
    assert backend.ids() == []


def test_a_session_is_found_by_a_path_through_a_link(mount, store, key):
    store.run("session", "new", "app", "one")
    store.run("session", "rm", mount.sessions / "app/one")
    (store.home / "link").symlink_to(mount.sessions / key)
    store.run("session", "new", "app", "two")
    store.run("session", "rm", store.home / "link/two")
    assert os.listdir(mount.sessions / key) == []


def test_of_many_that_want_one_id_one_gets_it(backend, key):
    """Commands with IDs of their own all succeed."""
    store, env = backend.store, backend.env
    same = [store.start("session", "new", "app", "same", env=env) for _ in range(6)]
    own = [store.start("session", "new", "app", env=env) for _ in range(12)]
    ended = [(process.communicate(timeout=1500), process.returncode) for process in same]
    assert sorted(status for _, status in ended) == [0] + [4] * 5
    paths = set()
    for process in own:
        out, err = process.communicate(timeout=1500)
        assert process.returncode == 0, err
        paths.add(out)
    assert len(paths) == 12
    assert len(backend.ids()) == 13


def test_a_full_output_is_an_error(backend, key):
    with open("/dev/full", "w") as full:
        process = backend.store.start("session", "new", "app", "one", env=backend.env, stdout=full)
        _, err = process.communicate(timeout=1500)
    assert process.returncode == 1 and "standard output" in err
    assert backend.ids() == []


def test_a_session_whose_path_nobody_reads_is_removed(backend, key):
    ours, theirs = os.pipe()
    os.close(ours)
    process = backend.store.start("session", "new", "app", "one", env=backend.env, stdout=theirs)
    os.close(theirs)
    _, err = process.communicate(timeout=1500)
    assert process.returncode == 1 and "Broken pipe" in err
    assert backend.ids() == []


# ---- which backend ----


def test_backend_auto_uses_a_mount_that_exists(mount, store, key):
    for wanted in ("auto", "", "fuse"):
        done = store.run("session", "new", "--json", key, env={"MINTFS_BACKEND": wanted})
        assert json.loads(done.stdout)["backend"] == "fuse"
        assert done.stderr == ""


def test_backend_fuse_starts_a_mount(fuse, store, key):
    """The daemon does not inherit the output: its reader need not wait for the daemon."""
    runtime = store.home / "runtime"
    runtime.mkdir()
    env = {"MINTFS_BACKEND": "fuse", "XDG_RUNTIME_DIR": str(runtime)}
    done = store.run("session", "new", "--json", key, "one", env=env)
    made = json.loads(done.stdout)
    assert (made["backend"], done.stderr) == ("fuse", "")
    assert made["path"] == f"{runtime}/mintfs/sessions/{key}/one"
    check(f"{made['path']}/app.db")
    starters = [store.start("session", "new", key, env=env) for _ in range(6)]
    for starter in starters:
        out, err = starter.communicate(timeout=1500)
        assert (starter.returncode, err) == (0, "")
        assert out.startswith(f"{runtime}/mintfs/")
    store.run("umount")
    starters = [store.start("session", "new", key, env=env) for _ in range(6)]
    for starter in starters:  # one of the commands that find no mount starts it
        out, err = starter.communicate(timeout=1500)
        assert (starter.returncode, err) == (0, "")
        assert out.startswith(f"{runtime}/mintfs/")
    assert len(os.listdir(runtime / "mintfs/sessions" / key)) == 13
    store.run("umount")
    assert not mount_lines(runtime / "mintfs") and store.leftovers() == []


# Holds the locks of a daemon whose mount cannot be seen, until its input ends.
DAEMON_WITHOUT_MOUNT = """
import fcntl, os, struct, sys
locks, point, *names = sys.argv[1:]
fds = [os.open(f"{locks}/{name}", os.O_RDWR | os.O_CREAT, 0o600) for name in names]
for fd in fds:
    fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))  # F_OFD_SETLK
    os.write(fd, f"{os.getpid()}\\n0\\n{point}\\n".encode())
print("ready", flush=True)
sys.stdin.read()
for fd in fds:
    os.close(fd)
"""


@pytest.mark.parametrize("phase, waits_for", [("starting", "/mounting"), ("ending", "[pidfd]")])
def test_a_daemon_without_a_mount_is_awaited(
    fuse, store, key, phase, waits_for
):
    """It is not mistaken for a daemon whose mount is in another mount namespace."""
    point = store.home / "mnt"
    names = ["mount", *(["mounting"] if phase == "starting" else [])]
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON_WITHOUT_MOUNT, store.path / "v1/locks", point, *names],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    env = {"MINTFS_BACKEND": "fuse", "MINTFS_MOUNT": str(point)}
    with daemon:
        assert daemon.stdout.readline() == b"ready\n"
        starter = store.start("session", "new", key, env=env)
        eventually(lambda: any(f.endswith(waits_for) for f in open_files(starter.pid)))
        assert starter.poll() is None
        daemon.stdin.close()
    out, err = starter.communicate(timeout=1500)
    assert (starter.returncode, err) == (0, "")
    assert out.startswith(f"{point}/")
    store.run("umount")


def test_a_mount_that_a_session_started_ends_when_idle(fuse, store, key):
    """The next command starts it again, and the session is still there."""
    point = store.home / "mnt"
    env = {"MINTFS_BACKEND": "fuse", "MINTFS_MOUNT": str(point), "MINTFS_IDLE": "1s"}
    session = Path(store.run("session", "new", "app", "one", env=env).stdout.strip())
    eventually(lambda: not mount_lines(point) and store.leftovers() == [], "an idle daemon's end")
    store.run("session", "new", "app", "two", env={**env, "MINTFS_IDLE": "1h"})
    check(session / "app.db")
    store.run("session", "rm", "one", "two")
    store.run("umount", env=env)


def test_new_prints_the_backend_and_the_reason(fuse, store, key):
    """Without a mount a small template is copied; a larger one gets a mount."""

    def new(template: str, **env) -> tuple:
        said = json.loads(store.run("session", "new", "--json", template, env=env).stdout)
        store.run("session", "rm", said["path"], env=env)
        return said["backend"], said["why"]

    assert new("app") == (
        "copy", "the store is not mounted, and a copy of so small a template is cheaper"
    )  # fmt: skip
    assert new("app", MINTFS_BACKEND="copy") == ("copy", "MINTFS_BACKEND asks for copies")
    large = store.build("sh", "-c", 'head -c 9000000 /dev/zero >"$0"', "{out}", name="large")
    mounted = {"MINTFS_MOUNT": str(store.home / "mnt")}
    assert new(large, MINTFS_BACKEND="copy") == ("copy", "MINTFS_BACKEND asks for copies")
    assert new(large, **mounted) == ("fuse", "the store was not mounted: it is now")
    assert new("app", **mounted) == ("fuse", "the store is mounted")
    store.run("umount", env=mounted)


def test_backend_copy_makes_copies_beside_a_mount(mount, store, key):
    """Copies are not below MNT; ls and rm know the sessions of both backends."""
    env = {"MINTFS_BACKEND": "copy"}
    copy = store.run("session", "new", "app", "copied", env=env).stdout.strip()
    assert not copy.startswith(str(mount.point))
    store.run("session", "new", "app", "mounted")
    rows = json.loads(store.run("session", "ls", "--json").stdout)["sessions"]
    assert {(row["id"], row["backend"]) for row in rows} == {("copied", "copy"), ("mounted", "fuse")}
    # An ID is unique over all backends.
    assert "exists already" in store.fail("session", "new", "app", "copied", status=4)
    assert "exists already" in store.fail("session", "new", "app", "mounted", status=4, env=env)
    store.run("session", "rm", "copied", "mounted")
    assert not os.path.exists(copy) and os.listdir(mount.sessions / key) == []


def test_an_unknown_backend_is_an_error(store, key):
    for wanted in ("Fuse", "nonsense", "copy "):
        said = store.fail("session", "new", "app", status=2, env={"MINTFS_BACKEND": wanted})
        assert wanted in said and "auto" in said and "fuse" in said


@pytest.mark.skipif(not IS_ROOT, reason="only root can take /dev/fuse away")
def test_without_fuse_auto_makes_copies_and_fuse_fails(place):
    """The message about copies is printed only once."""
    home = make_home(place, os.geteuid())
    (place / "none").touch(mode=0)
    hide = f"mount --bind {place}/none /dev/fuse"
    hidden = users.Namespace(place, hide, uid=users.NOBODY)
    try:
        os.chown(home, users.NOBODY, users.NOBODY)
        store = Store(home, hidden)
        store.build_app()
        assert "fuse" in store.fail("session", "new", "app", status=1, env={"MINTFS_BACKEND": "fuse"})
        for i in range(3):
            done = store.run("session", "new", "app", f"s{i}")
            assert not done.stdout.startswith(str(home / "mnt"))
            assert ("copies" in done.stderr) == (i == 0), done.stderr
        rows = json.loads(store.run("session", "ls", "--json").stdout)["sessions"]
        assert [row["backend"] for row in rows] == ["copy"] * 3
        store.run("session", "rm", "s0", "s1", "s2")
    finally:
        hidden.close()
