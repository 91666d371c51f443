"""``crossdyad synth``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained
from .options import AsJson, Folder, RecipeName, dump
from .progress import bar


@explained
def synth(
    recipe: RecipeName,
    output: Folder = Path("build"),
    as_json: AsJson = False,
    board: Annotated[
        str,
        typer.Option(
            help="ulx3s (the 25F), ulx3s-12f, -45f, -85f, orangecrab, orangecrab-85f, ecpix5-45f, -85f, colorlight-5a-75b or icebreaker"
        ),
    ] = "ulx3s",
    samples: Annotated[int, typer.Option(min=0, max=65535, help="kept in memory beside the chip")] = 0,
    clock: Annotated[str, typer.Option(help="of the chip in MHz, at most; fastest: what routes, with a margin")] = "fastest",
    seeds: Annotated[str, typer.Option(help="place-and-route seeds, comma-separated")] = "1,2,3",
) -> None:
    """Build the chip for an FPGA board: utilisation, Fmax over seeds, bitstream, and what `crossdyad generate --board` writes.

    After an interruption the same command goes on from what is finished: synthesis, and each seed's place and route.

    Example: crossdyad synth digits --board ulx3s -o build
    """
    from .. import hdl
    from ..hdl.synth import table
    from ..recipe import load
    from ..sim import kit

    try:
        numbers = tuple(int(s) for s in seeds.split(","))
    except ValueError:
        raise ValueError(f"--seeds: {seeds!r}; allowed are whole numbers separated by commas, as in 1,2,3") from None
    try:
        limit = clock if clock == "fastest" else float(clock) * 1e6
    except ValueError:
        raise ValueError(f"--clock: {clock!r}; allowed is a frequency in MHz, or fastest") from None
    recipe = load(recipe)
    with bar("build", even=False) as report:
        result = hdl.synthesize(recipe, board, output, numbers, report, samples, limit)
        left = kit.write(recipe, board, output, f"crossdyad synth {recipe.name} --board {board}")
    typer.echo(dump(result) if as_json else table(result))
    if not as_json:
        typer.echo("\n".join(f"  {path}" for path in dict.fromkeys([*(output / name for name in result["files"]), *left])))
