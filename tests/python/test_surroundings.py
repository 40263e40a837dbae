"""Unusual users, homes and checkouts, in each way."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support import users
from support.basics import IS_ROOT
from support.mounts import Mount
from support.stores import Store, binary_for_all, make_home

from .ways import BACKENDS, MIGRATION, PACKAGE, Project, Way, last_line

TEST = """
import os, shutil, sqlite3
import pytest
import mintfs

@pytest.mark.parametrize("n", range(3))
def test_it(mintfs_database, n):
    connection = sqlite3.connect(mintfs_database.path())
    connection.execute("INSERT INTO orders(item) VALUES (?)", [n])
    connection.commit()
    connection.close()
    mintfs_database.reset()
    mintfs.memory().execute("SELECT * FROM goods")
    shutil.rmtree(mintfs_database.directory)
    os.makedirs(mintfs_database.directory)
    assert os.listdir(mintfs_database.directory) == []
"""


@pytest.fixture
def project(project):
    project.write(test_it=TEST)
    return project


def passes(way, project, **env):
    """Variables that are None are removed."""
    kept = dict(way.env)
    for name, value in env.items():
        way.env.pop(name, None)
        if value is not None:
            way.env[name] = str(value)
    try:
        output = way.pytest(project, "-q").stdout
    finally:
        way.env = kept
    assert "3 passed" in output.splitlines()[-1], output
    assert BACKEND_WORDS[way.name] in last_line(output)


BACKEND_WORDS = {"mount": "on a mount", "copy": "copied", "none": "without the command"}


def test_databases_work_without_home(way, project):
    passes(way, project, HOME=None, XDG_RUNTIME_DIR=None)
    passes(way, project, HOME="/nonexistent", XDG_RUNTIME_DIR="/nonexistent")


@pytest.mark.on_ways("copy")
def test_the_store_is_in_xdg_cache_home(way, project, place):
    passes(way, project, MINTFS_STORE=None, HOME=None, XDG_CACHE_HOME=place / "cache")
    assert (place / "cache/mintfs/v1/templates").is_dir()
    passes(way, project, MINTFS_STORE=None, HOME=place / "me")
    assert (place / "me/.cache/mintfs/v1/templates").is_dir()


@pytest.mark.skipif(not IS_ROOT, reason="only root has another's home")
def test_databases_work_in_another_users_home(way, project, place):
    """As in CI jobs in containers."""
    home = place / "theirs"
    home.mkdir()
    os.chown(home, users.NOBODY, users.NOBODY)
    passes(way, project, HOME=home)


@pytest.mark.on_ways("copy", "none")
def test_databases_work_with_any_umask(way, project):
    words = "umask 077 && exec " + sys.executable + ' "$@"'
    script = """
import os, stat, mintfs
with mintfs.database(mintfs.template(to="build/placed.db")) as db:
    print(oct(stat.S_IMODE(db.directory.stat().st_mode)), os.access(db.path(), os.W_OK))
"""
    done = subprocess.run(
        ["sh", "-c", words, "sh", "-c", script],
        cwd=project.path,
        env=way.env,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "0o700 True\n"
    assert stat.S_IMODE((project.path / "build/placed.db").stat().st_mode) & 0o600 == 0o600
    passes(way, project)


def test_two_checkouts_run_at_the_same_time(way, project, place):
    """With different schemas, on one store."""
    test = """
import sqlite3
import pytest
@pytest.mark.parametrize("n", range(40))
def test_it(mintfs_db, n):
    names = [row[1] for row in sqlite3.connect(mintfs_db).execute("PRAGMA table_info(orders)")]
    assert ("price" in names) == PRICED
"""
    other = Project(place / "elsewhere/project")
    (other.path / "migrations/2.sql").write_text("ALTER TABLE orders ADD price INTEGER;")
    running = []
    for checkout, priced in ((project, False), (other, True)):
        checkout.write(test_it=f"PRICED = {priced}\n{test}")
        words = ["-m", "pytest", "-q", "-p", "mintfs.pytest_plugin", "-p", "no:cacheprovider"]
        running.append(way.start(*words, cwd=checkout.path))
    for process in running:
        output = process.communicate()[0]
        assert process.returncode == 0 and "40 passed" in output, output
    assert (project.runs(), other.runs()) == (1, 1)
    same = Project(place / "third")
    assert (same.path / "migrations/1.sql").read_text() == MIGRATION
    same.write(test_it=TEST)
    passes(way, same)
    assert same.runs() == (1 if way.name == "none" else 0)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user runs all of these")
def test_databases_work_in_a_read_only_checkout(fuse, place, name):
    """It belongs to root, and the user may only read it; failed databases are kept elsewhere."""
    home = make_home(place, users.NOBODY)
    namespace = users.Namespace(home)
    try:
        store = Store(home, namespace)
        store.binary = binary_for_all(home)
        way = Way(name, store, home / "tmp")
        os.chown(way.temporary, users.NOBODY, users.NOBODY)
        project = Project(place / "pröjekt of root")
        # Here the builder does not count its runs.
        builder = project.path / "create_db.py"
        builder.write_text(re.sub("(?m)^with open.*\n.*\n", "", builder.read_text()))
        project.write(test_it=TEST + "\ndef test_fails(mintfs_db): assert 0\n")
        mounted = Mount(store, home / "mnt") if name == "mount" else None
        done = way.pytest(project, "-q", "--mintfs-keep-failed", status=1)
        assert "1 failed, 3 passed" in done.stdout, done.stdout
        assert BACKEND_WORDS[name] in last_line(done.stdout)
        (kept,) = re.findall(r"test_fails: (.*)$", done.stdout, re.MULTILINE)
        assert kept.startswith(f"{way.temporary}/mintfs-kept-")
        subprocess.run(["rm", "-r", str(Path(kept).parent)], check=True)
        assert way.sessions() == []
        if mounted:
            mounted.stop()
    finally:
        namespace.close()


@pytest.mark.skipif(not IS_ROOT, reason="only root can put another home in place of his own")
@pytest.mark.on_ways("copy")
def test_without_home_the_user_database_is_used(way, project):
    """With HOME and MINTFS_STORE unset. A tmpfs covers the real home meanwhile."""
    home = os.path.expanduser("~root")
    script = (
        f'mount -t tmpfs none {home} && cd "$0" && "$@" && ls {home}/.cache/mintfs/v1/templates'
    )
    for name in ("HOME", "MINTFS_STORE"):
        del way.env[name]
    words = ["-m", "pytest", "-q", "-p", "mintfs.pytest_plugin", "-p", "no:cacheprovider"]
    if str(PACKAGE).startswith(home + "/") or str(way.store.binary).startswith(home + "/"):
        pytest.xfail("the package itself is in this home")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, project.path, sys.executable, *words],
        env=way.env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"3 passed.*\n[0-9a-f]{64}\n", done.stdout), done.stdout
