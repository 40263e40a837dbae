"""Runs in each container: starts, ends and kills owners of sessions, and runs other commands.

usage: worker.py LOG SEED SECONDS KEY     with MINTFS_* and PATH as for the command

Each owner is a process that writes to its database and checks it again and again. A session that an
owner finds lost, and the end of each session, is a line of JSON in LOG.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import mintfs

LOG, SEED, SECONDS, KEY = sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4]
OWNERS_MAX = 6


def note(event: str, **what):
    line = json.dumps({"event": event, "time": time.time(), **what}) + "\n"
    fd = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line.encode())
    os.close(fd)


def command(*words, check=True) -> str:
    done = subprocess.run(["mintfs", *words], capture_output=True, text=True)
    if check and done.returncode:
        note("failed", words=words, stderr=done.stderr)
    return done.stdout.strip()


# ---- an owner ----


class PythonSession:
    kind = "python"

    def __init__(self):
        self.database = mintfs.database(KEY)
        self.path = str(self.database.directory)
        self.reset = self.database.reset
        self.close = self.database.close


class CommandSession:
    """As a shell script creates it: no lock shows other containers that its owner lives."""

    kind = "command"

    def __init__(self):
        self.path = command("session", "new", f"--owner={os.getpid()}", KEY)

    def reset(self):
        command("session", "reset", self.path)

    def close(self):
        command("session", "rm", self.path)


class MkdirSession:
    kind = "mkdir"

    def __init__(self):
        name = f"{os.urandom(6).hex()}.pid-{os.getpid()}"
        self.path = os.path.join(os.environ["MINTFS_MOUNT"], "sessions", KEY, name)
        os.mkdir(self.path, 0o700)

    def reset(self):
        fresh = f"{self.path}.new"
        os.mkdir(fresh, 0o700)
        os.rename(fresh, self.path)

    def close(self):
        os.rmdir(self.path)


def own(rng: random.Random, orders: int):
    kinds = [PythonSession, PythonSession, CommandSession]
    if os.environ["MINTFS_BACKEND"] == "fuse":
        kinds.append(MkdirSession)
    session = rng.choice(kinds)()
    if not session.path:
        return
    note("made", path=session.path, kind=session.kind, pid=os.getpid())
    try:
        rounds = work(session, rng, orders)
    except Exception as error:
        note("lost", path=session.path, kind=session.kind, error=repr(error))
        return
    note("closing", path=session.path, rounds=rounds)
    session.close()


def work(session, rng: random.Random, orders: int) -> int:
    mark, rows, rounds = os.urandom(8), 0, 0
    os.set_blocking(orders, False)
    while True:
        with closing(sqlite3.connect(f"file:{session.path}/app.db?mode=rw", uri=True)) as db, db:
            db.execute("INSERT INTO marks VALUES(?)", (mark,))
            rows += 1
            (found,) = db.execute("SELECT count(*) FROM marks WHERE mark = ?", (mark,)).fetchone()
            (total,) = db.execute("SELECT count(*) FROM marks").fetchone()
        if (found, total) != (rows, rows):
            raise AssertionError(f"{found} of {rows} rows, {total} in all")
        rounds += 1
        if rng.random() < 0.05:
            session.reset()
            rows = 0
        time.sleep(rng.uniform(0.02, 0.3))
        try:
            if os.read(orders, 1) == b"":
                return rounds
        except BlockingIOError:
            pass


# ---- starting and ending owners ----


class Owners:
    def __init__(self, rng: random.Random):
        self.rng = rng
        self.orders = {}  # {PID: a pipe; closing it asks the owner to end properly}

    def start(self):
        end, orders = os.pipe()
        seed = self.rng.random()
        pid = os.fork()
        if pid == 0:
            os.close(orders)
            for other in self.orders.values():
                os.close(other)
            try:
                own(random.Random(seed), end)
                sys.stdout.flush()
            except BaseException as error:
                note("failed", words=["owner"], error=repr(error))
            finally:
                mintfs._database.close_all()
                os._exit(0)
        os.close(end)
        self.orders[pid] = orders

    def end(self, pid: int, by_force: bool):
        os.close(self.orders.pop(pid))
        if by_force:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        note("killed" if by_force else "ended", pid=pid)

    def change(self):
        if len(self.orders) < self.rng.randrange(1, OWNERS_MAX + 1):
            self.start()
        elif self.orders:
            self.end(self.rng.choice(list(self.orders)), self.rng.random() < 0.6)


def kill_a_command(rng: random.Random):
    words = rng.choice([["session", "new", "--ttl=1s", KEY], ["gc"], ["session", "ls"]])
    process = subprocess.Popen(
        ["mintfs", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(rng.uniform(0, 0.01))
    process.kill()
    process.wait()


def build(rng: random.Random):
    salt = str(rng.randrange(4))
    made = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('create table t(a)')"
    command("build", "--salt", salt, "-n", f"other{salt}", "--", "python3", "-c", made, "{out}")


def leave_one_with_a_time():
    path = command("session", "new", "--ttl=3s", KEY)
    if path:
        note("timed", path=path)


def main():
    rng = random.Random(SEED)
    owners = Owners(rng)
    end = time.monotonic() + SECONDS
    acts = [
        (10, owners.change),
        (3, lambda: command("session", "ls")),
        (1, lambda: command("gc")),
        (1, lambda: build(rng)),
        (1, leave_one_with_a_time),
        (2, lambda: kill_a_command(rng)),
    ]
    weights = [weight for weight, _ in acts]
    while time.monotonic() < end:
        rng.choices([act for _, act in acts], weights)[0]()
        time.sleep(rng.uniform(0, 0.1))
    for pid in list(owners.orders):
        owners.end(pid, rng.random() < 0.5)
    note("done")


main()
