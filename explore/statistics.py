"""Statistics of a store's rows: means over seeds with intervals, paired differences, fronts with their uncertainty."""

from __future__ import annotations

import collections
import functools
import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from . import cost
from .conditions import Conditions, ranked
from .metrics import BOUNDS, COST, GRADIENT, METRICS, SMALLER_IS_BETTER

RESAMPLES = 2000
"""Bootstrap resamples of the seeds."""
LEVEL = 0.95
"""Confidence level of every interval."""
FEWEST = 5
"""Seeds that make an interval of the middle: of four, least and greatest enclose it in 87.5 % of cases only."""
POWER = 0.8
"""Chance that the smallest difference that can be told is told."""
SAME = frozenset({*COST, "cycles"})
"""Metrics that are the same with every seed."""


class Summary(NamedTuple):
    """A point over its seeds.

    Attributes
    ----------
    settings : dict
    recipe : dict
    values : dict
        Metric to its values, one per seed in the order of `seeds`; metrics without a value are left out. Under conditions a seed's
        value is that of all that its chips met, ranked.
    seeds : list of int
    by_epoch : dict
        ``accuracy``, array (seeds, epochs), and the metrics of the gradient, (seeds, epochs + 1), where measured.
    versions : dict
    board : str
    measured : dict
        How: epochs, samples, cost and energy, as in `sweep.measured`.
    cases : dict
        Metric to an array (seeds, cases) of all that its chips met; only under conditions.
    rank : str or float
        How cases are ranked (`conditions.Conditions`).
    """

    settings: dict
    recipe: dict
    values: dict[str, np.ndarray]
    seeds: list[int]
    by_epoch: dict[str, np.ndarray]
    versions: dict
    board: str = ""
    measured: dict = {}
    cases: dict[str, np.ndarray] = {}
    rank: str | float = "mean"

    def figure(self, metric: str) -> float:
        """Return what the point is ranked by: of all cases of all seeds the mean, the worst or a quantile."""
        if metric not in self.cases or self.rank == "mean":
            return float(self.values[metric].mean())
        return float(ranked(self.cases[metric].ravel(), self.rank, metric not in SMALLER_IS_BETTER))


def summaries(rows: Iterable[dict], conditions: Conditions = Conditions()) -> list[Summary]:  # noqa: B008
    """The points of a store's rows that were evaluated, in the order of their settings.

    Under conditions a point is a design, the rows of one seed are its cases, and seeds that lack some case are left out.
    """
    found: dict[str, dict[int, list]] = {}
    for row in rows:
        if row["status"] == "ok":
            found.setdefault(json.dumps([row["recipe"], row["board"]], sort_keys=True), {}).setdefault(row["seed"], []).append(row)
    made, own, needed = [], set(conditions.values()), len(conditions.cases())
    for by_seed in found.values():
        seeds = sorted(seed for seed, same in by_seed.items() if len(same) == needed)
        if not seeds:
            continue
        table = [by_seed[seed] for seed in seeds]  # seeds, cases
        values = {m: np.array([[row["value"].get(m) for row in same] for same in table], dtype=float) for m in METRICS}
        values = {m: v for m, v in values.items() if np.isfinite(v).all()}
        met = {m: v for m, v in values.items() if m not in SAME}
        chips = None
        if "accuracy" in met:  # seeds, chips, what each meets
            chips = np.concatenate(
                [
                    np.array([row["value"].get("accuracy_cases") or [[row["value"]["accuracy"]]] for row in same])
                    for same in np.swapaxes(np.array(table, dtype=object), 0, 1)
                ],
                axis=-1,
            )
            met["accuracy"] = chips.reshape(len(seeds), -1)
        values = {m: v[:, 0] for m, v in values.items()}
        values |= {m: ranked(v, conditions.rank, m not in SMALLER_IS_BETTER) for m, v in met.items()}
        if chips is not None and conditions.yield_at is not None:
            values["yield"] = (ranked(chips, conditions.rank) >= conditions.yield_at).mean(-1)
        curves = {
            m: np.array([[row["value"][f"{m}_by_epoch"] for row in same] for same in table], dtype=float).mean(1)
            for m in ("accuracy", *GRADIENT)
            if table[0][0]["value"].get(f"{m}_by_epoch")
        }
        first = table[0][0]
        settings = {field: v for field, v in first["point"].items() if field not in own}
        made.append(
            Summary(
                settings,
                first["recipe"],
                values,
                seeds,
                curves,
                first["versions"],
                first["board"],
                first.get("settings") or {},
                met if chips is not None and chips[0].size > 1 else {},
                conditions.rank,
            )
        )
    return made


