"""``crossdyad pick``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained
from .options import AsJson, Results


@explained
def pick(
    context: typer.Context,
    store: Results,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="recipe file; standard output by default")] = None,
    best: Annotated[str, typer.Option(help="the metric to be best in, within the limits")] = "accuracy",
    sure: Annotated[bool, typer.Option("--sure", help="limits hold for all that means may be, and the cost model's worst errors")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the best recipe of a store within limits, ready for `crossdyad generate`.

    Limits are --min-METRIC and --max-METRIC for any metric: accuracy, yield, loss, cosine, gradient-bias, deviation, sign,
    saturations, cycles, lut, ff, multipliers, memory, fill, fmax, samples-per-second, chip-rate, line-rate, energy. They hold for what
    points of the specification that was run last are ranked by: means over the seeds, or what its conditions say. The recipe is as it
    was measured, with a name of its own; the file says at its top what was measured, with intervals and the errors of the cost model,
    how sure its place on the front is, and how many other points cannot be told from it.

    Example: crossdyad pick precision.db --min-accuracy 0.93 --max-lut 6000 -o best.toml
    """
    import json

    from ..explore import choose, files
    from ..explore.store import Store

    with Store(store, reading=True) as kept:
        if output:
            files.check(output, store)
        best = best.replace("-", "_")
        found = choose.pick(kept, _limits(context.args), best, sure)
    text = choose.told(found, best) + "\n" + found.recipe.to_toml()
    if output:
        files.write(output, text)
    if as_json:
        typer.echo(json.dumps(found.to_dict() | {"file": str(output) if output else None}))
    else:
        typer.echo(str(output) if output else text, nl=bool(output))


def _limits(arguments: list[str]) -> dict[str, tuple[float | None, float | None]]:
    found, rest = {}, [part for argument in arguments for part in argument.split("=", 1)]
    while rest:
        name = rest.pop(0)
        side = name[2:6]
        if side not in ("min-", "max-") or not name.startswith("--"):
            raise ValueError(f"{name}: no such option; limits are --min-METRIC and --max-METRIC")
        try:
            value = float(rest.pop(0))
        except (IndexError, ValueError):
            raise ValueError(f"{name}: needs a number, as in {name} 0.9") from None
        metric = name[6:].replace("-", "_")
        low, high = found.get(metric, (None, None))
        found[metric] = (value, high) if side == "min-" else (low, value)
    return found
