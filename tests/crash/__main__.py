"""usage: python -m crash [N [M]]: kills the daemon N times (default: 200), a client M times (N)."""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from crash import drill
from support.basics import SEED, seeded
from support.stores import Store, make_home


def main() -> int:
    of_daemon = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    of_client = int(sys.argv[2]) if len(sys.argv) > 2 else of_daemon
    place = Path(tempfile.mkdtemp(prefix="m-"))
    rng = seeded("drill", SEED)

    def report(number, whom, kind):
        if number % 10 == 0 or sys.stdout.isatty():
            print(f"{number}/{of_daemon + of_client}: {whom}, {kind}", flush=True)

    try:
        done = drill.run(Store(make_home(place, os.geteuid())), rng, of_daemon, of_client, report)
    finally:
        shutil.rmtree(place)
    took = done.mount_seconds
    print(f"{done.sessions} sessions")
    if took:
        print(
            f"{len(took)} mounts after a kill took {median(took):.3f} s in the median, "
            f"{max(took):.3f} s at most; {sum(one > 1 for one in took)} of them over a second"
        )
    print(f"{of_daemon + of_client} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