@functools.cache
def shares(n: int) -> np.ndarray:
    """Bootstrap: the share that each of n seeds has of every resample, (RESAMPLES, n); the same for all points, so that differences are
    paired."""
    drawn = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    return np.stack([np.bincount(row, minlength=n) for row in drawn]) / n


@functools.cache
def widening(n: int) -> float:
    """Factor by which a bootstrap over n seeds is too narrow: Student's quantile against the normal one, and n against n - 1.

    Without it, draws of five normal seeds scatter by 11 % less than means of five do.
    """
    from scipy.stats import norm, t

    return float(np.sqrt(n / (n - 1)) * t.ppf((1 + LEVEL) / 2, n - 1) / norm.ppf((1 + LEVEL) / 2))


@functools.cache
def portions(n: int) -> np.ndarray:
    """Shares that n seeds and one more, never seen, may have of all seeds: uniform over all that add up to one, (RESAMPLES, n + 1)."""
    drawn = np.random.default_rng(0).exponential(size=(RESAMPLES, n + 1))
    return drawn / drawn.sum(1, keepdims=True)


def bounds(metric: str, values: ArrayLike) -> np.ndarray:
    """Means over seeds and the limits that hold for the mean over all seeds, in at least `LEVEL` of cases, (..., seeds) to (3, ...).

    Of a metric with bounds: Gaffke's, which suppose nothing about how seeds scatter (`bounded`). Of others a rare seed, that none of these
    was, can be as large as it likes: no limits hold, they are infinite. What is the same with every seed is sure.

    Parameters
    ----------
    metric : str
    values : array (..., seeds)
    """
    values = np.asarray(values, dtype=float)
    mean = values.mean(-1)
    if metric in SAME:
        return np.stack([mean] * 3)
    if metric in BOUNDS:
        return bounded(values, *BOUNDS[metric])
    return np.stack([mean, np.full_like(mean, -np.inf), np.full_like(mean, np.inf)])


