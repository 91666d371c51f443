"""``crossdyad generate``"""

from __future__ import annotations

from pathlib import Path

import typer

from .errors import explained
from .options import AsJson, Folder, RecipeName


@explained
def generate(recipe: RecipeName, output: Folder = Path("build"), as_json: AsJson = False):
    """Write the chip as Verilog, with its sidecar, its programs and a FuseSoC core file.

    Example: crossdyad generate digits -o build
    """
    import json

    from .. import hdl
    from ..recipe import load

    files = [str(path) for path in hdl.generate(load(recipe), output)]
    typer.echo(json.dumps({"files": files}) if as_json else "\n".join(files))
