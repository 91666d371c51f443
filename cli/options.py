"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RecipeName = Annotated[str, typer.Argument(metavar="RECIPE", help="a preset's name or a TOML file")]
Folder = Annotated[Path, typer.Option("--output", "-o", help="folder for the files; made if it does not exist")]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as JSON, for scripts")]
DataFolder = Annotated[Path | None, typer.Option("--data", help="folder with the MNIST files in IDX format (only for 784 inputs)")]
SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="a TOML file with a recipe, axes and seeds")]
StoreFile = Annotated[Path | None, typer.Option("--store", help="SQLite file of the results; NAME.db by default")]
Results = Annotated[Path, typer.Argument(metavar="STORE", help="the .db file of a sweep or a search")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="processes; one per core by default")]
Retry = Annotated[bool, typer.Option("--retry-failed", help="compute again what failed before")]
Scheduler = Annotated[str | None, typer.Option("--scheduler", help="address of a Dask scheduler: its workers do the work")]


def workers_of(given: int) -> int:
    """As many as were asked for, or one per core."""
    import os

    return given or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


def executor_of(scheduler: str | None, workers: int):
    """What makes the executor: processes here, or a cluster's workers."""
    import functools

    from ..explore import pool

    return functools.partial(pool.cluster, scheduler) if scheduler else functools.partial(pool.processes, workers)


def check_data(recipes, folder) -> None:
    """Refuse at once what every worker would: data sets that are not here.

    Raises
    ------
    DataError
    """
    from .. import data

    for name in {data.name_for(r.sizes[0]) for r in recipes}:
        data.load(name, folder)
