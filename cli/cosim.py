"""``crossdyad cosim``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import CHECK_FAILED, explained
from .options import AsJson, DataFolder, Folder, RecipeName
from .progress import bar


@explained
def cosim(recipe: RecipeName, output: Folder = Path("build"), as_json: AsJson = False, data: DataFolder = None,
          simulator: Annotated[str, typer.Option(help="verilator, icarus or amaranth")] = "verilator",
          samples: Annotated[int, typer.Option(min=1, help="training samples to run")] = 20):
    """Hold the RTL to the emulator: every value and every cycle, on real training samples.

    Exit status 1 if a single bit or cycle differs.

    Example: crossdyad cosim digits --simulator icarus --samples 5
    """
    import json

    from .. import sim
    from ..recipe import load

    with bar("co-simulation") as report:
        result = sim.cosim(load(recipe), simulator, samples, output, report).to_dict()
    typer.echo(json.dumps(result) if as_json else text(result))
    if not result["passed"]:
        raise typer.Exit(CHECK_FAILED)


def text(result: dict) -> str:
    """A co-simulation report as text."""
    from ..sim import gradient

    lines = [f"{name:<22}{value}" for name, value in result.items() if not isinstance(value, list | dict)]
    lines += [gradient.line(stage, table) for stage, table in result["gradient"].items()]
    return "\n".join(f"  {line}" for line in lines)
