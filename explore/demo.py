"""The demo: a chip trained, written as Verilog, co-simulated, its gradient checked, built for an FPGA; and a page that shows it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import data, emulator, hdl, sim
from ..recipe import Recipe, load, programs
from ..sim import gradient, simulators
from . import learning, plots
from .files import write
from .rate import rates, told
from .stages import Stages, silent

if TYPE_CHECKING:
    from ..data import Dataset
    from ..emulator import History

GRADIENT_SAMPLES = 60
BOARD, SEED = "ulx3s", 1
BUILD = """\
import sys
from crossdyad import hdl
from crossdyad.recipe import load
hdl.synthesize(load(sys.argv[1]), sys.argv[2], sys.argv[3], (int(sys.argv[4]),))
"""
"""The build of the FPGA, in a process of its own beside the other steps: it takes one core for minutes."""
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
svg {{ max-width: 100%; height: auto }}
</style>
<h1>{title}</h1>
<ul>
{items}
</ul>
{figures}
"""


class Demo(NamedTuple):
    """Results of the demo.

    Attributes
    ----------
    title : str
    learned : dict
        As `learning.Trained`.
    cosim : dict
        As `sim.Report`.
    gradient : dict
        Cosine of the chip's gradient after training, to the ``rule`` in float64 and to the ``exact`` one.
    built : dict or None
        As `hdl.synthesize` returns it; None if nothing could be built.
    left_out : str
        Why nothing was built.
    said : list of str
        All of this in words, as the page has it.
    page : str
        Its file.
    passed : bool
        Whether the Verilog does what the emulator does.
    files : list of str
    """

    title: str
    learned: dict
    cosim: dict
    gradient: dict
    built: dict | None
    left_out: str
    said: list[str]
    page: str
    passed: bool
    files: list[str]


def demo(
    recipe: str = "digits",
    output: Path = Path("build/demo"),
    samples: int = 20,
    say: Callable[[str], None] | None = None,
    stages: Stages = silent,
) -> Demo:
    """Train a chip, write it as Verilog, co-simulate it, check its gradient, build it for an FPGA, and write a page.

    The FPGA build, synthesis and one seed of place and route, runs beside the rest.

    Parameters
    ----------
    recipe : str
        A preset's name or a TOML file.
    output : path
        Folder for everything.
    samples : int
        Training samples to co-simulate.
    say : callable, optional
        Called with each step's title, and with what should be known on the way.
    stages : callable
        As `stages.Stages`.

    Returns
    -------
    Demo
    """
    chip = load(recipe)
    dataset = data.of(chip)
    with ThreadPoolExecutor(1) as pool, hdl.tools.together() as run:  # left early, it ends the build
        return _steps(recipe, chip, dataset, samples, output, pool.submit(_build, run, recipe, output), say or (lambda _: None), stages)


def _steps(
    source: str, recipe: Recipe, dataset: Dataset, samples: int, output: Path, building: Future, say: Callable[[str], None], stages: Stages
) -> Demo:
    """Take the steps one after the other, the last one when `building` is done; then write the page."""
    say("1/5 learning on the emulated chip")
    history, files = learning.run(recipe, dataset, output, stages=stages)
    learned = learning.summary(recipe, history, files)
    plots.learning(history, output / "learning.svg")
    plots.ranges(history, output / "ranges.svg")

    say("2/5 Verilog")
    files += hdl.generate(recipe, output)

    say("3/5 co-simulation")
    checked = _cosim(recipe, samples, output, say, stages)

    say("4/5 gradient")
    cosines = _gradient(recipe, history, dataset, output)

    say("5/5 FPGA")
    built = _synth(recipe, output, building, stages)

    title = f"{recipe.name}: {' - '.join(map(str, recipe.sizes))}, {recipe.rule}"
    said = [
        f"accuracy: {100 * learned.accuracy:.2f} % on {len(dataset.y_test)} test samples after {learned.epochs} epochs",
        *(f"note: {note}" for note in learned.notes),
        *_speed(source, recipe, output, built),
        f"RTL against emulator ({checked.simulator}): {checked.mismatches} mismatches in {checked.bits:,} compared bits, "
        f"{checked.cycle_differences} cycles of difference, over {checked.samples} training samples of {checked.data} and directed ones",
        *checked.findings(),
        f"gradient cosine after training: {cosines['rule']:.4f} to the rule in float64, {cosines['exact']:.4f} to the exact gradient",
    ]
    figures = [output / f"{name}.svg" for name in ("learning", "ranges", "gradient")]
    write(output / "page.html", page(title, said, figures))
    whole = isinstance(built, dict)
    return Demo(
        title,
        learned._asdict(),
        checked.to_dict(),
        cosines,
        built if whole else None,
        "" if whole else built,
        said,
        str(output / "page.html"),
        checked.passed,
        [str(f) for f in (*files, *figures)],
    )


