"""The results as tables, as JSON and as a plot."""

import json
import math
import os
import platform
from pathlib import Path
from xml.sax.saxutils import escape

COLOURS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf",
           "#7f7f7f", "#bcbd22", "#393b79", "#637939", "#8c6d31", "#843c39", "#7b4173", "#3182bd")
WIDTH, HEIGHT = 960, 600
LEFT, RIGHT, TOP, BOTTOM = 80, 330, 50, 60


def machine() -> dict:
    """The machine that the figures were measured on."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    return {"kernel": platform.release(), "cpus": os.cpu_count(), "cpu": model,
            "load": os.getloadavg()}


def print_table(titles: list, rows: list):
    """The first column is aligned to the left, the others to the right."""
    texts = [[cell if isinstance(cell, str) else f"{cell:,.6g}" for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [titles, *texts]) for i in range(len(titles))]
    for line, is_word in [(titles, True), *((text, False) for text in texts)]:
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        print("  " + "  ".join(cells).rstrip())
        if is_word:
            print("  " + "  ".join("-" * width for width in widths))
    print(flush=True)


def ms(microseconds: float) -> str:
    return f"{microseconds / 1000:.3f}" if microseconds < 1e5 else f"{microseconds / 1000:,.0f}"


def ratio(value) -> str:
    return "" if value is None else f"{value:.2f}"


def show_scene(scene: dict):
    print(f"{scene['size_mb']:g} MB, {scene['transactions']} transactions, journal mode "
          f"{scene['journal']}, {scene['workers']} at once (medians in ms; x: against mintfs;"
          " p10: where others use the machine too)")
    titles = ["", "n", "make", "open", "work", "close", "discard", "session", "p99", "x",
              "p10", "x"]
    print_table(titles, [
        [row["title"], str(row["samples"]), *(ms(us) for us in row["phases_us"].values()),
         ms(row["median_us"]), ms(row["p99_us"]),
         *(ratio(row["ratio"]), ms(row["p10_us"]), ratio(row["p10_ratio"]))]
        for row in scene["rows"]])


def write_json(path: Path, results: dict):
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


# --- the plot: cost of a session against the template's size, logarithmic axes


def _lines(scenes: list) -> dict:
    """{title: points (MB, ms)} for the first kind of scene that was measured."""
    kind = ("journal", "workers", "transactions")
    preferred = [s for s in scenes if s["transactions"] == 5] or scenes
    first = [preferred[0][word] for word in kind]
    lines = {}
    for scene in preferred:
        if [scene[word] for word in kind] == first:
            for row in scene["rows"]:
                lines.setdefault(row["title"], []).append(
                    (scene["size_mb"], row["median_us"] / 1000))
    return lines


class _Axis:
    def __init__(self, values: list, start: float, end: float):
        self.low = math.floor(math.log10(min(values)) * 2) / 2
        self.high = max(math.ceil(math.log10(max(values)) * 2) / 2, self.low + 0.5)
        self.start, self.end = start, end

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list:
        return [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]


def write_plot(path: Path, results: dict):
    scenes = results["scenes"]
    lines = _lines(scenes)
    points = [point for line in lines.values() for point in line]
    x = _Axis([size for size, _ in points], LEFT, WIDTH - RIGHT)
    y = _Axis([cost for _, cost in points], HEIGHT - BOTTOM, TOP)
    scene = next((s for s in scenes if s["transactions"] == 5), scenes[0])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="25" font-size="16">A test session: make, open, '
        f'{scene["transactions"]} transactions, close, discard</text>',
        f'<text x="{LEFT}" y="42">journal mode {scene["journal"]}, {scene["workers"]} at once;'
        " median</text>",
        f'<text x="{(x.start + x.end) / 2}" y="{HEIGHT - 15}" text-anchor="middle">'
        "template, MB</text>",
        f'<text x="20" y="{(y.start + y.end) / 2}" text-anchor="middle" transform="rotate(-90 20 '
        f'{(y.start + y.end) / 2})">session, ms</text>',
    ]
    for value in x.ticks():
        parts.append(f'<path d="M{x.at(value):.1f} {y.start}V{y.end}" stroke="#ddd"/>'
                     f'<text x="{x.at(value):.1f}" y="{y.start + 16}" text-anchor="middle">'
                     f"{value:g}</text>")
    for value in y.ticks():
        parts.append(f'<path d="M{x.start} {y.at(value):.1f}H{x.end}" stroke="#ddd"/>'
                     f'<text x="{x.start - 6}" y="{y.at(value) + 4:.1f}" text-anchor="end">'
                     f"{value:g}</text>")
    # The most expensive first: the order in which the lines end, from top to bottom.
    ordered = sorted(lines.items(), key=lambda item: -item[1][-1][1])
    for number, (title, line) in enumerate(ordered):
        colour = COLOURS[number % len(COLOURS)]
        width = 3 if title == "mintfs" else 1.5
        at = [(x.at(size), y.at(cost)) for size, cost in line]
        parts.append(f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in at)}"'
                     f' fill="none" stroke="{colour}" stroke-width="{width}"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in at]
        key_y = TOP + 10 + number * 20
        parts.append(f'<path d="M{x.end + 20} {key_y}h20" stroke="{colour}"'
                     f' stroke-width="{width}"/><text x="{x.end + 46}" y="{key_y + 4}">'
                     f"{escape(title)}</text>")
    parts.append("</svg>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")
