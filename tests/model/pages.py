"""usage: python -m model.pages [ROUNDS [MIB]]: the same statements in a session and on the disk.

They run on a large, memory-mapped template in WAL or rollback mode, with VACUUM, checkpoints, and
pages of the file dropped from memory in between. After each round every page is compared.
"""

import os
import shutil
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from support import mounts
from support.basics import SEED, seeded
from support.stores import Store, make_home

PAGE = 4096
MAKE = """
import random, sqlite3, sys
rng = random.Random(1)
db = sqlite3.connect(sys.argv[1])
db.execute("create table t(id integer primary key, k, bytes)")
db.execute("create index t_k on t(k)")
rows = int(sys.argv[2]) << 10
db.executemany(
    "insert into t values(?, ?, ?)", ((i, rng.random(), rng.randbytes(950)) for i in range(rows))
)
db.commit()
"""


def statements(rng, rows: int) -> list:
    """SQL that gives the same result wherever it runs."""
    made = []
    for _ in range(rng.randint(3, 25)):
        at, size = rng.randrange(rows), rng.randint(1, 400)
        made.append(
            rng.choice(
                (
                    f"update t set bytes = zeroblob(950) where id between {at} and {at + size}",
                    f"update t set k = k + 1 where id between {at} and {at + size}",
                    f"delete from t where id between {at} and {at + size}",
                    f"insert or replace into t select id + {at}, k, bytes from t where id < {size}",
                    "savepoint a; update t set k = 0 where id < 3000; rollback to a; release a",
                    "pragma wal_checkpoint(truncate)",
                    "pragma wal_checkpoint(passive)",
                )
            )
        )
    if rng.random() < 0.15:
        made.append("vacuum")
    return made


def open_database(path: Path, journal_mode: str):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"pragma journal_mode={journal_mode}")
    db.execute("pragma mmap_size=300000000")
    db.execute("pragma cache_size=-1000")
    db.execute("pragma synchronous=normal")
    return db


def drop_pages(path: Path, rng):
    """Memory pressure on one file: its pages are written out and dropped."""
    fd = os.open(path, os.O_RDWR)
    if rng.random() < 0.5:
        os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def drop_all_caches(rng):
    """Memory pressure on the whole machine, if we are root: all caches are dropped."""
    if os.geteuid() == 0 and rng.random() < 0.2:
        Path("/proc/sys/vm/drop_caches").write_text("3")


def first_difference(ours: Path, theirs: Path):
    with open(ours, "rb") as mine, open(theirs, "rb") as its:
        number = 0
        while True:
            left, right = mine.read(256 * PAGE), its.read(256 * PAGE)
            if left != right:
                for i in range(0, max(len(left), len(right)), PAGE):
                    if left[i : i + PAGE] != right[i : i + PAGE]:
                        return number + i // PAGE
            if not left:
                return None
            number += 256


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    size_mib = int(sys.argv[2]) if len(sys.argv) > 2 else 110
    rng = seeded("pages", SEED)
    place = Path(tempfile.mkdtemp(prefix="m-"))
    store = Store(make_home(place, os.geteuid()))
    maker = place / "make.py"
    maker.write_text(MAKE)
    key = store.build("/usr/bin/python3", str(maker), "{out}", size_mib, options=["--file", "app.db"])
    mount = mounts.Mount(store, place / "mnt")
    print(f"template: {store.template(key).stat().st_size >> 20} MiB", flush=True)
    began, compared, session = time.monotonic(), 0, None
    try:
        for number in range(rounds):
            if number % 10 == 0:
                if session:
                    session.rmdir()
                session = mount.new(key, f"s{number}")
                paths = (session / "app.db", place / "plain.db")
                shutil.copy(store.template(key), paths[1])
                paths[1].chmod(0o600)
            mode = rng.choice(("wal", "wal", "delete", "truncate"))
            todo = statements(rng, size_mib << 10)
            for path in paths:
                db = open_database(path, mode)
                for sql in todo:
                    for part in sql.split(";"):
                        if mode == "wal" or "checkpoint" not in part:
                            db.execute(part).fetchall()
                    if rng.random() < 0.1 and path == paths[0]:
                        drop_pages(path, rng)
                db.execute("pragma wal_checkpoint(truncate)")
                db.close()
            drop_all_caches(rng)
            drop_pages(paths[0], rng)
            page = first_difference(*paths)
            assert page is None, f"round {number}: page {page} differs after {todo}"
            compared += paths[1].stat().st_size // PAGE
            if number % 10 == 9:
                print(f"{number + 1} rounds, {compared} pages compared", flush=True)
        session.rmdir()
        mount.stop()
    except BaseException:
        mount.process.kill()
        mount.process.communicate()
        mounts.unmount_lazily(mount.point)
        raise
    finally:
        shutil.rmtree(place)
    print(f"{rounds} rounds, {compared} pages: no difference; {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
