"""``crossdyad cookbook``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import CHECK_FAILED, explained, usable
from .options import AsJson, dump, refuse
from .progress import bar


@explained
def cookbook(rows: Annotated[list[int] | None, typer.Argument(metavar="[ROW]...", help="row numbers; all by default")] = None,
             check: Annotated[bool, typer.Option("--check", help="measure each row's own property")] = False,
             seed: Annotated[int | None, typer.Option(min=0, help="of a check's weights, inputs and directions; 0 by default")] = None,
             as_json: AsJson = False,
             figures: Annotated[Path | None, typer.Option(
                 callback=usable, help="draw the families' laws in this folder instead")] = None):
    """List the learning rules of the cookbook, check each by its own law, or draw the laws of the families.

    A check prints measured against expected, each row as it ends; exit status 1 if one fails.

    Example: crossdyad cookbook --check 29 52 57
    """
    if not check:
        refuse({"--seed": seed}, "only with --check, whose weights, inputs and directions it draws")
    if figures:
        refuse({"ROW": rows, "--check": check}, "not with --figures, which draws all families; leave it out")
        from ..models.cookbook.gallery import draw

        with bar("figures", even=False) as report:
            written = [str(path) for path in draw(figures, report)]
        typer.echo(dump(written) if as_json else "\n".join(written))
        return

    from ..models.cookbook import ROWS
    from ..models.cookbook.checks import results

    chosen = sorted(set(rows or ROWS))
    if unknown := sorted(set(chosen) - set(ROWS)):
        raise ValueError(f"ROW: {', '.join(map(str, unknown))} not in the cookbook; it has {min(ROWS)} to {max(ROWS)}")
    if not check:
        listed = [describe(ROWS[n]) for n in chosen]
        typer.echo(dump(listed) if as_json else "\n".join(map(text, listed)))
        return
    found = []
    try:
        with bar("cookbook", even=False) as report:
            report("start", 0, len(chosen))
            for result in results(chosen, seed or 0):
                found.append(result)
                if not as_json:
                    typer.echo(_checked(result, ROWS[result.number].title))
                report(f"row {result.number}", len(found), len(chosen))
    finally:        # also of an interrupted run
        if as_json:
            typer.echo(dump([describe(ROWS[r.number]) | {"passed": r.passed, "seconds": round(r.seconds, 2),
                                                         "findings": [f._asdict() for f in r.findings]}
                             for r in sorted(found, key=lambda r: r.number)]))
        else:
            failed = sorted(r.number for r in found if not r.passed)
            typer.echo(f"{len(found) - len(failed)} of {len(chosen)} rows fulfil their law"
                       + (f"; not {', '.join(map(str, failed))}" if failed else "")
                       + (f"; {len(chosen) - len(found)} were not checked" if len(found) < len(chosen) else ""))
    if not all(r.passed for r in found):
        raise typer.Exit(CHECK_FAILED)


def _checked(result, title: str) -> str:
    """A row's check as text."""
    lines = [typer.style(f"{result.number:>3}  {title}", bold=True) + f"  ({result.seconds:.1f} s)"]
    for f in result.findings:
        mark = typer.style("ok  ", fg="green") if f.passed else typer.style("FAIL", fg="red", bold=True)
        lines.append(f"     {mark} {f.what}: {f.measured:.4g}, expected {f.expected}")
    return "\n".join(lines)


def describe(row) -> dict:
    """A row as plain data."""
    declared = {} if row.estimator is None else {
        "requires": sorted(row.estimator.requires), "target": row.estimator.target, "order": row.estimator.order}
    return {"row": row.number, "title": row.title, "source": row.source, "combination": row.combination} | declared


def text(row: dict) -> str:
    """A row as a few lines of text."""
    lines = [f"{row['row']:>3}  {row['title']}  (section {row['source']})"]
    lines += [f"       {axis:<10} {part}" for axis, part in row["combination"].items()]
    if row.get("requires"):
        lines.append(f"       {'needs':<10} {', '.join(row['requires'])}")
    return "\n".join(lines)
