"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="a preset's name or a TOML file")]
Folder = Annotated[Path, typer.Option("--output", "-o", help="folder for the files; made if it does not exist")]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON, for scripts")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="folder with the MNIST files in IDX format (only for 784 inputs)")]
