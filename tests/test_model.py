"""Random calls on a session and on a plain directory; `scripts/soak model` makes longer runs."""

import pytest
from model import model

from support.basics import SEED, seeded

SECONDS = 15  # for each kind of mount


@pytest.mark.parametrize("options", [(), ("strict",)], ids=["cached", "strict"])
def test_a_session_answers_as_a_plain_directory(fuse, store, place, options):
    bench = model.Bench(store, place, options)
    try:
        model.run(bench, seeded("model", SEED, *options), SECONDS)
        bench.close()
    except BaseException:
        bench.abandon()
        raise
    print(f"{bench.sequences} sequences, {bench.calls} calls")
    assert bench.calls > 100
