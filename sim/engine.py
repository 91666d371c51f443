"""Scenarios of `Engine` (contract section 7)."""

from __future__ import annotations

import numpy as np

from ..emulator import crossbar
from ..emulator import engine as emulated
from ..recipe import Recipe, table
from .crossbar import QUALIFIER, drive, pulses
from .fixed import seeded
from .scenario import Scenario, delayed
from .timeline import Timeline
from .variety import named, recipes


def scenario(recipe: Recipe, engine: int, rounds: int = 1) -> Scenario:
    """One engine: all its operations on new vectors in every round; its crossbar has scenarios of its own."""
    name = f"engine {recipe.name} engine {engine}"
    rng, runs = seeded(name), emulated.runs(recipe)
    line = Timeline(pulses(recipe, engine), (*crossbar.levels(recipe), *runs))
    drive(line, recipe, engine, rng, rounds, lambda: {run: rng.integers(0, 1 << 32) for run in runs})
    stimulus = line.stimulus()
    expected = emulated.trace(recipe, engine, stimulus)
    made = delayed(expected["sum_valid"], 2).astype(bool)
    operations = table.engines(recipe)[engine].operations
    places = np.array([recipe.place(s) if s.reads else "" for s in operations])[delayed(expected["sum_number"], 2)]

    def component():
        from ..hdl.engine import Engine

        return Engine(recipe, engine)

    def coverage(stimulus, expected):
        return {f"elements of {place}": (made & (places == place)).sum() for place in {recipe.place(s) for s in operations if s.reads}}

    qualifier = {p: v for p, v in QUALIFIER.items() if p in expected} | {"word_out": line.mask("word"), "random": made}
    qualifier |= {f"value_{place}": made & (places == place) for place in ("state", "delta") if f"value_{place}" in expected}
    return Scenario(name, component, lambda given: emulated.trace(recipe, engine, given), stimulus, qualifier, coverage=coverage)


def scenarios() -> list[Scenario]:
    """Every engine of every recipe of the variety."""
    return [scenario(r, e) for r in recipes() for e in range(len(r.engine_lanes))]


def quick() -> list[Scenario]:
    """A few of `scenarios`, for slow simulators."""
    return [scenario(named("alpha-half"), 0), scenario(named("noisy-random"), 1)]
