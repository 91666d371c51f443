"""``crossdyad cosim``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import CHECK_FAILED, explained
from .options import AsJson, DataSource, Folder, RecipeName, WeightsFile, dump, loaded, with_data
from .progress import bar

if TYPE_CHECKING:
    from ..sim import Report


@explained
def cosim(
    recipe: RecipeName,
    output: Folder = Path("build"),
    as_json: AsJson = False,
    data: DataSource = None,
    begin: WeightsFile = None,
    simulator: Annotated[str, typer.Option(help="verilator, icarus or amaranth")] = "verilator",
    samples: Annotated[int, typer.Option(min=1, help="training samples to run")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="of the pauses on the streams")] = 0,
    waves: Annotated[bool, typer.Option("--waves", help="write waves (FST), with a view for GTKWave and one for Surfer")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="write what the simulator says")] = False,
) -> None:
    """Hold the RTL to the emulator: every value and every cycle, on training samples and at the extremes of weights, samples and rates.

    Samples are of the recipe's data, or of the set with a name that has as many inputs; where there is none, they are drawn at random.
    Exit status 1 if a single bit or cycle differs, or something was never exercised. After an interruption the same command goes on from
    what is finished.

    Example: crossdyad cosim digits --simulator icarus --samples 5

    Example: crossdyad cosim xor --simulator icarus --samples 5 --waves
    """
    from .. import sim
    from ..recipe import load

    recipe = with_data(load(recipe), data)
    first = loaded(recipe, begin)
    with bar("co-simulation", even=False) as report:
        result = sim.cosim(recipe, simulator, samples, output, report, weights=first, seed=seed, waves=waves, keep=keep)
    typer.echo(dump(result) if as_json else "\n".join([text(result), *(f"  {f}" for f in result.files)]))
    if not result.passed:
        raise typer.Exit(CHECK_FAILED)


def text(report: Report) -> str:
    """Return a co-simulation report as text: its figures, the gradient, and whatever is wrong."""
    from ..sim import gradient

    lines = [f"{name:<22}{value}" for name, value in report.to_dict().items() if not isinstance(value, list | dict)]
    lines += [gradient.line(stage, table) for stage, table in report.gradient.items()]
    return "\n".join(f"  {line}" for line in lines + report.findings())
