"""``crossdyad age``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained
from .options import AsJson, DataSource, Folder, RecipeName, dump, with_data


@explained
def age(recipe: RecipeName,
        weights: Annotated[Path | None, typer.Option(help="the NAME-weights.npz of `crossdyad train`")] = None,
        run: Annotated[Path | None, typer.Option(help="or the folder that it is in")] = None,
        preset: Annotated[str, typer.Option(help="a published device; the recipe's by default")] = "",
        time: Annotated[float | None, typer.Option(help="seconds since writing, by the device's law; just written by default")] = None,
        compensate: Annotated[str | None, typer.Option(help="of drift: array, output or none; the recipe's by default")] = None,
        wires: Annotated[float | None, typer.Option(help="ohm of a wire from cell to cell; the recipe's by default")] = None,
        driver: Annotated[float | None, typer.Option(help="ohm in front of every driven line; the recipe's by default")] = None,
        sense: Annotated[float | None, typer.Option(help="ohm behind every sensed line; the recipe's by default")] = None,
        span: Annotated[float | None, typer.Option("--range", help="weight that the largest conductance stands for")] = None,
        seed: Annotated[int | None, typer.Option(min=0, help="of the cells; the recipe's by default")] = None,
        output: Folder = Path("build"), as_json: AsJson = False, data: DataSource = None) -> None:
    """Say what trained weights become on a device: integers to load, with which chip and FPGA compute as that device does.

    Written with its noise, spread and stuck cells, then older: drift, 1/f noise and what compensation repairs; read through wires.
    Read noise is no weight: the figure that is printed can be the recipe's devices.read_noise.

    Example: crossdyad train digits && crossdyad age digits --run build --preset pcm --time 86400
    """
    import os

    import numpy as np

    from .. import data as sets
    from .. import emulator
    from ..emulator import devices
    from ..recipe import Recipe, load
    from ..recipe.seeds import several
    from ..weights import write_integers

    recipe = with_data(load(recipe), data)
    given = {"preset": preset, "compensate": compensate, "wires": wires, "driver": driver, "sense": sense}
    told = recipe.devices.model_dump() | {k: v for k, v in given.items() if v not in (None, "")} | {"age": 0.0}     # `time` is the age
    if preset:
        told["measured"] = ()
    if not told["preset"] and not recipe.devices.named:
        raise ValueError(f"--preset: missing, and {recipe.name} names no device; known are {', '.join(devices.PRESETS)}")
    if told["preset"]:
        devices.preset(told["preset"])                      # the check of the name
    recipe = Recipe.model_validate(recipe.model_dump() | {"devices": told})
    device = devices.device_of(recipe.devices)
    if time is not None:
        if not device.ages:
            raise ValueError(f"--time: {time:g}, but {device.name} has no law of ageing; leave it out, or name a preset that has one, "
                             f"{', '.join(name for name, d in devices.PRESETS.items() if d.ages)}")
        device.check(time)
    learned = _weights(recipe, weights, run)
    batch = learned[0].shape[:-2]
    first = recipe.seed if seed is None else seed
    seeds = np.array(several(first, int(np.prod(batch))), dtype=object).reshape(batch)
    chip = emulator.Chip(recipe.as_built, "jax", batch, seeds)
    chip.weights = learned                              # all checks are there
    aged = devices.programmed(recipe, learned, time=time, seeds=seeds, span=span)

    f, ranges = recipe.formats.weight, [np.abs(w).max((-2, -1), keepdims=True) for w in learned]
    result = {
        "recipe": recipe.name, "device": device.name, "paper": device.paper, "time": time, "compensate": recipe.devices.compensate,
        "wires": recipe.devices.wires, "driver": recipe.devices.driver, "sense": recipe.devices.sense, "seeds": seeds.ravel().tolist(),
        "weight_errors": [float(np.sqrt(np.mean(((b - a) / np.maximum(r, 1)) ** 2)))
                          for a, b, r in zip(learned, aged, ranges, strict=True)],
        "at_the_limit": [int(np.count_nonzero((w == f.min) | (w == f.max))) for w in aged],
    }
    if recipe.data.file or sets.name_for(recipe.sizes[0] - recipe.data.one) != "mnist" or os.environ.get(sets.FOLDER):
        dataset = sets.of(recipe)
        for when, w in (("before", learned), ("after", aged)):
            chip.weights = w
            result[f"accuracy_{when}"] = emulator.training.accuracy(chip, dataset.x_test, dataset.y_test).tolist()
        if device.read and not batch:
            result["read_noise"] = _read_noise(recipe, device, learned, dataset)
    path = write_integers(output / f"{recipe.name}-{device.name}-weights.npz", recipe, aged)
    result["files"] = [str(path)]
    if as_json:
        typer.echo(dump(result))
        return
    typer.echo(f"{recipe.name} on {device.name}, {'just written' if time is None else f'{time:g} s old'}  ({device.paper or 'measured'})")
    if "accuracy_after" in result:
        before, after = (100 * np.mean(result[f"accuracy_{when}"]) for when in ("before", "after"))
        typer.echo(f"  accuracy {before:.2f} % as learned, {after:.2f} % on the device")
    for k, (error, limited) in enumerate(zip(result["weight_errors"], result["at_the_limit"], strict=True)):
        typer.echo(f"  layer {k}: weights are off by {100 * error:.2f} % of the largest (r.m.s.), {limited} at the format's limits")
    if "read_noise" in result:
        typer.echo(f"  not in the weights: read noise, as large as devices.read_noise = {result['read_noise']:.4g}")
    if (wired := devices.wires_of(recipe)) and not wired.reciprocal:
        typer.echo("  not in the weights: errors that only transposed reads see")
    if device.iv:
        typer.echo("  not in the weights: the curvature of the cells' current")
    typer.echo(f"  {path}")


def _weights(recipe, weights: Path | None, run: Path | None):
    """Of every layer, (*batch, R, C), from the file or the folder that was given."""
    import numpy as np

    if (weights is None) == (run is None):
        raise ValueError("--weights, --run: give one of them, the file of weights or the folder that `crossdyad train` wrote it to")
    path = weights or run / f"{recipe.name}-weights.npz"
    try:
        with np.load(path) as file:
            found = dict(file)
    except OSError:
        raise
    except Exception as error:      # NumPy raises a different kind for each way a file can be broken
        raise ValueError(f"{path}: not a file of weights ({error})") from None
    missing = [k for k in range(recipe.layers) if f"weights{k}" not in found]
    if missing:
        raise ValueError(f"{path}: has no weights{missing[0]}; give the weights of {recipe.name}, which has {recipe.layers} layers")
    return [found[f"weights{k}"] for k in range(recipe.layers)]


def _read_noise(recipe, device, weights, dataset) -> float:
    """What the recipe's read noise should be, over the data's test samples."""
    from ..emulator import devices
    from ..emulator.signals import played

    f, x = recipe.formats, dataset.x_test
    if recipe.learns and not recipe.signed:
        stores = played(recipe.as_built, weights, x, dataset.y_test)[0].stores
        inputs, weights = [f.state.decode(stores[f"input{k}"]) for k in range(recipe.layers)], weights[: recipe.layers]
    else:
        inputs, weights = [x], weights[:1]
    return devices.read_noise(device, [f.weight.decode(w) for w in weights], inputs, devices.mapping_of(recipe))
