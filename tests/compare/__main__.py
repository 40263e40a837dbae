"""Times the shop as it is usually written and the shop on mintfs, in all four nox sessions.

Each runs in three situations, in turn: `cold`, a fresh machine with an empty cache; `restored`, a
fresh machine with the cache that the cold one saved; `again`, the same machine once more, like a
laptop or a runner that keeps its disk. Everything that a job adds to the tests is counted: install,
key, restore, build, mount, unmount, save. The steps that all have in common and the network are not
counted. CPU seconds are those of all processes, including the daemon; on a busy machine they vary
less than the elapsed time.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
from pathlib import Path

from compare.contenders import CONTENDERS
from compare.machine import Failed, Machine
from support.shops import differences

SITUATIONS = ("cold", "restored", "again")
OF_CI = (".forgejo/", "features/ci_workflow", "features/steps/ci_workflow")


def take_turn(contender, place: Path, given: dict) -> dict:
    """Runs one round; returns {situation: {step: [seconds, CPU seconds]}}."""
    cache = place / "cache"
    cache.mkdir(parents=True)
    steps = {}
    for situation in ("cold", "restored"):
        machine = Machine(place / situation, contender.project, {**given, **contender.env})
        try:
            finish = contender.job(machine, cache)
            if situation == "restored":
                machine.nox("again")
                steps["again"] = {"nox": machine.steps.pop("again")}
            finish()
            steps[situation] = machine.steps
        finally:
            machine.remove()
    return steps


def lines(project: str) -> dict:
    """The numbers of lines added and removed, in the project's code and in its CI files."""
    sums = {"code": [0, 0], "ci": [0, 0]}
    for name, counts in differences(project).items():
        if name != "tests/e2e/test_template_key.py":  # a test that any project could do without
            kind = sums["ci" if name.startswith(OF_CI) else "code"]
            kind[0] += counts[0]
            kind[1] += counts[1]
    return sums


def total(rounds: list, situation: str, kind: int, without: str = "") -> float:
    """The median over the rounds of the sum of all steps, or all but one; kind 0: time, 1: CPU."""
    return statistics.median(
        sum(took[kind] for step, took in steps[situation].items() if step != without)
        for steps in rounds
    )


def cell(rounds: list, situation: str) -> str:
    beside = total(rounds, situation, 0, without="nox")
    more = f", {beside:.1f} beside nox" if beside >= 0.05 else ""
    return f"{total(rounds, situation, 0):.0f} s (CPU {total(rounds, situation, 1):.1f} s{more})"


def table(results: list) -> str:
    rows = ["| | lines, and for CI | cold | cache restored | again |", "|---|---|---|---|---|"]
    for result in results:
        code, ci = result["lines"]["code"], result["lines"]["ci"]
        changed = f"+{code[0]} −{code[1]}, +{ci[0]} −{ci[1]}" if sum(code + ci) else "–"
        cells = [cell(result["rounds"], situation) for situation in SITUATIONS]
        rows.append(f"| {result['label']} | {changed} | {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> int:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(prog="scripts/compare", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="medians of that many rounds (3)")
    parser.add_argument("--only", action="append", choices=names, help="only this contender; may be repeated")
    parser.add_argument("--json", metavar="FILE", help="also write all steps of all rounds there")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # removes everything at the end
    given = {"MINTFS_TARBALL": os.environ["MINTFS_TARBALL"], "WHEEL": os.environ["MINTFS_WHEEL"]}
    chosen = [c for c in CONTENDERS if not asked.only or c.name in asked.only]
    if not os.access("/dev/fuse", os.W_OK):
        print("no /dev/fuse here: the contender with a mount is left out", file=sys.stderr)
        chosen = [c for c in chosen if c.name != "fuse"]
    rounds = {contender.name: [] for contender in chosen}
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="mintfs-compare-") as place:
        for number in range(asked.rounds):
            for contender in chosen[number % len(chosen) :] + chosen[: number % len(chosen)]:
                print(f"round {number + 1}: {contender.label}", file=sys.stderr)
                turn = Path(place, f"{number}-{contender.name}")
                try:
                    rounds[contender.name].append(take_turn(contender, turn, given))
                except Failed as failed:
                    print(f"{contender.label}: {failed}", file=sys.stderr)
                    return 1
    results = [
        {"name": c.name, "label": c.label, "lines": lines(c.project), "rounds": rounds[c.name]}
        for c in chosen
    ]
    machine = f"{os.cpu_count()} CPUs, Linux {platform.release()}, load {load_before:.1f} before and "
    machine += f"{os.getloadavg()[0]:.1f} after, medians of {asked.rounds}"
    print(table(results))
    print(f"\n{machine}. Beside nox: install, key, restore, build, mount, unmount, save.")
    if asked.json:
        Path(asked.json).write_text(json.dumps({"machine": machine, "results": results}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
