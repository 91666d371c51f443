"""``crossdyad report``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained
from .options import AsJson, Results, dump
from .progress import bar


@explained
def report(
    store: Results,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="the page; beside the store by default")] = None,
    objectives: Annotated[str | None, typer.Option(help="metrics of the front, with commas: accuracy,lut")] = None,
    as_json: AsJson = False,
) -> None:
    """Write one self-contained HTML page of a store: front, heat maps, error budgets, recipes to copy.

    Example: crossdyad report precision.db --objectives accuracy,energy
    """
    from ..explore import files
    from ..explore.report import write
    from ..explore.store import Store

    with Store(store, reading=True) as kept, bar("report") as told:
        path = files.check(output or store.with_suffix(".html"), store)
        written = write(kept, path, [m.strip() for m in objectives.split(",")] if objectives else None, told)
    typer.echo(dump(written) if as_json else written.page)
