"""``crossdyad generate``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained
from .options import AsJson, Folder, RecipeName, WeightsFile, loaded
from .progress import bar


@explained
def generate(
    recipe: RecipeName,
    output: Folder = Path("build"),
    as_json: AsJson = False,
    begin: WeightsFile = None,
    board: Annotated[str | None, typer.Option(help="behind the serial line of this board; generic: beside a processor, by AXI")] = None,
) -> None:
    """Write the chip as Verilog, with its sidecar, its programs, its recipe and a FuseSoC core file.

    With --board, the top level of that board, constraints, a core that builds it, a cocotb test, and a page with the commands and the
    map of frames or registers. With --from the memories hold these weights from power-up on.
    A recipe NAME.toml of yours that is in the folder already stays as it is.

    Example: crossdyad generate digits -o build
    """
    import json

    from .. import hdl
    from ..recipe import load
    from ..sim import kit

    recipe = load(recipe)
    first = loaded(recipe, begin)
    with bar(recipe.name) as report:
        made = (
            kit.write(recipe, board, output, f"crossdyad generate {recipe.name} --board {board}", first)
            if board
            else hdl.generate(recipe, output, report, first)
        )
    files = [str(path) for path in made]
    typer.echo(json.dumps({"files": files}) if as_json else "\n".join(files))
