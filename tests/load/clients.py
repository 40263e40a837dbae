"""Many sessions of one template under load: one process each, until they are asked to stop."""

import contextlib
import os
import random
import sqlite3
from pathlib import Path

from support import mounts
from support.processes import Child


def work(talk, mount: mounts.Mount, key: str, number: int, seed: str):
    """Creates and discards sessions; in each, uses a database, files and names as tests do."""
    rng = random.Random(seed)
    talk.send("ready")
    rounds = 0
    while not talk._connection.poll():
        session = mount.new(key, f"c{number}-{rounds}")
        use_database(session / "app.db", rng)
        use_files(session, rng)
        with contextlib.suppress(OSError):
            (mount.point / ".mintfs/status.json").read_text()
            os.listdir(mount.sessions / key)
        session.rmdir()
        rounds += 1
    return rounds


def use_database(path: Path, rng):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"pragma journal_mode={rng.choice(('delete', 'wal', 'truncate'))}")
    db.execute(f"pragma mmap_size={rng.choice((0, 1 << 22))}")
    for i in range(rng.randint(1, 8)):
        db.execute("begin")
        db.execute("update t0 set blob=zeroblob(?) where id%7=?", (rng.randrange(3000), i % 7))
        db.execute("insert into t1(text, blob) values(?, zeroblob(5000))", (f"new {i}",))
        db.execute("commit" if rng.random() < 0.8 else "rollback")
    assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    db.close()


def use_files(session: Path, rng):
    folder = session / "folder"
    folder.mkdir()
    for i in range(5):
        (folder / f"f{i}").write_bytes(rng.randbytes(rng.randrange(20000)))
    os.rename(folder / "f0", session / "moved")
    os.link(session / "moved", folder / "linked")
    os.truncate(folder / "f1", 100)
    (folder / "f2").unlink()
    os.listdir(folder)


class Clients:
    def __init__(self, mount, key: str, count: int, rng):
        self.children = [
            Child(lambda talk, n=n, s=str(rng.random()): work(talk, mount, key, n, s))
            for n in range(count)
        ]
        for child in self.children:
            assert child.receive() == "ready"

    def stop(self) -> int:
        """Stops all clients; returns how many sessions they used."""
        for child in self.children:
            child.send("stop")
        return sum(child.end() for child in self.children)
