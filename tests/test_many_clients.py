"""Sixteen clients at once; run with ThreadSanitizer by `scripts/soak threads`."""

import threading

from load.clients import Clients
from support.basics import SEED, seeded

SECONDS = 4


def test_sixteen_clients(mount, key):
    clients = Clients(mount, key, 16, seeded("clients", SEED))
    threading.Event().wait(SECONDS)
    assert clients.stop() >= 16
