"""Out of a store: the best recipe within limits, and its rows as a table for other tools."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from ..recipe import Recipe, near
from . import conditions, cost, files, rate, words
from .metrics import BOUNDS, COST, METRICS, SMALLER_IS_BETTER
from .spec import objectives_of
from .statistics import FEWEST, LEVEL, SAME, Summary, comparable, difference, front, middle, reach, signed, summaries, unseen
from .store import Store
from .sweep import results


class Picked(NamedTuple):
    """The best point within limits.

    Attributes
    ----------
    recipe : Recipe
        As it was measured, with a name of its own.
    chosen : Summary
    rivals : list of Summary
        Other points within the limits that these seeds cannot tell from it, in the metric that it is best in.
    cheapest : Summary or None
        Of the rivals the one with the fewest LUTs, if that is fewer than the chosen one has.
    objectives : tuple of str
        Of the front.
    surely : float or None
        Share of draws in which the point is on the front of all points (`statistics.Front`); None if it lacks an objective.
    conditions : str
        How points were ranked; empty without conditions.
    """

    recipe: Recipe
    chosen: Summary
    rivals: list[Summary]
    cheapest: Summary | None
    objectives: tuple[str, ...]
    surely: float | None
    conditions: str = ""

    def to_dict(self) -> dict:
        """The point as plain data: settings, means, seeds and reach of what was measured, its place, and the recipe."""
        chosen = self.chosen
        return {
            "settings": chosen.settings,
            "metrics": {m: float(v.mean()) for m, v in chosen.values.items()},
            "seeds": chosen.seeds,
            "reach": {m: reach(chosen, m)[1:] for m in chosen.values},
            "on_front": self.surely,
            "objectives": self.objectives,
            "not_told_apart": len(self.rivals),
            "recipe": self.recipe.model_dump(mode="json"),
        }


def pick(store: Store, limits: dict[str, tuple[float | None, float | None]], best: str = "accuracy", sure: bool = False) -> Picked:
    """The point with the best mean of a metric among those that are within limits.

    Parameters
    ----------
    store : Store
        Of which the rows of the specification that was run last are looked at.
    limits : dict
        Metric to (least, most), None where there is no limit.
    best : str
        Metric; of points that are equal in it, the first with the fewest LUTs.
    sure : bool
        Limits hold for all that the mean over all seeds may be (`statistics.bounds`), and for the cost model's worst error.

    Raises
    ------
    ValueError
        For an unknown metric, or if no point is within the limits; then the message says which limit is missed by how little.
    """
    for name in (*limits, best):
        if name not in METRICS:
            raise ValueError(f"{name}: no such metric; {near(name, METRICS)}allowed are {', '.join(METRICS)}")
    spec, rows = results(store)
    found = comparable([s for s in summaries(rows, spec.conditions) if all(m in s.values for m in (*limits, best))])
    if not found:
        raise ValueError(f"{store.path}: no point has {', '.join((*limits, best))}; run the sweep with these metrics first")

    def reached(s, name, low):
        mean, least, most = reach(s, name)
        return mean if not sure else least if low is not None else most

    def inside(s, name, low, high):
        return (low is None or reached(s, name, low) >= low) and (high is None or reached(s, name, None) <= high)

    within = [s for s in found if all(inside(s, m, *limit) for m, limit in limits.items())]
    if not within:
        closest = [
            f"{name} reaches {at:.6g}{' at its surest' if sure else ''}, not {'at least' if low is not None else 'at most'} "
            f"{low if low is not None else high:g}"
            for name, (low, high) in limits.items()
            if not any(inside(s, name, low, high) for s in found)
            for at in [(max if low is not None else min)(reached(s, name, low) for s in found)]
        ]
        wanting = [_more_seeds(name, low, len(found[0].seeds)) for name, (low, _) in limits.items() if sure and low is not None]
        raise ValueError(
            f"{store.path}: no point is within the limits"
            + (f": {'; '.join(closest)}" if closest else ", though each can be met alone")
            + "; loosen one"
            + "".join(wanting)
        )

    def luts(s):
        return float(s.values["lut"].mean()) if "lut" in s.values else 0.0

    chosen = max(within, key=lambda s: (float(signed(best, s.figure(best))), -luts(s)))
    rivals = [s for s in within if s is not chosen and not _told_apart(difference(chosen, s, best))]
    cheapest = min(rivals, key=luts, default=chosen)
    objectives = objectives_of(spec)
    made = front(found, objectives)
    surely = next((float(share) for point, share in zip(made.points, made.surely, strict=True) if point is chosen), None)
    return Picked(
        standing(chosen, spec.name),
        chosen,
        rivals,
        cheapest if luts(cheapest) < luts(chosen) else None,
        objectives,
        surely,
        conditions.told(spec.conditions) if spec.conditions != conditions.Conditions() else "",
    )


def _told_apart(paired: tuple[float, float, float]) -> bool:
    return paired[1] > 0 or paired[2] < 0


def _more_seeds(metric: str, limit: float, seeds: int) -> str:
    """That so few seeds cannot reach a limit surely, even if all were perfect, and how many can."""
    if metric not in BOUNDS:
        return ""
    least, most = BOUNDS[metric]
    share = (limit - least) / (most - least)
    if not 1 - unseen(seeds) < share < 1:
        return ""
    needed = math.ceil(math.log((1 - LEVEL) / 2) / math.log(share))
    return (
        f", or give more seeds: {seeds} leave it open that up to {100 * unseen(seeds):.0f} % of all fail, and {metric} of at least "
        f"{limit:g} can be sure from {needed} on"
    )


def standing(s: Summary, sweep: str) -> Recipe:
    """A point's recipe as it was measured, after so many epochs, under a name of its own: the sweep's, and what tells recipes apart."""
    recipe, epochs = Recipe.model_validate(s.recipe), s.measured.get("epochs")
    if epochs:
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": epochs})})
    mark = hashlib.sha256(json.dumps(recipe.model_dump(mode="json", exclude={"name"})).encode()).hexdigest()[:6]
    return recipe.model_copy(update={"name": f"{re.sub('^[^a-z]+', '', sweep.lower()) or 'picked'}-{mark}"})


def _unsure(chosen: Summary, metric: str) -> str:
    if metric in chosen.cases and chosen.rank != "mean":
        return f"nothing is sure of {conditions.ranking(chosen.rank)}"
    return "nothing is sure of a mean without bounds"


def told(picked: Picked, best: str) -> str:
    """A picked point's figures, as comments of its recipe file."""
    chosen, number = picked.chosen, words.number
    seeds, epochs = len(chosen.seeds), chosen.measured.get("epochs")
    after = "" if epochs is None else f", after {epochs} epoch{'s' * (epochs != 1)} of training"
    what = conditions.figure(chosen.rank).removeprefix("the ")
    lines = [
        f"# Measured with {seeds} seed{'s' * (seeds > 1)}{after} (board {chosen.board}): {what}; "
        f"least and greatest of these seeds; {100 * LEVEL:.0f} % interval of the median over all seeds; "
        "what the mean over all seeds surely is."
    ]
    if picked.conditions:
        lines.append(f"# {picked.conditions}.")
    for metric, values in chosen.values.items():
        mean, low, high = reach(chosen, metric)
        line = f"# {metric}: {number(mean)}"
        if metric in SAME and low < high:
            line += f" by the cost model; {number(low)} to {number(high)} by its worst errors on real builds"
        elif metric not in SAME:
            line += f"; {number(values.min())} to {number(values.max())}" * (seeds > 1)
            line += _median(values)
            line += f"; {number(low)} to {number(high)}" if math.isfinite(low) else f"; {_unsure(chosen, metric)}"
        lines.append(line + "  (smaller is better)" * (metric in SMALLER_IS_BETTER))
    if set(chosen.values) & set(BOUNDS):
        lines.append(f"# So few seeds leave it open that up to {100 * unseen(seeds):.0f} % of all fail, unseen.")
    if "samples_per_second" in chosen.values:
        found = rate.rates(picked.recipe, chosen.board, float(chosen.values["fmax"].mean()))
        lines.append(f"# Training samples per second {rate.told(found, chosen.board)}.")
    beyond = cost.outside(picked.recipe, chosen.board)
    if beyond and chosen.measured.get("cost") == "model" and set(chosen.values) & set(COST):
        lines.append(f"# The cost model was not calibrated for this, its errors may be larger: {beyond}")
    if picked.surely is not None:
        lines.append(
            f"# It is on the front of {', '.join(picked.objectives)} in {100 * picked.surely:.0f} % of draws of the seeds and of "
            "the cost model's errors."
        )
    if picked.rivals:
        lines.append(f"# In {best} {seeds} seeds cannot tell it from {len(picked.rivals)} other points within the limits.")
    if picked.cheapest:
        where = ", ".join(f"{field} = {json.dumps(v)}" for field, v in picked.cheapest.settings.items())
        smaller = "" if _surely_smaller(picked.cheapest, chosen) else " (by less than the cost model may be off)"
        lines.append(f"# The smallest of them{smaller}, {picked.cheapest.values['lut'].mean():.0f} LUTs: {where}")
    return "\n".join(lines)


