"""The shop moved onto the Python package, run by its own nox: mounted, copied, with no command."""

import pytest

from support import wheels
from test_shop import MIGRATIONS, Checkout, coverage, migrations_run, no_sessions_left

SUITES = ("unit_tests", "integration_tests", "slow_integration_tests", "e2e_tests")
WAYS = {"copy": {"MINTFS_BACKEND": "copy"}, "none": {"MINTFS_BINARY": ""}}


@pytest.fixture
def checkout(store):
    made = Checkout(store, store.home / "first", "shop-python")
    made.env["PYTHONPATH"] = str(wheels.install(store.home / "python"))
    made.env["TMPDIR"] = str(store.home)
    return made


def test_four_sessions_migrate_once(mount, store, checkout):
    """The second run needs none. Both end with a report that fails below 97 %."""
    checkout.env["MINTFS_BACKEND"] = "fuse"
    cold = checkout.nox()
    assert migrations_run(cold) == MIGRATIONS
    assert cold.count("mintfs: template ") == len(SUITES)
    warm = checkout.nox()
    assert migrations_run(warm) == 0
    assert coverage(cold) == coverage(warm) >= 97
    no_sessions_left(store)
    status = mount.status()
    assert status["counters"]["sessions_made"] > 100 and status["open_files"] == 0


@pytest.mark.parametrize("way", WAYS)
def test_without_a_mount_sessions_are_copies(store, checkout, way):
    """Without the command, each run of nox migrates once for its four sessions."""
    checkout.env.update(WAYS[way])
    assert migrations_run(checkout.nox(*SUITES)) == MIGRATIONS
    again = checkout.nox("unit_tests", "e2e_tests")
    assert migrations_run(again) == (MIGRATIONS if way == "none" else 0)
    assert list(store.home.glob("mintfs-runs-*")) == []
    if way == "copy":
        no_sessions_left(store)
    else:
        assert not store.path.exists()
