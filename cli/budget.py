"""``crossdyad budget``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import explained
from .options import AsJson, DataSource, Folder, RecipeName, dump, with_data
from .progress import bar

if TYPE_CHECKING:
    from ..explore.budget import Budget
    from ..recipe import Recipe


@explained
def budget(
    recipe: RecipeName,
    output: Folder = Path("build"),
    as_json: AsJson = False,
    data: DataSource = None,
    samples: Annotated[int, typer.Option(min=1, help="test samples to judge by")] = 60,
    epochs: Annotated[int, typer.Option(min=0, help="train so long first; 0: at the initial weights")] = 0,
    predict: Annotated[bool, typer.Option("--predict", help="also what training comes to, and what to mend first")] = False,
) -> None:
    """Say which effect costs how much of the gradient: formats, read noise, levels, cells, wires, converters, alone and together.

    Cosine, bias, deviation and sign agreement against the exact gradient, each effect as it is measured, and a waterfall plot. Of SPSA the
    slopes are judged, along the directions that the chip draws. With --predict, of digits' recipes: the accuracy after three epochs,
    from the first 1024 samples, the read noise at which the rule stops learning, and what mending each cause would give.

    Example: crossdyad budget digits --epochs 5
    """
    from .. import data as sets
    from ..explore.budget import budget as measured
    from ..recipe import load

    recipe = with_data(load(recipe), data)
    seen = []

    def each(row: dict) -> None:
        if not seen:
            typer.echo(f"{'effect':<22}{'cosine':>9}{'bias':>9}{'deviation':>11}{'sign':>8}")
        typer.echo(f"{row['effect']:<22}{row['cosine']:9.4f}{row['bias']:9.4f}{row['deviation']:11.4f}{row['sign']:8.3f}")
        seen.append(row)

    with bar("error budget") as report:
        result = measured(recipe, sets.of(recipe), samples, epochs, predict, output, None if as_json else each, report)
    typer.echo(dump(result) if as_json else text(recipe, result))


def text(recipe: Recipe, result: Budget) -> str:
    """Return what follows the table: the largest cause, a remedy, what is predicted."""
    lines = [f"  the largest cause is {result.largest}: {result.cost:.4f} of the cosine"]
    if result.largest == "rule":
        dyads = any(step.difference and step.error == "dyad" for step in recipe.steps)
        remedy = "try a smaller epsilon" if recipe.signed else "try alpha = 0.5 or a smaller beta" if dyads else "try another rule"
        lines = [
            f"  the rule itself is the largest cause: it costs {result.cost:.4f} of the cosine before any effect of the hardware; {remedy}"
        ]
    lines.append(f"  {result.plot}")
    if p := result.predicted:
        lines.append(
            f"  predicted after {p['epochs']} epochs: {100 * p['accuracy']:.1f} % right "
            f"({100 * p['low']:.1f} to {100 * p['high']:.1f} % by 95 % of held-out recipes)"
        )
        at = result.critical_noise
        lines.append("  it learns at every read noise that was tried" if at is None else f"  it stops learning at read noise {at:.2g}")
        lines += [f"    {cause} mended: {100 * gain:+.1f} points" for cause, gain in result.mended.items()]
    return "\n".join(lines)
