"""usage: python -m crash [N]: N kills of the daemon and N of a client, 200 if not said."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from crash import drill
from support.basics import SEED, seeded
from support.stores import Store, make_home


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    place = Path(tempfile.mkdtemp(prefix="m-"))
    rng = seeded("drill", SEED)

    def tell(number, whom, kind):
        if number % 10 == 0 or sys.stdout.isatty():
            print(f"{number}/{2 * count}: {whom}, {kind}", flush=True)

    try:
        done = drill.run(Store(make_home(place, os.geteuid())), rng, count, count, tell)
    finally:
        shutil.rmtree(place)
    print(f"{done.sessions} sessions; the slowest mount after a kill took {done.slowest:.3f} s")
    print(f"{2 * count} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
