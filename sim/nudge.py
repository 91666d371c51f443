"""Scenarios of `Nudge` (contract section 5)."""

from __future__ import annotations

import numpy as np

from ..emulator import nudge as emulated
from ..recipe import Recipe
from .fixed import integers, seeded
from .scenario import Scenario, delayed
from .variety import recipes

LATENCY, LATENCY_ERROR, RANDOM_AT = 4, 2, 2


def scenario(recipe: Recipe, cycles: int, vectorised: bool = False) -> Scenario:
    """The nudge of a chip; `vectorised` compares with the vectorised function, for runs too long for the trace."""
    name = f"nudge {recipe.name}"
    rng = seeded(name)
    stimulus = {
        "a": integers(rng, recipe.formats.accumulator.width, cycles),
        "target": rng.integers(0, 2, cycles),
        "negative": rng.integers(0, 2, cycles),
        "random": rng.integers(0, 1 << 16, cycles),
    }

    def component():
        from ..hdl.nudge import Nudge

        return Nudge(recipe)

    def trace(given):
        if not vectorised:
            return emulated.trace(recipe, given)
        random = np.append(given["random"][RANDOM_AT:], [0] * RANDOM_AT)
        a, target = given["a"].astype(np.int32), given["target"].astype(bool)
        both = [emulated.nudge(recipe, a, target, random, negative) for negative in (False, True)]
        error, b, out = (np.where(given["negative"], minus, plus) for plus, minus in zip(*both, strict=True))
        return {
            "error": delayed(error.astype(np.int64), LATENCY_ERROR),
            "b": delayed(b.astype(np.int64), LATENCY),
            "b_out_of_range": delayed(out.astype(np.int64), LATENCY),
        }

    def coverage(stimulus, expected):
        goals = {
            f"error {sign} {what}": ((expected["error"] * s > 0) & (delayed(stimulus["target"], 2) == target)).sum()
            for sign, s in (("negative", -1), ("positive", 1))
            for what, target in (("on", 1), ("off", 0))
        }
        low, high = recipe.bounds(recipe.layers - 1)
        hinge = recipe.objective == "squared-hinge"
        if recipe.target(False) <= low or hinge:
            del goals["error positive off"]
        if recipe.target(True) >= high or hinge:
            del goals["error negative on"]
        worst = max(abs(recipe.target(on) - bound) for on in (True, False) for bound in (low, high))
        if worst * recipe.beta > recipe.formats.accumulator.max + 1:
            goals["out of range"] = expected["b_out_of_range"].sum()
        return goals | {"negative": stimulus["negative"].sum()}

    return Scenario(name, component, trace, stimulus, settled=LATENCY, coverage=coverage)


def scenarios() -> list[Scenario]:
    """Every recipe of the variety."""
    return [scenario(r, 400) for r in recipes()]
