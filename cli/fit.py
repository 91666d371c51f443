"""``crossdyad fit``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options
from .errors import explained


@explained
def fit(
    recipe: Annotated[str, typer.Argument(help="preset, or path of a TOML file; its lanes and engines do not matter")],
    board: Annotated[str, typer.Option("--board", help="the board that the chip must fit")] = "ulx3s",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="write the recipe with the best engines here")] = None,
    json: Annotated[bool, typer.Option("--json", help="print the layouts as JSON")] = False,
) -> None:
    """Choose engines: rows of lanes, and the matrices on each, for the shortest training step that fits a board.

    Lanes that divide the columns of a matrix keep multipliers busy; one row for all matrices is busy nearly always, several at once
    are faster, most of all where the recipe lets samples overlap and weights be stale (`samples_in_flight`, `staleness`). The cost model
    says what fits (docs/cost.md).

    Example: crossdyad fit digits --board ulx3s -o fitted.toml
    """
    from ..explore.fit import fit as layouts
    from ..recipe import load

    found = layouts(load(recipe), board)
    if output is not None:
        if output.exists():
            raise typer.BadParameter(f"{output} is there already; name another file", param_hint="--output")
        output.write_text(found[0].recipe.to_toml(), encoding="utf-8")
    if json:
        typer.echo(options.dump(found))
        return
    typer.echo(f"{'cycles':>8} {'busy':>7} {'LUT':>8} {'multipliers':>12} {'in flight':>10}  engines; updates behind")
    for f in found:
        behind = ", ".join(f"{name} {lag}" for name, lag in f.staleness.items() if lag)
        typer.echo(
            f"{f.cycles:8d} {100 * f.busy:6.1f}% {f.needs['LUT']:8.0f} {f.needs['multiplier']:12.0f} {f.in_flight:10d}  {f.placed}"
            + (f"; behind: {behind}" if behind else "")
        )
    if output is not None:
        typer.echo(f"written: {output}")
