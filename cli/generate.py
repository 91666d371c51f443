"""``crossdyad generate``"""

from __future__ import annotations

from pathlib import Path

import typer

from .errors import explained
from .options import AsJson, Folder, RecipeName
from .progress import bar


@explained
def generate(recipe: RecipeName, output: Folder = Path("build"), as_json: AsJson = False):
    """Write the chip as Verilog, with its sidecar, its programs, its recipe and a FuseSoC core file.

    A recipe NAME.toml of yours that is in the folder already stays as it is.

    Example: crossdyad generate digits -o build
    """
    import json

    from .. import hdl
    from ..recipe import load

    recipe = load(recipe)
    with bar(recipe.name) as report:
        files = [str(path) for path in hdl.generate(recipe, output, report)]
    typer.echo(json.dumps({"files": files}) if as_json else "\n".join(files))
