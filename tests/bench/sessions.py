"""Runs test sessions of all contenders in turn, A B C A B C, and collects the times."""

import contextlib
import math
import statistics
import subprocess
import time

from contenders import ALL, REFERENCE, Template
from places import CannotRun, Places, say

PHASES = ("make", "open", "work", "close", "discard")
TURN_SECONDS = 0.05  # how long one contender runs before the next one
WARM_UP = 20


class Row:
    """The samples of one contender in one scene: for each session, its phases in nanoseconds."""

    def __init__(self, contender, drivers):
        self.contender, self.drivers = contender, drivers
        self.samples = []
        self.seconds = 0.0
        self.turn = 1

    def take_turn(self, count: int, transactions: int) -> list:
        """Runs that many sessions in each worker, all workers at once."""
        for driver in self.drivers:
            driver.stdin.write(f"{count} {transactions}\n")
            driver.stdin.flush()
        found = []
        for driver in self.drivers:
            while (line := driver.stdout.readline()).strip():
                found.append([int(word) for word in line.split()])
            if not line:
                raise CannotRun("the driver failed, see above")
        return found

    def warm_up(self, transactions: int):
        start = time.monotonic()
        self.take_turn(1, transactions)
        first = time.monotonic() - start
        if first < TURN_SECONDS and not self.contender.slow:
            self.take_turn(WARM_UP, transactions)
            start = time.monotonic()
            self.take_turn(5, transactions)
            each = (time.monotonic() - start) / 5
            self.turn = max(1, min(10, round(TURN_SECONDS / each)))

    def measure(self, transactions: int):
        start = time.monotonic()
        self.samples += self.take_turn(self.turn, transactions)
        self.seconds += time.monotonic() - start

    def summary(self) -> dict:
        totals = sorted(sum(sample) for sample in self.samples)
        at_99 = min(len(totals) - 1, math.ceil(len(totals) * 0.99) - 1)
        return {
            "contender": self.contender.name,
            "title": self.contender.title,
            "samples": len(totals),
            "p10_us": totals[len(totals) // 10] / 1000,
            "median_us": statistics.median(totals) / 1000,
            "p99_us": totals[at_99] / 1000,
            "phases_us": {phase: statistics.median(column) / 1000
                          for phase, column in zip(PHASES, zip(*self.samples))},
        }


class Plan:
    """What to measure, and for how long."""

    def __init__(self, *, names, sizes_mb, transactions, journals, workers, rounds, seconds):
        self.names = [name for name in ALL if name in names]
        if REFERENCE.name not in self.names:
            self.names.insert(0, REFERENCE.name)
        self.sizes_mb, self.transactions, self.journals = sizes_mb, transactions, journals
        self.workers, self.rounds, self.seconds = workers, rounds, seconds


def _set_up(plan: Plan, template: Template, workers: int, stack, left_out: dict) -> list:
    rows = []
    for name in plan.names:
        contender = ALL[name]
        if name in left_out or (not contender.sized and template.size_mb != plan.sizes_mb[0]):
            continue
        own = stack.enter_context(contextlib.ExitStack())
        try:
            rows.append(Row(contender, contender.set_up(template, own, workers)))
        except (CannotRun, OSError, subprocess.CalledProcessError) as error:
            left_out[name] = getattr(error, "stderr", None) or str(error)
            say(f"  left out: {contender.title}: {left_out[name]}")
            own.close()
    return rows


def _measure(plan: Plan, rows: list, transactions: int, left_out: dict) -> list:
    def attempt(row, action):
        """Leaves out a contender that fails, from then on, and continues with the others."""
        try:
            action(transactions)
        except (CannotRun, OSError) as error:
            left_out[row.contender.name] = str(error)
            say(f"  left out: {row.contender.title}: {error}")
            rows.remove(row)

    for row in list(rows):
        row.samples, row.seconds, row.turn = [], 0.0, 1
        attempt(row, row.warm_up)
    for number in range(plan.rounds):
        for row in list(rows):
            few = 3 if row.contender.slow else plan.rounds
            if number < few and (row.seconds < plan.seconds or len(row.samples) < 3):
                attempt(row, row.measure)
    return [row.summary() for row in rows]


def _with_ratios(rows: list) -> list:
    for row in rows:
        reference = next((r for r in rows if r["contender"] == REFERENCE.name), None)
        for name, figure in (("ratio", "median_us"), ("p10_ratio", "p10_us")):
            row[name] = row[figure] / reference[figure] if reference else None
    return rows


def measure(places: Places, plan: Plan, show) -> dict:
    """Measures all scenes, and calls show(scene) after each."""
    left_out, scenes = {}, []
    for size_mb in plan.sizes_mb:
        for journal in plan.journals:
            say(f"a template of {size_mb:g} MB, journal mode {journal} ...")
            template = Template(places, size_mb, journal)
            for workers in plan.workers:
                with contextlib.ExitStack() as stack:
                    rows = _set_up(plan, template, workers, stack, left_out)
                    for transactions in plan.transactions:
                        scenes.append({
                            "size_mb": size_mb, "journal": journal, "workers": workers,
                            "transactions": transactions,
                            "rows": _with_ratios(_measure(plan, rows, transactions, left_out)),
                        })
                        show(scenes[-1])
            template.drop()
    return {"scenes": scenes, "left_out": left_out}
