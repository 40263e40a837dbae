"""Kill drills: a daemon, a client or a build gets SIGKILL at a random moment.

A client works on a database of a session with synchronous=FULL, and counts its commits in shared
memory. Afterwards the database must contain exactly these transactions, each of them whole, or one
more than was counted. Files that were synced have their bytes, and templates are unchanged. The
time of the next mount is measured, but not limited: on a busy machine it may exceed a second.
"""

import contextlib
import hashlib
import mmap
import os
import random
import signal
import sqlite3
import struct
import threading
import time
from pathlib import Path

from support import mounts
from support.basics import eventually, sha256
from support.processes import Child
from support.stores import Store

DAEMON_KINDS = ("idle", "transaction", "checkpoint", "copy", "publish", "names")
CLIENT_KINDS = ("transaction", "checkpoint", "copy", "vacuum")
TEMPLATE_ROWS = 20000
DEAD = ("removed a dead mount",)

MAKE_TEMPLATE = f"""
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("create table old(id integer primary key, bytes)")
db.executemany("insert into old values(?, ?)", ((i, bytes([i % 251]) * 400) for i in range({TEMPLATE_ROWS})))
db.execute("create table done(id integer primary key, rows)")
db.execute("create table new(id, row, bytes, digest)")
db.execute("create index new_id on new(id, row)")
db.commit()
"""


class Counts:
    """Numbers in shared memory, which outlive the process that writes them."""

    def __init__(self, count: int):
        self._shared = mmap.mmap(-1, 8 * count)

    def clear(self):
        self._shared[:] = bytes(len(self._shared))

    def __getitem__(self, i):
        return struct.unpack_from("q", self._shared, 8 * i)[0]

    def __setitem__(self, i, value):
        struct.pack_into("q", self._shared, 8 * i, value)


COMMITTED, SYNCED, STARTED, RAW = range(4)
RAW_WORDS = (4 << 20) // 8


def open_database(path: Path, journal_mode=None):
    db = sqlite3.connect(path, isolation_level=None, timeout=20)
    if journal_mode:
        found = db.execute(f"pragma journal_mode={journal_mode}").fetchone()[0]
        assert found == journal_mode, found
    db.execute("pragma synchronous=full")
    db.execute("pragma cache_size=20")  # so that changes spill into the file before the commit
    return db


def transact(db, number: int, rng: random.Random):
    rows = rng.randint(1, 12)
    db.execute("begin immediate")
    for row in range(rows):
        data = rng.randbytes(rng.choice((10, 300, 5000)))
        digest = hashlib.sha256(data).hexdigest()
        db.execute("insert into new values(?, ?, ?, ?)", (number, row, data, digest))
    # Changing pages of the template copies them; other pages are freed.
    start = rng.randrange(TEMPLATE_ROWS)
    db.execute("update old set bytes=zeroblob(400) where id between ? and ?", (start, start + 30))
    if rng.random() < 0.2:
        db.execute("delete from new where id=? - 40", (number,))
    db.execute("insert into done values(?, ?)", (number, rows))
    db.execute("commit")


def work(kind: str, session: Path, journal_mode: str, counts: Counts, seed: str):
    """The client: it works until it or its mount is killed."""
    rng = random.Random(seed)
    db = open_database(session / "app.db", journal_mode)
    number = counts[COMMITTED]
    counts[STARTED] = 1
    while True:
        if kind == "copy":
            copy_blocks(session, counts, rng)
        elif kind == "names":
            shuffle_names(session, rng)
        elif kind == "idle":
            signal.pause()
        else:
            number += 1
            transact(db, number, rng)
            counts[COMMITTED] = number
            if kind == "checkpoint" and journal_mode == "wal":
                db.execute(f"pragma wal_checkpoint({rng.choice(('passive', 'truncate'))})")
            elif kind == "vacuum" and number % 5 == 0:
                db.execute("vacuum")


