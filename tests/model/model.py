"""Runs sequences of calls on both sides, and shortens those that fail."""

import shutil
import time
from pathlib import Path

from model.calls import Side, random_call
from support import mounts
from support.stores import Store

TEMPLATE = """
mkdir -p tree/deep
head -c 50000 /dev/urandom >app.db
head -c 9000 /dev/urandom >tree/one
head -c 4096 /dev/urandom >tree/deep/two
ln -s one tree/link
ln app.db tree/hard
"""
DEAD = ("removed a dead mount",)
# Between calls of a sequence: compare the trees, unmount and mount again, or kill the daemon.
COMPARE, REMOUNT, KILL = ("compare",), ("remount",), ("kill",)


class Difference(AssertionError):
    pass


class Bench:
    """A mount, with a new session and a new plain directory for each sequence."""

    def __init__(self, store: Store, plain: Path, options=()):
        self.store, self.options = store, options
        self.plain_parent = plain
        self.key = store.build_tree(TEMPLATE, name="tree")
        self.mount = mounts.Mount(store, store.home / "mnt", *options)
        self.calls = self.sequences = 0

    def _begin(self):
        self.sequences += 1
        self.session = self.mount.new(self.key, f"s{self.sequences}")
        plain = self.plain_parent / f"p{self.sequences}"
        files = self.store.path / "v1/templates" / self.key / "files"
        shutil.copytree(files, plain, symlinks=True)
        # Modes as a session shows them, with u+w.
        ours, theirs = Side(self.session), Side(plain)
        plain.chmod(0o700)
        for path in sorted(plain.rglob("*")):
            if not path.is_symlink():
                path.chmod((self.session / path.relative_to(plain)).stat().st_mode & 0o7777)
        return ours, theirs

    def run(self, calls):
        """Raises Difference if the results differ, with the number of the call in its text."""
        ours, theirs = self._begin()
        try:
            for number, call in enumerate(calls):
                self.calls += 1
                if call in (COMPARE, REMOUNT, KILL):
                    self._pause(call, ours, theirs)
                    continue
                mine, its = ours.do(call), theirs.do(call)
                if mine != its:
                    raise Difference(f"call {number}, {call}: {short(mine)}, not {short(its)}")
            self._pause(COMPARE, ours, theirs)
        finally:
            ours.close_all()
            theirs.close_all()
            shutil.rmtree(theirs.root)
            self.session.rmdir()

    def _pause(self, call, ours, theirs):
        if call != COMPARE:
            ours.close_all()
            theirs.close_all()
            if call == KILL:
                ours.sync()
                theirs.sync()
                self.mount.process.kill()
                self._end(-9)
            else:
                self.mount.process.terminate()
                self._end()
            self.mount = mounts.Mount(self.store, self.mount.point, *self.options)
        compare(ours.tree(), theirs.tree(), call)
        ours.check_holes()

    def _end(self, status=0):
        out, err = self.mount.process.communicate(timeout=300)
        mounts.live_daemons.discard(self.mount.pid)
        lines = [line for line in err.splitlines() if not any(word in line for word in DEAD)]
        assert (self.mount.process.returncode, out, lines) == (status, "", []), err

    def close(self):
        self.mount.process.terminate()
        self._end()
        assert not self.mount.is_mounted()
        assert self.store.leftovers() == []

    def abandon(self):
        self.mount.process.kill()
        self.mount.process.communicate()
        mounts.live_daemons.discard(self.mount.pid)
        if self.mount.is_mounted():
            mounts.unmount_lazily(self.mount.point)


def short(value) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:120]}... ({len(text)})"


def compare(ours: dict, theirs: dict, when):
    if ours == theirs:
        return
    lines = [f"trees differ at {when}"]
    for name in sorted(ours.keys() | theirs.keys()):
        mine, its = ours.get(name), theirs.get(name)
        if mine == its:
            continue
        if mine is None or its is None:
            lines.append(f"{name}: only on the {'disk' if mine is None else 'mount'}")
            continue
        for word in mine.keys() | its.keys():
            if mine.get(word) != its.get(word):
                lines.append(f"{name}: {word}: {difference(mine.get(word), its.get(word))}")
    raise Difference("\n".join(lines))


def difference(mine, its) -> str:
    if not isinstance(mine, bytes) or not isinstance(its, bytes):
        return f"{short(mine)}, not {short(its)}"
    places = [i for i, pair in enumerate(zip(mine, its)) if pair[0] != pair[1]]
    where = f"at {places[0]} to {places[-1]}, {len(places)} bytes" if places else "in length"
    return f"{len(mine)} bytes, not {len(its)}; differ {where}"


def random_sequence(rng) -> list:
    length = rng.choice((60, 200, 200, 500, 2500))
    calls = []
    for _ in range(length):
        kind = rng.random()
        if kind < 0.02:
            calls.append(COMPARE)
        elif kind < 0.024:
            calls.append(rng.choice((REMOUNT, KILL)))
        else:
            calls.append(random_call(rng))
    return calls


def shrink(bench: Bench, calls: list, failure: Difference, seconds: float):
    """Leaves out calls that the difference does not need, larger parts first, for that time."""
    end = time.monotonic() + seconds
    part = len(calls) // 2
    while part >= 1 and time.monotonic() < end:
        at = 0
        while at < len(calls) and time.monotonic() < end:
            fewer = calls[:at] + calls[at + part :]
            try:
                bench.run(fewer)
                at += part
            except Difference as still:
                calls, failure = fewer, still
        part //= 2
    return calls, failure


def run(bench: Bench, rng, seconds: float):
    """Runs random sequences for that time. The first difference ends it, and is shortened."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        calls = random_sequence(rng)
        try:
            bench.run(calls)
        except Difference as failure:
            calls, failure = shrink(bench, calls, failure, 60)
            listed = "\n".join(f"    {call}" for call in calls)
            raise Difference(f"{failure}\nafter:\n{listed}") from None
