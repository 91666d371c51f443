"""Scenarios of `Noise` (contract section 11)."""

from __future__ import annotations

import numpy as np

from ..emulator import noise as emulated
from ..recipe import Recipe
from .fixed import seeded
from .scenario import Scenario
from .variety import recipes

LATENCY = 3


def scenario(recipe: Recipe, cycles: int) -> Scenario:
    """Random words, and the words of the extremes."""
    name = f"noise {recipe.name}"
    rng = seeded(name)
    stimulus = {"x": rng.integers(0, 1 << 32, cycles), "y": rng.integers(0, 1 << 32, cycles), "delta": rng.integers(0, 2, cycles)}
    for at, word in ((0, 0), (1, (1 << 32) - 1), (2, 0), (3, (1 << 32) - 1)):
        stimulus["x"][at] = stimulus["y"][at] = word
        stimulus["delta"][at] = at // 2

    def component():
        from ..hdl.noise import Noise

        return Noise(recipe)

    def coverage(stimulus, expected):
        seen = expected["noise"][LATENCY:]
        return {
            "positive": (seen > 0).sum(),
            "negative": (seen < 0).sum(),
            "of states": (stimulus["delta"] == 0).sum(),
            "of differences": (stimulus["delta"] == 1).sum(),
        }

    return Scenario(
        name,
        component,
        lambda given: emulated.trace(recipe, given),
        {n: np.asarray(v) for n, v in stimulus.items()},
        settled=LATENCY,
        coverage=coverage,
    )


def scenarios() -> list[Scenario]:
    """Every recipe of the variety that has read noise."""
    return [scenario(r.of_layer(0), 400) for r in recipes() if r.devices.read_noise]
