"""``crossdyad demo``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import CHECK_FAILED, explained
from .options import Folder
from .progress import bar

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


@explained
def demo(output: Folder = Path("build/demo"),
         recipe: Annotated[str, typer.Option(help="a preset's name or a TOML file")] = "digits",
         samples: Annotated[int, typer.Option(min=1, help="training samples to co-simulate")] = 20) -> None:
    """A chip learns to read digits: trained, written as Verilog, co-simulated, its gradient checked, built for an FPGA.

    The FPGA build, synthesis and one seed of place and route, runs beside the rest. Ends with one page, on the terminal and, with its
    pictures, as page.html in the output folder.
    """
    from concurrent.futures import ThreadPoolExecutor

    from .. import data, hdl
    from ..recipe import load

    source, recipe = recipe, load(recipe)
    dataset = data.of(recipe)
    with ThreadPoolExecutor(1) as pool, hdl.tools.together() as run:        # left early, it ends the build
        _steps(source, recipe, dataset, samples, output, pool.submit(_build, run, source, output))


def _steps(source: str, recipe, dataset, samples: int, output: Path, building) -> None:
    """Take the steps one after the other, the last one when `building` is done; then show the page."""
    import math

    from .. import hdl
    from ..explore.files import write
    from ..explore.rate import rates, told
    from ..recipe import programs
    from . import plots
    from . import train as training

    said = typer.style
    typer.echo(said("1/5 learning on the emulated chip", bold=True))
    history, files = training.run(recipe, dataset, output)
    learned = training.summary(recipe, history)
    plots.learning(history, output / "learning.svg")
    plots.ranges(history, output / "ranges.svg")

    typer.echo(said("2/5 Verilog", bold=True))
    files += hdl.generate(recipe, output)

    typer.echo(said("3/5 co-simulation", bold=True))
    checked = _cosim(recipe, samples, output)

    typer.echo(said("4/5 gradient", bold=True))
    gradient = _gradient(recipe, history, dataset, output)

    typer.echo(said("5/5 FPGA", bold=True))
    built = _synth(recipe, output, building)

    mhz = built["fmax"]["median"] if isinstance(built, dict) else math.inf
    title = f"{recipe.name}: {' - '.join(map(str, recipe.sizes))}, {recipe.rule}"
    items = [
        f"accuracy: {100 * learned['accuracy']:.2f} % on {len(dataset.y_test)} test samples after {learned['epochs']} epochs",
        *(f"note: {note}" for note in learned["notes"]),
        f"a training step: {programs(recipe)[1].length} cycles; inference: {programs(recipe)[0].length}",
        f"training samples per second {told(rates(recipe, BOARD, mhz), BOARD)}",
    ]
    if isinstance(built, dict):
        items += [f"{built['device']}: Fmax {mhz:.1f} MHz with seed {SEED} of place and route: what the circuit could take, not what the "
                  f"board gives; seeds differ by several percent, for three of them: crossdyad synth {source} --board {BOARD} -o {output}",
                  "utilisation: " + ", ".join(f"{u['used']} of {u['available']} {name}" for name, u in built["utilisation"].items())]
    else:
        items.append(f"FPGA build left out: {built}")
    items.append(f"RTL against emulator ({checked.simulator}): {checked.mismatches} mismatches in {checked.bits:,} compared bits, "
                 f"{checked.cycle_differences} cycles of difference, over {checked.samples} training samples of {checked.data} "
                 "and directed ones")
    items += checked.findings()
    items.append(
        f"gradient cosine after training: {gradient['rule']:.4f} to the rule in float64, "
        f"{gradient['exact']:.4f} to the exact gradient")
    write(output / "page.html", page(title, items, [output / f"{name}.svg" for name in ("learning", "ranges", "gradient")]))
    items.append(f"this, with pictures: {(output / 'page.html').absolute().as_uri()}")
    typer.echo("\n".join(["", title, *(f"- {item}" for item in items)]))
    if not checked.passed:
        raise typer.Exit(CHECK_FAILED)


def page(title: str, items: list[str], figures: list[Path]) -> str:
    """Return one HTML page with everything that it shows inside."""
    from html import escape

    drawn = "\n".join(path.read_text()[path.read_text().index("<svg"):] for path in figures)
    return PAGE.format(title=escape(title), items="\n".join(f"<li>{escape(item)}" for item in items), figures=drawn)


def _cosim(recipe, samples, output):
    """The report of the best simulator that is here."""
    from .. import sim
    from ..sim import simulators

    here = [s for s in ("verilator", "icarus", "amaranth") if simulators.missing(s) is None]
    if here[0] != "verilator":
        typer.echo(f"  {simulators.missing('verilator')}; using {here[0]}")
    with bar(f"co-simulation ({here[0]})", even=False) as report:
        return sim.cosim(recipe, here[0], samples if here[0] != "amaranth" else min(samples, 5), output, report)


def _gradient(recipe, history, dataset, output):
    """Cosines before training and after each tenth of it, plotted; returns the last ones."""
    import numpy as np

    from .. import emulator
    from ..sim import gradient
    from . import plots

    x, y = dataset.x_test[:GRADIENT_SAMPLES], dataset.y_test[:GRADIENT_SAMPLES]
    stages = {0: emulator.initial_weights(recipe), len(history.epochs): history.weights}
    for epoch in sorted({max(1, len(history.epochs) // 10), len(history.epochs) // 3} - set(stages)):
        stages[epoch] = emulator.train(recipe, *dataset, epochs=epoch).weights
    table = {epoch: gradient.compare(recipe, stages[epoch], x, y) for epoch in sorted(stages)}
    words = {"rule": "chip to its rule in float64", "exact": "chip to the exact gradient"}
    plots.cosines(list(table), {label: [t[key]["cosine"] for t in table.values()] for key, label in words.items()},
                  output / "gradient.svg")
    return {key: float(np.round(table[len(history.epochs)][key]["cosine"], 6)) for key in words}


def _build(run, source: str, output: Path) -> None:
    """Build for the board in another process, whatever comes of it."""
    import sys

    run([sys.executable, "-P", "-c", BUILD, source, BOARD, str(output), str(SEED)])


def _synth(recipe, output, building):
    """The build's report, or why there is none: that of `building`, or what it would have been."""
    from .. import hdl

    try:
        with bar("build", even=False) as report:
            report("synthesis, place and route, begun with the demo", 0, 3)
            building.exception()        # what it failed of, the call below says again
            return hdl.synthesize(recipe, BOARD, output, (SEED,), report)
    except (RuntimeError, hdl.DoesNotFit) as error:      # a missing tool or a small board degrades the demo, it does not end it
        return str(error)
