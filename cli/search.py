"""``crossdyad search``"""

from __future__ import annotations

from pathlib import Path

import typer

from .errors import explained
from .options import AsJson, DataFolder, Scheduler, SpecFile, StoreFile, Workers
from .progress import bar


@explained
def search(spec: SpecFile, store: StoreFile = None, workers: Workers = 0, scheduler: Scheduler = None, data: DataFolder = None,
           as_json: AsJson = False):
    r"""Let Optuna look for the front instead of trying every combination: NSGA-II, NSGA-III or TPE, in generations.

    The same SPEC as for `crossdyad sweep`, with a table more. The points depend on the SPEC alone, not on workers or interruptions;
    run it again and it goes on from the store.

    \b
        \[search]
        objectives = ["accuracy", "lut"]
        sampler = "nsga2"
        generations = 10
        population = 20

    Example: crossdyad search my.toml && crossdyad report my.db
    """
    import json

    from ..explore import search as searches
    from ..explore import spec as specs
    from ..explore.store import Store
    from .options import executor_of, workers_of

    told, base = specs.read(spec)
    path = store or Path(f"{told.name}.db")
    with Store(path) as kept:
        kept.remember(told.name, spec.read_text(), base.to_toml())
        count = workers_of(workers)
        with bar("search") as report:
            found = searches.search(told, base, kept, executor_of(scheduler, count), count, data, report)
    result = {"proposed": told.search.generations * told.search.population, "distinct": len(found), "store": str(path)}
    typer.echo(json.dumps(result) if as_json else f"{result['distinct']} distinct points\n  {path}\n  crossdyad report {path}")
