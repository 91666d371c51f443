"""``crossdyad demo``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import CHECK_FAILED, explained
from .options import AsJson, Folder, dump
from .progress import bar


@explained
def demo(
    output: Folder = Path("build/demo"),
    recipe: Annotated[str, typer.Option(help="a preset's name or a TOML file")] = "digits",
    samples: Annotated[int, typer.Option(min=1, help="training samples to co-simulate")] = 20,
    as_json: AsJson = False,
) -> None:
    """A chip learns to read digits: trained, written as Verilog, co-simulated, its gradient checked, built for an FPGA.

    The FPGA build, synthesis and one seed of place and route, runs beside the rest. Ends with one page, on the terminal and, with its
    pictures, as page.html in the output folder.
    """
    from ..explore.demo import demo as shown

    result = shown(recipe, output, samples, None if as_json else lambda line: typer.echo(typer.style(line, bold=line[:1] != " ")), bar)
    if as_json:
        typer.echo(dump(result))
    else:
        said = [*result.said, f"this, with pictures: {Path(result.page).absolute().as_uri()}"]
        typer.echo("\n".join(["", result.title, *(f"- {item}" for item in said)]))
    if not result.passed:
        raise typer.Exit(CHECK_FAILED)
