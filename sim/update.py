"""Scenarios of `Update` (contract section 6)."""

from __future__ import annotations

import numpy as np

from ..emulator import update as emulated
from ..recipe import Recipe, Rounding, geometries, table
from .fixed import integers, seeded
from .scenario import Scenario, delayed
from .variety import modes, named, narrow, recipes, small

LATENCY = 3


def several(recipe: Recipe, cycles: int) -> Scenario:
    """One lane's update for weights of several formats; the coarsest have the largest shift."""
    engine = table.engines(recipe)[0]
    name, views, decays = f"update {recipe.name}", engine.views, (0, 4)
    rng, which = seeded(name), seeded(f"{name} formats").integers(0, len(views), cycles)
    weights = np.stack([integers(rng, v.formats.weight.width, cycles) for v in views])
    stimulus = {
        "weight": np.take_along_axis(weights, which[None], 0)[0],
        "format": which,
        "product": integers(rng, engine.operand + recipe.formats.state.width, cycles),
        "random": rng.integers(0, 1 << 16, cycles),
        "decay": rng.integers(0, len(decays), cycles),
        "probe": np.zeros(cycles, int),
    }

    def component():
        from ..hdl.update import Update

        return Update(views, decays)

    def coverage(stimulus, expected):
        out, its = expected["out_of_range"].astype(bool), delayed(which, LATENCY)
        goals = {f"{v.formats.weight} out of range": (out & (its == n)).sum() for n, v in enumerate(views)}
        moved = ~out & (expected["result"] != delayed(stimulus["weight"], LATENCY))
        return goals | {f"{v.formats.weight} changed": (moved & (its == n)).sum() for n, v in enumerate(views)}

    return Scenario(name, component, lambda given: emulated.trace(views, decays, given), stimulus, settled=LATENCY, coverage=coverage)


def scenario(recipe: Recipe, cycles: int, decays: tuple[int, ...] = (0,), vectorised: bool = False) -> Scenario:
    """One lane's update; `vectorised` compares with the vectorised function, for runs too long for the trace."""
    name = f"update {recipe.name}" + (f" decays {decays}" if any(decays) else "")
    rng, geometry = seeded(name), geometries(recipe)[0]
    width = recipe.bits.operand + recipe.formats.state.width
    stimulus = {
        "weight": integers(rng, recipe.formats.weight.width, cycles),
        "product": integers(rng, width, cycles),
        "random": rng.integers(0, 1 << 16, cycles),
        "decay": rng.integers(0, len(decays), cycles),
        "probe": rng.integers(0, 2, cycles),
    }

    def component():
        from ..hdl.update import Update

        return Update(recipe, decays)

    def trace(given):
        if not vectorised:
            return emulated.trace(recipe, decays, given)
        kind, weight = emulated.product_type(geometry), given["weight"].astype(np.int32)
        ways = [(False, d) for d in decays] + [(True, 0)]
        results = [emulated.update(recipe, weight, given["product"].astype(kind), given["random"], *way) for way in ways]
        way = np.where(given["probe"], len(decays), given["decay"])
        return {
            n: delayed(np.choose(way, values).astype(np.int64), LATENCY)
            for n, *values in zip(("result", "out_of_range"), *results, strict=True)
        }

    def coverage(stimulus, expected):
        out, probe = expected["out_of_range"].astype(bool), delayed(stimulus["probe"], LATENCY).astype(bool)
        product = delayed(stimulus["product"], LATENCY)
        if recipe.slope_bits is not None:  # pulses that shrink towards the ends hardly leave the range
            weight = delayed(stimulus["weight"], LATENCY)
            change = expected["result"] - weight
            return {
                "up": ((change > 0) & (product > 0)).sum(),
                "down": ((change < 0) & (product < 0)).sum(),
                "up from above the middle": ((change > 0) & (weight > 0)).sum(),
                "down from below the middle": ((change < 0) & (weight < 0)).sum(),
            }
        goals = {
            "above": (out & (product > 0)).sum(),
            "below": (out & (product < 0)).sum(),
            "changed": (expected["result"] != delayed(stimulus["weight"], LATENCY)).sum(),
        }
        if recipe.guard:
            # only the guard makes these differ from the probe's result
            v = expected["result"]
            f = recipe.formats.weight
            goals |= {
                "held by the guard above": (out & ~probe & (v == f.max - recipe.guard)).sum(),
                "held by the guard below": (out & ~probe & (v == f.min + recipe.guard)).sum(),
                "probe within the guard": (~out & probe & (v > f.max - recipe.guard)).sum(),
            }
        return goals

    return Scenario(name, component, trace, stimulus, settled=LATENCY, coverage=coverage)


def scenarios() -> list[Scenario]:
    """Every recipe of the variety, a shift to the left, and weights that decay, in every rounding."""
    left = small("left", beta=2.0**-8, learning_rate=2.0**-1, rate_floor=2.0**-1)
    decaying = [scenario(small(f"decay-{r}", **modes(r, "saturate"), **narrow()), 1500, (0, 4, 9)) for r in Rounding.__args__]
    return [scenario(r.of_layer(0), 1500) for r in recipes()] + [scenario(left, 1500), *decaying, several(named("layers-shared"), 1500)]
