"""``crossdyad search``"""

from __future__ import annotations

from pathlib import Path

import typer

from .errors import CHECK_FAILED, explained
from .options import AsJson, DataSource, Retry, Scheduler, SpecFile, StoreFile, Workers
from .progress import bar
from .sweep import INTERRUPTED


@explained
def search(
    spec: SpecFile,
    store: StoreFile = None,
    workers: Workers = 0,
    scheduler: Scheduler = None,
    data: DataSource = None,
    retry: Retry = False,
    as_json: AsJson = False,
) -> None:
    r"""Let Optuna look for the front instead of trying every combination: NSGA-II, NSGA-III or TPE, in generations.

    The same SPEC as for `crossdyad sweep`, with a table more. The points depend on the SPEC alone, not on workers or interruptions;
    run it again and it goes on from the store. Where a sweep with the same base recipe and epochs was there before, its rows are used.

    \b
        \[search]
        objectives = ["accuracy", "lut"]
        sampler = "nsga2"
        generations = 10
        population = 20

    Exit status: 0 all is well; 1 a row failed; 2 the SPEC or STORE cannot be used, or the scheduler went away; 130 interrupted.

    Example: crossdyad search my.toml && crossdyad report my.db
    """
    import json

    from ..explore import search as searches
    from ..explore import spec as specs
    from ..explore.store import Store
    from ..explore.sweep import measured, settings_of
    from .options import check_data, executor_of, with_data, workers_of

    told, base = specs.read(spec)
    base = with_data(base, data)
    check_data([base])
    path = store or Path(f"{told.name}.db")
    with Store(path) as kept:
        kept.remember(told.name, spec.read_text(encoding="utf-8"), base.to_toml(), measured(settings_of(told, base)))
        count = workers_of(workers)
        try:
            with bar("search") as report:
                found = searches.search(told, base, kept, executor_of(scheduler, count), count, report, retry)
        except KeyboardInterrupt:
            typer.echo(f"crossdyad: interrupted; {len(kept.status())} rows are in {path}: the same command goes on from them", err=True)
            raise SystemExit(INTERRUPTED) from None  # typer.Exit, an Exception, would be taken for a swallowed interrupt
    said = f"{found.points} points" + (f", {found.failed} rows failed" if found.failed else "") + f"\n  {path}\n  crossdyad report {path}"
    typer.echo(json.dumps(found._asdict()) if as_json else said)
    if found.failed:
        raise typer.Exit(CHECK_FAILED)
