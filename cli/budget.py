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
           epochs: Annotated[int, typer.Option(min=0, help="train so long first; 0: at the initial weights")] = 0,
           predict: Annotated[bool, typer.Option("--predict", help="also what training comes to, and what to mend first")] = False) -> None:
    """Say which effect costs how much of the gradient: formats, read noise, levels, cells, wires, converters, alone and together.

    Cosine, bias, deviation and sign agreement against the exact gradient, each effect as it is measured, and a waterfall plot. Of SPSA the
    slopes are judged, along the directions that the chip draws. With --predict, of digits' recipes: the accuracy after three epochs,
    from the first 512 samples, the read noise at which the rule stops learning, and what mending each cause would give.

    Example: crossdyad budget digits --epochs 5
    """
    from .. import data as sets
    from .. import emulator
    from ..recipe import load
    from ..sim.budget import largest, measured
    from . import plots

    recipe = with_data(load(recipe), data)
    if predict:
        from ..explore.predict import check

        check(recipe)
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
    told = _predicted(recipe) if predict else {}
    cause, cost = largest(rows)
    output.mkdir(parents=True, exist_ok=True)
    plot = output / f"{recipe.name}-budget.svg"
    plots.waterfall(rows, plot)
    if as_json:
        made = {"recipe": recipe.name, "samples": samples, "epochs": epochs, "budget": rows, "largest": cause, "plot": str(plot)}
        typer.echo(dump(made | told))
        return
    if cause == "rule":
        dyads = any(step.difference and step.error == "dyad" for step in recipe.steps)
        remedy = "try a smaller epsilon" if recipe.signed else "try alpha = 0.5 or a smaller beta" if dyads else "try another rule"
        typer.echo(f"  the rule itself is the largest cause: it costs {cost:.4f} of the cosine before any effect of the hardware; {remedy}")
    else:
        typer.echo(f"  the largest cause is {cause}: {cost:.4f} of the cosine")
    typer.echo(f"  {plot}")
    if told:
        p = told["predicted"]
        typer.echo(f"  predicted after {p['epochs']} epochs: {100 * p['accuracy']:.1f} % right "
                   f"({100 * p['low']:.1f} to {100 * p['high']:.1f} % by 95 % of held-out recipes)")
        noise = told["critical_noise"]
        typer.echo("  it learns at every read noise that was tried" if noise is None else f"  it stops learning at read noise {noise:.2g}")
        for cause, gain in told["mended"].items():
            typer.echo(f"    {cause} mended: {100 * gain:+.1f} points")


def _predicted(recipe) -> dict:
    """What training comes to, and with each cause mended, the most first."""
    from ..explore import predict

    mended = predict.mended(recipe)
    first, *others = predict.predict([recipe, *mended.values()])
    gains = {cause: p.accuracy - first.accuracy for cause, p in zip(mended, others, strict=True)}
    return {"predicted": first._asdict() | {"epochs": predict.EPOCHS}, "critical_noise": predict.critical_noise(recipe),
            "mended": dict(sorted(gains.items(), key=lambda item: -item[1]))}
