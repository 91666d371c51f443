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

RESOURCES = {"lut": "LUT", "ff": "FF", "multipliers": "multiplier", "memory": "memory block"}
"""Metric to the resource's name in a build's report."""


SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
"""Words and bits that a memory block can have."""
BLOCK_WORTH = 72
"""LUTs that synthesis takes a memory block to be worth; a memory that takes no more than that is made of LUTs."""


def memories(recipe: Recipe) -> list[tuple[int, int]]:
    """Words and bits of every memory whose size depends on the recipe (contract sections 3 and 7)."""
    f, found = recipe.formats, []
    for g in geometries(recipe):
        banks = 2 if g.layer == 0 else 1
        found += [(g.N, g.L * f.weight.width), (banks * g.F, g.L * f.state.width), (g.R, f.delta.width)]
        found += [] if g.is_last else [(g.R, f.accumulator.width)]
    return found


def _blocks(words: int, bits: int) -> int:
    """Memory blocks of a memory; 0 if it is made of LUTs."""
    blocks = min(-(-words // w) * -(-bits // b) for w, b in SHAPES)
    return blocks if _in_luts(words, bits) > BLOCK_WORTH * blocks else 0


def blocks(recipe: Recipe) -> int:
    """Memory blocks of a chip."""
    return sum(_blocks(*m) for m in memories(recipe))


def _in_luts(words: int, bits: int) -> int:
    return 4 * -(-words // 16) * -(-bits // 4)


def multipliers(recipe: Recipe) -> int:
    """Multiplier blocks: one per lane, one that squares errors, and those of the read noise; of 18 by 18 bits."""
    f, gain = recipe.formats, max(recipe.noise_gain("state"), recipe.noise_gain("delta")) if recipe.devices.read_noise else 0
    lanes = sum(g.L * -(-max(f.weight.width, g.operand_width) // 18) for g in geometries(recipe))
    return lanes + 1 + recipe.layers * -(-(gain.bit_length() + 1) // 18) * bool(gain)


def features(recipe: Recipe) -> dict[str, float]:
    """Sizes that a chip's LUTs and flip-flops grow with, by what makes them grow."""
    f, layers = recipe.formats, geometries(recipe)
    lanes = sum(g.L for g in layers)
    learns, random = recipe.rule != "inference", recipe.rounding.weight == "stochastic" or recipe.rule == "spsa"
    rounded = sum(getattr(recipe.rounding, p) == "stochastic" for p in ("accumulator", "state", "delta"))
    return {
        "one": 1.0, "layers": float(len(layers)), "sums": float(sum(g.L * g.sum_width for g in layers)),
        "widths": float(len(layers) * (f.state.width + f.accumulator.width + f.delta.width)),
        "weight lanes": float(lanes * f.weight.width), "state lanes": float(lanes * f.state.width),
        "learning lanes": float(learns * lanes * f.weight.width),
        "product lanes": float(learns * sum(g.L * (g.operand_width + f.state.width) for g in layers)),
        "learning layers": float(learns * len(layers)),
        "generators": float(random * learns * sum(g.G for g in layers)), "random lanes": float(random * learns * lanes),
        "noise": float(bool(recipe.devices.read_noise) * len(layers)), "rounding": float((rounded > 0) * len(layers)),
        "memory in LUTs": float(sum(_in_luts(*m) for m in memories(recipe) if not _blocks(*m))),
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


@functools.cache
def coefficients() -> dict:
    """The fitted model: for LUTs and flip-flops the weights of `features`, for the period in ns of `paths`; and the errors on builds
    that a fit did not see."""
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
    found = {name: float(round(_sum(model[name], x))) for name in ("lut", "ff")}
    found |= {"multipliers": float(multipliers(recipe)), "memory": float(blocks(recipe))}
    return found | {"fmax": round(1e3 / _sum(model["period"], paths(recipe)), 1), "energy": energy.of(recipe).nanojoules}


def _sum(weights: dict, x: dict) -> float:
    return sum(w * x[name] for name, w in weights.items())


def build(recipe: Recipe, board: str) -> dict[str, float]:
    """The same of a real build: synthesised, placed and routed with the default seeds (minutes)."""
    from ..hdl import synth

    with tempfile.TemporaryDirectory() as folder:
        report = synth.synthesize(recipe, board, Path(folder))
    used = {name: float(report["utilisation"][resource]["used"]) for name, resource in RESOURCES.items()}
    return used | {"fmax": report["fmax"]["median"], "energy": energy.of(recipe).nanojoules}
