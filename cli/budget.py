"""``crossdyad budget``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained
from .options import AsJson, DataSource, Folder, RecipeName, dump, with_data
from .progress import bar


@explained
def budget(recipe: RecipeName, output: Folder = Path("build"), as_json: AsJson = False, data: DataSource = None,
           samples: Annotated[int, typer.Option(min=1, help="test samples to judge by")] = 60,
           epochs: Annotated[int, typer.Option(min=0, help="train so long first; 0: at the initial weights")] = 0):
    """Say which effect costs how much of the gradient: formats, read noise, levels, cells, wires, converters, alone and together.

    Cosine, bias, deviation and sign agreement against the exact gradient, each effect as it is measured, and a waterfall plot. Of SPSA the
    slopes are judged, along the directions that the chip draws.

    Example: crossdyad budget digits --epochs 5
    """
    from .. import data as sets
    from .. import emulator
    from ..recipe import load
    from ..sim.budget import largest, measured
    from . import plots

    recipe = with_data(load(recipe), data)
    dataset = sets.of(recipe)
    weights = emulator.train(recipe, *dataset, epochs=epochs).weights if epochs else emulator.initial_weights(recipe)
    rows = []
    with bar("error budget") as report:
        for row in measured(recipe, weights, dataset.x_test[:samples], dataset.y_test[:samples], progress=report):
            if not as_json:
                if not rows:
                    typer.echo(f"{'effect':<22}{'cosine':>9}{'bias':>9}{'deviation':>11}{'sign':>8}")
                typer.echo(f"{row['effect']:<22}{row['cosine']:9.4f}{row['bias']:9.4f}{row['deviation']:11.4f}{row['sign']:8.3f}")
            rows.append(row)
    cause, cost = largest(rows)
    output.mkdir(parents=True, exist_ok=True)
    plot = output / f"{recipe.name}-budget.svg"
    plots.waterfall(rows, plot)
    if as_json:
        typer.echo(dump({"recipe": recipe.name, "samples": samples, "epochs": epochs, "budget": rows, "largest": cause, "plot": str(plot)}))
        return
    if cause == "rule":
        dyads = any(step.difference and step.error == "dyad" for step in recipe.steps)
        remedy = "try a smaller epsilon" if recipe.signed else "try alpha = 0.5 or a smaller beta" if dyads else "try another rule"
        typer.echo(f"  the rule itself is the largest cause: it costs {cost:.4f} of the cosine before any effect of the hardware; {remedy}")
    else:
        typer.echo(f"  the largest cause is {cause}: {cost:.4f} of the cosine")
    typer.echo(f"  {plot}")
