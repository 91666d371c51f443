"""``crossdyad export``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import explained
from .options import Results


@explained
def export(store: Results, output: Annotated[Path, typer.Option("--output", "-o", help="a file that ends in .csv or .parquet")]) -> None:
    """Write every row of a store as CSV or Parquet, for other tools.

    Example: crossdyad export precision.db -o precision.csv
    """
    from ..explore import choose, files
    from ..explore.store import Store

    writers = {".csv": choose.to_csv, ".parquet": choose.to_parquet}
    if output.suffix not in writers:
        raise ValueError(f"{output}: ends in {output.suffix or 'nothing'}; allowed are {', '.join(writers)}")
    with Store(store, reading=True) as kept:
        writers[output.suffix](kept, files.check(output, store))
    typer.echo(str(output))
