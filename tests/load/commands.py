"""usage: python -m load.commands [COMMANDS [WORKERS]]: mixed commands on one store, all at once.

Each worker runs random commands: builds, sessions on any backend, mounts, gc, clean and others.
Each must end with a status that its message explains, a session has its own bytes for as long as it
exists, and at the end nothing is left that does not belong to a store that is not in use.
"""

import collections
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from support import mounts
from support.basics import SEED, PATIENCE_SECONDS, eventually, seeded
from support.stores import Store, make_home

# What a worker does, with weights. `clean` is rare, or the others would find nothing.
KINDS = {
    "build": 14, "new": 26, "rm": 14, "reset": 4, "mkdir": 5, "rmdir": 3,
    "mount": 7, "replace": 2, "umount": 5, "ls": 4, "session ls": 4, "show": 2, "gc": 3,
    "verify": 2, "evict": 2, "pin": 2, "stats": 1, "name": 1, "clean": 1.5,
}

ROUND = 50

# Status 1 is a failure, which is accepted only if another worker's command explains it.
RACES = (
    r"is about to end",
    r"Transport endpoint",  # the mount ended under a command that used it
    r"Cannot send after transport endpoint shutdown",
    r"has been removed",
    r"Stale file handle",
)


class Wrong(AssertionError):
    """A command did what it must not do; the text is its output."""


class Worker:
    def __init__(self, drill, number: int):
        self.drill, self.number = drill, number
        self.rng = random.Random(f"{drill.rng.random()}")
        self.sessions = {}  # {path: the token in it}

    def run_one(self, turn: int, kinds: list):
        kind = self.rng.choices(kinds, weights=[KINDS[kind] for kind in kinds])[0]
        method = getattr(self, f"do_{kind.replace(' ', '_')}", None)
        if method:
            method(f"w{self.number}-{turn}")
        else:
            self.drill.command(*self._words(kind))

    def _words(self, kind: str) -> list:
        template = self.rng.choice(self.drill.names)
        return {
            "mount": ["mount"],
            "replace": ["mount", "--replace"],
            "umount": ["umount"],
            "ls": ["ls", "--json"],
            "session ls": ["session", "ls", "--json"],
            "show": ["show", template],
            "gc": ["gc"],
            "verify": ["verify", "-a"],
            "evict": ["evict", template],
            "pin": [self.rng.choice(["pin", "unpin"]), template],
            "stats": ["stats"],
            "name": ["name", f"also-{self.number}", template],
            "clean": ["clean", "--yes"],
        }[kind]

    def do_build(self, token):
        self.drill.build(self.rng.choice(self.drill.names))

    def do_new(self, token):
        backend = self.rng.choice(["auto", "copy", "fuse"])
        done = self.drill.command(
            "session", "new", self.rng.choice(self.drill.names), token, "--ttl", "1h",
            env={"MINTFS_BACKEND": backend},
        )
        if done.returncode == 0:
            self._own(Path(done.stdout.strip()), token)

    def do_mkdir(self, token):
        key = self.drill.keys.get(self.rng.choice(self.drill.names))
        path = self.drill.point / "sessions" / str(key) / token
        try:
            path.mkdir()
        except OSError:
            return  # not mounted, not built, or both are about to change
        self._own(path, token)

    def _own(self, path: Path, token: str):
        """Writes the session's own bytes, unless the mount or the store is removed meanwhile."""
        try:
            (path / "token").write_text(token)
        except OSError:
            return
        self.sessions[path] = token
        self._check(path)

    def _check(self, path: Path):
        """A file that exists has the session's own bytes; a killed mount may have lost the file."""
        try:
            found = (path / "token").read_text()
        except OSError:
            return
        if found != self.sessions[path]:
            raise Wrong(f"{path} holds {found!r}, not {self.sessions[path]!r}")

    def _any(self):
        return self.rng.choice(list(self.sessions)) if self.sessions else None

    def do_rm(self, token):
        path = self._any()
        if path:
            self._check(path)
            self.drill.command("session", "rm", path.name)
            del self.sessions[path]

    def do_rmdir(self, token):
        path = self._any()
        if path and path.is_relative_to(self.drill.point):
            try:
                path.rmdir()
            except OSError:
                return
            del self.sessions[path]

    def do_reset(self, token):
        path = self._any()
        if path and self.drill.command("session", "reset", path.name).returncode == 0:
            del self.sessions[path]


