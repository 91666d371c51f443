"""Tables: CSV, with separator and header found, and Parquet, as numbers and labels."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .idx import DataError
from .raw import Raw

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
"""Cells that hold no value, in lower case."""
SEPARATORS = ";\t|,"
TOLD = 8
"""Mistakes of one kind that a message lists."""


def read_csv(path: Path, label: Sequence[str] = (), leave_out: Sequence[str] = (), missing: str = "refuse") -> Raw:
    """Read a table of text.

    Parameters
    ----------
    path : Path
    label : sequence of str
        Name of the label's column; the last one by default.
    leave_out : sequence of str
        Names of columns that are not read.
    missing : str
        ``refuse``, ``drop`` (leave out such rows) or ``mean`` (keep them as NaN).

    Returns
    -------
    Raw

    Raises
    ------
    DataError
        All mistakes at once, with line and column.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: no text in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
    separator = _separator(text)
    # a space after the separator belongs to neither cell
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    rows, lines = [], []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append([cell.strip() for cell in row])
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: {error}") from None
    if not rows:
        raise DataError(f"{path}: empty; a table has a line for each sample")
    comma = separator != "," and _decimal_comma(rows)
    if comma:
        rows = [[cell.replace(",", ".") if _number(cell) is None else cell for cell in row] for row in rows]
    header = _has_header(rows, [*label, *leave_out])
    names = rows[0] if header else [f"column {i + 1}" for i in range(len(rows[0]))]
    first = int(header)
    uneven = [
        f"{path}: line {n}: {len(r)} cells where the first line has {len(names)}"
        for r, n in zip(rows[first:], lines[first:], strict=True)
        if len(r) != len(names)
    ]
    if uneven:
        raise DataError("\n".join(_some(uneven)) + "\nwrite one cell a column, separated alike, and quote cells that hold the separator")
    return _chosen(path, names, rows[first:], [f"line {n}" for n in lines[first:]], label, leave_out, missing)


def read_parquet(path: Path, label: Sequence[str] = (), leave_out: Sequence[str] = (), missing: str = "refuse") -> Raw:
    """Read a Parquet file as `read_csv` reads text; places are rows, from 1."""
    try:
        import duckdb
    except ImportError:
        raise DataError(f"{path}: Parquet needs DuckDB; pip install 'crossdyad[parquet]', or save the table as CSV") from None
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        with duckdb.connect() as connection:
            found = connection.read_parquet(str(path))
            names, rows = found.columns, found.fetchall()
    except duckdb.Error as error:
        raise DataError(f"{path}: no Parquet file ({str(error).splitlines()[0]})") from None
    cells = [["" if v is None else str(float(v)) if isinstance(v, bool) else str(v) for v in row] for row in rows]
    return _chosen(path, list(names), cells, [f"row {i + 1}" for i in range(len(cells))], label, leave_out, missing)


def _chosen(path: Path, names: list[str], rows: list[list[str]], places: list[str], label, leave_out, missing: str) -> Raw:
    """Return the numbers and labels of cells, or every mistake at once."""
    wrong = [f"{path}: column {n!r}: no such column; there are {', '.join(names)}" for n in (*label, *leave_out) if n not in names]
    wrong += [f"{path}: column {n!r}: there twice; give each column its own name" for n in dict.fromkeys(names) if names.count(n) > 1]
    if not rows:
        wrong.append(f"{path}: no samples; a table has a line for each")
    if wrong:
        raise DataError("\n".join(wrong))
    label = names.index(label[0]) if label else max(i for i, n in enumerate(names) if n not in leave_out)
    used = [i for i, n in enumerate(names) if i != label and n not in leave_out]
    if not used:
        raise DataError(f"{path}: only the column {names[label]!r}; a table has columns of numbers, and one of labels")
    x, text, holes = np.empty((len(rows), len(used))), {}, []
    for at, row in enumerate(rows):
        for to, i in enumerate(used):
            value = _number(row[i])
            x[at, to] = np.nan if value is None else value
            if value is None or not np.isfinite(value):
                if row[i].lower() in MISSING:
                    holes.append((at, i))
                else:
                    text.setdefault(i, []).append(at)
        if row[label].lower() in MISSING:
            holes.append((at, label))
    for i, at in text.items():
        remedy = f"write leave_out = [{names[i]!r}]" if len(at) == len(rows) else "correct it"
        wrong.append(
            f"{path}: {places[at[0]]}, column {names[i]!r}: {rows[at[0]][i]!r} is no number"
            + (f", and so in {len(at) - 1} more lines" if at[1:] else "")
            + f"; {remedy}"
        )
    remedies: dict[str, Any] = {"leave_out": [names[i] for i, at in text.items() if len(at) == len(rows)]} if text else {}
    unlabelled = [(at, i) for at, i in holes if i == label]
    kept = np.ones(len(rows), bool)
    if missing == "drop":
        kept[[at for at, _ in holes]] = False
    elif holes and (missing == "refuse" or unlabelled):
        told = holes if missing == "refuse" else unlabelled
        remedies["missing"] = "drop" if unlabelled else "mean"
        wrong += _some([f"{path}: {places[at]}, column {names[i]!r}: no value" for at, i in told])
        wrong.append(
            f'{path}: {len(told)} values are missing; write missing = "drop" to leave out such lines'
            + ("" if unlabelled else ', or "mean" to fill in the column\'s mean over the training part')
        )
    if wrong:
        raise DataError("\n".join(_some(wrong, 2 * TOLD)), **remedies)
    if not kept.any():
        raise DataError(f"{path}: every line lacks a value; write leave_out = [...] for the columns that lack most")
    notes = (f"{int((~kept).sum())} lines with missing values are left out",) if not kept.all() else ()
    if missing == "mean" and holes:
        notes = (f"{len(holes)} missing values are the means of their columns",)
    at = np.flatnonzero(kept)
    return Raw(x[at], [rows[i][label] for i in at], [places[i] for i in at], tuple(names[i] for i in used), notes=notes, label=names[label])


def _some(lines: list[str], most: int = TOLD) -> list[str]:
    return lines if len(lines) <= most else [*lines[:most], f"... and {len(lines) - most} more"]


def _number(cell: str) -> float | None:
    try:
        return float(cell) if "_" not in cell else None
    except ValueError:
        return None


def _separator(text: str) -> str:
    """Return the separator that splits the first lines into as many cells each, several.

    The comma comes last: decimal commas split lines evenly too.
    """
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    counts = {s: [len(row) for row in csv.reader(lines, delimiter=s)] for s in SEPARATORS}
    even = [s for s, n in counts.items() if n and min(n) == max(n) > 1]
    return even[0] if even else max(SEPARATORS, key=lambda s: min(counts[s], default=0))


def _decimal_comma(rows: list[list[str]]) -> bool:
    cells = [c for row in rows for c in row if _number(c) is None and c.lower() not in MISSING]
    return any(re.fullmatch(r"[+-]?\d+,\d+(e[+-]?\d+)?", c, re.I) for c in cells)


def _has_header(rows: list[list[str]], named: list[str]) -> bool:
    """Return whether the first line holds names: one that is asked for, or nothing but text above numbers."""
    first, rest = rows[0], rows[1:]
    if any(n in first for n in named):
        return True
    text = all(_number(c) is None for c in first if c)
    return text and (not rest or any(_number(c) is not None for row in rest for c in row))
