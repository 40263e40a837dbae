"""scripts/bench with the smallest of plans: it measures, prints its results, and leaves nothing.

The figures themselves are not checked."""

import json
import os
import signal
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from support.basics import MINTFS, PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parents[1]
CONTENDERS = ["mintfs", "mintfs-devfuse", "copy-tmpfs", "memory"]
LONG_SECONDS = PATIENCE_SECONDS * 10
PHASES = ["make", "open", "work", "close", "discard"]


@pytest.fixture
def bench(fuse, place):
    """Starts scripts/bench with these arguments; it measures the build under test."""
    if not (MINTFS.parent / "tests/bench/session_bench").exists():
        pytest.skip(f"no session_bench beside {MINTFS}, which is not in a build directory")
    environment = {**os.environ, "MINTFS_BENCH_BUILD": str(MINTFS.parent)}
    started = []

    def start(*words):
        command = [ROOT / "scripts/bench", *words, "--no-install", "--disk", place]
        started.append(subprocess.Popen(command, env=environment, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate()


def test_every_contender_is_measured_or_left_out_with_a_reason(bench, place):
    run = bench("sessions", "--journal", "wal", "--contenders", ",".join(CONTENDERS), "--sizes", "0.5",
                "--transactions", "1", "--workers", "1,2", "--rounds", "2", "--seconds", "0.1",
                "--json", place / "found.json", "--plot", place / "plot.svg")
    out, err = run.communicate(timeout=LONG_SECONDS)
    assert run.returncode == 0, (out, err)
    found = json.loads((place / "found.json").read_text(encoding="utf-8"))

    plans = [(scene["journal"], scene["workers"]) for scene in found["scenes"]]
    assert plans == [("wal", 1), ("wal", 2)]
    for scene in found["scenes"]:
        rows = {row["contender"]: row for row in scene["rows"]}
        # A contender that cannot run is listed once with the reason, and is in no scene.
        assert sorted([*rows, *found["left_out"]]) == sorted(CONTENDERS)
        for row in rows.values():
            assert row["samples"] >= 2 and list(row["phases_us"]) == PHASES
            assert 0 < row["p10_us"] <= row["median_us"] <= row["p99_us"]
            assert row["title"] in out
        if "mintfs" in rows:
            for row in rows.values():
                ratio = row["median_us"] / rows["mintfs"]["median_us"]
                assert row["ratio"] == pytest.approx(ratio)
    assert set(found["left_out"]) <= {"mintfs", "mintfs-devfuse"}
    assert all(why in out for why in found["left_out"].values())

    picture = ElementTree.parse(place / "plot.svg").getroot()
    lines = picture.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == len(CONTENDERS) - len(found["left_out"])

    assert sorted(path.name for path in place.iterdir()) == ["found.json", "plot.svg"]


def test_a_stopped_run_leaves_nothing(bench, place):
    run = bench("--contenders", "mintfs-devfuse,copy-tmpfs", "--rounds", "100000", "--seconds",
                "100000", "--json", place / "found.json")
    for line in run.stderr:
        if line.startswith("a template of"):
            break
    run.send_signal(signal.SIGTERM)
    _, err = run.communicate(timeout=LONG_SECONDS)
    assert run.returncode == 143, err
    assert [path.name for path in place.iterdir()] == ["found.json"]


@pytest.mark.parametrize("words", [["--contenders", "abacus"], ["weather"], ["--sizes", "big"]])
def test_bad_arguments_are_named(bench, place, words):
    run = bench(*words)
    out, err = run.communicate(timeout=LONG_SECONDS)
    assert run.returncode != 0 and out == "" and words[-1] in err
    assert list(place.iterdir()) == []