def _speed(source: str, recipe: Recipe, output: Path, built: dict | str) -> list[str]:
    """Return cycles, samples a second, and what the build says, in words."""
    mhz = built["fmax"]["median"] if isinstance(built, dict) else math.inf
    lines = [
        f"a training step: {programs(recipe)[1].length} cycles; inference: {programs(recipe)[0].length}",
        f"training samples per second {told(rates(recipe, BOARD, mhz), BOARD)}",
    ]
    if not isinstance(built, dict):
        return [*lines, f"FPGA build left out: {built}"]
    return [
        *lines,
        f"{built['device']}: Fmax {mhz:.1f} MHz with seed {SEED} of place and route: what the circuit could take, not what the "
        f"board gives; seeds differ by several percent, for three of them: crossdyad synth {source} --board {BOARD} -o {output}",
        "utilisation: " + ", ".join(f"{u['used']} of {u['available']} {name}" for name, u in built["utilisation"].items()),
    ]


def page(title: str, items: list[str], figures: list[Path]) -> str:
    """Return one HTML page with everything that it shows inside."""
    drawn = "\n".join(path.read_text()[path.read_text().index("<svg") :] for path in figures)
    return PAGE.format(title=escape(title), items="\n".join(f"<li>{escape(item)}" for item in items), figures=drawn)


def _cosim(recipe: Recipe, samples: int, output: Path, say: Callable[[str], None], stages: Stages) -> sim.Report:
    """The report of the best simulator that is here."""
    here = [s for s in ("verilator", "icarus", "amaranth") if simulators.missing(s) is None]
    if here[0] != "verilator":
        say(f"  {simulators.missing('verilator')}; using {here[0]}")
    with stages(f"co-simulation ({here[0]})", even=False) as report:
        return sim.cosim(recipe, here[0], samples if here[0] != "amaranth" else min(samples, 5), output, report)


def _gradient(recipe: Recipe, history: History, dataset: Dataset, output: Path) -> dict[str, float]:
    """Cosines before training and after each tenth of it, plotted; returns the last ones."""
    x, y = dataset.x_test[:GRADIENT_SAMPLES], dataset.y_test[:GRADIENT_SAMPLES]
    kept = {0: emulator.initial_weights(recipe), len(history.epochs): history.weights}
    for epoch in sorted({max(1, len(history.epochs) // 10), len(history.epochs) // 3} - set(kept)):
        kept[epoch] = emulator.train(recipe, *dataset, epochs=epoch).weights
    table = {epoch: gradient.compare(recipe, kept[epoch], x, y) for epoch in sorted(kept)}
    words = {"rule": "chip to its rule in float64", "exact": "chip to the exact gradient"}
    plots.cosines(list(table), {label: [t[key]["cosine"] for t in table.values()] for key, label in words.items()}, output / "gradient.svg")
    return {key: float(np.round(table[len(history.epochs)][key]["cosine"], 6)) for key in words}


def _build(run: Callable, source: str, output: Path) -> None:
    """Build for the board in another process, whatever comes of it."""
    run([sys.executable, "-P", "-c", BUILD, source, BOARD, str(output), str(SEED)])


def _synth(recipe: Recipe, output: Path, building: Future, stages: Stages = silent) -> dict | str:
    """The build's report, or why there is none: that of `building`, or what it would have been."""
    try:
        with stages("build", even=False) as report:
            report("synthesis, place and route, begun with the demo", 0, 3)
            building.exception()  # what it failed of, the call below says again
            return hdl.synthesize(recipe, BOARD, output, (SEED,), report)
    except (RuntimeError, hdl.DoesNotFit) as error:  # a missing tool or a small board degrades the demo, it does not end it
        return str(error)