class Drill:
    def __init__(self, place: Path, rng: random.Random):
        self.place, self.rng = place, rng
        self.store = Store(make_home(place, os.geteuid()))
        self.point = self.store.home / "mnt"
        self.store.env |= {
            "MINTFS_MOUNT": str(self.point),
            "MINTFS_IDLE": "1h",
            "XDG_RUNTIME_DIR": "",
        }
        self.names = ["one", "two", "three"]
        self.keys = {}
        self.seen = collections.Counter()
        self.lock = threading.Lock()
        self.errors = []
        seed = self.store.home / "seed.db"
        with sqlite3.connect(seed) as db:
            db.execute("create table t(x)")
            db.executemany("insert into t values(?)", ((str(i) * 50,) for i in range(500)))
        db.close()
        self.seed = seed

    # ---- commands ----

    def command(self, *words, env=None):
        process = self.store.start(*words, env=env)
        try:
            out, err = process.communicate(timeout=min(300, PATIENCE_SECONDS))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Wrong(f"{words} hangs") from None
        status = process.returncode
        with self.lock:
            self.seen[f"{' '.join(map(str, words[:2]))[:14]}: {status}"] += 1
        text = f"{words} {env or ''}: status {status}\n{out}{err}"
        if "Sanitizer" in err or "runtime error" in err:
            raise Wrong(text)
        if status not in (0, 1, 3, 4, 125):
            raise Wrong(text)
        if status and not re.search(r"^mintfs: ", err, re.M):
            raise Wrong(f"no message: {text}")
        if status in (1, 125) and not any(re.search(race, err) for race in RACES):
            raise Wrong(text)
        return subprocess.CompletedProcess(words, status, out, err)

    def build(self, name: str):
        words = ["--salt", name, "-n", name, "--", "cp", self.seed, "{out}"]
        done = self.command("build", *words)
        if done.returncode == 0:
            self.keys[name] = done.stdout.strip()

    # ---- rounds ----

    def run(self, count: int, most_workers: int):
        """Runs rounds with different commands and workers: with all of them, clean would always be
        refused."""
        for name in self.names:
            self.build(name)
        workers = [Worker(self, number) for number in range(most_workers)]
        turns = iter(range(count))
        for _ in range(0, count, ROUND):
            kinds = self.rng.sample(list(KINDS), self.rng.randint(2, len(KINDS)))
            self.run_round(workers[: self.rng.randint(2, most_workers)], kinds, turns)
        self.run_round(workers, list(KINDS), turns)
        self.check_end()

    def run_round(self, workers, kinds, turns):
        left = iter([turn for turn, _ in zip(turns, range(ROUND))])

        def work(worker):
            try:
                while not self.errors:
                    with self.lock:
                        turn = next(left, None)
                    if turn is None:
                        return
                    worker.run_one(turn, kinds)
            except BaseException as error:
                with self.lock:
                    self.errors.append(error)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    # ---- the end ----

    def processes(self) -> list:
        """The processes that run mintfs with this store."""
        found = []
        needle = f"MINTFS_STORE={self.store.path}\0".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if needle in (entry / "environ").read_bytes():
                    found.append((int(entry.name), (entry / "cmdline").read_bytes()))
            except OSError:
                continue
        return found

    def check_end(self):
        # If a daemon runs, it serves the store that exists now, and `mount` reports that.
        daemons = self.processes()
        assert len(daemons) <= 1, daemons
        assert len(mounts.mount_lines(self.point)) == len(daemons)
        if daemons:
            assert self.store.fail("mount", status=4)
            self.store.run("umount")
        eventually(lambda: not self.processes(), "the end of the daemon")
        assert mounts.mount_lines(self.point) == []
        assert self.store.fail("umount", status=3)
        for name in self.names:
            self.build(name)
        assert self.store.leftovers() == []
        # Everything is served again, and every session has its bytes.
        self.store.run("verify", "-a")
        self.store.run("mount")
        rows = json.loads(self.store.run("session", "ls", "--json").stdout)
        for row in rows["sessions"] if isinstance(rows, dict) else rows:
            path = Path(row["path"])
            assert path.is_dir(), row
            assert (path / "app.db").stat().st_size == self.seed.stat().st_size, row
            if (path / "token").exists() and (path / "token").stat().st_size:
                assert (path / "token").read_text() == path.name
        copies = {
            Path(row["path"]).parent.parent
            for row in (rows["sessions"] if isinstance(rows, dict) else rows)
            if not row["path"].startswith(str(self.point))
        }
        self.store.run("clean", "--yes")
        eventually(lambda: not self.processes(), "the end of the daemon")
        assert not self.store.path.exists() and not any(path.exists() for path in copies)
        assert mounts.mount_lines(self.point) == []

    def close(self):
        for pid, _ in self.processes():
            os.kill(pid, 9)
        for _ in mounts.mount_lines(self.point):
            mounts.unmount_lazily(self.point)
        subprocess.run(self.store.command("clean", "--yes"), env=self.store.env, capture_output=True)


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    workers = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    place = Path(tempfile.mkdtemp(prefix="m-"))
    drill = Drill(place, seeded("commands", SEED))
    try:
        drill.run(count, workers)
    finally:
        drill.close()
        shutil.rmtree(place, ignore_errors=True)
        for what, times in sorted(drill.seen.items()):
            print(f"{times:6} {what}")
    print(f"{count} commands by {workers} workers: nothing inconsistent")
    return 0


if __name__ == "__main__":
    sys.exit(main())
