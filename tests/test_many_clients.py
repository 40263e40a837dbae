"""Sixteen clients at once; `scripts/soak threads` runs this with ThreadSanitizer."""

import threading

from load.clients import Clients
from support.basics import SEED, seeded

SECONDS = 4


def test_sixteen_clients_work_at_once(mount, key):
    clients = Clients(mount, key, 16, seeded("clients", SEED))
    threading.Event().wait(SECONDS)
    assert clients.stop() >= 16
