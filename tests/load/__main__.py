"""usage: python -m load [MINUTES [SESSIONS]]: the daemon's descriptors and memory do not grow."""

import os
import re
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from load.clients import Clients
from support import mounts
from support.basics import SEED, seeded
from support.stores import Store, make_home


def usage(pid: int) -> tuple:
    status = Path(f"/proc/{pid}/status").read_text()
    anonymous = int(re.search(r"RssAnon:\s+(\d+)", status)[1])
    return len(os.listdir(f"/proc/{pid}/fd")), anonymous


def main() -> int:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    rng = seeded("load", SEED)
    place = Path(tempfile.mkdtemp(prefix="m-"))
    store = Store(make_home(place, os.geteuid()))
    key = store.build_app(tables=4, rows=300)
    mount = mounts.Mount(store, place / "mnt")
    wait = threading.Event().wait  # for time to pass; there is no condition to wait for
    try:
        clients = Clients(mount, key, count, rng)
        wait(min(60, minutes * 30))
        first = usage(mount.pid)
        print(f"first: {first[0]} descriptors, RssAnon {first[1]} KiB", flush=True)
        wait(max(0, minutes * 60 - min(60, minutes * 30)))
        last = usage(mount.pid)
        rounds = clients.stop()
        mount.stop()
    except BaseException:
        mount.process.kill()
        mount.process.communicate()
        if mount.is_mounted():
            mounts.unmount_lazily(mount.point)
        raise
    finally:
        shutil.rmtree(place)
    print(f"last: {last[0]} descriptors, RssAnon {last[1]} KiB, after {rounds} sessions")
    # The live sessions differ from time to time; a leak would grow with the number of sessions.
    grown = last[0] > first[0] + count // 2 or last[1] > first[1] * 1.5 + 4096
    print("grown" if grown else "not grown since the first minute")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
