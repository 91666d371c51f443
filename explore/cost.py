"""What a chip takes of a board: a model calibrated on real builds (`benchmarks/cost.py`), or the build itself."""

from __future__ import annotations

import functools
import json
import math
import tempfile
from importlib import resources
from pathlib import Path

from ..recipe import Recipe, geometries
from . import energy

VERSION = 1
"""Raised when estimates of the same recipe change."""

PREDICTED = {"lut": "LUT", "ff": "FF", "multipliers": "multiplier", "memory": "memory block"}
"""Metric to the resource's name in a build's report."""


def features(recipe: Recipe) -> dict[str, float]:
    """Sizes that a chip's resources grow with, by what makes them grow."""
    f, layers = recipe.formats, geometries(recipe)
    lanes = sum(g.L for g in layers)
    learns, random = recipe.rule != "inference", recipe.rounding.weight == "stochastic" or recipe.rule == "spsa"
    groups = sum(g.G for g in layers)
    return {
        "one": 1.0, "layers": float(len(layers)), "lanes": float(lanes), "sums": float(sum(g.L * g.sum_width for g in layers)),
        "widths": float(len(layers) * (f.state.width + f.accumulator.width + f.delta.width)),
        "weight lanes": float(lanes * f.weight.width), "state lanes": float(lanes * f.state.width),
        "learning lanes": float(learns * lanes * f.weight.width), "product lanes": float(learns * sum(
            g.L * (g.operand_width + f.state.width) for g in layers)),
        "generators": float(random * learns * groups), "random lanes": float(random * learns * lanes),
        "noise": float(bool(recipe.devices.read_noise) * len(layers)), "rounding": float(sum(
            getattr(recipe.rounding, p) == "stochastic" for p in ("accumulator", "state", "delta")) * len(layers)),
        "words": float(sum(g.N * g.L for g in layers if not _in_blocks(g)) * f.weight.width / 64),
        "vectors": float(sum((g.C * f.state.width + g.R * (f.delta.width + f.accumulator.width)) for g in layers) / 64),
        "addresses": float(sum(math.log2(max(2, g.N)) for g in layers)), "spsa": float(recipe.rule == "spsa"),
    }


def paths(recipe: Recipe) -> dict[str, float]:
    """What makes a chip's longest path longer."""
    layers = geometries(recipe)
    widest = max(layers, key=lambda g: g.sum_width)
    return {
        "one": 1.0, "carry": float(widest.sum_width), "product": float(max(g.operand_width for g in layers) + recipe.formats.state.width),
        "lanes": math.log2(sum(g.L for g in layers) + 1), "noise": float(bool(recipe.devices.read_noise)),
        "spsa": float(recipe.rule == "spsa"), "memory": math.log2(max(g.N for g in layers) + 1),
        "random": float("stochastic" in (recipe.rounding.accumulator, recipe.rounding.state, recipe.rounding.delta)),
    }


def _in_blocks(g) -> bool:
    return g.N * g.L * g.recipe.formats.weight.width > 16 * 1024


@functools.cache
def coefficients() -> dict:
    """The fitted model: per metric the weights of `features`, for the period in ns of `paths`, and the errors on builds that the fit did
    not see."""
    return json.loads((resources.files(__package__) / "cost.json").read_text())


def estimate(recipe: Recipe, board: str) -> dict[str, float]:
    """Resources, highest clock frequency and energy of a step, by the model.

    Returns
    -------
    dict
        ``lut``, ``ff``, ``multipliers``, ``memory``, ``fmax`` (MHz), ``energy`` (nJ per training step, or per inference of a chip
        that does not learn).
    """
    model, x = coefficients()["model"], features(recipe)
    found = {name: float(round(_sum(model[name], x))) for name in PREDICTED}
    return found | {"fmax": round(1e3 / _sum(model["period"], paths(recipe)), 1), "energy": energy.of(recipe)}


def _sum(weights: dict, x: dict) -> float:
    return sum(w * x[name] for name, w in weights.items())


def build(recipe: Recipe, board: str) -> dict[str, float]:
    """The same of a real build: synthesised, placed and routed with the default seeds (minutes)."""
    from ..hdl import synth

    with tempfile.TemporaryDirectory() as folder:
        report = synth.synthesize(recipe, board, Path(folder))
    used = {name: float(report["utilisation"][resource]["used"]) for name, resource in PREDICTED.items()}
    return used | {"fmax": report["fmax"]["median"], "energy": energy.of(recipe)}
