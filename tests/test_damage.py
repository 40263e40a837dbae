"""A damaged scratch never shows one session's bytes in another; scripts/damage-drill does more."""

from damage import drill
from support.basics import SEED, fewer, seeded


def test_damage_between_mounts_stays_within_its_session(fuse, store):
    drill.run(store, seeded("damage", SEED), fewer(20))
