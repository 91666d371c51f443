"""``crossdyad cookbook``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import CHECK_FAILED, explained, usable
from .options import AsJson, dump, refuse
from .progress import bar

LEAVES = {
    "transposed-reads": "reads weights in columns, or their signs",
    "stored-states": "stores states until the error comes",
    "derivatives": "evaluates slopes of activations",
    "forward-lock": "the next sample waits for layers above",
    "backward-lock": "an error waits for those above",
    "synchrony": "errors come after states",
    "other-matrices": "has matrices beside the weights (feedback, heads, predictors)",
    "random-numbers": "draws random numbers",
    "moved-weights": "writes weights while it works on the sample",
    "repeated-reads": "reads a matrix in rows more than twice for a sample: relaxes, or probes unit by unit",
    "broadcasts": "multiplies whole vectors by a number that depends on the target",
    "dense-systems": "solves a dense system as it runs here",
}
"""Features that a substrate may lack: by word, what a row does that needs it."""
TWICE = 2
"""Reads of a matrix in rows for one sample, of a method that neither relaxes nor probes unit by unit."""
COLUMNS = {
    "row": "row",
    "rule": "rule",
    "operations": "ops",
    "feedback_words": "feedback",
    "transport": "transport",
    "state_words": "states",
    "derivatives": "slopes",
    "forward_lock": "fwd lock",
    "backward_lock": "bwd lock",
    "idle": "idle",
    "writes": "written",
    "random": "random",
    "problems": "leaves",
}
"""Fields of a card, and what the table calls them, as `crossdyad rules` does."""


@explained
def cookbook(
    rows: Annotated[list[int] | None, typer.Argument(metavar="[ROW]...", help="row numbers; all by default")] = None,
    check: Annotated[bool, typer.Option("--check", help="measure each row's own property")] = False,
    cost: Annotated[bool, typer.Option("--cost", help="what each asks of hardware, as `rules` says of the chip")] = False,
    without: Annotated[
        list[str] | None, typer.Option(metavar="WORD", help=f"only rows that do without: {', '.join(LEAVES)}; repeat for more")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="of a check's weights, inputs and directions; 0 by default")] = None,
    as_json: AsJson = False,
    figures: Annotated[Path | None, typer.Option(callback=usable, help="draw the families' laws in this folder instead")] = None,
) -> None:
    """List the learning rules of the cookbook, say what they cost, check each by its own law, or draw the laws of the families.

    A check prints measured against expected, each row as it ends; exit status 1 if one fails. Costs are counted on a net 6-5-5-5-3, one
    gradient of one sample; "leaves" are the paper's problems that a row does not solve, as what grows with depth.

    Example: crossdyad cookbook --check 29 52 57

    Example: crossdyad cookbook --cost --without transposed-reads --without stored-states
    """
    if not check:
        refuse({"--seed": seed}, "only with --check, whose weights, inputs and directions it draws")
    if figures:
        refuse(
            {"ROW": rows, "--check": check, "--cost": cost, "--without": without},
            "not with --figures, which draws all families; leave it out",
        )
        from ..models.cookbook.gallery import draw

        with bar("figures", even=False) as report:
            written = [str(path) for path in draw(figures, report)]
        typer.echo(dump(written) if as_json else "\n".join(written))
        return
    if unknown := sorted(set(without or []) - set(LEAVES)):
        raise ValueError(f"--without: {', '.join(unknown)} unknown; allowed are {', '.join(LEAVES)}")
    entries = catalog()
    chosen = sorted(set(rows or entries))
    if unknown := sorted(set(chosen) - set(entries)):
        raise ValueError(f"ROW: {', '.join(map(str, unknown))} not in the cookbook; it has {min(entries)} to {max(entries)}")
    if without:
        chosen = [n for n in chosen if "card" in entries[n] and not needs(entries[n]["card"]) & set(without)]
    if not check:
        listed = [entries[n] for n in chosen]
        if as_json:
            typer.echo(dump(listed))
        elif cost:
            _costs(listed)
        else:
            typer.echo("\n".join(map(text, listed)))
        return
    refuse({"--cost": cost}, "not with --check; leave one of them out")
    from ..models.cookbook.checks import results

    found = []
    try:
        with bar("cookbook", even=False) as report:
            report("start", 0, len(chosen))
            for result in results(chosen, seed or 0):
                found.append(result)
                if not as_json:
                    typer.echo(_checked(result, entries[result.number]["title"]))
                report(f"row {result.number}", len(found), len(chosen))
    finally:  # also of an interrupted run
        if as_json:
            typer.echo(dump([entries[r.number] | r.to_dict() for r in sorted(found, key=lambda r: r.number)]))
        else:
            failed = sorted(r.number for r in found if not r.passed)
            typer.echo(
                f"{len(found) - len(failed)} of {len(chosen)} rows fulfil their law"
                + (f"; not {', '.join(map(str, failed))}" if failed else "")
                + (f"; {len(chosen) - len(found)} were not checked" if len(found) < len(chosen) else "")
            )
    if not all(r.passed for r in found):
        raise typer.Exit(CHECK_FAILED)


def _checked(result, title: str) -> str:
    """A row's check as text."""
    lines = [typer.style(f"{result.number:>3}  {title}", bold=True) + f"  ({result.seconds:.1f} s)"]
    for f in result.findings:
        mark = typer.style("ok  ", fg="green") if f.passed else typer.style("FAIL", fg="red", bold=True)
        lines.append(f"     {mark} {f.what}: {f.measured:.4g}, expected {f.expected}")
    return "\n".join(lines)


