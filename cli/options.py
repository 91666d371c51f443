"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="a preset's name or a TOML file")]
Folder = Annotated[Path, typer.Option("--output", "-o", help="folder for the files; made if it does not exist")]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON, for scripts")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="folder with the MNIST files in IDX format (only for 784 inputs)")]


def dataset_of(recipe) -> str:
    """The data set whose samples have as many elements as the recipe has inputs."""
    names = {64: "digits", 784: "mnist", 3: "xor"}
    if recipe.sizes[0] not in names:
        known = ", ".join(f"{n} ({name})" for n, name in names.items())
        raise ValueError(f"{recipe.name}: sizes: no data set has {recipe.sizes[0]} inputs; there are {known}")
    return names[recipe.sizes[0]]
