"""``crossdyad weights``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained
from .options import AsJson, DataSource, RecipeName, dump, with_data


@explained
def weights(recipe: RecipeName,
            source: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="a PyTorch state_dict (.pt), .safetensors, .npz or .nir")],
            output: Annotated[Path | None, typer.Option("--output", "-o", help="write them, as .npz, .safetensors, .nir or .onnx")] = None,
            as_json: AsJson = False, data: DataSource = None) -> None:
    """Round a net's weights to a chip, say what that loses and what the chip infers, and write them for other tools.

    Layers are matched by name (W0, W1, ..), or by order and shape. What `crossdyad train` writes is read as well, so that this is also
    the way back: to .npz and .safetensors (real numbers), .nir (the linear maps) and .onnx (the inference net, to the bit).

    Example: crossdyad weights digits net.pt -o net.onnx

    Example: crossdyad train digits && crossdyad weights digits build/digits-weights.npz -o digits.safetensors
    """
    from .. import data as sets
    from .. import emulator
    from .. import weights as nets
    from ..recipe import load

    recipe = with_data(load(recipe), data)
    found = nets.load(recipe, source)
    result = {"recipe": recipe.name, "layers": [layer._asdict() for layer in found.layers], "notes": list(found.notes)}
    try:
        dataset = sets.of(recipe)
    except sets.DataError as error:
        if recipe.data.file:
            raise
        result["notes"].append(f"what the chip infers is not measured: {error}")
    else:
        chip = emulator.Chip(recipe.as_built, "jax")
        chip.weights = found.weights
        result["accuracy"] = float(emulator.training.accuracy(chip, dataset.x_test, dataset.y_test))
    if output:
        result["files"] = [str(nets.save(recipe, found.weights, output))]
    if as_json:
        typer.echo(dump(result))
        return
    for layer in found.layers:
        typer.echo(str(layer))
    for note in result["notes"]:
        typer.echo(f"note: {note}")
    if "accuracy" in result:
        typer.echo(f"{recipe.name} infers {100 * result['accuracy']:.2f} % of the test set")
    for file in result.get("files", ()):
        typer.echo(file)
