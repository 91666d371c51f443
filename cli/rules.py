"""``crossdyad rules``"""

from __future__ import annotations

from typing import Annotated

import typer

from . import options
from .errors import CHECK_FAILED, explained

ASKED = {
    "rule": "rule",
    "row": "row",
    "oracle": "oracle",
    "operations": "ops",
    "matrices": "matrices",
    "cycles": "cycles",
    "busy": "busy",
    "transport": "transport",
    "stored_bits": "memory",
    "derivatives": "slopes",
    "forward_lock": "fwd lock",
    "backward_lock": "bwd lock",
    "idle": "idle",
    "writes": "written",
    "random_bits": "random",
}
"""Counts of a program, and what the table calls them."""
COST = {
    "rule": "rule",
    "weight_bits": "weights",
    "feedback_bits": "feedback",
    "state_bits": "states",
    "lut": "LUT",
    "ff": "FF",
    "multipliers": "multipliers",
    "memory": "blocks",
    "built_lut": "built LUT",
    "built_ff": "built FF",
    "built_fmax": "built MHz",
}
"""Bits, the model's figures, and those of chips that were built."""
REACHED = {
    "rule": "rule",
    "accuracy": "accuracy, %",
    "in_float64": "in float64, %",
    "on_mnist": "MNIST, %",
    "to_rule": "cosine to rule",
    "to_exact": "to exact",
}
"""Figures that were measured."""


@explained
def rules(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="preset, or path of a TOML file whose settings all rules share; "
            "by default each rule has the preset chosen for it on digits"
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="check each rule's gradient, and its hardware against the emulator, on a small "
            "net with these settings; exit status 1 if anything is wrong",
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """List the learning rules: what each asks of hardware, counted on its program for one sample, what it costs, and what it reaches.

    busy: share of the multipliers' cycles with a product that counts; transport: weight bits read in rows and in columns; memory: bits
    held, states and weights; slopes: derivatives evaluated; forward lock: cycles until the next sample may come; backward lock: cycles
    from states to errors of the first layer; idle: share of the engines' cycles without a slot. LUT, FF, multipliers and blocks are the
    cost model's; built: what the chip with its host took, and its clock with one seed. Accuracy and cosines are measured, with these
    recipes alone; MNIST with each rule's settings on 784-256-10.

    Example: crossdyad rules --check
    """
    from ..explore.cards import chips, left_out
    from ..recipe import load

    base = load(recipe) if recipe else None
    for why in left_out(base).values() if base else ():
        typer.echo(f"left out: {why}", err=True)
    if check:
        if not _checked(chips(base), json):
            raise typer.Exit(CHECK_FAILED)
        return
    from ..explore import rules as table

    found = table.rows(base)
    if json:
        typer.echo(options.dump(found))
        return
    from rich.console import Console

    console = Console(width=160)
    about = recipe or "each rule on its preset"
    console.print(_table(f"{about}: what one training sample asks for; bits, cycles, counts", ASKED, found))
    board = found[0]["model_of"] if found else ""
    console.print(_table(f"bits held; cost by the model ({board}); built: {table.results(table.ROUTED)['command']}", COST, found))
    console.print(_table("measured", REACHED, found))
    typer.echo(table.results()["command"])


def _table(title: str, columns: dict[str, str], found: list[dict]):
    from rich.table import Table

    made = Table(title=title)
    for name in columns.values():
        made.add_column(name, justify="left" if name == "rule" else "right")
    for line in found:
        said = _said(line)
        made.add_row(*(str(said[name]) for name in columns))
    return made


def _said(line: dict) -> dict:
    """Return what the table shows of a rule."""
    from ..explore.rules import accuracy

    cosines = {f"to_{name}": (line["cosine"] or {}).get(name) for name in ("rule", "exact")}
    return (
        line
        | {
            "idle": f"{100 * line['idle']:.0f} %",
            "busy": f"{100 * line['busy']:.0f} %",
            "row": line["row"] or "",
            "stored_bits": line["state_bits"] + line["weight_bits"] + line["feedback_bits"],
            "accuracy": accuracy(line["accuracies"]),
            "in_float64": accuracy(line["float64"]),
            "on_mnist": accuracy(line["mnist"]),
        }
        | {k: "-" if v is None else f"{v:.3f}" for k, v in cosines.items()}
        | {f"built_{k}": f"{line['routed'][k]:.{int(k == 'fmax')}f}" if line["routed"] else "-" for k in ("lut", "ff", "fmax")}
    )


def _checked(recipes: list, as_json: bool) -> bool:
    """Check every rule, print what is found as it ends; return whether all is right."""
    from ..sim.rules import checked

    told = []
    for chip in recipes:
        told.append(checked(chip))
        if not as_json:
            typer.echo(f"{chip.rule:<24}{'; '.join(map(str, told[-1].checks))}")
    if as_json:
        typer.echo(options.dump(told))
    return all(rule.passed for rule in told)
