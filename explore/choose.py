"""Out of a store: the best recipe within limits, and its rows as a table for other tools."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

from ..recipe import Recipe, near
from .spec import METRICS, SMALLER_IS_BETTER
from .statistics import Summary, interval, signed, summaries
from .store import Store


def pick(store: Store, limits: dict[str, tuple[float | None, float | None]], best: str = "accuracy") -> tuple[Recipe, Summary]:
    """The point with the best mean of a metric among those whose means are within limits.

    Parameters
    ----------
    store : Store
    limits : dict
        Metric to (least, most), None where there is no limit.
    best : str
        Metric; of points that are equal in it, the first with the fewest LUTs.

    Returns
    -------
    Recipe, Summary

    Raises
    ------
    ValueError
        For an unknown metric, or if no point is within the limits; then the message says which limit is missed by how little.
    """
    for name in (*limits, best):
        if name not in METRICS:
            raise ValueError(f"{name}: no such metric; {near(name, METRICS)}allowed are {', '.join(METRICS)}")
    found = [s for s in summaries(store.rows()) if all(m in s.values for m in (*limits, best))]
    inside = [s for s in found if all(_within(s.values[m].mean(), *limit) for m, limit in limits.items())]
    if not found:
        raise ValueError(f"{store.path}: no point has {', '.join((*limits, best))}; run the sweep with these metrics first")
    if not inside:
        closest = [f"{name} reaches {reached:g}, not {'at least' if low is not None else 'at most'} {low if low is not None else high:g}"
                   for name, (low, high) in limits.items()
                   for reached in [(max if low is not None else min)(float(s.values[name].mean()) for s in found)]
                   if not _within(reached, low, high)]
        raise ValueError(f"{store.path}: no point is within the limits"
                         + (f": {'; '.join(closest)}" if closest else ", though each can be met alone") + "; loosen one")
    def rank(s):
        return float(signed(best, s.values[best].mean())), -float(s.values["lut"].mean())

    chosen = max(inside, key=rank)
    return Recipe.model_validate(chosen.recipe), chosen


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def told(chosen: Summary) -> str:
    """A chosen point's figures, as comments of its recipe file."""
    lines = []
    for metric, values in chosen.values.items():
        mean, low, high = interval(values)
        spread = f", {low:.4g} to {high:.4g}" if low not in (mean, -float("inf")) else ""
        lines.append(f"# {metric}: {mean:.4g}{spread}{'  (smaller is better)' if metric in SMALLER_IS_BETTER else ''}")
    return "\n".join([f"# means over {len(chosen.seeds)} seeds, with 95 % intervals", *lines])


def table(store: Store) -> tuple[list[str], list[list]]:
    """All rows, flat: column names, and one list per row."""
    rows = store.rows()
    axes = list(dict.fromkeys(a for row in rows for a in row["point"]))
    header = [*axes, "seed", "status", *METRICS, "seconds", "error", "key", "recipe", "versions"]
    flat = []
    for row in rows:
        settings = [row["point"].get(a) for a in axes]
        flat.append([*(v if isinstance(v, (int, float, str)) or v is None else json.dumps(v) for v in settings), row["seed"], row["status"],
                     *((row["value"] or {}).get(m) for m in METRICS), row["seconds"], row["error"], row["key"],
                     json.dumps(row["recipe"]) if row["recipe"] else None, json.dumps(row["versions"])])
    return header, flat


def to_csv(store: Store, path: Path) -> None:
    """The table as CSV; beside, then renamed."""
    text = io.StringIO()
    header, rows = table(store)
    csv.writer(text).writerows([header, *rows])
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text.getvalue())
    draft.replace(path)


def to_parquet(store: Store, path: Path) -> None:
    """The table as Parquet.

    Raises
    ------
    ValueError
        If DuckDB, which writes it, is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise ValueError("parquet: needs DuckDB; install with `pip install 'crossdyad[parquet]'`, or export CSV") from None
    between, draft = path.with_name(f".{path.name}.{os.getpid()}.csv"), path.with_name(f".{path.name}.{os.getpid()}")
    try:
        to_csv(store, between)
        duckdb.sql(f"COPY (SELECT * FROM read_csv('{between}', header = true)) TO '{draft}' (FORMAT parquet)")
        draft.replace(path)
    finally:
        between.unlink(missing_ok=True)
        draft.unlink(missing_ok=True)
