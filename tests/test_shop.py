"""A real project on mintfs, with the real binary: tests/projects/shop, run by its own nox."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import users
from support.basics import IS_ROOT
from support.mounts import Mount
from support.shops import MIGRATIONS, assemble
from support.stores import Store, binary_for_all, make_home

NOX_SECONDS = 1700


class Checkout:
    """A copy of an example project, with `mintfs` on the PATH."""

    def __init__(self, store: Store, path: Path, project="shop"):
        self.store, self.path = store, path
        assemble(project, path)
        tools = store.home / "bin"
        if not tools.exists():
            tools.mkdir()
            (tools / "mintfs").symlink_to(store.binary)
        if store.namespace:
            owner = f"{store.namespace.uid}:{store.namespace.uid}"
            subprocess.run(["chown", "-R", owner, path, tools], check=True)
        self.env = {**store.env, "PATH": f"{tools}:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}

    def nox(self, *sessions, status=0, **env) -> str:
        """Runs nox, or these sessions of it; returns its output."""
        prefix = self.store.namespace.prefix() if self.store.namespace else []
        words = [sys.executable, "-m", "nox", *(["-s", *sessions] if sessions else [])]
        done = subprocess.run(
            [*prefix, "sh", "-c", 'cd "$0" && exec "$@"', self.path, *words],
            env={**self.env, **env},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=NOX_SECONDS,
        )
        assert done.returncode == status, done.stdout
        assert "Sanitizer" not in done.stdout and "runtime error" not in done.stdout, done.stdout
        return done.stdout


def migrations_run(output: str) -> int:
    return len(re.findall(r"^Running upgrade \S* *-> \S+", output, re.MULTILINE))


def coverage(output: str) -> int:
    (total,) = re.findall(r"^TOTAL .*?(\d+)%$", output, re.MULTILINE)
    return int(total)


def no_sessions_left(store):
    assert json.loads(store.run("session", "ls", "--json").stdout)["sessions"] == []


def test_the_shop_has_at_least_forty_migrations():
    assert MIGRATIONS >= 40


def test_four_sessions_migrate_once(mount, store):
    """The second run needs none. Both end with a report that fails below 97 %."""
    checkout = Checkout(store, store.home / "first")
    cold = checkout.nox()
    assert migrations_run(cold) == MIGRATIONS
    interpreters = set(re.findall(r"-- (/\S+) template_db\.py", cold))
    assert interpreters == {
        f"{checkout.path}/.nox/{name}/bin/python"
        for name in ("unit_tests", "integration_tests", "slow_integration_tests", "e2e_tests")
    }
    warm = checkout.nox()
    assert migrations_run(warm) == 0
    assert coverage(cold) == coverage(warm) >= 97
    assert len(json.loads(store.run("ls", "--json").stdout)["templates"]) == 1
    no_sessions_left(store)
    status = mount.status()
    assert status["counters"]["sessions_made"] > 100 and status["open_files"] == 0


def test_checkouts_share_a_template_until_a_migration_changes(mount, store):
    first = Checkout(store, store.home / "first")
    assert migrations_run(first.nox("unit_tests")) == MIGRATIONS
    second = Checkout(store, store.home / "elsewhere/checkouts/second")
    for path in second.path.rglob("*"):
        os.utime(path, (1, 1))
    assert migrations_run(second.nox("unit_tests")) == 0
    migration = next((second.path / "migrations/versions").glob("0042*"))
    data = migration.read_bytes()
    migration.write_bytes(data.replace(b'"""', b'""" ', 1))
    assert migrations_run(second.nox("unit_tests")) == MIGRATIONS
    assert migrations_run(second.nox("unit_tests")) == 0
    migration.write_bytes(data)
    assert migrations_run(second.nox("unit_tests")) == 0
    assert len(json.loads(store.run("ls", "--json").stdout)["templates"]) == 2


def test_the_shop_runs_on_copies(store):
    checkout = Checkout(store, store.home / "shop")
    output = checkout.nox("integration_tests", "e2e_tests", MINTFS_BACKEND="copy")
    assert migrations_run(output) == MIGRATIONS
    no_sessions_left(store)


def test_without_a_mount_sessions_are_copies(store):
    """MINTFS_BACKEND is unset, and the template is small."""
    checkout = Checkout(store, store.home / "shop")
    assert migrations_run(checkout.nox("integration_tests")) == MIGRATIONS
    no_sessions_left(store)
    store.run("umount", status=3)


@pytest.mark.skipif(not IS_ROOT, reason="an ordinary user runs all of these")
def test_the_shop_runs_as_an_ordinary_user(fuse, place):
    home = make_home(place, users.NOBODY)
    namespace = users.Namespace(home)
    try:
        store = Store(home, namespace)
        store.binary = binary_for_all(home)
        made = Mount(store, home / "mnt")
        checkout = Checkout(store, home / "shop")
        output = checkout.nox("integration_tests", "e2e_tests")
        assert migrations_run(output) == MIGRATIONS
        no_sessions_left(store)
        assert namespace.call(made.status)["counters"]["sessions_made"] > 50
        made.stop()
        assert migrations_run(checkout.nox("unit_tests", MINTFS_BACKEND="copy")) == 0
    finally:
        namespace.close()


def test_without_mintfs_each_nox_session_migrates(store):
    checkout = Checkout(store, store.home / "usual", "shop-usual")
    assert migrations_run(checkout.nox("unit_tests", "integration_tests")) == 2 * MIGRATIONS
    assert not store.path.exists()
