"""SIGKILL at random moments; scripts/kill-drill does this many times over."""

from crash import drill
from support.basics import SEED, seeded


def test_a_killed_daemon_loses_nothing_that_was_synced(fuse, store):
    drill.run(store, seeded("daemon", SEED), daemon_kills=12, client_kills=0)


def test_a_killed_client_leaves_its_database_intact(fuse, store):
    drill.run(store, seeded("client", SEED), daemon_kills=0, client_kills=8)
