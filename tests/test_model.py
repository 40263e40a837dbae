"""Random calls on a session and on a plain directory; `scripts/soak model` does it for longer."""

import pytest
from model import model

from support.basics import SEED, seeded

SECONDS = 15  # for each mount, in each of CI's ways of building


@pytest.mark.parametrize("options", [(), ("strict",)], ids=["cached", "strict"])
def test_model(fuse, store, place, options):
    bench = model.Bench(store, place, options)
    try:
        model.run(bench, seeded("model", SEED, *options), SECONDS)
        bench.close()
    except BaseException:
        bench.abandon()
        raise
    print(f"{bench.sequences} sequences, {bench.calls} calls")
    assert bench.calls > 100
