"""The damage drill: the files of a scratch are damaged between two mounts.

Sessions write units that contain the token of their session. Between two mounts, after a clean stop
or SIGKILL, the logs, the storage file and the table of owners get flipped bits, are truncated,
swapped, duplicated, or replaced by older copies of themselves. Every mount must start, no session
may show a unit of another, and a session is unchanged if only the logs of others were damaged.
tests/unit/test_overlay_drill.c does the same without mounts, many times faster.
"""

import collections
import contextlib
import errno
import hashlib
import os
import random
import signal
import struct
from pathlib import Path

from support import mounts
from support.basics import PATIENCE_SECONDS
from support.stores import Store

MAGIC = b"a unit! "
UNIT = 16
FILE_UNITS = 3000
IDS = [f"s{i}" for i in range(6)]
FILES = ("f0", "f1", "f2", "raw")
BLOCK = 4096
ENTRY = 24  # of the table of owners
SNAPSHOTS = 4


class Seen:
    def __init__(self, token: int, digest: str, failed: bool):
        self.token, self.digest, self.failed = token, digest, failed


class Drill:
    def __init__(self, store: Store, rng: random.Random):
        self.store, self.rng = store, rng
        self.point = store.home / "mnt"
        self.scratch = store.path / "v1/sessions"
        self.key = store.build_tree("head -c 100000 /dev/zero > raw", name="app")
        self.mount = mounts.Mount(store, self.point)
        self.tokens = 0
        self.old = [None] * SNAPSHOTS
        self.damaged = set()
        self.kinds = collections.Counter()
        self.kills = self.seen = self.intact = self.lost = 0

    # ---- work ----

    def _sessions(self) -> dict:
        """{log name: path}. The name is the serial, the upper half of the inode number."""
        folder = self.mount.sessions / self.key
        return {f"{path.stat().st_ino >> 32:016x}": path for path in sorted(folder.iterdir())}

    def _make(self, name: str) -> Path:
        self.tokens += 1
        path = self.mount.new(self.key, name)
        (path / f"token-{self.tokens}").touch()
        return path

    @staticmethod
    def _token(path: Path) -> int:
        """The session's token, which only its log contains; 0 if the log was cut before it."""
        return int(next((f.name for f in path.glob("token-*")), "token-0")[6:])

    def _work_on(self, path: Path):
        token = self._token(path)
        place = path / self.rng.choice(FILES)
        kind = self.rng.random()
        if not token:
            return
        if kind < 0.15:
            place.unlink(missing_ok=True)
            return
        fd = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if kind < 0.3:
                os.ftruncate(fd, self.rng.randrange(FILE_UNITS) * UNIT)
            else:
                first = self.rng.randrange(FILE_UNITS)
                count = self.rng.randint(1, 300)
                os.pwrite(fd, (MAGIC + struct.pack("q", token)) * count, first * UNIT)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _work(self):
        for _ in range(self.rng.randrange(40)):
            path = self.mount.sessions / self.key / self.rng.choice(IDS)
            kind = self.rng.random()
            if not path.exists():
                self._make(path.name)
            elif kind < 0.04:
                path.rmdir()
            elif kind < 0.08:
                self._make("fresh").rename(path)
            else:
                with contextlib.suppress(OSError):
                    self._work_on(path)

    # ---- checks ----

    def _look_at(self, path: Path) -> Seen:
        token = self._token(path)
        digest = hashlib.sha256()
        failed = False
        for name in FILES:
            digest.update(name.encode())
            try:
                data = (path / name).read_bytes()
            except FileNotFoundError:
                continue
            except OSError as error:
                assert error.errno == errno.EIO, error
                failed = True
                continue
            digest.update(data)
            for at in range(0, len(data) - UNIT + 1, UNIT):
                if data[at : at + 8] == MAGIC and token:
                    found = struct.unpack_from("q", data, at + 8)[0]
                    assert found == token, f"{path.name}/{name} of {token} shows {found} at {at}"
        return Seen(token, digest.hexdigest(), failed)

    def _look(self) -> dict:
        seen = {name: self._look_at(path) for name, path in self._sessions().items()}
        self.seen += len(seen)
        return seen

    def _check_intact(self, before: dict, after: dict):
        self.lost += len(before.keys() - after.keys())
        if self.damaged & {"blocks", "owners"}:
            return
        for name, was in before.items():
            if name in self.damaged or was.failed or not was.token:
                continue
            assert name in after, f"the session of {name} is gone; damaged: {self.damaged}"
            assert (after[name].digest, after[name].failed) == (was.digest, False), name
            self.intact += bool(self.damaged)

    # ---- damage ----

    def _path(self, name: str) -> Path:
        return self.scratch / (name if name in ("blocks", "owners") else f"logs/{name}")

    def _logs(self) -> list:
        return sorted(path.name for path in (self.scratch / "logs").iterdir() if len(path.name) == 16)

    def _snapshot(self) -> dict:
        return {name: self._path(name).read_bytes() for name in ("blocks", "owners", *self._logs())}

    def _put(self, name: str, data: bytes):
        self.damaged.add(name)
        self._path(name).write_bytes(data)

    def _flip(self, name: str, data: bytearray):
        at = self.rng.randrange(len(data)) if data else 3
        if at != 3:  # part of the version of a log: another version is rightly refused
            data[at] ^= 1 << self.rng.randrange(8)
            self._put(name, data)

    def _cut(self, name: str, data: bytearray):
        self._put(name, data[: self.rng.randrange(len(data) + 1)])

    def _swap(self, name: str, data: bytearray, twice=False):
        """Swaps two logs or two blocks of a file; with `twice`, copies one over the other."""
        if name not in ("blocks", "owners"):
            other = self.rng.choice(self._logs())
            if not twice:
                self._put(name, self._path(other).read_bytes())
            self._put(other, data)
            return
        size = BLOCK if name == "blocks" else ENTRY
        if len(data) >= 2 * size:
            a, b = (self.rng.randrange(len(data) // size) * size for _ in range(2))
            first, second = data[a : a + size], data[b : b + size]
            data[a : a + size] = second
            if not twice:
                data[b : b + size] = first
            self._put(name, data)

    def _double(self, name: str, data: bytearray):
        if name in ("blocks", "owners") or self.rng.random() < 0.5:
            self._swap(name, data, twice=True)
        else:
            self._put(f"{900000 + self.rng.randrange(1000):016x}", data)

    def _replay(self, name: str, data: bytearray):
        old = self.rng.choice(self.old) or {name: data}
        name = name if name in old and self.rng.random() < 0.5 else self.rng.choice(sorted(old))
        self._put(name, old[name])

    def _damage(self):
        logs = self._logs()
        names = logs if logs and self.rng.random() < 0.6 else ["blocks", "owners"]
        name = self.rng.choice(names)
        kind = self.rng.choice((self._flip, self._cut, self._swap, self._double, self._replay, self._replay))
        self.kinds[f"{kind.__name__[1:]} ({'log' if names is logs else name})"] += 1
        kind(name, bytearray(self._path(name).read_bytes()))

    # ---- rounds ----

    def _end(self):
        """Ends the daemon by SIGTERM or SIGKILL. Everything that it was sent is in its files."""
        kill = self.rng.random() < 0.3
        self.kills += kill
        self.mount.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        self.mount.process.communicate(timeout=PATIENCE_SECONDS)
        mounts.live_daemons.discard(self.mount.pid)
        assert kill or self.mount.process.returncode == 0
        assert kill or not self.mount.is_mounted()

    def _tidy(self):
        """Removes sessions and logs that exist only because of damage."""
        for path in self._sessions().values():
            if path.name not in IDS or not self._token(path):
                path.rmdir()
        for path in (self.scratch / "logs").glob("*.damaged"):
            path.unlink()

    def round(self):
        self._work()
        before = self._look()
        self.damaged = set()
        self._end()
        if self.rng.random() < 0.5:
            self.old[self.rng.randrange(SNAPSHOTS)] = self._snapshot()
        for _ in range(self.rng.randrange(4)):
            self._damage()
        self.mount = mounts.Mount(self.store, self.point)
        self._check_intact(before, self._look())
        self._tidy()


def run(store: Store, rng: random.Random, rounds: int, report=None) -> Drill:
    drill = Drill(store, rng)
    try:
        for i in range(rounds):
            try:
                drill.round()
            except BaseException as failure:
                failure.add_note(f"round {i}; damaged: {sorted(drill.damaged)}")
                raise
            if report:
                report(i + 1)
        drill.mount.process.send_signal(signal.SIGTERM)
        drill.mount.process.communicate(timeout=PATIENCE_SECONDS)
        assert drill.mount.process.returncode == 0
    finally:
        mounts.live_daemons.discard(drill.mount.pid)
        if drill.mount.process.poll() is None:
            drill.mount.process.kill()
            drill.mount.process.communicate()
        if drill.mount.is_mounted():
            mounts.unmount_lazily(drill.point)
    return drill
