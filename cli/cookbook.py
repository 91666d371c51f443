"""``crossdyad cookbook``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .errors import CHECK_FAILED, explained
from .options import AsJson, refuse
from .progress import bar


@explained
def cookbook(rows: Annotated[list[int] | None, typer.Argument(metavar="[ROW]...", help="row numbers; all by default")] = None,
             check: Annotated[bool, typer.Option("--check", help="measure each row's own property")] = False,
             seed: Annotated[int | None, typer.Option(min=0, help="of a check's weights, inputs and directions; 0 by default")] = None,
             as_json: AsJson = False,
             figures: Annotated[Path | None, typer.Option(help="draw the families' laws into this folder instead")] = None):
    """List the learning rules of the cookbook, check each by its own law, or draw the laws of the families.

    A check prints measured against expected; exit status 1 if one fails.

    Example: crossdyad cookbook --check 29 52 57
    """
    import json

    if not check:
        refuse({"--seed": seed}, "only with --check, whose weights, inputs and directions it draws")
    if figures:
        refuse({"ROW": rows, "--check": check}, "not with --figures, which draws all families; leave it out")
        from ..models.cookbook.gallery import draw

        with bar("figures") as report:
            written = [str(path) for path in draw(figures, report)]
        typer.echo(json.dumps(written) if as_json else "\n".join(written))
        return

    from ..models.cookbook import ROWS
    from ..models.cookbook.checks import check as checked

    chosen = sorted(ROWS) if not rows else rows
    if unknown := sorted(set(chosen) - set(ROWS)):
        raise ValueError(f"ROW: {', '.join(map(str, unknown))} not in the cookbook; it has {min(ROWS)} to {max(ROWS)}")
    if not check:
        listed = [describe(ROWS[n]) for n in chosen]
        typer.echo(json.dumps(listed) if as_json else "\n".join(map(text, listed)))
        return
    with bar("cookbook") as report:
        results = checked(chosen, seed or 0, report)
    if as_json:
        typer.echo(json.dumps([describe(ROWS[r.number]) | {"passed": r.passed, "seconds": round(r.seconds, 2),
                                                          "findings": [f._asdict() for f in r.findings]} for r in results]))
    else:
        for r in results:
            typer.echo(typer.style(f"{r.number:>3}  {ROWS[r.number].title}", bold=True) + f"  ({r.seconds:.1f} s)")
            for f in r.findings:
                mark = typer.style("ok  ", fg="green") if f.passed else typer.style("FAIL", fg="red", bold=True)
                typer.echo(f"     {mark} {f.what}: {f.measured:.4g}, expected {f.expected}")
        failed = [r.number for r in results if not r.passed]
        typer.echo(f"{len(results) - len(failed)} of {len(results)} rows fulfil their law"
                   + (f"; not {', '.join(map(str, failed))}" if failed else ""))
    if not all(r.passed for r in results):
        raise typer.Exit(CHECK_FAILED)


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
