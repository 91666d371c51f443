"""Scenarios of `Dyad` (contract section 4)."""

from __future__ import annotations

import numpy as np

from ..emulator import neuron as emulated
from ..recipe import Recipe
from .fixed import integers, seeded
from .scenario import Scenario, delayed
from .variety import recipes

LATENCY = 5
ERRORS = ("dyad", "gate", "feedback")
MOVES = (False, True)
RANDOM_AT = 3
"""The random words belong to this many cycles after a and b."""


def scenario(recipe: Recipe, layer: int, cycles: int, vectorised: bool = False) -> Scenario:
    """The dyads of one layer; `vectorised` compares with the vectorised function, for runs too long for the trace."""
    name = f"neuron {recipe.name} layer {layer}"
    rng, width = seeded(name), recipe.formats.accumulator.width
    stimulus = {
        "a": integers(rng, width, cycles),
        "b": integers(rng, width, cycles),
        "error": rng.integers(0, len(ERRORS), cycles),
        "moved": rng.integers(0, 2, cycles),
        "random_state": rng.integers(0, 1 << 16, cycles),
        "random_delta": rng.integers(0, 1 << 16, cycles),
    }

    def component():
        from ..hdl.neuron import Dyad

        return Dyad(recipe, layer, ERRORS, MOVES)

    def trace(given):
        if not vectorised:
            return emulated.trace(recipe, layer, ERRORS, given, MOVES)
        late = {n: np.append(given[n][RANDOM_AT:], [0] * RANDOM_AT) for n in ("random_state", "random_delta")}
        a, b = (given[n].astype(np.int32) for n in "ab")
        made = [
            emulated.dyad(recipe, layer, a, b, late["random_state"], late["random_delta"], error, moved)
            for moved in MOVES
            for error in ERRORS
        ]
        ports = [np.choose(given["moved"] * len(ERRORS) + given["error"], [np.asarray(each[n]) for each in made]) for n in range(4)]
        names = ("mean", "mean_out_of_range", "difference", "difference_out_of_range")
        return {n: delayed(np.asarray(v).astype(np.int64), LATENCY) for n, v in zip(names, ports, strict=True)}

    def coverage(stimulus, expected):
        pieces = recipe.pieces(layer)
        low, high = pieces.knots[0] // 2, pieces.knots[-1] // 2
        a, b = stimulus["a"], stimulus["b"]
        goals = {
            "below the activation's range": (a < low).sum(),
            "inside": ((a >= low) & (a <= high)).sum(),
            "feedback negative": (b < 0).sum(),
            "feedback positive": (b > 0).sum(),
            "difference negative": (expected["difference"] < 0).sum(),
            "difference positive": (expected["difference"] > 0).sum(),
        }
        for n, (start, end) in enumerate(zip(pieces.knots, pieces.knots[1:], strict=False)):
            if len(pieces.shifts) > 1 and start < end:
                goals[f"piece {n}"] = ((2 * a >= start) & (2 * a < end)).sum()
        acc = recipe.formats.accumulator
        if high < acc.max:
            goals["above the activation's range"] = (a > high).sum()
        if low <= acc.min:
            del goals["below the activation's range"]
        return goals

    return Scenario(name, component, trace, stimulus, settled=LATENCY, coverage=coverage)


def scenarios() -> list[Scenario]:
    """Every layer of every recipe of the variety."""
    return [scenario(r, k, 400) for r in recipes() for k in {0, r.layers - 1}]
