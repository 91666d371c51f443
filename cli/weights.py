"""``crossdyad weights``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained
from .options import AsJson, DataSource, RecipeName, dump, with_data


@explained
def weights(
    recipe: RecipeName,
    source: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="a PyTorch state_dict (.pt), .safetensors, .npz or .nir")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="write them, as .npz, .safetensors, .nir or .onnx")] = None,
    as_json: AsJson = False,
    data: DataSource = None,
) -> None:
    """Round a net's weights to a chip, say what that loses and what the chip infers, and write them for other tools.

    Layers are matched by name (W0, W1, ..), or by order and shape. What `crossdyad train` writes is read as well, so that this is also
    the way back: to .npz and .safetensors (real numbers), .nir (the linear maps) and .onnx (the inference net, to the bit).

    Example: crossdyad weights digits net.pt -o net.onnx

    Example: crossdyad train digits && crossdyad weights digits build/digits-weights.npz -o digits.safetensors
    """
    from .. import data as sets
    from ..recipe import load
    from ..weights import rounded

    recipe = with_data(load(recipe), data)
    dataset, unmeasured = None, []
    try:
        dataset = sets.of(recipe)
    except sets.DataError as error:
        if recipe.data.file:
            raise
        unmeasured.append(f"what the chip infers is not measured: {error}")
    result = rounded(recipe, source, dataset, output)
    result = result._replace(notes=result.notes + unmeasured)
    if as_json:
        typer.echo(dump(result))
        return
    for layer in result.layers:
        typer.echo(str(layer))
    for note in result.notes:
        typer.echo(f"note: {note}")
    if result.accuracy is not None:
        typer.echo(f"{recipe.name} infers {100 * result.accuracy:.2f} % of the test set")
    for file in result.files:
        typer.echo(file)
