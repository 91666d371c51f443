"""``crossdyad rules``"""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .errors import explained

COLUMNS = {"rule": "rule", "row": "row", "operations": "ops", "cycles": "cycles", "feedback_bits": "feedback",
           "transport": "transport", "state_bits": "states", "derivatives": "slopes", "forward_lock": "fwd lock",
           "backward_lock": "bwd lock", "idle": "idle", "writes": "written", "random_bits": "random"}
"""Fields of a card, and what a table calls them."""


@explained
def rules(
    recipe: Annotated[str | None, typer.Argument(help="preset, or path of a TOML file whose settings all rules share; "
                                                 "by default each rule has the preset chosen for it on digits")] = None,
    json: Annotated[bool, typer.Option("--json", help="print the counts as JSON")] = False,
):
    """List the learning rules, each with what it asks of hardware, counted on its program for one sample.

    transport: weight bits read in rows and in columns; states: bits held between operations; slopes: derivatives evaluated;
    forward lock: cycles until the next sample may come; backward lock: cycles from states to errors of the first layer;
    idle: share of the engines' cycles without a slot.

    Example: crossdyad rules digits-deep --json
    """
    from ..explore.cards import cards
    from ..recipe import load

    found = cards(load(recipe) if recipe else None)
    if json:
        typer.echo(options.dump([c._asdict() for c in found]))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{recipe or 'each rule on its preset'}: one training sample; bits, cycles, counts")
    for name in COLUMNS.values():
        table.add_column(name, justify="left" if name == "rule" else "right")
    for c in found:
        said = c._asdict() | {"idle": f"{100 * c.idle:.0f} %", "row": c.row or ""}
        table.add_row(*(str(said[name]) for name in COLUMNS))
    Console(width=160).print(table)
