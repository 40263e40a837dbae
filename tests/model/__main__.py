"""usage: python -m model [SECONDS [MOUNT-OPTIONS]]: runs for SECONDS (default: 1200)."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from model import model
from support.basics import SEED, seeded
from support.stores import Store, make_home


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1200
    options = sys.argv[2].split(",") if len(sys.argv) > 2 else []
    place = Path(tempfile.mkdtemp(prefix="m-"))
    rng = seeded("model", SEED)
    bench = model.Bench(Store(make_home(place, os.geteuid())), place, options)
    try:
        model.run(bench, rng, seconds)
        bench.close()
    except model.Difference as failure:
        bench.abandon()
        print(failure)
    except BaseException:
        bench.abandon()
        raise
    else:
        print(f"{bench.sequences} sequences, {bench.calls} calls: no difference")
        return 0
    finally:
        shutil.rmtree(place)
    return 1


if __name__ == "__main__":
    sys.exit(main())
