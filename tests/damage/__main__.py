"""usage: python -m damage [N]: N mounts (default: 500)."""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from damage import drill
from support.basics import SEED, seeded
from support.stores import Store, make_home


def main() -> int:
    mounts = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    place = Path(tempfile.mkdtemp(prefix="m-"))
    rng = seeded("damage", SEED)
    began = time.monotonic()

    def report(number):
        if number % 50 == 0 or sys.stdout.isatty():
            print(f"{number}/{mounts}", flush=True)

    try:
        done = drill.run(Store(make_home(place, os.geteuid())), rng, mounts, report)
    finally:
        shutil.rmtree(place)
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(done.kinds.items()))
    print(f"damage: {kinds}; {done.kills} daemons killed")
    print(
        f"{done.seen} sessions examined; {done.intact} with an intact log beside damaged logs, "
        f"all unchanged; {done.lost} set aside"
    )
    print(f"{mounts} mounts in {time.monotonic() - began:.0f} s passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
