"""SIGKILL at random moments; scripts/kill-drill does this many times over."""

from crash import drill
from support.basics import SEED, seeded


def test_kill_the_daemon(fuse, store):
    drill.run(store, seeded("daemon", SEED), daemon_kills=12, client_kills=0)


def test_kill_a_client(fuse, store):
    drill.run(store, seeded("client", SEED), daemon_kills=0, client_kills=8)
