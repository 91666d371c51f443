"""Figures of the docs by date and commit: measured, appended to docs/history.jsonl, and drawn as docs/history.md.

    python benchmarks/history.py cycles area cosim accuracy [fmax] [speed]

Without a word it only draws. A figure is one line of the file, which is appended to and never edited.
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from crossdyad import hdl, sim
from crossdyad.hdl.chip import Chip
from crossdyad.recipe import load, presets, programs

DOCS = Path(__file__).resolve().parent.parent / "docs"
FILE = DOCS / "history.jsonl"
AREA = ("xor", "digits")
ROUTED = {"xor": "three", "digits": "five", "digits-equilibrium": "three", "digits-contrastive": "three"}
"""How many seeds of place and route."""
FIGURES = ("docs/history", "explore/routed")
"""What commands write figures into."""
BUILT = DOCS.parent / "build" / "history"
"""Keeps what is routed, for as long as the design stays the same."""
ACCURACY = ("digits",)
SAMPLES = 20
"""Of a co-simulation."""
SEEDS = 5
"""Of an accuracy."""


class Record(NamedTuple):
    """A figure as it was measured.

    Attributes
    ----------
    date, commit : str
        The day, and what was checked out; with a ``+`` where files were changed.
    figure, of : str
        What was measured, and of which recipe.
    value : float
    unit, command : str
        How to measure it again.
    """

    date: str
    commit: str
    figure: str
    of: str
    value: float
    unit: str
    command: str


Found = Iterator[tuple[str, str, float, str]]
"""Figure, recipe, value, unit."""


# What is measured -----------------------------------------------------------------------------------------


def cycles() -> Found:
    """Yield how often a training step of each preset begins, and with it each rule's."""
    for name in presets():
        recipe = load(name)
        if recipe.learns:
            yield "cycles of a training step", f"{name} ({recipe.rule})", programs(recipe)[True].period, "cycles"


def area() -> Found:
    """Yield what a chip without its host takes of the ULX3S's device, after Yosys."""
    from link import cells

    for name in AREA:
        for resource, count in sorted(cells(Chip(load(name))).items()):
            yield f"{resource} of the chip", name, count, "cells"


def cosim() -> Found:
    """Yield what a co-simulation in Verilator compares; one that finds a difference ends here."""
    for name in AREA:
        with tempfile.TemporaryDirectory() as folder:
            report = sim.cosim(load(name), "verilator", SAMPLES, folder)
        if not report.passed:
            raise SystemExit(f"{name}: {report}")
        yield f"cycles of a co-simulation, {SAMPLES} samples", name, report.cycles, "cycles"
        yield f"bits compared in a co-simulation, {SAMPLES} samples", name, report.bits, "bits"


def accuracy() -> Found:
    """Yield the mean over seeds of the accuracy on the test set, and that of backprop in float64."""
    from learning import measure

    for name in ACCURACY:
        made = measure(name, None, SEEDS)
        yield f"accuracy, {SEEDS} seeds", name, round(100 * made["mean"], 2), "%"
        yield f"accuracy of backprop in float64, {SEEDS} seeds", name, round(100 * made["backprop"]["mean"], 2), "%"


def fmax() -> Found:
    """Yield the median over seeds of place and route, on the ULX3S; a seed of `digits` takes minutes, so what is routed is kept."""
    for name, count in ROUTED.items():
        made = hdl.synthesize(load(name), "ulx3s", BUILT, range(1, 1 + {"three": 3, "five": 5}[count]))
        yield f"Fmax with the host, median of {count} seeds", name, made["fmax"]["median"], "MHz"


def speed() -> Found:
    """Yield how long the emulator takes, in float32 products of the same shape in the same run; on an idle core."""
    from emulator import ratios

    step, sample = ratios()
    yield "a training step of the emulator, in float32 forward passes of a vector", "mnist", round(step, 2), "times"
    yield "an inference of 1024 samples, in float32 forward passes of them", "mnist", round(sample, 2), "times"


MEASURES: dict[str, Callable[[], Found]] = {f.__name__: f for f in (cycles, area, cosim, accuracy, fmax, speed)}


# What is kept ---------------------------------------------------------------------------------------------