def _median(values) -> str:
    """A median over seeds with its interval, in words."""
    median, low, high = (float(v) for v in middle(values))
    if not math.isfinite(low):
        return f"; no interval of fewer than {FEWEST} seeds"
    return f"; median {words.number(median)}, {words.number(low)} to {words.number(high)}"


def _surely_smaller(a: Summary, b: Summary) -> bool:
    """Return whether a's LUTs are fewer than b's by more than the worst errors of the model of both."""
    return reach(a, "lut")[2] < reach(b, "lut")[1]


def table(store: Store) -> tuple[list[str], list[list]]:
    """All rows, flat: column names, and one list per row."""
    rows = store.rows()
    axes = [a for a in dict.fromkeys(a for row in rows for a in row["point"]) if a != "board"]
    header = [*axes, "board", "seed", "status", *METRICS, "seconds", "error", "key", "recipe", "measured", "versions"]
    flat = []
    for row in rows:
        settings = [row["point"].get(a) for a in axes]
        flat.append(
            [
                *(v if isinstance(v, (int, float, str)) or v is None else json.dumps(v) for v in settings),
                row["board"],
                row["seed"],
                row["status"],
                *((row["value"] or {}).get(m) for m in METRICS),
                row["seconds"],
                row["error"],
                row["key"],
                json.dumps(row["recipe"]) if row["recipe"] else None,
                json.dumps(row["settings"]),
                json.dumps(row["versions"]),
            ]
        )
    return header, flat


def to_csv(store: Store, path: Path) -> None:
    """Write the table as CSV."""
    text = io.StringIO()
    header, rows = table(store)
    csv.writer(text).writerows([header, *rows])
    files.write(path, text.getvalue())


def to_parquet(store: Store, path: Path) -> None:
    """Write the table as Parquet.

    Raises
    ------
    ValueError
        If DuckDB, which writes it, is not installed.
    """
    try:
        import duckdb
    except ImportError:
        raise ValueError("parquet: needs DuckDB; install with `pip install 'crossdyad[parquet]'`, or export CSV") from None

    def fill(draft: Path) -> None:
        with tempfile.TemporaryDirectory(dir=draft.parent, prefix=".") as folder:
            to_csv(store, Path(folder) / "rows.csv")
            rows = duckdb.read_csv(f"{folder}/rows.csv", header=True)
            rows.write_parquet(str(draft))

    files.write(path, fill)
