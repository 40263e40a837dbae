"""scripts/bench: the measurements, and how long each may take.

usage: scripts/bench [WHAT]... [OPTION]...

    sessions   test sessions, all contenders in turn (the default)
    requests   how many requests each phase of a session costs, by opcode
    build      a hit with 1,000 inputs against sha256sum; a cold build against the bare builder
    scan       a whole template read, first and second time, in a session and on disk
    fio        random 4 KiB reads and writes, in a session and in a plain file
    many       10,000 sessions: created, kept, discarded; the daemon's memory and the scratch
    shop       the example project's whole pytest run, without and with mintfs
    all        all of these
"""

import argparse
import subprocess
import sys
from pathlib import Path

import extras
import report
import sessions
from contenders import ALL, QUICK
from places import CannotRun, Places, has_program, say

EXTRAS = {
    "requests": extras.requests, "build": extras.build, "scan": extras.scan, "fio": extras.fio,
    "many": extras.many, "shop": extras.shop,
}


def numbers(kind):
    return lambda text: [kind(word) for word in text.split(",")]


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__.partition("\n\n")[2],
        usage=argparse.SUPPRESS, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="WHAT", choices=["sessions", *EXTRAS, "all", []])
    parser.add_argument("--full", action="store_true",
                        help="all contenders, sizes, transactions, journal modes and workers")
    parser.add_argument("--contenders", metavar="A,B", help=f"some of {', '.join(ALL)}")
    parser.add_argument("--sizes", type=numbers(float), metavar="MB,MB", help="(0.5,2,10)")
    parser.add_argument("--transactions", type=numbers(int), metavar="N,N", help="per session (5)")
    parser.add_argument("--journal", type=numbers(str), metavar="MODE", help="delete,wal (both)")
    parser.add_argument("--workers", type=numbers(int), metavar="N,N", help="at once (1)")
    parser.add_argument("--rounds", type=int, help="turns that each contender gets (20; full: 30)")
    parser.add_argument("--seconds", type=float,
                        help="at most, for one contender in one scene (1.5; full: 10)")
    parser.add_argument("--count", type=int, default=10000, help="number of sessions for `many`")
    parser.add_argument("--scan-mb", type=float, default=1000, help="template size for `scan`")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    parser.add_argument("--disk", type=Path, default=Path("/var/tmp"), metavar="DIR",
                        help="for the store and for contenders on disk (/var/tmp)")
    parser.add_argument("--no-install", action="store_true",
                        help="leave out contenders whose packages are missing")
    parser.add_argument("--list-packages", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.what = args.what or ["sessions"]
    if "all" in args.what:
        args.what = ["sessions", *EXTRAS]
    return args


def make_plan(args) -> sessions.Plan:
    names = args.contenders.split(",") if args.contenders else list(ALL) if args.full else QUICK
    for name in names:
        if name not in ALL:
            sys.exit(f"bench: no contender {name}; there are {', '.join(ALL)}")
    return sessions.Plan(
        names=names,
        sizes_mb=args.sizes or ([0.5, 2, 10, 100, 1000] if args.full else [0.5, 2, 10]),
        transactions=args.transactions or ([1, 5, 50] if args.full else [5]),
        journals=args.journal or ["delete", "wal"],
        workers=args.workers or ([1, 2] if args.full else [1]),
        rounds=args.rounds or (30 if args.full else 20),
        seconds=args.seconds or (10 if args.full else 1.5),
    )


def missing_packages(args, plan: sessions.Plan) -> list:
    """The distribution's packages that scripts/bench installs first."""
    programs = dict(extras.FIO_PROGRAMS) if "fio" in args.what else {}
    if "sessions" in args.what:
        for name in plan.names:
            programs |= ALL[name].programs
    return sorted({package for name, package in programs.items() if not has_program(name)})


def run_extra(what: str, places: Places, args):
    """If it cannot run here, prints the reason and returns it."""
    try:
        return EXTRAS[what](places, args)
    except (CannotRun, OSError, subprocess.CalledProcessError) as error:
        why = f"{error}\n{getattr(error, 'stderr', None) or ''}".strip()
        say(f"left out: {what}: {why}")
        return {"left_out": why}


def main() -> int:
    args = read_arguments()
    plan = make_plan(args)
    if args.list_packages:
        print("\n".join(missing_packages(args, plan)))
        return 0
    results = {"machine": report.machine()}
    try:
        with Places(args.disk) as places:
            for what in args.what:
                if what == "sessions":
                    results.update(sessions.measure(places, plan, report.show_scene))
                else:
                    results[what] = run_extra(what, places, args)
    except KeyboardInterrupt:
        say("bench: stopped")
        return 130
    finally:
        if args.json:
            report.write_json(args.json, results)
    for name, why in results.get("left_out", {}).items():
        print(f"left out: {name}: {why}")
    if args.plot and results.get("scenes"):
        report.write_plot(args.plot, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
