"""usage: python -m containers namespaces|podman copy|fuse [SECONDS]

Two containers on one store, each of which runs worker.py, for SECONDS (default: 300). No live
session may be removed. Dead sessions on the mount, dead copies whose owner held a lock, and
sessions whose time is over must be removed within a minute. From time to time, one of the two
containers is killed as a whole and replaced.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from support import mounts
from support.basics import MINTFS, SEED, seeded
from support.stores import Store

ROOT = Path(__file__).resolve().parents[2]
WORKER = Path(__file__).with_name("worker.py")
GONE_WITHIN_SECONDS = 60
IMAGE = "mintfs-containers"
PODMAN = ["podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--storage-driver", "vfs"]


class Container:
    """A container that runs worker.py, and its log."""

    def __init__(self, drill, number: int, seconds: float):
        self.name = f"mintfs-{os.getpid()}-{number}"
        self.drill, self.number = drill, number
        self.log = drill.place / f"log{number}"
        self.read_to = 0
        words = ["python3", WORKER, self.log, f"{SEED}-{number}", seconds, drill.key]
        self.process = subprocess.Popen(
            [*map(str, getattr(self, drill.kind)(words))], env=drill.env, stdin=subprocess.DEVNULL
        )

    def namespaces(self, words) -> list:
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *words]

    def podman(self, words) -> list:
        place = self.drill.place
        names = [name for name in self.drill.env if name.startswith(("MINTFS", "PYTHON"))]
        variables = [word for name in (*names, "PATH", "HOME") for word in ("--env", name)]
        return [
            *PODMAN, "run", "--rm", "--network=none", "--ulimit=nofile=20000:20000",
            "--ulimit=nproc=30000:30000", f"--name={self.name}", f"--volume={place}:{place}",
            f"--volume={ROOT}:{ROOT}:ro", *variables, IMAGE, *words,
        ]  # fmt: skip

    def kill(self):
        if self.drill.kind == "podman":
            subprocess.run([*PODMAN, "kill", self.name], stdout=subprocess.DEVNULL)
        else:
            self.process.kill()
        self.process.wait()

    def events(self):
        """The events since the last call."""
        if not self.log.exists():
            return
        with open(self.log, "rb") as file:
            file.seek(self.read_to)
            lines = file.read().splitlines(keepends=True)
        for line in lines:
            if line.endswith(b"\n"):
                self.read_to += len(line)
                yield json.loads(line)


class Drill:
    def __init__(self, kind: str, backend: str, place: Path):
        self.kind, self.backend, self.place = kind, backend, place
        self.store = Store(place)
        self.env = self.store.env
        self.env.update(
            MINTFS_BACKEND=backend,
            MINTFS_MOUNT=str(place / "mnt"),
            PYTHONPATH=str(ROOT / "tools/python"),
            PYTHONDONTWRITEBYTECODE="1",
            PATH=f"{MINTFS.parent}:/usr/bin:/bin:/usr/sbin:/sbin",
        )
        self.key = ""
        self.owned = {}  # {(container, pid): (path, kind)}
        self.dying = {}  # {path: (kind, since when)}
        self.waited = {}  # {kind: the longest time until a session was removed}
        self.counts = Counter()
        self.faults = []

    def take(self, container: Container, event: dict):
        what, owner = event["event"], (container.number, event.get("pid"))
        self.counts[f"{what} {event['kind']}" if what == "made" else what] += 1
        if what == "made":
            self.owned[owner] = event["path"], event["kind"]
        elif what in ("lost", "failed"):
            self.faults.append(event)
        elif what == "killed" and owner in self.owned:
            self.expect_end(*self.owned.pop(owner), event["time"])
        elif what == "ended":
            self.owned.pop(owner, None)
        elif what == "timed":
            self.dying[event["path"]] = "timed", event["time"] + 3

    def expect_end(self, path: str, kind: str, since: float):
        if self.backend == "fuse" or kind == "python":
            self.dying[path] = kind, since

    def kill(self, container: Container):
        container.kill()
        self.counts["containers killed"] += 1
        for event in container.events():
            self.take(container, event)
        for owner in [owner for owner in self.owned if owner[0] == container.number]:
            self.expect_end(*self.owned.pop(owner), time.time())

    def look(self):
        """Lists the sessions from outside both containers, which removes those that have ended."""
        self.store.run("session", "ls")
        for path, (kind, since) in list(self.dying.items()):
            waited = time.time() - since
            if not os.path.exists(path):
                self.waited[kind] = max(self.waited.get(kind, 0), waited)
                del self.dying[path]
            elif waited > GONE_WITHIN_SECONDS:
                self.faults.append({"event": "stays", "path": path, "kind": kind})
                del self.dying[path]

    def run(self, seconds: float, rng):
        made = "import sqlite3,sys; sqlite3.connect(sys.argv[1]).execute('create table marks(mark)')"
        self.key = self.store.build("python3", "-c", made, "{out}", name="drill")
        end = time.monotonic() + seconds
        running = [Container(self, number, seconds) for number in range(2)]
        started, next_kill = 2, time.monotonic() + rng.uniform(15, 40)
        while any(container.process.poll() is None for container in running) or self.dying:
            for container in running:
                for event in container.events():
                    self.take(container, event)
            self.look()
            if next_kill < time.monotonic() < end - 15:
                self.kill(running[0])
                running = [running[1], Container(self, started, end - time.monotonic())]
                started, next_kill = started + 1, time.monotonic() + rng.uniform(15, 40)
            time.sleep(0.3)
        for container in running:
            if container.process.returncode != 0:
                self.faults.append({"event": "a worker failed", "status": container.process.poll()})

    def clear(self):
        for row in json.loads(self.store.run("session", "ls", "--json").stdout)["sessions"]:
            self.store.run("session", "rm", row["path"] or row["id"])
        self.store.run("gc")  # removes what killed commands have left


def main() -> int:
    kind, backend = sys.argv[1:3]
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 300
    place = Path(tempfile.mkdtemp(prefix="m-"))
    drill = Drill(kind, backend, place)
    mount = None
    try:
        if backend == "fuse":
            mount = mounts.Mount(drill.store, place / "mnt")
        drill.run(seconds, seeded("containers", kind, backend))
        drill.clear()
        if mount:
            mount.stop()
    except BaseException:
        if mount:
            mount.process.kill()
            mount.process.communicate()
        raise
    finally:
        for point in mounts.points_below(place):
            mounts.unmount_lazily(point)
        shutil.rmtree(place)
    for what, count in sorted(drill.counts.items()):
        print(f"{what}: {count}")
    for what, waited in sorted(drill.waited.items()):
        print(f"longest until gone, {what}: {waited:.1f} s")
    for fault in drill.faults[:20]:
        print(f"FAULT: {fault}")
    print(f"{len(drill.faults)} faults in {seconds:.0f} s of {kind} with {backend}")
    return 1 if drill.faults or not drill.counts["killed"] else 0


if __name__ == "__main__":
    sys.exit(main())
