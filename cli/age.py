"""``crossdyad age``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import explained
from .options import AsJson, DataSource, Folder, RecipeName, dump, with_data

if TYPE_CHECKING:
    from ..weights.aging import Aged


@explained
def age(
    recipe: RecipeName,
    weights: Annotated[Path | None, typer.Option(help="the NAME-weights.npz of `crossdyad train`")] = None,
    run: Annotated[Path | None, typer.Option(help="or the folder that it is in")] = None,
    preset: Annotated[str, typer.Option(help="a published device; the recipe's by default")] = "",
    time: Annotated[float | None, typer.Option(help="seconds since writing, by the device's law; just written by default")] = None,
    temperature: Annotated[float | None, typer.Option(help="kelvin since writing, by the device's model; the recipe's by default")] = None,
    compensate: Annotated[str | None, typer.Option(help="of drift: array, output or none; the recipe's by default")] = None,
    wires: Annotated[float | None, typer.Option(help="ohm of a wire from cell to cell; the recipe's by default")] = None,
    driver: Annotated[float | None, typer.Option(help="ohm in front of every driven line; the recipe's by default")] = None,
    sense: Annotated[float | None, typer.Option(help="ohm behind every sensed line; the recipe's by default")] = None,
    span: Annotated[float | None, typer.Option("--range", help="weight that the largest conductance stands for")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="of the cells; the recipe's by default")] = None,
    output: Folder = Path("build"),
    as_json: AsJson = False,
    data: DataSource = None,
) -> None:
    """Say what trained weights become on a device: integers to load, with which chip and FPGA compute as that device does.

    Written with its noise, spread and stuck cells, then older: drift, 1/f noise and what compensation repairs; read through wires.
    Read noise is no weight: the figure that is printed can be the recipe's devices.read_noise.

    Example: crossdyad train digits && crossdyad age digits --run build --preset pcm --time 86400
    """
    import os

    from .. import data as sets
    from ..recipe import load
    from ..weights.aging import age as aged

    recipe = with_data(load(recipe), data)
    if (weights is None) == (run is None):
        raise ValueError("--weights, --run: give one of them, the file of weights or the folder that `crossdyad train` wrote it to")
    there = recipe.data.file or sets.name_for(recipe.sizes[0] - recipe.data.one) != "mnist" or os.environ.get(sets.FOLDER)
    result = aged(
        recipe,
        weights or run / f"{recipe.name}-weights.npz",
        sets.of(recipe) if there else None,
        preset=preset,
        time=time,
        temperature=temperature,
        compensate=compensate,
        wires=wires,
        driver=driver,
        sense=sense,
        span=span,
        seed=seed,
        output=output,
    )
    typer.echo(dump(result) if as_json else text(result))


def text(result: Aged) -> str:
    """Return what has become of the weights as text."""
    import numpy as np

    time = "just written" if result.time is None else f"{result.time:g} s old"
    time += "" if result.temperature is None else f" at {result.temperature:g} K"
    lines = [f"{result.recipe} on {result.device}, {time}  ({result.paper or 'measured'})"]
    if result.accuracy_after is not None:
        before, after = (100 * np.mean(share) for share in (result.accuracy_before, result.accuracy_after))
        lines.append(f"  accuracy {before:.2f} % as learned, {after:.2f} % on the device")
    lines += [
        f"  layer {k}: weights are off by {100 * error:.2f} % of the largest (r.m.s.), {limited} at the format's limits"
        for k, (error, limited) in enumerate(zip(result.weight_errors, result.at_the_limit, strict=True))
    ]
    if result.read_noise is not None:
        lines.append(f"  not in the weights: read noise, as large as devices.read_noise = {result.read_noise:.4g}")
    lines += [f"  not in the weights: {effect}" for effect in result.left_out]
    return "\n".join([*lines, *(f"  {path}" for path in result.files)])
