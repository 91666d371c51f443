"""What the rows of a store say, and how surely: means over seeds with intervals, paired differences, fronts with their uncertainty."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from .spec import METRICS, SMALLER_IS_BETTER

RESAMPLES = 2000
"""Bootstrap resamples of the seeds."""
LEVEL = 0.95
"""Of every interval."""


class Summary(NamedTuple):
    """A point over its seeds.

    Attributes
    ----------
    settings : dict
    recipe : dict
    values : dict
        Metric to its values, one per seed in the order of `seeds`; metrics without a value are left out.
    seeds : list of int
    by_epoch : dict
        ``accuracy`` and ``cosine``: arrays (seeds, epochs), (seeds, epochs + 1), where measured.
    versions : dict
    """

    settings: dict
    recipe: dict
    values: dict[str, np.ndarray]
    seeds: list[int]
    by_epoch: dict[str, np.ndarray]
    versions: dict


def summaries(rows) -> list[Summary]:
    """The points of a store's rows that were evaluated, in the order of their settings."""
    found: dict[str, list] = {}
    for row in rows:
        if row["status"] == "ok":
            found.setdefault(json.dumps(row["recipe"], sort_keys=True), []).append(row)
    made = []
    for same in found.values():
        same.sort(key=lambda row: row["seed"])
        values = {m: np.array([row["value"][m] for row in same], dtype=float) for m in METRICS if same[0]["value"].get(m) is not None}
        curves = {m: np.array([row["value"][f"{m}_by_epoch"] for row in same]) for m in ("accuracy", "cosine")
                  if same[0]["value"].get(f"{m}_by_epoch")}
        made.append(Summary(same[0]["point"], same[0]["recipe"], values, [row["seed"] for row in same], curves, same[0]["versions"]))
    return made


def resampled(n: int) -> np.ndarray:
    """Bootstrap: which of n seeds are drawn, (RESAMPLES, n); the same for all points, so that differences are paired."""
    return np.random.default_rng(0).integers(0, n, (RESAMPLES, n))


def interval(values) -> tuple[float, float, float]:
    """Mean over seeds and its bootstrap interval (BCa), at `LEVEL`.

    Three seeds or fewer have no interval worth the name: it is infinitely wide. Equal values have one of width zero, which says that
    these seeds agree, not that all would.
    """
    values = np.asarray(values, dtype=float)
    mean = float(values.mean())
    if len(values) < 4:
        return mean, -np.inf, np.inf
    if np.ptp(values) == 0:
        return mean, mean, mean
    from scipy.stats import bootstrap

    low, high = bootstrap((values,), np.mean, confidence_level=LEVEL, n_resamples=RESAMPLES, method="BCa",
                          rng=np.random.default_rng(0)).confidence_interval
    return mean, float(low), float(high)


def signed(metric: str, values):
    """Values of a metric so that larger is better."""
    return -np.asarray(values, dtype=float) if metric in SMALLER_IS_BETTER else np.asarray(values, dtype=float)


def non_dominated(scores) -> np.ndarray:
    """Which rows of (points, objectives), all to be made large, no other row is at least as good as in all and better than in one."""
    scores = np.asarray(scores, dtype=float)
    better = (scores[None] >= scores[:, None]).all(-1) & (scores[None] > scores[:, None]).any(-1)
    return ~better.any(1)


class Front(NamedTuple):
    """The points that no other beats in all objectives.

    Attributes
    ----------
    points : list of Summary
        Those that have all objectives, and the seeds that most have.
    scores : array (points, objectives)
        Means.
    on : bool array (points)
        On the front of the means.
    surely : array (points)
        Share of the bootstrap resamples of the seeds, the same for all points, in which the point is on the front.
    """

    points: list[Summary]
    scores: np.ndarray
    on: np.ndarray
    surely: np.ndarray


def front(found: list[Summary], objectives) -> Front:
    """The front of these metrics and how sure each point's place on it is."""
    usable = [s for s in found if all(m in s.values for m in objectives)]
    if not usable:
        return Front([], np.zeros((0, len(objectives))), np.zeros(0, bool), np.zeros(0))
    most = max({tuple(s.seeds) for s in usable}, key=lambda seeds: (sum(tuple(s.seeds) == seeds for s in usable), len(seeds)))
    usable = [s for s in usable if tuple(s.seeds) == most]
    values = np.stack([[signed(m, s.values[m]) for m in objectives] for s in usable])           # points, objectives, seeds
    drawn, count = resampled(len(most)), np.zeros(len(usable))
    for pick in np.array_split(drawn, max(1, len(drawn) // 100)):
        means = np.einsum("pos,rs->rpo", values, _counts(pick, len(most)))
        count += sum(non_dominated(m) for m in means)
    scores = values.mean(-1)
    unsigned = scores * np.array([-1.0 if m in SMALLER_IS_BETTER else 1.0 for m in objectives])
    return Front(usable, unsigned, non_dominated(scores), count / len(drawn))


def _counts(drawn, n: int) -> np.ndarray:
    """How often each seed is drawn, as weights that add up to one."""
    return np.stack([np.bincount(row, minlength=n) for row in drawn]) / n


def knee(scores, objectives) -> int:
    """Of a front's points the one furthest from the line between the best in each objective; of one objective the best."""
    scores = np.stack([signed(m, v) for m, v in zip(objectives, np.asarray(scores).T, strict=True)], axis=1)
    spread = np.ptp(scores, axis=0)
    scaled = (scores - scores.min(0)) / np.where(spread > 0, spread, 1)
    return int(np.argmax(scaled.sum(1)))


def difference(a: Summary, b: Summary, metric: str) -> tuple[float, float, float]:
    """Mean of ``a - b`` over the seeds that both have, pair by pair, with its interval.

    Raises
    ------
    ValueError
        If they have no seed in common.
    """
    seeds = sorted(set(a.seeds) & set(b.seeds))
    if not seeds:
        raise ValueError(f"{metric}: the two points have no seed in common; give both the same seeds")
    pairs = [a.values[metric][a.seeds.index(s)] - b.values[metric][b.seeds.index(s)] for s in seeds]
    return interval(pairs)


def smallest_difference(found: list[Summary], metric: str) -> float | None:
    """The least difference of two points' means that so many seeds can tell from nothing: a paired t-test finds it in four cases of five.

    From the median spread of paired differences between neighbours in the better half of the ranking, where one would look; None
    with fewer than four seeds.
    """
    from scipy.stats import t

    ranked = sorted((s for s in found if metric in s.values), key=lambda s: float(signed(metric, s.values[metric].mean())))
    ranked = ranked[len(ranked) // 2 - 1:] if len(ranked) > 2 else ranked
    pairs = [a.values[metric] - b.values[metric] for a, b in zip(ranked, ranked[1:], strict=False) if a.seeds == b.seeds]
    if not pairs or len(pairs[0]) < 4:
        return None
    n, spread = len(pairs[0]), float(np.median([np.std(p, ddof=1) for p in pairs]))
    return float((t.ppf(1 - (1 - LEVEL) / 2, n - 1) + t.ppf(0.8, n - 1)) * spread / np.sqrt(n))
