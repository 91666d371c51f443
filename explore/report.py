"""One self-contained page of what a store holds."""

from __future__ import annotations

import itertools
import json
import os
import tomllib
from importlib import resources
from pathlib import Path

import numpy as np

from .. import data, emulator
from ..emulator.training import order
from ..recipe import Recipe
from ..sim import budget as budgets
from . import cost, energy, figures
from .spec import METRICS, Spec
from .statistics import LEVEL, Summary, difference, front, interval, knee, smallest_difference, summaries
from .store import Store, StoreError

OBJECTIVES = ("accuracy", "lut")
"""Of a sweep; a search has its own."""
MOST = 4
"""Figures of a kind, and points in a figure of curves, at most."""


def page(store: Store, objectives=None, folder=None, progress=None) -> str:
    """The report as HTML, with everything that it shows inside.

    Parameters
    ----------
    store : Store
    objectives : sequence of str, optional
        Two or more metrics; those of the search, or `OBJECTIVES`.
    folder : path, optional
        Of data sets that do not ship with the package.
    progress : callable, optional
        Called as ``progress(step, done, of)``.

    Raises
    ------
    ValueError
        For an unknown metric, or a store without results.
    """
    import jinja2

    report = progress or (lambda step, done, of: None)
    name, text, _ = store.spec()
    spec, rows = Spec.model_validate(tomllib.loads(text)), store.rows()
    objectives = tuple(objectives or (spec.search.objectives if spec.search and len(spec.search.objectives) > 1 else OBJECTIVES))
    for m in objectives:
        if m not in METRICS:
            raise ValueError(f"objective {m!r}: no such metric; allowed are {', '.join(METRICS)}")
    if len(objectives) < 2:
        raise ValueError(f"objectives: {objectives[0]!r} alone makes no front; give two")
    report("statistics", 0, 4)
    found = summaries(rows)
    made = front(found, objectives)
    if not made.points:
        raise StoreError(f"{store.path}: no point has all of {', '.join(objectives)}; run the sweep, or choose other objectives")
    axes = [a for a in spec.axes if len({json.dumps(s.settings[a]) for s in found}) > 1] or list(spec.axes)
    at = np.flatnonzero(made.on)
    at = at[np.argsort(made.scores[at, 0])]
    marked = int(at[knee(made.scores[at], objectives)])
    report("figures", 1, 4)
    best = int(at[-1] if objectives[0] == "accuracy" else at[0])
    names = {int(i): _name(n) for n, i in enumerate(at)}
    chosen = [(names[int(i)], made.points[i]) for i in dict.fromkeys((marked, best, *at[:: max(1, len(at) // MOST)]))][:MOST]
    drawn = [figures.curves(chosen, m) for m in ("accuracy", "cosine") if all(m in s.by_epoch for _, s in chosen)]
    report("error budgets", 2, 4)
    waterfalls = [{"name": f"{title}: {_title(s, axes)}", "figure": figures.budget(_budget(s, spec, folder))} for title, s in chosen[:2]
                  if s.recipe["rule"] == "dual-propagation"]
    report("page", 3, 4)
    smallest = smallest_difference([made.points[i] for i in at], objectives[0])
    seeds = spec.seed_list
    invalid = [{"point": _words(r["point"]), "seed": "all", "why": r["error"]} for r in rows if r["status"] == "invalid"]
    failed = [{"point": _words(r["point"]), "seed": r["seed"], "why": r["error"].strip().splitlines()[-1]}
              for r in rows if r["status"] == "failed"]
    versions = {json.dumps(r["versions"], sort_keys=True) for r in rows if r["status"] == "ok"}
    errors = cost.coefficients()["held_out_errors"]
    template = jinja2.Environment(autoescape=True).from_string((resources.files(__package__) / "templates" / "report.html").read_text())
    html = template.render(
        name=name, base=spec.recipe, spec=text, store=store.path.name, command="search" if spec.search else "sweep", epochs=spec.epochs,
        counts={"points": len(found), "seeds": len(seeds), "ok": sum(r["status"] == "ok" for r in rows), "failed": len(failed),
                "invalid": len(invalid)},
        objectives=objectives, level=round(100 * LEVEL), axes=axes, pareto=_safe(figures.pareto(made, objectives, names, marked)),
        front=[_row(made, at, n, axes, objectives) | {"name": names[int(i)], "knee": i == marked} for n, i in enumerate(at)],
        smallest={"metric": objectives[0], "value": f"{smallest:.2g}"} if smallest else None,
        untold=_untold(len(seeds)), heats=[_safe(figures.heat(found, *h)) for h in _heats(found, spec)],
        curves=[_safe(c) for c in drawn], budgets=[b | {"figure": _safe(b["figure"])} for b in waterfalls], failures=invalid + failed,
        metrics=[m for m in METRICS if any(m in s.values for s in found)],
        everything=[{"settings": {a: _value(s.settings[a]) for a in axes},
                     "cells": [_number(s.values[m].mean()) if m in s.values else "" for m in METRICS if any(m in t.values for t in found)]}
                    for s in found],
        cost=("synthesised, placed and routed" if spec.cost == "synth" else
              f"a model calibrated on builds; on builds it did not see it was off by {100 * errors['lut']['median']:.0f} % in LUTs and "
              f"{100 * errors['period']['median']:.0f} % in Fmax (medians)"),
        energy=energy.MODEL, versions=", ".join(f"{k} {v}" for k, v in found[0].versions.items()),
        mixed="; ".join(versions) if len(versions) > 1 else "",
    )
    report("done", 4, 4)
    return html


def write(html: str, path: Path) -> None:
    """Beside, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(html)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _safe(svg: str):
    import markupsafe

    return markupsafe.Markup(svg)


def _untold(seeds: int) -> str:
    if seeds >= 4:
        return ""
    return f"{seeds} seeds per point: too few for intervals. No difference below is established; use five or more."


def _value(v) -> str:
    return f"{v:g}" if isinstance(v, (int, float)) else v if isinstance(v, str) else json.dumps(v)


def _words(settings: dict) -> str:
    return ", ".join(f"{k} = {_value(v)}" for k, v in settings.items())


def _title(s: Summary, axes) -> str:
    return _words({a: s.settings[a] for a in axes})


def _name(n: int) -> str:
    """A, B, ... Z, AA, AB, ..."""
    return (_name(n // 26 - 1) if n >= 26 else "") + chr(ord("A") + n % 26)


def _number(v: float) -> str:
    return f"{v:,.0f}" if abs(v) >= 1000 else f"{v:.4g}"


def _row(made, at, n: int, axes, objectives) -> dict:
    s, values = made.points[at[n]], []
    for m in objectives:
        mean, low, high = interval(s.values[m])
        values.append(_number(mean) + (f" ({_number(low)} to {_number(high)})" if np.isfinite([low, high]).all() and low < high else ""))
    step = ""
    if n:
        mean, low, high = difference(s, made.points[at[n - 1]], objectives[0])
        step = f"{mean:+.3g}" + (f" ({low:+.2g} to {high:+.2g})" if np.isfinite([low, high]).all() else "")
        step += ", not told apart" if not (low > 0 or high < 0) and (low, high) != (mean, mean) else ""
    return {"settings": {a: _value(s.settings[a]) for a in axes}, "cells": values, "surely": f"{100 * made.surely[at[n]]:.0f} %",
            "step": step, "title": _title(s, axes), "toml": Recipe.model_validate(s.recipe).to_toml()}


def _heats(found: list[Summary], spec: Spec) -> list[tuple[str, str, str]]:
    """Which metric over which two axes: cosine over bits and beta, accuracy over bits and noise, then what else there is."""
    numeric = [a for a in spec.axes if len({json.dumps(s.settings[a]) for s in found}) > 1
               and all(isinstance(s.settings[a], (int, float)) for s in found)]
    bits = [a for a in numeric if a.startswith(("bits.", "formats."))]
    liked = [("cosine", a, "beta") for a in bits if "beta" in numeric]
    liked += [("accuracy", a, "devices.read_noise") for a in bits if "devices.read_noise" in numeric]
    liked += [("accuracy", a, b) for a, b in itertools.combinations(numeric, 2)]
    have = [h for h in dict.fromkeys(liked) if any(h[0] in s.values for s in found)]
    return sorted(have, key=lambda h: (liked.index(h) >= 4, liked.index(h)))[:MOST]


def _budget(s: Summary, spec: Spec, folder) -> list[dict]:
    recipe = Recipe.model_validate(s.recipe)
    dataset = data.load(data.name_for(recipe.sizes[0]), folder)
    many = emulator.Many([recipe], s.seeds[:1])
    for epoch in range(spec.epochs):
        many.rate = [max(0, recipe.rate - epoch // recipe.training.halve_every)]
        at = order(recipe, epoch, len(dataset.x_train))
        many.train(dataset.x_train[at], dataset.y_train[at])
    x, y = dataset.x_test[: max(8, spec.samples)], dataset.y_test[: max(8, spec.samples)]
    return budgets.budget(recipe, [w[0] for w in many.weights], x, y)
