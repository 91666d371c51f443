"""``crossdyad sweep``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import CHECK_FAILED, explained
from .options import AsJson, DataFolder, Scheduler, SpecFile, StoreFile, Workers
from .progress import bar


@explained
def sweep(spec: SpecFile, store: StoreFile = None, workers: Workers = 0, scheduler: Scheduler = None, data: DataFolder = None,
          retry: Annotated[bool, typer.Option("--retry-failed", help="compute again what failed before")] = False,
          dry: Annotated[bool, typer.Option("--dry-run", help="only say what there is to do")] = False, as_json: AsJson = False):
    r"""Evaluate every combination of a SPEC's axes with every seed: accuracy, gradient quality, cost.

    A SPEC is a TOML file: a base recipe, axes over its fields, seeds. What is finished is kept in one SQLite file, batch by batch:
    run the same command again, after any interruption, and only what is missing is computed.

    \b
        name = "bits"
        recipe = "digits"
        seeds = 5
        epochs = 3
        \[axes]
        bits.weight = [6, 8, 12, 16]      # fewer bits of the same range
        devices.read_noise = [0, 0.1]
        beta = { from = 0.25, to = 4, factor = 2 }

    Exit status 1 if a row failed; points that are no recipe are marked, and the rest runs.

    Example: crossdyad sweep examples/precision.toml && crossdyad report precision.db
    """
    import json
    import time

    from ..explore import spec as specs
    from ..explore import sweep as sweeps
    from ..explore.store import Store
    from .options import executor_of, workers_of

    told, base = specs.read(spec)
    settings, points = sweeps.settings_of(told, data), specs.points(told, base)
    path = store or Path(f"{told.name}.db")
    with Store(path) as kept:
        made = sweeps.plan(points, told.seed_list, settings, kept, retry)
        typer.echo(f"{told.name}: {len(points)} points, {len(told.seed_list)} seeds: {len(made.rows)} rows, {made.there} are there, "
                   f"{len(made.missing)} to compute; {len(made.invalid)} points are no recipe", err=True)
        for point in made.invalid[:5]:
            typer.echo(f"  {point.settings}: {point.error}", err=True)
        if dry:
            counts = {"rows": len(made.rows), "there": made.there, "missing": len(made.missing), "invalid": len(made.invalid)}
            typer.echo(json.dumps(counts) if as_json else f"nothing computed; {path}")
            return
        kept.remember(told.name, spec.read_text(), base.to_toml())
        count, start = workers_of(workers), time.perf_counter()
        with bar("sweep") as report:
            counts = sweeps.run(made, settings, kept, executor_of(scheduler, count), count, report)
        counts |= {"store": str(path), "seconds": round(time.perf_counter() - start, 2)}
    typer.echo(json.dumps(counts) if as_json else f"{counts['ok']} rows, {counts['failed']} failed, {counts['invalid']} invalid points; "
               f"{counts['seconds']} s\n  {path}\n  crossdyad report {path}")
    if counts["failed"]:
        raise typer.Exit(CHECK_FAILED)
