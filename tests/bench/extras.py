"""What is measured besides test sessions."""

import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import report
from contenders import Template
from places import DRIVER, MINTFS, CannotRun, Mount, need_programs, run, say, uring_offered
from support.shops import PROJECTS, assemble

HERE = Path(__file__).resolve().parent
INPUTS = 1000
MIB = 1 << 20


def _timed(*command, **options) -> float:
    start = time.monotonic()
    run(*command, **options)
    return time.monotonic() - start


def _mounted(places, stack, size_mb: float, name: str, journal="delete", options=()) -> tuple:
    """An ordinary user's mount of a template, with io_uring: mount, key, template."""
    template = Template(places, size_mb, f"{journal}-{name}")
    store, key = template.store(True, name)
    mount = Mount(places, name, store=store, user=True, scratch=places.tmpfs, options=options,
                  uring=True, stack=stack)
    return mount, key, template


# --- requests by phase and opcode


def requests(places, _args) -> dict:
    """Counted by the daemon; the requests that reading the counters takes are subtracted."""
    found = {}
    for name, journal, options in (("delete", "delete", ()), ("wal", "wal", ()),
                                   ("delete-allow_other", "delete", ("allow_other",))):
        if options and not _may_allow_other():
            say("  left out: allow_other: /etc/fuse.conf does not allow it for users")
            continue
        with contextlib.ExitStack() as stack:
            mount, key, _ = _mounted(places, stack, 0.5, f"requests-{name}", journal, options)
            probe = run(sys.executable, "-B", HERE / "probe.py", mount.sessions(key),
                        mount.point / ".mintfs/status.json", user=True)
        found[name] = json.loads(probe)
        print(f"requests, as an ordinary user, {name}")
        kinds = sorted({kind for phase in found[name].values() for kind in phase})
        report.print_table(["", *kinds, "sum*"], [
            [phase, *(f"{counts.get(kind, 0):.2f}" for kind in kinds), f"{_sum(counts):.2f}"]
            for phase, counts in found[name].items()])
    print("  * without FORGET and RELEASE, for which no program waits\n")
    return found


def _may_allow_other() -> bool:
    with contextlib.suppress(OSError):
        lines = Path("/etc/fuse.conf").read_text(encoding="utf-8").splitlines()
        return "user_allow_other" in (line.strip() for line in lines)
    return False


def _sum(counts: dict) -> float:
    return sum(n for kind, n in counts.items() if kind not in ("FORGET", "RELEASE"))


# --- builds


def build(places, _args) -> dict:
    found = {}
    with contextlib.ExitStack() as stack:
        root = places.make(places.disk, "build")
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        inputs = places.make(root, "inputs")
        for number in range(INPUTS):
            (inputs / f"{number:04}.py").write_bytes(os.urandom(4000).hex().encode())
        environment = {**os.environ, "MINTFS_STORE": str(root / "store")}
        mintfs_build = [MINTFS, "build", "--root", root, "-i", inputs, "--", "touch", "{out}"]
        run(*mintfs_build, env=environment, cwd=root)
        files = sorted(inputs.iterdir())
        hit, sums = [], []
        for _ in range(25):
            hit.append(_timed(*mintfs_build, env=environment, cwd=root))
            sums.append(_timed("sha256sum", *files))
        found["hit_ms"] = statistics.median(hit) * 1e3
        found["sha256sum_ms"] = statistics.median(sums) * 1e3
        found |= _cold_builds(root)
    print(f"builds (medians, ms; {INPUTS} inputs of 8 KB)")
    report.print_table(["", "mintfs build", "bare", "x"], [
        ["hit, against sha256sum of the inputs", found["hit_ms"], found["sha256sum_ms"],
         f"{found['hit_ms'] / found['sha256sum_ms']:.2f}"],
        ["cold, against the bare builder (the shop's)", found["cold_ms"], found["bare_ms"],
         f"{found['cold_ms'] / found['bare_ms']:.3f}"]])
    return found


def _cold_builds(root: Path) -> dict:
    cold, bare = [], []
    environment = {**os.environ, "MINTFS_STORE": str(root / "store"),
                   "PYTHONDONTWRITEBYTECODE": "1"}
    builder = [sys.executable, "template_db.py"]
    project = root / "shop"
    assemble("shop-usual", project)
    for number in range(9):
        bare.append(_timed(*builder, root / f"bare{number}.db", env=environment, cwd=project))
        cold.append(_timed(MINTFS, "build", "--salt", str(number), "-i", "migrations", "-i", "shop",
                           "-i", "template_db.py", "--", *builder, "{out}", env=environment,
                           cwd=project))
    return {"cold_ms": statistics.median(cold) * 1e3, "bare_ms": statistics.median(bare) * 1e3}


