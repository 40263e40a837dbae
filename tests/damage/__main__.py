"""usage: python -m damage [N]: N mounts, 500 if not said."""

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

    def tell(number):
        if number % 50 == 0 or sys.stdout.isatty():
            print(f"{number}/{mounts}", flush=True)

    try:
        done = drill.run(Store(make_home(place, os.geteuid())), rng, mounts, tell)
    finally:
        shutil.rmtree(place)
    deeds = ", ".join(f"{count} {deed}" for deed, count in sorted(done.deeds.items()))
    print(f"damage: {deeds}; {done.kills} daemons killed")
    print(
        f"seen {done.seen} sessions; {done.innocent} of an untouched log after damage to other "
        f"logs, all as they were; {done.lost} put aside"
    )
    print(f"{mounts} mounts in {time.monotonic() - began:.0f} s passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
