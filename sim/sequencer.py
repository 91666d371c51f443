"""Scenarios of `Sequencer` (contract section 8)."""

from __future__ import annotations

from ..emulator import sequencer as emulated
from ..recipe import Recipe, programs
from .fixed import seeded
from .scenario import Scenario
from .timeline import Timeline
from .variety import recipes


def scenario(recipe: Recipe, launches: int = 6) -> Scenario:
    """Both programs in turn, back to back and with pauses."""
    name = f"sequencer {recipe.name}"
    rng, line = seeded(name), Timeline(("launch", "train"), ())
    line.now = 3
    for i in range(launches):
        train = i % 2
        line.pulse(line.now, launch=1, train=train)
        # program cycle 0 is the next cycle; in program cycle `length` the chip may launch again
        line.now += 1 + programs(recipe)[train].length + (int(rng.integers(0, 5)) if i % 3 else 0)
    line.now += 5

    def component():
        from ..hdl.sequencer import Sequencer
        return Sequencer(recipe)

    def coverage(stimulus, expected):
        goals = {f"start of engine {e}": (expected["start"] >> e & 1).sum() for e in range(len(recipe.engine_lanes))}
        return goals | {"finish": expected["finish"].sum(), "idle": (expected["busy"] == 0).sum()}

    return Scenario(name, component, lambda given: emulated.trace(recipe, given), line.stimulus(),
                    dict.fromkeys(("number", "pc"), "start"), coverage=coverage)


def scenarios() -> list[Scenario]:
    """Every recipe of the variety."""
    return [scenario(r) for r in recipes()]