def commit() -> str:
    """Return what is checked out, with a ``+`` where files other than `FIGURES` are changed."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=DOCS, capture_output=True, text=True, check=True).stdout.strip()

    changed = [line for line in git("status", "--porcelain", "-uno").splitlines() if not any(name in line for name in FIGURES)]
    return git("rev-parse", "--short=7", "HEAD") + "+" * bool(changed)


def records(text: str) -> list[Record]:
    """Return the records of the file's text."""
    return [Record(**json.loads(line)) for line in text.splitlines()]


def keep(name: str, file: Path = FILE) -> None:
    """Measure a figure, and append what is found."""
    now, here = datetime.datetime.now(datetime.UTC).date().isoformat(), commit()
    for found in MEASURES[name]():
        record = Record(now, here, *found, f"python benchmarks/history.py {name}")
        with open(file, "a") as lines:
            lines.write(json.dumps(record._asdict()) + "\n")
        print(*record[:-1], flush=True)


# What is drawn --------------------------------------------------------------------------------------------


def series(kept: list[Record]) -> dict[str, dict[str, list[Record]]]:
    """Return the records by figure, and by what it is of."""
    found: dict[str, dict[str, list[Record]]] = {}
    for r in kept:
        found.setdefault(r.figure, {}).setdefault(r.of, []).append(r)
    return found


def page(kept: list[Record]) -> str:
    """Return the docs' page: of each figure the newest value, and the one before where it was another."""
    lines = [
        "# History of figures",
        "",
        "Figures by date and commit, from [history.jsonl](history.jsonl), which "
        "`python benchmarks/history.py WORD` appends to and this page is drawn from. A `+` behind a commit: with changes that were "
        "not committed. *Before* is the last value that was another.",
        "",
        "![Each figure over the commits that it was measured at, a line for each recipe; the tables have the values](history.svg)",
        "",
    ]
    for figure, of in series(kept).items():
        lines += [
            f"## {figure[0].upper()}{figure[1:]}",
            "",
            f"`{next(iter(of.values()))[-1].command}`",
            "",
            "| of | now | at | before |",
            "| --- | ---: | --- | --- |",
        ]
        for name, rows in of.items():
            last = rows[-1]
            other = next((f"{r.value:g} ({r.commit}, {r.date})" for r in reversed(rows) if r.value != last.value), "")
            lines.append(f"| `{name}` | {last.value:.10g} {last.unit} | {last.commit}, {last.date} | {other} |")
        lines.append("")
    return "\n".join(lines)


def drawing(kept: list[Record]) -> str:
    """Return the page's picture as SVG: a panel for each figure, a line for each recipe."""
    found, commits = series(kept), list(dict.fromkeys(r.commit for r in kept))
    rows = max(1, -(-len(found) // 2))
    figure = Figure(figsize=(9, 1.8 * rows), layout="constrained")
    panels = np.ravel(figure.subplots(rows, 2, squeeze=False))
    for ax, (name, of) in zip(panels, found.items(), strict=False):
        for label, line in of.items():
            ax.plot([commits.index(r.commit) for r in line], [r.value for r in line], marker="o", markersize=3, label=label)
        ax.set_title(f"{name} ({line[0].unit})", fontsize=8)
        values = [r.value for line in of.values() for r in line]
        if 0 < 3 * min(values) < max(values):
            ax.set_yscale("log")
        ax.set_xticks(range(len(commits)), commits, fontsize=7)
        ax.tick_params(axis="y", labelsize=7)
        if len(of) <= 3:
            ax.legend(frameon=False, fontsize=7)
    for ax in panels[len(found) :]:
        ax.remove()
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "crossdyad", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="WORD", help=f"what to measure: {', '.join(MEASURES)}")
    words = parser.parse_args().words
    if unknown := sorted(set(words) - set(MEASURES)):
        parser.error(f"{', '.join(unknown)}: unknown; allowed are {', '.join(MEASURES)}")
    for word in words:
        keep(word)
    kept = records(FILE.read_text() if FILE.exists() else "")
    for name, text in (("history.md", page(kept)), ("history.svg", drawing(kept))):
        (DOCS / name).write_text(text)


if __name__ == "__main__":
    main()
