"""One self-contained page of what a store holds."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import data, emulator
from ..recipe import Recipe
from ..sim import budget as budgets
from . import conditions, cost, figures, files, words
from .choose import standing
from .metrics import COST, METRICS, SMALLER_IS_BETTER, known_metrics
from .rate import rates
from .spec import Spec, objectives_of
from .statistics import (
    FEWEST,
    LEVEL,
    SAME,
    Summary,
    comparable,
    difference,
    front,
    knee,
    middle,
    reach,
    smallest_difference,
    summaries,
    unseen,
)
from .store import Store, StoreError
from .sweep import results

MOST = 4
"""Figures of a kind, and points in a figure of curves, at most."""


class Written(NamedTuple):
    """A page: its file and size."""

    page: str
    bytes: int


def write(store: Store, path: Path, objectives: Sequence[str] | None = None, progress: Callable | None = None) -> Written:
    """Write the report of a store; its parameters and errors are those of `page`."""
    html = page(store, objectives, progress)
    files.write(path, html)
    return Written(str(path), len(html.encode()))


def page(store: Store, objectives: Sequence[str] | None = None, progress: Callable | None = None) -> str:
    """The report as HTML, with everything that it shows inside.

    Parameters
    ----------
    store : Store
    objectives : sequence of str, optional
        Two or more metrics; those of the search, or accuracy and LUTs.
    progress : callable, optional
        Called as ``progress(step, done, of)``.

    Raises
    ------
    ValueError
        For an unknown metric, or a store without results.
    """
    import jinja2

    report = progress or (lambda step, done, of: None)
    name, text, *_ = store.spec()
    spec, rows = results(store)
    objectives = tuple(objectives or objectives_of(spec))
    known_metrics(objectives)
    if len(objectives) < 2:
        raise ValueError(f"objectives: {', '.join(objectives) or 'none'} alone makes no front; give two metrics, --objectives accuracy,lut")
    report("statistics", 0, 4)
    every = summaries(rows, spec.conditions)
    found = comparable([s for s in every if all(m in s.values for m in objectives)])
    made = front(found, objectives)
    if not made.points:
        raise StoreError(f"{store.path}: no point has all of {', '.join(objectives)}; run the sweep, or choose other objectives")
    axes = [a for a in spec.axes if len({json.dumps(s.settings[a]) for s in found}) > 1] or list(spec.axes)
    measured = [m for m in METRICS if any(m in s.values for s in found)]
    at = np.flatnonzero(made.on)
    at = at[np.argsort(made.scores[at, 0])]
    marked = int(at[knee(made.scores[at], objectives)])
    report("figures", 1, 4)
    best = int(at[-1] if objectives[0] not in SMALLER_IS_BETTER else at[0])
    names = {int(i): _name(n) for n, i in enumerate(at)}
    chosen = [(names[int(i)], made.points[i]) for i in dict.fromkeys((marked, best, *at[:: max(1, len(at) // MOST)]))][:MOST]
    drawn = [figures.curves(chosen, m) for m in ("accuracy", "cosine") if all(m in s.by_epoch for _, s in chosen)]
    report("error budgets", 2, 4)
    waterfalls = [
        {"name": f"{title}: {_title(s, axes)}", "figure": _safe(figures.budget(_budget(s, spec)))}
        for title, s in dict(chosen[:2]).items()
        if "accuracy" in measured and _estimates(s.recipe)
    ]
    report("page", 3, 4)
    failed = [{"point": _words(r["point"]), "seed": "all", "why": r["error"]} for r in rows if r["status"] == "invalid"]
    failed += [
        {"point": _words(r["point"]), "seed": r["seed"], "why": r["error"].strip().splitlines()[-1]}
        for r in rows
        if r["status"] == "failed"
    ]
    versions = {json.dumps(r["versions"], sort_keys=True) for r in rows if r["status"] == "ok"}
    seeds = found[0].seeds
    smallest = smallest_difference([made.points[i] for i in at], objectives[0])
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        (resources.files(__package__) / "templates" / "report.html").read_text()
    )
    html = template.render(
        name=name,
        base=spec.recipe,
        spec=text,
        store=store.path.name,
        command="search" if spec.search else "sweep",
        epochs=spec.epochs,
        counts={
            "points": len(found),
            "seeds": len(seeds),
            "partial": len(every) - len(found),
            **{status: sum(r["status"] == status for r in rows) for status in ("ok", "failed", "invalid")},
        },
        objectives=[words.NAMES[m] for m in objectives],
        short=[words.short(m) for m in objectives],
        conditions=conditions.told(spec.conditions) if spec.conditions != conditions.Conditions() else "",
        figure=conditions.figure(spec.conditions.rank),
        unseen=round(100 * unseen(len(seeds))),
        level=round(100 * LEVEL),
        trained="accuracy" in measured,
        axes=[(a, words.field(a)) for a in axes],
        tried=[(words.field(a), ", ".join(words.value(v) for v in values)) for a, values in spec.values().items()],
        best=_sentence(made, best, names, axes, objectives),
        knee=_sentence(made, marked, names, axes, objectives),
        pareto=_safe(figures.pareto(made, objectives, names, marked)),
        others=_others(found, made, names, objectives, measured),
        front=[_row(made, at, n, axes, objectives, name) | {"name": names[int(i)], "knee": i == marked} for n, i in enumerate(at)],
        smallest=_amount(objectives[0], float(f"{smallest:.2g}")) if smallest else "",
        untold=_untold(len(seeds)),
        heats=[_safe(figures.heat(found, *h)) for h in _heats(found, spec)],
        curves=[_safe(c) for c in drawn],
        budgets=waterfalls,
        failures=failed,
        glossary=words.glossary(measured, axes),
        metrics=[words.NAMES[m] for m in measured],
        everything=_everything(found, axes, measured),
        rate=_rate(found) if "samples_per_second" in measured else "",
        cost=_cost(spec, rows) if set(measured) & set(COST) else "",
        energy="; ".join(sorted({r["value"]["energy_model"] for r in rows if r["status"] == "ok"})) if "energy" in measured else "",
        versions=", ".join(f"{k} {v}" for k, v in found[0].versions.items()),
        mixed="; ".join(sorted(versions)) if len(versions) > 1 else "",
    )
    report("done", 4, 4)
    return html


def _cost(spec: Spec, rows: list[dict]) -> str:
    if spec.cost == "synth":
        return "synthesised, placed and routed"
    errors = cost.coefficients()["held_out_errors"]
    told = (
        f"a model calibrated on builds; on builds it did not see it was off by {100 * errors['lut']['median']:.0f} % in LUTs and "
        f"{100 * errors['fmax']['median']:.0f} % in Fmax (medians)"
    )
    outside = {
        json.dumps(r["recipe"], sort_keys=True): r["value"]["outside"] for r in rows if r["status"] == "ok" and r["value"]["outside"]
    }
    if outside:
        told += f"; {len(outside)} of the recipes are outside of what it was calibrated on, as by {next(iter(outside.values()))}"
    return told


def _rate(found: list[Summary]) -> str:
    """Return what limits the samples per second of how many points."""
    count = Counter(rates(Recipe.model_validate(s.recipe), s.board, float(s.values["fmax"].mean())).limit for s in found)
    told = {"line": "by the serial line", "chip": "by the chip at the board's clock", "clock": "by an Fmax below the board's clock"}
    return ", ".join(f"{n} points are limited {told[limit]}" for limit, n in count.most_common())


def _safe(svg: str):
    import markupsafe

    return markupsafe.Markup(svg)


def _untold(seeds: int) -> str:
    if seeds >= FEWEST:
        return ""
    return f"{seeds} seeds per point: no interval of so few holds. No difference below is established; use {FEWEST} or more."


def _words(settings: dict) -> str:
    return ", ".join(f"{k} = {words.value(v)}" for k, v in settings.items())


def _title(s: Summary, axes) -> str:
    return _words({a: s.settings[a] for a in axes})


def _name(n: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    return (_name(n // 26 - 1) if n >= 26 else "") + chr(ord("A") + n % 26)


def _amount(metric: str, v: float) -> str:
    """Write an amount with its unit, in a sentence: 93.9 %, 6,533 LUTs, 4.2 (energy per step, nJ)."""
    shown = words.number(words.scaled(metric, v))
    if metric in words.PERCENT:
        return f"{shown} %"
    return f"{shown} LUTs" if metric == "lut" else f"{shown} ({words.NAMES[metric]})"


def _sentence(made, i: int, names, axes, objectives) -> dict:
    s = made.points[i]
    point = ", ".join(f"{words.field(a)} {words.value(s.settings[a])}" for a in axes)
    return {
        "name": names[i],
        "point": point,
        "value": _amount(objectives[0], s.figure(objectives[0])),
        "interval": _sure(s, objectives[0]),
        "other": " and ".join(_amount(m, s.figure(m)) for m in objectives[1:]),
    }


def _sure(s: Summary, metric: str) -> str:
    """Say how sure a figure is: the middle of all seeds, or what builds may have by the cost model; nothing if nothing is known."""
    if metric in SAME:
        return _span(metric, *reach(s, metric)[1:])
    median, *ends = middle(s.values[metric])
    told = _span(metric, *ends)
    return told and f"median {words.number(words.scaled(metric, median))}, {told}"


def _span(metric: str, low: float, high: float) -> str:
    """An interval in words; nothing if there is none, or all seeds agree."""
    if not np.isfinite(low) or low >= high:
        return ""
    return f"{words.number(words.scaled(metric, low))} to {words.number(words.scaled(metric, high))}"


def _cells(s: Summary, metrics) -> list[tuple[str, str]]:
    """Mean of each metric, and how sure it is."""
    return [(words.number(words.scaled(m, s.figure(m))), _sure(s, m)) if m in s.values else ("", "") for m in metrics]


def _everything(found: list[Summary], axes, measured) -> list[dict]:
    return [{"settings": [words.value(s.settings[a]) for a in axes], "cells": _cells(s, measured)} for s in found]


def _row(made, at, n: int, axes, objectives, name: str) -> dict:
    s, step, apart = made.points[at[n]], ("", ""), True
    if n:
        gain, low, high = difference(s, made.points[at[n - 1]], objectives[0])
        apart = low > 0 or high < 0 or (low, high) == (gain, gain)
        step = f"{words.scaled(objectives[0], gain):+.3g}", _span(objectives[0], low, high)
    return {
        "settings": [words.value(s.settings[a]) for a in axes],
        "cells": _cells(s, objectives),
        "surely": f"{100 * made.surely[at[n]]:.0f} %",
        "step": step,
        "apart": apart,
        "title": _title(s, axes),
        "toml": standing(s, name).to_toml(),
    }


def _others(found, made, names, objectives, measured) -> list:
    """Fronts of the first objective against what else there is to save, with the names of the first front."""
    drawn, named = [], {id(made.points[i]): name for i, name in names.items()}
    for m in ("lut", "energy", "chip_rate", "multipliers"):
        if m in measured and m not in objectives and len(drawn) < 2:
            other = front(found, (objectives[0], m))
            if other.points and np.ptp(other.scores[:, 1]) > 0:
                known = {i: named[id(p)] for i, p in enumerate(other.points) if id(p) in named and other.on[i]}
                drawn.append(_safe(figures.pareto(other, (objectives[0], m), known, None, 5.2)))
    return drawn


def _heats(found: list[Summary], spec: Spec) -> list[tuple[str, str, str]]:
    """Return which metric over which two axes: cosine over bits and beta, accuracy over bits and noise, then what else there is."""
    numeric = [
        a
        for a in spec.axes
        if len({json.dumps(s.settings[a]) for s in found}) > 1 and all(isinstance(s.settings[a], (int, float)) for s in found)
    ]
    bits = [a for a in numeric if a.startswith(("bits.", "formats."))]
    liked = [("cosine", a, "beta") for a in bits if "beta" in numeric]
    liked += [("accuracy", a, "devices.read_noise") for a in bits if "devices.read_noise" in numeric]
    liked += [("accuracy", a, b) for a, b in itertools.combinations(numeric, 2)]
    have = [h for h in dict.fromkeys(liked) if any(h[0] in s.values for s in found)]
    return sorted(have, key=lambda h: (liked.index(h) >= 4, liked.index(h)))[:MOST]


def _estimates(table: dict) -> bool:
    """Return whether a recipe's rule estimates a gradient for every sample, whose errors a budget splits."""
    recipe = Recipe.model_validate(table)
    return recipe.learns and not recipe.signed


def _budget(s: Summary, spec: Spec) -> list[dict]:
    recipe = Recipe.model_validate(s.recipe | {"seed": s.seeds[0]})
    dataset = data.of(recipe)
    weights = emulator.train(recipe, *dataset, epochs=spec.epochs).weights if spec.epochs else emulator.initial_weights(recipe)
    x, y = dataset.x_test[: max(8, spec.samples)], dataset.y_test[: max(8, spec.samples)]
    return budgets.budget(recipe, weights, x, y)
