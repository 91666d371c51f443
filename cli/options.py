"""Arguments that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import usable

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import numpy as np

    from ..recipe import Recipe

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="a preset's name or a TOML file")]
Folder = Annotated[Path, typer.Option("--output", "-o", callback=usable, help="folder for the files; made if it does not exist")]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON, for scripts")]
DataSource = Annotated[
    Path | None, typer.Option("--data", help="instead of the recipe's: CSV, Parquet, .npz, or a folder of IDX files or of images per class")
]
WeightsFile = Annotated[
    Path | None, typer.Option("--from", metavar="WEIGHTS", help="begin with these: a PyTorch state_dict (.pt), .safetensors, .npz or .nir")
]
SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="a TOML file with a recipe, axes and seeds")]
StoreFile = Annotated[Path | None, typer.Option("--store", help="SQLite file of the results; NAME.db by default")]
Results = Annotated[Path, typer.Argument(metavar="STORE", help="the .db file of a sweep or a search")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="processes; one per core by default")]
Retry = Annotated[bool, typer.Option("--retry-failed", help="compute again what failed before")]
Scheduler = Annotated[str | None, typer.Option("--scheduler", help="address of a Dask scheduler: its workers do the work")]


def workers_of(given: int) -> int:
    """Return as many workers as were asked for, or one per core."""
    import os

    return given or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def executor_of(scheduler: str | None, workers: int) -> Callable[[], Executor]:
    """Return the maker of an executor: processes here, or a cluster's workers."""
    import functools

    from ..explore import pool

    return functools.partial(pool.cluster, scheduler) if scheduler else functools.partial(pool.processes, workers)


def dump(result: object) -> str:
    """Return a result as JSON that every reader takes: its fields by name, null for what is no number."""
    import json
    import math

    def plain(value):
        if hasattr(value, "to_dict") or hasattr(value, "_asdict"):
            value = value.to_dict() if hasattr(value, "to_dict") else value._asdict()
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(plain(result), allow_nan=False)


def refuse(given: dict[str, object], why: str) -> None:
    """Refuse options that would have no effect.

    Raises
    ------
    ValueError
        Names those of `given`, option to value, that are not None, False or empty.
    """
    if named := [option for option, value in given.items() if value is not None and value is not False and value != []]:
        raise ValueError(f"{', '.join(named)}: {why}")


def with_data(recipe: Recipe, source: Path | None) -> Recipe:
    """Return a recipe that learns from a file or a folder, read as the recipe says, or as it is without one."""
    return recipe if source is None else recipe.model_copy(update={"data": recipe.data.model_copy(update={"file": str(source)})})


def loaded(recipe: Recipe, source: Path | None) -> list[np.ndarray] | None:
    """Return the weights of a file, after a word on standard error about what rounding lost; None without one."""
    from .. import weights

    if source is None:
        return None
    found = weights.load(recipe, source)
    for line in (*found.layers, *(f"note: {note}" for note in found.notes)):
        typer.echo(f"{source}: {line}", err=True)
    return found.weights


def check_data(recipes: Iterable[Recipe]) -> None:
    """Refuse at once what every worker would: data that are not here, or not for these chips.

    Raises
    ------
    ValueError
    """
    from .. import data

    for recipe in {(r.data, r.sizes[0], r.sizes[-1]): r for r in recipes}.values():
        data.of(recipe)
