"""``crossdyad doctor``"""

from __future__ import annotations

import typer

from .errors import TOOL_MISSING, explained
from .options import AsJson, dump


@explained
def doctor(as_json: AsJson = False) -> None:
    """Say which tools are here, and what to do about those that are not.

    Everything but Icarus, g++, perl and libpython comes with the package's extras. Exit status 3 if a tool is missing.
    """
    from ..sim.doctor import findings

    rows = findings()
    if as_json:
        typer.echo(dump(rows))
    else:
        for row in rows:
            typer.echo(f"{row.tool:<16}{row.needed_by:<18}{row.version or f'MISSING: {row.remedy}'}")
    if any(row.remedy for row in rows):
        raise typer.Exit(TOOL_MISSING)