def catalog() -> dict[int, dict]:
    """Return all rows by number, as they were written by `crossdyad.models.cards`: no JAX is imported."""
    import json

    file = Path(__file__).resolve().parent.parent / "models" / "cookbook" / "catalog.json"
    return {entry["row"]: entry for entry in json.loads(file.read_text())}


def needs(card: dict) -> set[str]:
    """Return the words of `LEAVES` that a card needs."""
    left = {p.replace(" ", "-") for p in card["problems"]}
    counted = {
        "transposed-reads": "transport" in left,
        "stored-states": "memory" in left,
        "other-matrices": card["feedback_words"] > 0,
        "random-numbers": card["random"] > 0,
        "moved-weights": card["writes"] > card["weight_words"] + card["feedback_words"],
        "repeated-reads": card["sweeps"] > TWICE,
        "broadcasts": card["scalars"] > 0,
        "dense-systems": card["dense"],
    }
    return left & set(LEAVES) | {word for word, there in counted.items() if there}


def _costs(rows: list[dict]) -> None:
    """Print the table of cards, and which rows have none."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="one gradient of one sample on a net 6-5-5-5-3: reads of matrices, words, counts")
    for name in COLUMNS.values():
        table.add_column(name, justify="left" if name in ("rule", "leaves") else "right")
    for card in (r["card"] for r in rows if "card" in r):
        said = card | {
            "idle": f"{100 * card['idle']:.0f} %",
            "problems": ", ".join(card["problems"]) or "-",
            "rule": card["rule"] + (" *" if card["dense"] else ""),
        }
        table.add_row(*(str(said[name]) for name in COLUMNS))
    console = Console(width=200)
    console.print(table)
    if any(r["card"]["dense"] for r in rows if "card" in r):
        console.print("* solves a dense system as it runs here: its reads fill that system")
    if bare := [r for r in rows if "card" not in r]:
        console.print(f"without a card: {', '.join(str(r['row']) for r in bare)}; --json says why")


def text(row: dict) -> str:
    """A row as a few lines of text."""
    lines = [f"{row['row']:>3}  {row['title']}  (section {row['source']})"]
    lines += [f"       {axis:<10} {part}" for axis, part in row["combination"].items()]
    if row.get("requires"):
        lines.append(f"       {'needs':<10} {', '.join(row['requires'])}")
    return "\n".join(lines)