@functools.cache
def ranks(n: int) -> tuple[int, int]:
    """Return ranks, from 0, of two of n values in order that enclose their distribution's middle, as nearly as can be in `LEVEL` of cases.

    The middle is below the value of rank i in as many cases as a fair coin falls heads at most i times in n, whatever is drawn from,
    if only equal values are rare (else the middle is enclosed more often). From five seeds on the pair encloses it in 92 to 98 % of
    cases.

    Raises
    ------
    ValueError
        Of fewer than `FEWEST` values.
    """
    from scipy.stats import binom

    if n < FEWEST:
        raise ValueError(f"seeds: {n}; an interval of the middle needs {FEWEST} or more")
    pairs = [(i, n - 1 - j) for i in range(n // 2) for j in (i, i + 1) if n - 1 - j > i]
    return min(pairs, key=lambda pair: abs(1 - binom.cdf(pair[0], n, 0.5) - binom.cdf(n - 1 - pair[1], n, 0.5) - LEVEL))


def middle(values: ArrayLike) -> np.ndarray:
    """Medians over seeds and their intervals at `LEVEL`, (..., seeds) to (3, ...): half of all seeds are above.

    Low and high are two of the values (`ranks`), so they are within any bounds, and enclose the middle as often for skewed seeds and
    for such as sometimes fail as for normal ones. A mean has no such interval: of five seeds that all learned nobody knows whether one in
    ten fails, and what covers then covers too much where none does. Fewer than `FEWEST` seeds have none: it is infinitely wide.
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=-1)
    median, n = np.median(ordered, axis=-1), ordered.shape[-1]
    if n < FEWEST:
        return np.stack([median, np.full_like(median, -np.inf), np.full_like(median, np.inf)])
    low, high = ranks(n)
    return np.stack([median, ordered[..., low], ordered[..., high]])


def bounded(values: ArrayLike, least: float, most: float) -> np.ndarray:
    """Means and their intervals, (..., seeds) to (3, ...), of values between two bounds, however they are distributed.

    Seeds have unknown shares of all seeds (`portions`), and what was never seen has a share as well, of values at the bound: so five
    chips that all learned leave it open that up to half of all fail. N. Gaffke, "Three test statistics for a nonparametric one-sided
    hypothesis on the mean of a nonnegative variable", Mathematical Methods of Statistics 14 (2005); that it always covers is a
    conjecture, examined by E. Learned-Miller and P. Thomas, "A new confidence interval for the mean of a bounded random variable" (2019).
    `tests/test_explore_statistics.py` measures it for normal, skewed and two-valued seeds.
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=-1)
    ends = [np.full((*ordered.shape[:-1], 1), end) for end in (least, most)]
    weights = portions(ordered.shape[-1]).T
    low = np.quantile(np.concatenate([ends[0], ordered], axis=-1) @ weights, (1 - LEVEL) / 2, axis=-1)
    high = np.quantile(np.concatenate([ordered, ends[1]], axis=-1) @ weights, (1 + LEVEL) / 2, axis=-1)
    return np.stack([ordered.mean(-1), np.maximum(low, least), np.minimum(high, most)])  # sums of shares round


def unseen(n: int) -> float:
    """The share of all seeds that may fail, though none of n did, at `LEVEL`."""
    return 1 - ((1 - LEVEL) / 2) ** (1 / n)


def ratios(s: Summary, metric: str) -> np.ndarray:
    """Return what builds have for one unit of a point's figure, if that is the cost model's: of each held-out build; otherwise all 1."""
    if metric == "fill" and {"lut", "ff", "fill"} <= s.values.keys():  # as sure as what runs out first
        from ..hdl.boards import BOARDS

        holds, share = BOARDS[s.board].holds, s.values["fill"].mean()
        metric = next((m for m in ("lut", "ff") if np.isclose(s.values[m].mean() / holds[cost.RESOURCES[m]], share)), metric)
    found = np.array(cost.ratios(metric))
    return found if s.measured.get("cost") == "model" else np.ones_like(found)


def reach(s: Summary, metric: str) -> tuple[float, float, float]:
    """A point's figure with all that is known to be unsure of it: mean, low and high over the seeds (`bounds`); of the cost model, the
    figure and the least and the most that a build may have, by the worst errors on builds that no fit has seen."""
    mean, low, high = (float(v) for v in bounds(metric, s.values[metric]))
    if metric in s.cases and s.rank != "mean":
        mean, low, high = s.figure(metric), -np.inf, np.inf
    off = ratios(s, metric)
    return mean, low * min(1, off.min()), high * max(1, off.max())


def span(s: Summary, metric: str) -> tuple[float, float, float]:
    """A point's mean, its least and its greatest seed; of the cost model, the least and the most that a build may have."""
    values, off = s.values[metric], ratios(s, metric)
    return s.figure(metric), float(values.min() * min(1, off.min())), float(values.max() * max(1, off.max()))


def signed(metric: str, values: ArrayLike) -> np.ndarray:
    """Values of a metric so that larger is better."""
    return -np.asarray(values, dtype=float) if metric in SMALLER_IS_BETTER else np.asarray(values, dtype=float)


def non_dominated(scores: ArrayLike) -> np.ndarray:
    """Find rows of (points, objectives), all to be made large, that no other row equals or beats in all and beats in one."""
    scores = np.asarray(scores, dtype=float)
    if scores.shape[1] != 2 or not len(scores):
        better = (scores[None] >= scores[:, None]).all(-1) & (scores[None] > scores[:, None]).any(-1)
        return ~better.any(1)
    order = np.lexsort((-scores[:, 1], -scores[:, 0]))  # whatever dominates a point comes before it
    x, y = scores[order].T
    most = np.maximum.accumulate(np.concatenate([[-np.inf], y[:-1]]))
    first = np.maximum.accumulate(np.where(y > most, np.arange(len(y)), 0))  # who reached the most, with the largest x
    reached = x[np.concatenate([[0], first[:-1]])]
    found = np.empty(len(y), bool)
    found[order] = (y > most) | ((y == most) & (x == reached))
    return found


def comparable(found: list[Summary]) -> list[Summary]:
    """The points that have the seeds that most have: a mean over fewer is no match for one over all."""
    count = collections.Counter(tuple(s.seeds) for s in found)
    most = max(count, key=lambda seeds: (count[seeds], len(seeds)), default=())
    return [s for s in found if tuple(s.seeds) == most]


class Front(NamedTuple):
    """The points that no other beats in all objectives.

    Attributes
    ----------
    points : list of Summary
        Those that have all objectives, and the seeds that most have.
    scores : array (points, objectives)
        Figures that points are ranked by: means over the seeds, or of all that they met (`Summary.figure`).
    on : bool array (points)
        On the front of these.
    surely : array (points)
        Share of draws in which the point is on the front. Drawn are the seeds, the same for all points and as wide as differences are,
        and of each recipe whose cost is modelled a held-out build, by whose errors its figures are off: as if errors of two recipes had
        nothing in common.
    """

    points: list[Summary]
    scores: np.ndarray
    on: np.ndarray
    surely: np.ndarray


def front(found: list[Summary], objectives: Sequence[str]) -> Front:
    """The front of these metrics and how sure each point's place on it is."""
    usable = [s for s in found if all(m in s.values for m in objectives)]
    if not usable:
        return Front([], np.zeros((0, len(objectives))), np.zeros(0, bool), np.zeros(0))
    usable = comparable(usable)
    most = usable[0].seeds
    count = np.zeros(len(usable))
    off = np.stack([[ratios(s, m) for m in objectives] for s in usable])  # points, objectives, builds
    numbers: dict[str, int] = {}
    recipe = [numbers.setdefault(json.dumps(s.recipe, sort_keys=True), len(numbers)) for s in usable]  # off alike on every board
    drawn = np.random.default_rng(1).integers(0, off.shape[-1], (RESAMPLES, len(numbers)))[:, recipe]
    figures = np.stack([_redrawn(usable, m, len(most)) for m in objectives], axis=-1)  # draws, points, objectives
    for made, builds in zip(figures, drawn, strict=True):
        count += non_dominated(made * off[np.arange(len(usable)), :, builds])
    scores = np.array([[s.figure(m) for m in objectives] for s in usable])
    on = non_dominated(np.stack([signed(m, v) for m, v in zip(objectives, scores.T, strict=True)], axis=-1))
    return Front(usable, scores, on, count / RESAMPLES)


QUANTILES = 200
"""Resamples of the seeds whose quantiles are taken: each sorts all cases of all points."""


def _redrawn(points: list[Summary], metric: str, n: int) -> np.ndarray:
    """Figures of a metric, larger ones better, with the seeds drawn again: (RESAMPLES, points)."""
    rank, sign = points[0].rank, -1.0 if metric in SMALLER_IS_BETTER else 1.0
    if metric not in points[0].cases or rank == "mean":
        wider = widening(n) if n > 1 else 1.0
        return (1 / n + wider * (shares(n) - 1 / n)) @ np.stack([sign * s.values[metric] for s in points], axis=1)
    if rank == "worst":
        each = np.stack([sign * s.values[metric] for s in points])  # points, seeds
        return np.stack([each[:, part > 0].min(1) for part in shares(n)])
    cases = np.stack([sign * s.cases[metric] for s in points])  # points, seeds, cases
    at = np.random.default_rng(0).integers(0, n, (QUANTILES, n))
    found = np.stack([np.quantile(cases[:, seeds].reshape(len(points), -1), rank, axis=-1) for seeds in at])
    return np.tile(found, (RESAMPLES // QUANTILES, 1))


def knee(scores: ArrayLike, objectives: Sequence[str]) -> int:
    """Return the point of a front furthest from the line between the best in each objective; of one objective the best."""
    scores = np.stack([signed(m, v) for m, v in zip(objectives, np.asarray(scores).T, strict=True)], axis=1)
    spread = np.ptp(scores, axis=0)
    scaled = (scores - scores.min(0)) / np.where(spread > 0, spread, 1)
    return int(np.argmax(scaled.sum(1)))


def difference(a: Summary, b: Summary, metric: str) -> tuple[float, float, float]:
    """Median of ``a - b`` over the seeds that both have, pair by pair, with its interval (`middle`).

    It tells two points apart where one is better with most seeds. It says nothing of the seeds that fail: of a point that is mostly
    better, but fails with one seed in ten, it says "mostly better".

    Raises
    ------
    ValueError
        If they have no seed in common.
    """
    seeds = sorted(set(a.seeds) & set(b.seeds))
    if not seeds:
        raise ValueError(f"{metric}: the two points have no seed in common; give both the same seeds")
    pairs = [a.values[metric][a.seeds.index(s)] - b.values[metric][b.seeds.index(s)] for s in seeds]
    found, low, high = (float(v) for v in middle(pairs))
    return found, low, high


def smallest_difference(found: list[Summary], metric: str) -> float | None:
    """The least difference of two points that so many seeds can tell from nothing, by `difference`, in `POWER` of cases.

    From the median spread of paired differences between neighbours in the better half of the ranking, where one would look, as if they
    scattered like normal values; None with fewer than `FEWEST` seeds.
    """
    from scipy.stats import beta, norm

    ordered = sorted((s for s in found if metric in s.values), key=lambda s: float(signed(metric, s.figure(metric))))
    ordered = ordered[len(ordered) // 2 - 1 :] if len(ordered) > 2 else ordered
    pairs = [a.values[metric] - b.values[metric] for a, b in zip(ordered, ordered[1:], strict=False) if a.seeds == b.seeds]
    if not pairs or len(pairs[0]) < FEWEST:
        return None
    n, spread = len(pairs[0]), float(np.median([np.std(p, ddof=1) for p in pairs]))
    needed = n - ranks(n)[0]  # so many of the pairs must have one sign
    return float(norm.ppf(beta.ppf(POWER, needed, n + 1 - needed)) * spread)
