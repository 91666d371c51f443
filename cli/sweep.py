"""``crossdyad sweep``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import CHECK_FAILED, explained
from .options import AsJson, DataSource, Retry, Scheduler, SpecFile, StoreFile, Workers
from .progress import bar

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


@explained
def sweep(
    spec: SpecFile,
    store: StoreFile = None,
    workers: Workers = 0,
    scheduler: Scheduler = None,
    data: DataSource = None,
    retry: Retry = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="only say what there is to do")] = False,
    estimate: Annotated[bool, typer.Option(help="compute one batch per worker, keep it, and say how long the rest takes")] = False,
    as_json: AsJson = False,
) -> None:
    r"""Evaluate every combination of a SPEC's axes with every seed: accuracy, gradient quality, cost.

    A SPEC is a TOML file: a base recipe, axes over its fields, seeds. What is finished is kept in one SQLite file, batch by batch:
    run the same command again, after any interruption, and only what is missing is computed.

    \b
        name = "bits"
        recipe = "digits"                 # a preset, or a file beside this one
        seeds = 5                         # or which: [11, 12, 13]
        epochs = 3
        metrics = ["accuracy", "cosine", "lut"]       # all by default
        \[axes]
        bits.weight = [6, 8, 12, 16]      # fewer bits of the same range
        devices.read_noise = [0, 0.1]
        beta = { from = 0.25, to = 4, factor = 2 }
        rounding.weight = ["nearest", "stochastic"]
        board = ["ulx3s", "ulx3s-85f"]
        \[conditions]                      # what designs must stand and do not choose; they are ranked over it
        rank = "worst"                    # or "mean", or a quantile: 0.05
        devices.age = [86400.0, 2592000.0]
        draws = 1000                      # devices of every trained chip

    An axis is any field of a recipe (crossdyad schema), bits.PLACE, or board. Further keys: samples (that gradients are judged by), cost
    ("model" or "synth"), energy ("digital", "converters" or your own), board. Metrics: accuracy, yield, loss, cosine, gradient_bias,
    deviation, sign, saturations, cycles, lut, ff, multipliers, memory, fill, fmax, samples_per_second, chip_rate, line_rate, energy.

    Points that are no recipe are marked, and the rest runs. Exit status: 0 all rows are there; 1 a row failed; 2 the SPEC or STORE cannot
    be used, or the scheduler went away; 130 interrupted.

    Example: crossdyad sweep examples/precision.toml && crossdyad report precision.db

    Example: crossdyad sweep examples/precision.toml --scheduler tcp://10.0.0.1:8786
    """
    import json
    import time

    from ..explore import spec as specs
    from ..explore import sweep as sweeps
    from ..explore.store import Store
    from .options import check_data, executor_of, with_data, workers_of

    if dry and estimate:
        raise ValueError("--dry-run, --estimate: give one of them; the first computes nothing, the second a batch per worker")
    told, base = specs.read(spec)
    base = with_data(base, data)
    settings, points = sweeps.settings_of(told, base), specs.points(told, base)
    path, count = store or Path(f"{told.name}.db"), workers_of(workers)
    if dry and not path.exists():
        return _planned(told, len(points), sweeps.plan(points, told.seed_list, settings, None, retry), None, as_json)
    with Store(path, reading=dry) as kept:
        made = sweeps.plan(points, told.seed_list, settings, kept, retry)
        left = sweeps.seconds_left(made, settings, kept, count)
        if dry:
            return _planned(told, len(points), made, left, as_json)
        _say_plan(told, len(points), made, left)
        check_data([job.recipe for _, job in made.missing.values()])
        kept.remember(told.name, spec.read_text(encoding="utf-8"), base.to_toml(), sweeps.measured(settings))
        start = time.perf_counter()
        try:
            with bar("sweep") as report:
                counts = sweeps.run(made, settings, kept, executor_of(scheduler, count), count, report, count if estimate else None)
        except KeyboardInterrupt:
            there = sweeps.plan(points, told.seed_list, settings, kept).there
            typer.echo(
                f"crossdyad: interrupted; {there} of {len(made.rows)} rows are in {path}: the same command computes the rest", err=True
            )
            raise SystemExit(INTERRUPTED) from None  # typer.Exit, an Exception, would be taken for a swallowed interrupt
        counts |= {"store": str(path), "seconds": round(time.perf_counter() - start, 2)}
        if estimate:
            rest = sweeps.plan(points, told.seed_list, settings, kept, retry)
            counts |= {"missing": len(rest.missing), "seconds_left": sweeps.seconds_left(rest, settings, kept, count)}
    if as_json:
        typer.echo(json.dumps(counts))
    elif estimate and counts["missing"]:
        typer.echo(f"{counts['missing']} rows to compute{_about(counts['seconds_left'])}; what was computed is kept in {path}")
    else:
        typer.echo(
            f"{counts['ok']} rows, {counts['failed']} failed, {counts['invalid']} invalid points; {counts['seconds']} s\n  {path}\n"
            f"  crossdyad report {path}"
        )
        if counts["failed"]:
            typer.echo(
                f"  why rows failed: crossdyad report, or the column error of crossdyad export {path} -o rows.csv\n"
                "  again: the same command with --retry-failed"
            )
    if counts["failed"]:
        raise typer.Exit(CHECK_FAILED)


def _say_plan(told, points: int, made, left: float | None) -> None:
    typer.echo(
        f"{told.name}: {points} points, {len(told.seed_list)} seeds: {len(made.rows)} rows, {made.there} are there, "
        f"{len(made.missing)} to compute{_about(left) if made.missing else ''}; {len(made.invalid)} points are no recipe",
        err=True,
    )
    for line in _mistakes(made.invalid):
        typer.echo(line, err=True)


def _planned(told, points: int, made, left: float | None, as_json: bool) -> None:
    """The answer to --dry-run."""
    import json

    _say_plan(told, points, made, left)
    counts = {"rows": len(made.rows), "there": made.there, "missing": len(made.missing), "invalid": len(made.invalid), "seconds_left": left}
    typer.echo(
        json.dumps(counts)
        if as_json
        else "nothing computed"
        + ("" if left or not made.missing else "; how long it takes is known after a batch: --estimate computes one")
    )


def _words(settings: dict) -> str:
    return ", ".join(f"{field} = {value}" for field, value in settings.items())


def _mistakes(invalid, most: int = 8) -> list[str]:
    """Why points are no recipe: each reason once, with the first point that it holds for."""
    why: dict[str, list] = {}
    for point in invalid:
        why.setdefault(point.error, []).append(point)
    lines = [
        f"  {error}\n    at {_words(same[0].settings)}" + (f" and {len(same) - 1} more points" if same[1:] else "")
        for error, same in why.items()
    ]
    return lines[:most] + ([f"  ... and {len(lines) - most} other reasons; the report tells all"] if lines[most:] else [])


def _about(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f", about {seconds:.0f} s" if seconds < 100 else f", about {seconds / 60:.0f} min"
