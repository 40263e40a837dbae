#!/usr/bin/python3
"""Runs SQLite's own tests in sessions and on a plain directory, and compares what fails.

usage: MINTFS=BINARY sqlite_suite.py SOURCE [--short] [--only REGEX] [--jobs N] [--table FILE]
                                     [--plain DIR] [--options MOUNT-OPTIONS] [--uring] [--seconds N]

SOURCE is SQLite's tree with testfixture, mptester and threadtest3 built in it; scripts/conformance
provides it. Each file of tests runs as an ordinary user in a session of its own, and in a directory
on the disk. One that fails only in the session runs twice more on both, with no other test beside
it: if it fails again, that is a difference, else it counts as unsteady. The exit status is 1 if
there is a difference.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import mounts, users  # noqa: E402
from support.basics import IS_ROOT  # noqa: E402
from support.stores import Store, binary_for_all, make_home  # noqa: E402

LIST_FILES = r"""
set argv {}
set argv0 [file join $env(SOURCE) test list.tcl]
source [file join $env(SOURCE) test permutations.test]
foreach suite $env(SUITES) {
    foreach file [dict get $::testspec($suite) -files] { puts "FILE $suite [file tail $file]" }
}
exit
"""

# The tests of the full suite that concern files. Many are too slow for veryquick.
BY_NAME = re.compile(r"mmap|wal|journal|excl|persist|crash|ioerr|lock|vacuum|malloc|fault")
# Suites that repeat tests with other settings of the database.
PERMUTATIONS = (
    "mmap",
    "wal",
    "exclusive",
    "exclusive-truncate",
    "persistent_journal",
    "persistent_journal_error",
    "truncate_journal",
    "no_journal",
    "journaltest",
    "autovacuum_crash",
    "autovacuum_ioerr",
    "inmemory_journal",
    "vfslog",
)
# The scripts of mptest and the tests of threadtest3.
MPTEST = ("config01.test", "config02.test", "crash01.test", "multiwrite01.test")
THREADTEST = "walthread1 walthread2 walthread3 walthread4 walthread5 cgt_pager_1 dynamic_triggers \
checkpoint_starvation_1 checkpoint_starvation_2 create_drop_index_1 lookaside1 vacuum1 \
stress1 stress2 shared1".split()

# About a minute of each kind, for CI.
SHORT = {
    "veryquick": "mmap1 mmap3 wal wal2 wal5 walmode walpersist walro journal1 journal2 journal3 "
    "exclusive exclusive2 lock lock2 lock4 lock5 vacuum vacuum2 incrvacuum avtrans pager1 pager2 "
    "attach backup backup2 multiplex superlock symlink tempdb rollback savepoint savepoint2 "
    "memdb insert select1 shared shared2 corrupt2 diskfull oserror quota",
    "full": "crash crash2 crash8 ioerr ioerr4 walcrash walcrash2 wallock",
    "mmap": "wal pager1",
    "wal": "savepoint insert",
    "persistent_journal": "trans",
}
SHORT_MPTEST = ("multiwrite01.test",)
SHORT_THREADTEST = ("walthread4",)


@dataclass(frozen=True)
class Job:
    suite: str
    name: str

    def command(self, source: Path) -> list:
        if self.suite == "mptest":
            words = ["--journalmode", "wal"] if self.name.startswith("wal ") else []
            script = source / "mptest" / self.name.removeprefix("wal ")
            return [source / "mptester", "mp.db", script, *words]
        if self.suite == "threadtest3":
            return [source / "threadtest3", self.name]
        return [source / "testfixture", source / "test/permutations.test", self.suite, self.name]


@dataclass
class Outcome:
    cases: int = 0
    failed: frozenset = frozenset()
    seconds: float = 0
    text: str = ""


@dataclass
class Result:
    job: Job
    plain: Outcome
    ours: Outcome
    steady: set = field(default_factory=set)  # fail only in a session, and again when repeated
    unsteady: set = field(default_factory=set)


def read_outcome(job: Job, status: int, text: str, seconds: float) -> Outcome:
    """Reads which cases failed from the output. A program that died or hung is also a failure."""
    failed, cases = set(), 0
    if job.suite == "mptest":
        summary = re.search(r"Summary: (\d+) errors out of (\d+) tests", text)
        if summary:
            cases = int(summary[2])
            failed |= {f"error {i + 1}" for i in range(int(summary[1]))}
        failed |= {"no summary"} if not summary else set()
    elif job.suite == "threadtest3":
        cases = 1
        if not re.search(r"\b0 errors|no errors|Total of 0 errors", text):
            failed.add(job.name)
    else:
        summary = re.findall(r"^(\d+) errors out of (\d+) tests", text, re.MULTILINE)
        cases = sum(int(count) for _, count in summary)
        for names in re.findall(r"^!Failures on these tests: (.*)$", text, re.MULTILINE):
            failed |= set(names.split())
        if not summary:
            failed.add("no summary")
    if status < 0 or status in (124, 137):
        failed.add(f"status {status}")
    return Outcome(cases, frozenset(failed), seconds, text)


class Sides:
    """The mount of an ordinary user, and a directory of the same user on the disk beside it."""

    def __init__(self, source: Path, place: Path, options, seconds: int):
        self.source, self.seconds = source, seconds
        self.uid = users.NOBODY if IS_ROOT else os.geteuid()
        home = make_home(place, self.uid)
        self.namespace = users.Namespace(home) if IS_ROOT else None
        self.store = Store(home, self.namespace)
        if IS_ROOT:
            self.store.binary = binary_for_all(home)
        self.key = self.store.build_tree("echo none >readme", name="suite")
        self.mount = mounts.Mount(self.store, home / "mnt", *options)
        if options.count("uring"):
            self.mount.wait_for_uring()
        self.plain = home / "plain"
        self._as_user(["mkdir", str(self.plain)])

    def _prefix(self) -> list:
        return self.namespace.prefix() if self.namespace else []

    def _as_user(self, words, **kwargs):
        return subprocess.run([*self._prefix(), *map(str, words)], check=True, **kwargs)

    def run(self, job: Job, side: str, number: int) -> Outcome:
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{job.suite}-{job.name}-{number}")
        place = self.plain / name
        if side == "ours":
            # Paths have the same length on both sides, because some tests depend on it.
            place = self.mount.sessions / self.key / name
        self._as_user(["mkdir", place])
        began = time.monotonic()
        words = ["timeout", "-k", "10", str(self.seconds), *map(str, job.command(self.source))]
        ended = subprocess.run(
            [*self._prefix(), "sh", "-c", 'cd "$0" && exec "$@"', str(place), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**self.store.env, "TMPDIR": str(place)},
        )
        text = ended.stdout.decode(errors="replace")
        outcome = read_outcome(job, ended.returncode, text, time.monotonic() - began)
        if side == "ours":
            self._as_user(["rmdir", place])
        else:
            shutil.rmtree(place)
        return outcome

    def close(self):
        self.mount.stop()
        if self.namespace:
            self.namespace.close()


def list_jobs(source: Path, short: bool, only) -> list:
    suites = ("veryquick", "full", *PERMUTATIONS)
    with tempfile.TemporaryDirectory() as scratch:
        script = Path(scratch) / "list.tcl"
        script.write_text(LIST_FILES)
        listed = subprocess.run(
            [source / "testfixture", script],
            cwd=scratch,
            env={**os.environ, "SOURCE": str(source), "SUITES": " ".join(suites)},
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    files = {suite: [] for suite in suites}
    for suite, name in re.findall(r"^FILE (\S+) (\S+)$", listed, re.MULTILINE):
        files[suite].append(name)
    assert all(files.values()), "permutations.test did not list its tests"
    files["full"] = [name for name in files["full"] if BY_NAME.search(name)]
    jobs = []
    for suite, names in files.items():
        if short:
            wanted = {f"{name}.test" for name in SHORT.get(suite, "").split()}
            names = [name for name in names if name in wanted]
            missing = wanted - set(names)
            if missing:
                print(f"{suite}: not in this version: {' '.join(sorted(missing))}")
        jobs += [Job(suite, name) for name in dict.fromkeys(names)]
    mptest = SHORT_MPTEST if short else MPTEST
    jobs += [Job("mptest", name) for name in mptest]
    # The config tests choose a journal mode themselves.
    jobs += [Job("mptest", f"wal {name}") for name in mptest if "config" not in name]
    jobs += [Job("threadtest3", name) for name in (SHORT_THREADTEST if short else THREADTEST)]
    return [job for job in jobs if not only or re.search(only, f"{job.suite} {job.name}")]


def compare(sides: Sides, job: Job, alone: threading.Lock) -> Result:
    result = Result(job, sides.run(job, "plain", 1), sides.run(job, "ours", 1))
    suspects = result.ours.failed - result.plain.failed
    if suspects:
        with alone:
            again = [
                sides.run(job, "ours", number).failed - sides.run(job, "plain", number).failed
                for number in (2, 3)
            ]
        result.steady = {name for name in suspects if any(name in failed for failed in again)}
        result.unsteady = suspects - result.steady
    return result


def table(results) -> str:
    lines = [
        "| suite | files | cases | fail on both | fail on the disk alone | fail in a session alone "
        "| unsteady |",
        "|---|---|---|---|---|---|---|",
    ]
    suites = list(dict.fromkeys(result.job.suite for result in results))
    for suite in [*suites, "all"]:
        rows = [result for result in results if suite in (result.job.suite, "all")]
        sums = Counter()
        for row in rows:
            sums["cases"] += row.ours.cases
            sums["both"] += len(row.ours.failed & row.plain.failed)
            sums["plain"] += len(row.plain.failed - row.ours.failed)
            sums["steady"] += len(row.steady)
            sums["unsteady"] += len(row.unsteady)
        counts = [sums[name] for name in ("cases", "both", "plain", "steady", "unsteady")]
        lines.append(f"| {suite} | {len(rows)} | {' | '.join(map(str, counts))} |")
    return "\n".join(lines) + "\n"


def details(results) -> str:
    lines = []
    for result in results:
        for word, names in (
            ("session alone", result.steady),
            ("unsteady", result.unsteady),
            ("disk alone", result.plain.failed - result.ours.failed),
            ("both", result.plain.failed & result.ours.failed),
        ):
            if names:
                lines.append(f"{word}: {result.job.suite} {result.job.name}: {' '.join(sorted(names))}")
    return "\n".join(sorted(lines)) + "\n"


def run_all(sides: Sides, jobs, workers: int, logs: Path) -> list:
    alone = threading.Lock()
    done = []

    def run_one(job):
        result = compare(sides, job, alone)
        done.append(result)
        name = re.sub(r"[^A-Za-z0-9.]+", "-", f"{job.suite}-{job.name}")
        for side, outcome in (("plain", result.plain), ("ours", result.ours)):
            if outcome.failed:
                (logs / f"{name}.{side}").write_text(outcome.text)
        new = f"  FAILS: {' '.join(sorted(result.steady))}" if result.steady else ""
        print(
            f"{len(done)}/{len(jobs)} {job.suite} {job.name}: {result.ours.cases} cases, "
            f"{result.plain.seconds:.1f} s on the disk, {result.ours.seconds:.1f} s here{new}",
            flush=True,
        )
        return result

    pool = ThreadPoolExecutor(workers)
    try:
        return list(pool.map(run_one, jobs))
    finally:
        pool.shutdown(cancel_futures=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=int, default=900)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--logs", type=Path)
    parser.add_argument("--plain", type=Path, help="where to create the plain directories (default: TMPDIR)")
    parser.add_argument("--options", default="")
    args = parser.parse_args()

    jobs = list_jobs(args.source.resolve(), args.short, args.only)
    logs = args.logs or Path(tempfile.mkdtemp(prefix="conformance-"))
    logs.mkdir(exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="c-", dir=args.plain))
    place.chmod(0o755)
    began = time.monotonic()
    try:
        options = args.options.split(",") if args.options else []
        sides = Sides(args.source.resolve(), place, options, args.seconds)
        try:
            results = run_all(sides, jobs, args.jobs, logs)
        finally:
            sides.close()
    finally:
        shutil.rmtree(place)
    text = f"{table(results)}\n{details(results)}"
    if args.table:
        args.table.write_text(text)
    print(f"\n{text}\n{time.monotonic() - began:.0f} s; the output of failed tests is in {logs}")
    failed = sum(len(result.steady) for result in results)
    cases = sum(result.ours.cases for result in results)
    print(f"{cases - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
