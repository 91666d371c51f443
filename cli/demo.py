"""``crossdyad demo``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import CHECK_FAILED, explained
from .options import Folder
from .progress import bar

GRADIENT_SAMPLES = 60
BOARD = "ulx3s"


@explained
def demo(output: Folder = Path("build/demo"),
         recipe: Annotated[str, typer.Option(help="a preset's name or a TOML file")] = "digits",
         samples: Annotated[int, typer.Option(min=1, help="training samples to co-simulate")] = 20):
    """A chip learns to read digits: trained, written as Verilog, co-simulated, its gradient checked, built for an FPGA.

    Ends with one page, on the terminal and as page.md in the output folder.
    """
    import math

    from .. import data, hdl
    from ..explore.files import write
    from ..explore.rate import rates, told
    from ..recipe import load, programs
    from . import plots
    from . import train as training

    recipe = load(recipe)
    dataset = data.of(recipe)
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
    built = _synth(recipe, output)

    mhz = built["fmax"]["median"] if isinstance(built, dict) else math.inf
    lines = [
        f"# {recipe.name}: {' - '.join(map(str, recipe.sizes))}, {recipe.rule}", "",
        f"- accuracy: {100 * learned['accuracy']:.2f} % on {len(dataset.y_test)} test samples after {learned['epochs']} epochs",
        *(f"  - note: {note}" for note in learned["notes"]),
        f"- a training step: {programs(recipe)[1].length} cycles; inference: {programs(recipe)[0].length}",
        f"- training samples per second {told(rates(recipe, BOARD, mhz), BOARD)}",
    ]
    if isinstance(built, dict):
        lines += [f"- {built['device']}: Fmax {built['fmax']['min']:.1f} / {mhz:.1f} / {built['fmax']['max']:.1f} MHz "
                  "(min / median / max): what the circuit could take, not what the board gives",
                  "- utilisation: " + ", ".join(f"{u['used']} of {u['available']} {name}" for name, u in built["utilisation"].items())]
    else:
        lines.append(f"- FPGA build left out: {built}")
    lines.append(f"- RTL against emulator ({checked.simulator}): {checked.mismatches} mismatches in {checked.bits:,} compared bits, "
                 f"{checked.cycle_differences} cycles of difference, over {checked.samples} training samples of {checked.data} "
                 "and directed ones")
    lines += [f"  - {finding}" for finding in checked.findings()]
    lines += [
        f"- gradient cosine after training: {gradient['rule']:.4f} to the rule in float64, "
        f"{gradient['exact']:.4f} to the exact gradient", f"- files: {output}/", "",
        "![learning](learning.svg)", "![ranges](ranges.svg)", "![gradient](gradient.svg)",
    ]
    write(output / "page.md", "\n".join(lines) + "\n")
    typer.echo("\n" + "\n".join(line for line in lines if not line.startswith("![")))
    if not checked.passed:
        raise typer.Exit(CHECK_FAILED)


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


def _synth(recipe, output):
    """The build's report, or why there is none."""
    from .. import hdl

    try:
        with bar("build", even=False) as report:
            return hdl.synthesize(recipe, BOARD, output, progress=report)
    except (RuntimeError, hdl.DoesNotFit) as error:      # a missing tool or a small board degrades the demo, it does not end it
        return str(error)