def copy_blocks(session: Path, counts: Counts, rng: random.Random):
    """Changes bytes of a template's file in place, at random offsets."""
    turn = counts[SYNCED] + 1
    fd = os.open(session / "raw", os.O_RDWR)
    places = [rng.randrange(RAW_WORDS) for _ in range(rng.randint(1, 20))]
    for place in places:
        os.pwrite(fd, struct.pack("q", turn), place * 8)
    os.fsync(fd)
    os.close(fd)
    for place in places:
        counts[RAW + place] = turn
    counts[SYNCED] = turn


def shuffle_names(session: Path, rng: random.Random):
    names = [session / f"name-{i}" for i in range(6)]
    one, other = rng.sample(names, 2)
    with contextlib.suppress(FileNotFoundError, FileExistsError):
        rng.choice(
            (
                lambda: one.write_text(one.name),
                lambda: one.rename(other),
                one.unlink,
                lambda: os.link(one, other),
            )
        )()


class Drill:
    """A store with a template and a mount, over many rounds; the state of its one session."""

    def __init__(self, store: Store, rng: random.Random):
        self.store, self.rng = store, rng
        self.point = store.home / "mnt"
        maker = store.home / "make.py"
        maker.write_text(MAKE_TEMPLATE)
        script = (
            f'/usr/bin/python3 "{maker}" app.db; dd if=/dev/zero of=raw bs=1M count=4 status=none'
        )
        self.key = store.build_tree(script, name="app")
        self.hashes = self._hashes(self.key)
        self.counts = Counts(RAW + RAW_WORDS)
        self.sessions = 0
        self.mount = self._mount()
        self.session = None
        self.published = set()
        self.mount_seconds = []
        self.rounds = 0

    def _hashes(self, key) -> dict:
        files = self.store.path / "v1/templates" / key / "files"
        return {path.name: sha256(path) for path in sorted(files.iterdir())}

    def _mount(self) -> mounts.Mount:
        options = self.rng.choice(((), ("strict",), ("no_io_uring",)))
        self.strict = "strict" in options
        return mounts.Mount(self.store, self.point, *options)

    def _renew_session(self):
        """Keeps a session for some rounds, so that its earlier changes can be lost, too."""
        if self.session and self.rng.random() < 0.85:
            return
        if self.session:
            self.session.rmdir()
        self.sessions += 1
        self.session = self.mount.new(self.key, f"s{self.sessions}")
        self.counts.clear()

    def _start_client(self, kind: str) -> Child:
        self.counts[STARTED] = 0
        seed = str(self.rng.random())
        mode = self.rng.choice(("delete", "truncate", "persist", "wal"))
        if kind == "checkpoint":
            mode = "wal"
        client = Child(lambda _: work(kind, self.session, mode, self.counts, seed))
        eventually(lambda: self.counts[STARTED], f"the client ({kind}, {mode})")
        return client

    def _promised(self) -> tuple:
        """
        The numbers of commits and syncs so far. With cached writes, the kernel may report success
        for an fsync after the daemon's death, because it does not send FSYNC as a request.
        """
        return self.counts[COMMITTED], self.counts[SYNCED]

    def _let_it_run(self):
        threading.Event().wait(self.rng.random() ** 2 * 0.2)  # the moment is random; there is no condition to wait for

    def kill_daemon(self, kind: str):
        self._renew_session()
        if kind == "publish":
            self._kill_publisher()
            return
        client = self._start_client(kind)
        self._let_it_run()
        before = self._promised()
        self.mount.process.kill()
        if kind == "idle":
            client.kill()
        else:
            with contextlib.suppress(Exception):
                client.end(20)  # its calls fail, since the mount is dead; none hangs
        self.mount.process.communicate()
        mounts.live_daemons.discard(self.mount.pid)
        strict = self.strict
        began = time.monotonic()
        self.mount = self._mount()
        self.mount_seconds.append(time.monotonic() - began)
        self.check(self._promised() if strict else before)

    def kill_client(self, kind: str):
        self._renew_session()
        client = self._start_client(kind)
        self._let_it_run()
        client.kill()
        self.check(self._promised())

    def _kill_publisher(self):
        salt = f"--salt={self.rng.random()}"
        words = ("build", salt, "--", "sh", "-c", f'/usr/bin/python3 "{self.store.home}/make.py" "$0"')
        builder = self.store.start(*words, "{out}", start_new_session=True)
        threading.Event().wait(self.rng.random() * 0.35)
        # The builder too, or only mintfs: then it ends with its parent.
        builder.kill()
        builder.communicate()
        known = {path.name for path in (self.store.path / "v1/templates").iterdir()}
        built = self.store.run(*words, "{out}").stdout.strip()
        shown = self.mount.templates / built / "app.db"
        db = sqlite3.connect(f"file:{shown}?mode=ro", uri=True)
        assert db.execute("select count(*) from old").fetchone() == (TEMPLATE_ROWS,)
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        db.close()
        assert known - {built, self.key} == self.published - {built}, "half a template"
        self.published.add(built)
        assert list((self.store.path / "v1/building").iterdir()) == []

    def check(self, promised: tuple):
        self.rounds += 1
        assert self._hashes(self.key) == self.hashes
        assert sha256(self.mount.templates / self.key / "app.db") == self.hashes["app.db"]
        self._check_database(promised[0])
        self._check_raw(promised[1])
        for path in self.session.glob("name-*"):
            assert path.read_text() in ("", *(f"name-{i}" for i in range(6)))

    def _check_database(self, committed: int):
        db = open_database(self.session / "app.db")
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
        done = dict(db.execute("select id, rows from done order by id"))
        assert list(done) == list(range(1, len(done) + 1))
        assert committed <= len(done) <= self.counts[COMMITTED] + 1, (committed, len(done))
        found = {}
        for number, row, data, digest in db.execute("select * from new order by id, row"):
            assert hashlib.sha256(data).hexdigest() == digest
            found.setdefault(number, []).append(row)
        for number, rows in found.items():
            assert rows == list(range(done[number])), f"transaction {number} is half there"
        assert db.execute("select count(*), sum(length(bytes)) from old").fetchone() == (
            TEMPLATE_ROWS,
            TEMPLATE_ROWS * 400,
        )
        db.close()
        self.counts[COMMITTED] = len(done)

    def _check_raw(self, synced: int):
        """Synced words have their values; each other word has its old or its new value."""
        latest = self.counts[SYNCED] + 1
        found = struct.unpack(f"{RAW_WORDS}q", (self.session / "raw").read_bytes())
        for place, turn in enumerate(found):
            counted = self.counts[RAW + place]
            if turn != counted:
                assert counted > synced or synced < turn <= latest, (place, turn, counted, synced)
                self.counts[RAW + place] = turn
        self.counts[SYNCED] = latest

    def close(self):
        """Stops the daemon, which must leave no mount, process or temporary file behind."""
        if self.session:
            self.session.rmdir()
        self.mount.process.send_signal(signal.SIGTERM)
        out, err = self.mount.process.communicate(timeout=300)
        mounts.live_daemons.discard(self.mount.pid)
        assert (self.mount.process.returncode, out) == (0, ""), err
        lines = [line for line in err.splitlines() if not any(word in line for word in DEAD)]
        assert lines == [], lines
        assert not self.mount.is_mounted()
        assert self.store.leftovers() == []


def run(store: Store, rng: random.Random, daemon_kills: int, client_kills: int, report=None) -> Drill:
    drill = Drill(store, rng)
    try:
        for i in range(daemon_kills + client_kills):
            of_daemon = i < daemon_kills
            kinds = DAEMON_KINDS if of_daemon else CLIENT_KINDS
            kind = kinds[i % len(kinds)]
            try:
                (drill.kill_daemon if of_daemon else drill.kill_client)(kind)
            except BaseException as failure:
                failure.add_note(f"round {i}: {'daemon' if of_daemon else 'client'}, {kind}")
                raise
            if report:
                report(i + 1, "daemon" if of_daemon else "client", kind)
        drill.close()
    except BaseException:
        drill.mount.process.kill()
        drill.mount.process.communicate()
        mounts.live_daemons.discard(drill.mount.pid)
        if drill.mount.is_mounted():
            mounts.unmount_lazily(drill.point)
        raise
    return drill
