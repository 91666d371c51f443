"""``crossdyad generate``"""

from __future__ import annotations

from pathlib import Path

import typer

from .errors import explained
from .options import AsJson, Folder, RecipeName, WeightsFile, loaded
from .progress import bar


@explained
def generate(recipe: RecipeName, output: Folder = Path("build"), as_json: AsJson = False, begin: WeightsFile = None):
    """Write the chip as Verilog, with its sidecar, its programs, its recipe and a FuseSoC core file.

    With --from the memories hold these weights from power-up on. A recipe NAME.toml of yours that is in the folder already stays as it is.

    Example: crossdyad generate digits -o build
    """
    import json

    from .. import hdl
    from ..recipe import load

    recipe = load(recipe)
    first = loaded(recipe, begin)
    with bar(recipe.name) as report:
        files = [str(path) for path in hdl.generate(recipe, output, report, first)]
    typer.echo(json.dumps({"files": files}) if as_json else "\n".join(files))
