"""usage: python -m load.stress [SECONDS]

Runs stress-ng's file stressors, and fio with verify, on a session.

Each stressor runs for that many seconds (default: 5) with its own checks on. One that fails in a
session is tried on the disk; if it fails there too, that is not a difference. fio overwrites a
template's bytes and a file of its own, and reads all of it back, also after a restart of the
daemon.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from support import mounts
from support.stores import Store, make_home

STRESSORS = """
access chdir chmod chown copy-file dentry dir dirdeep dirmany dup fallocate fault fcntl fiemap
file-ioctl filename flock fpunch fstat getdent hdd io iomix lease link locka lockf lockmix lockofd
metamix mmap mmapaddr mmapfork mmapmany mmapshared msync msyncmany open pread-pwrite
rename readahead revio seal seek sendfile splice symlink sync-file touch unlink utime xattr
""".split()
# Stressors that would write a gigabyte by default; copy-file accepts no less than 128 MiB.
SIZED = dict.fromkeys("fallocate hdd iomix mmap msync readahead revio sync-file".split(), "16m")
SIZED["copy-file"] = "128m"
FILE_MIB = 48
# (name, options). All verify what they wrote.
FIO = (
    ("random", ["--rw=randwrite", "--bs=4k", "--ioengine=psync"]),
    ("odd-sizes", ["--rw=randwrite", "--bsrange=512-60k", "--bs_unaligned=1", "--ioengine=psync"]),
    ("mixed", ["--rw=randrw", "--bs=8k", "--ioengine=psync", "--fsync=64"]),
    ("mapped", ["--rw=randwrite", "--bs=4k", "--ioengine=mmap"]),
    ("queued", ["--rw=randwrite", "--bs=16k", "--ioengine=libaio", "--iodepth=16"]),
    ("in-order", ["--rw=write", "--bs=128k", "--ioengine=psync", "--end_fsync=1"]),
)
FAILED = ("fail:", "unsuccessful run", "aborted", "error:")


def known_stressors() -> set:
    listed = subprocess.run(["stress-ng", "--stressors"], stdout=subprocess.PIPE, text=True, check=True)
    return set(listed.stdout.split())


def stress(name: str, place: Path, seconds: float) -> tuple:
    """(whether it passed, its output); (None, its output) if it cannot run here."""
    place.mkdir()
    words = ["stress-ng", f"--{name}", "2", "--verify", "--metrics", "--timeout", f"{seconds:g}s"]
    more = [f"--{name}-bytes", SIZED[name]] if name in SIZED else []
    ended = subprocess.run(
        [*words, *more, "--temp-path", str(place)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds * 20 + 900,  # only a hang takes that long
    )
    left = os.listdir(place)
    shutil.rmtree(place)
    if ended.returncode in (3, 4):  # EXIT_NO_RESOURCE, EXIT_NOT_IMPLEMENTED
        return None, ended.stdout
    bad = any(word in ended.stdout for word in FAILED) or left
    return ended.returncode == 0 and not bad, ended.stdout


def run_stressors(session: Path, plain: Path, seconds: float) -> dict:
    """Returns {stressor: outcome}."""
    known, outcomes = known_stressors(), {}
    for name in STRESSORS:
        if name not in known:
            outcomes[name] = "not in this version"
            continue
        passed, text = stress(name, session / f"s-{name}", seconds)
        outcomes[name] = {True: "passed", None: "not done"}.get(passed, "FAILED")
        if passed is False:
            on_disk, _ = stress(name, plain / f"s-{name}", seconds)
            outcomes[name] = "FAILED" if on_disk else "fails on the disk too"
            print(text, flush=True)
        print(f"{name}: {outcomes[name]}", flush=True)
    return outcomes


def fio(name: str, options: list, path: Path, again: bool) -> bool:
    words = [
        "fio", f"--name={name}", f"--filename={path}", f"--size={FILE_MIB}m", "--verify=crc32c",
        "--verify_fatal=1", "--verify_dump=0", "--randrepeat=1", "--randseed=7", *options,
    ]
    words += ["--verify_only"] if again else ["--do_verify=1"]
    ended = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ended.returncode:
        print(ended.stdout)
    print(f"fio {name}{', after a restart' if again else ''}: {ended.returncode}", flush=True)
    return ended.returncode == 0


def run_fio(session: Path, mount, key: str, again: bool) -> list:
    """Runs FIO on a template's bytes and on files of the session; returns what failed."""
    failed = []
    for name, options in FIO:
        if again and "--rw=randrw" in options:
            continue  # --verify_only expects what one pass of writing leaves
        over = mount.sessions / key / name
        if not again:
            over = mount.new(key, name)
        for path in (over / "app.db", session / f"own-{name}"):
            if not fio(name, options, path, again):
                failed.append(f"fio {name} {path.name}{' later' if again else ''}")
    return failed


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 5
    place = Path(tempfile.mkdtemp(prefix="m-"))
    store = Store(make_home(place, os.geteuid()))
    key = store.build_tree(f"head -c {FILE_MIB << 20} /dev/urandom >app.db", name="stress")
    (place / "plain").mkdir()
    failed = []
    mount = mounts.Mount(store, place / "mnt")
    try:
        session = mount.new(key, "s")
        outcomes = run_stressors(session, place / "plain", seconds)
        failed += [name for name, outcome in outcomes.items() if outcome == "FAILED"]
        failed += run_fio(session, mount, key, again=False)
        mount.stop()
        mount = mounts.Mount(store, place / "mnt")
        failed += run_fio(session, mount, key, again=True)
        mount.stop()
    except BaseException:
        mount.process.kill()
        mount.process.communicate()
        mounts.unmount_lazily(mount.point)
        raise
    finally:
        shutil.rmtree(place)
    counts = {outcome: list(outcomes.values()).count(outcome) for outcome in outcomes.values()}
    print("; ".join(f"{count} stressors: {outcome}" for outcome, count in sorted(counts.items())))
    print(f"failed: {' '.join(failed)}" if failed else "nothing failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