# --- scans


def _drop_pages(path: Path):
    """Drops a file's pages from the page cache, so that the next read is from disk."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


SCAN_READS = {"1 MiB": 1 << 20, "4 KiB, as SQLite": 4096}


def scan(places, args) -> dict:
    times = {reads: {"plain": ([], []), "session": ([], [])} for reads in SCAN_READS}

    def read_twice(reads, where, path, user):
        for column in times[reads][where]:
            column.append(int(run(DRIVER, "scan", path, SCAN_READS[reads], user=user)) / 1e9)

    with contextlib.ExitStack() as stack:
        mount, key, template = _mounted(places, stack, args.scan_mb, "scan")
        stored = mount.store / "v1/templates" / key / "files/app.db"
        size = template.path.stat().st_size
        for number in range(5):
            for reads in SCAN_READS:
                _drop_pages(template.path)
                read_twice(reads, "plain", template.path, False)
                _drop_pages(stored)
                session = mount.sessions(key) / f"scan{number}"
                run("mkdir", session, user=True)
                read_twice(reads, "session", session / "app.db", True)
                run("rmdir", session, user=True)
        template.drop()
    found = {reads: {where: [statistics.median(column) for column in columns]
                     for where, columns in row.items()} for reads, row in times.items()}
    print(f"a scan of {size / 1e6:.0f} MB, MB/s (medians of 5)")
    report.print_table(
        ["", "session: first", "again", "file on disk: first", "again", "ratio: first", "again"],
        [[f"reads of {reads}",
          *(size / 1e6 / seconds for where in ("session", "plain") for seconds in row[where]),
          *(f"{plain / ours:.2f}" for plain, ours in zip(row["plain"], row["session"]))]
         for reads, row in found.items()])
    return found


# --- fio


FIO_PROGRAMS = {"fio": "fio"}
FIO_JOBS = {
    "random reads, pages cached": ["--rw=randread", "--invalidate=0", "--pre_read=1"],
    "random reads, pages dropped": ["--rw=randread", "--invalidate=1"],
    "random writes": ["--rw=randwrite", "--invalidate=0"],
    "random writes, fdatasync each": ["--rw=randwrite", "--fdatasync=1", "--invalidate=0"],
}


def fio(places, _args) -> dict:
    found = {}
    need_programs(FIO_PROGRAMS)
    with contextlib.ExitStack() as stack:
        mount, key, template = _mounted(places, stack, 64, "fio")
        session = mount.sessions(key) / "fio"
        run("mkdir", session, user=True)
        stack.callback(run, "rmdir", session, user=True)
        tmpfs = places.tmpfs / "fio.db"
        shutil.copyfile(template.path, tmpfs)
        stack.callback(tmpfs.unlink)
        for job, words in FIO_JOBS.items():
            found[job] = {}
            for where, path, user in (("session", session / "app.db", True),
                                      ("disk", template.path, False), ("tmpfs", tmpfs, False)):
                output = run("fio", "--name=bench", f"--filename={path}", "--bs=4k", "--size=60m",
                             "--ioengine=psync", "--runtime=4", "--time_based",
                             "--output-format=json", *words, user=user, cwd="/")
                result = json.loads(output[output.index("{"):])["jobs"][0]
                found[job][where] = result["read"]["iops"] + result["write"]["iops"]
        template.drop()
    print("fio, 4 KiB, operations a second")
    report.print_table(["", "session", "file on disk", "file on tmpfs", "session / disk"], [
        [job, *(f"{row[where]:,.0f}" for where in ("session", "disk", "tmpfs")),
         f"{row['session'] / row['disk']:.2f}"] for job, row in found.items()])
    return found


# --- very many sessions


def _daemon_figures(mount: Mount) -> dict:
    pid = mount.process.pid
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    anon = next(line for line in status.splitlines() if line.startswith("RssAnon"))
    used = run("du", "-s", "--block-size=1", mount.scratch).split()[0]
    return {"rss_anon_kib": int(anon.split()[1]), "scratch_bytes": int(used),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}


def _ends(column: list) -> dict:
    part = max(1, min(100, len(column) // 4))
    return {"first_us": statistics.median(column[:part]) / 1e3,
            "last_us": statistics.median(column[-part:]) / 1e3}


def _make_and_discard(places, mount, key, count: int, transactions: int) -> dict:
    with contextlib.ExitStack() as stack:
        before = _daemon_figures(mount)
        driver = places.start(DRIVER, "many", mount.sessions(key), count, transactions, user=True,
                              stack=stack, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        made = []
        while (line := driver.stdout.readline()).strip():
            made.append([int(word) for word in line.split()])
        if len(made) != count:
            raise CannotRun("the driver failed, see above")
        live = _daemon_figures(mount)
        stored = mount.status()["counters"]["stored_bytes"]
        driver.stdin.write("\n")
        driver.stdin.flush()
        discarded = [int(line) for line in driver.stdout]
        time.sleep(2)  # the scratch's worker frees storage
        return {
            "sessions": count, "transactions": transactions, "make": _ends([m for m, _ in made]),
            "use": _ends([use for _, use in made]), "discard": _ends(discarded),
            "before": before, "live": live, "after": _daemon_figures(mount),
            "stored_bytes": stored,
            "kib_a_session": (live["rss_anon_kib"] - before["rss_anon_kib"]) / count,
        }


def many(places, args) -> dict:
    found = []
    with contextlib.ExitStack() as stack:
        mount, key, _ = _mounted(places, stack, 0.5, "many")
        run("mkdir", mount.sessions(key) / "first", user=True)
        run("rmdir", mount.sessions(key) / "first", user=True)
        for count, transactions in ((1, 5), (1000, 0), (1000, 5), (args.count, 0)):
            found.append(_make_and_discard(places, mount, key, count, transactions))
    print("sessions created and kept, then discarded (us: median of the first and of the last 100)")
    report.print_table(
        ["", "make", "", "discard", "", "RssAnon KiB", "KiB each", "scratch KiB", "blocks KiB",
         "fds", "after: RssAnon", "scratch"],
        [[f"{row['sessions']:,} with {row['transactions']} tx",
          *(f"{row[phase][end]:.0f}" for phase in ("make", "discard")
            for end in ("first_us", "last_us")),
          row["live"]["rss_anon_kib"], f"{row['kib_a_session']:.2f}",
          row["live"]["scratch_bytes"] // 1024, row["stored_bytes"] // 1024,
          row["live"]["descriptors"], row["after"]["rss_anon_kib"],
          row["after"]["scratch_bytes"] // 1024] for row in found])
    return found


# --- the example project


SHOP_INPUTS = ("alembic.ini", "migrations", "requirements.txt", "shop/__init__.py", "shop/db",
               "template_db.py")


def _run_project(name: str, project: Path, environment: dict) -> float:
    """As its noxfile.py does: creates the template, then runs pytest."""
    template = project / "build/.template-migrated.db"
    options = {"cwd": project, "env": environment}
    start = time.monotonic()
    if name == "shop-python":
        run(MINTFS, "build", "--to", template, **options)
    elif name == "shop":
        inputs = [word for path in SHOP_INPUTS for word in ("-i", path)]
        key = run(MINTFS, "build", *inputs, "--to", template, "--", project.parent / "python",
                  "template_db.py", "{out}", **options)
        (project / "build/.template-key").write_text(key, encoding="ascii")
    else:
        template.unlink(missing_ok=True)
        run(sys.executable, "template_db.py", template, **options)
    plugin = ["-p", "mintfs.pytest_plugin"] if name == "shop-python" else []
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *plugin, "tests", **options)
    return time.monotonic() - start


def shop(places, _args) -> dict:
    """The whole pytest run including the template: in a new checkout, then again."""
    found = {"shop-usual": [], "shop": [], "shop-python": []}
    with contextlib.ExitStack() as stack:
        where = places.make(places.disk, "projects")
        stack.callback(shutil.rmtree, where, ignore_errors=True)
        for name in found:
            assemble(name, where / name)
            (where / name / "build").mkdir()
        environment = {
            **os.environ, "MINTFS_STORE": str(where / "store"),
            "MINTFS_MOUNT": str(where / "mnt"), "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(PROJECTS.parents[1] / "tools/python"),
            "PATH": f"{where}:{Path(MINTFS).parent}:{os.environ['PATH']}"}
        (where / "mnt").mkdir()
        # The names under which the projects' own checks run it, since they are part of the keys.
        for name in ("python", "python3"):
            (where / name).symlink_to(sys.executable)
        run(MINTFS, "ls", env=environment)
        stack.callback(_unmount, environment)
        with uring_offered():
            run(MINTFS, "mount", env=environment)
            run("ls", where / "mnt")
        for _ in range(3):
            for name, times in found.items():
                times.append(_run_project(name, where / name, environment))
    print("the example project's whole pytest run with its template, seconds")
    report.print_table(["", "first", "again"], [
        [name, f"{times[0]:.2f}", f"{statistics.median(times[1:]):.2f}"]
        for name, times in found.items()])
    return found


def _unmount(environment: dict):
    with contextlib.suppress(subprocess.CalledProcessError):
        run(MINTFS, "umount", env=environment)
