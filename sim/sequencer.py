"""Scenarios of `Sequencer` (contract section 8)."""

from __future__ import annotations

from ..emulator import sequencer as emulated
from ..recipe import Recipe, programs
from .fixed import seeded
from .scenario import Scenario
from .timeline import Timeline
from .variety import narrow, recipes, small


def scenario(recipe: Recipe, launches: int = 6) -> Scenario:
    """Both programs in turn, back to back and with pauses; where several samples may be under way, training programs as they may follow."""
    name = f"sequencer {recipe.name}"
    overlaps = recipe.samples_in_flight > 1
    rng, line = seeded(name), Timeline(("launch", "train"), ("turn",) * overlaps)
    line.now, turn = 3, 0
    kinds = [1, 1, 0, 1, 1, 1, 0, 0, 1, 1] if overlaps else [i % 2 for i in range(launches)]
    for i, train in enumerate(kinds):
        line.pulse(line.now, launch=1, train=train)
        line.now, turn = line.now + 1, (turn + 1) % recipe.samples_in_flight
        if overlaps:
            line.level(turn=turn)
        program = programs(recipe)[train]
        if train and program.interval and kinds[i + 1 : i + 2] == [1] and i % 5:
            line.now += program.interval - 1  # while it runs
        else:
            # program cycle 0 is the next cycle; in program cycle `length` the chip may launch again
            line.now += program.length + (int(rng.integers(0, 5)) if i % 3 else 0)
    line.now += 5

    def component():
        from ..hdl.sequencer import Sequencer

        return Sequencer(recipe)

    def coverage(stimulus, expected):
        goals = {f"start of engine {e}": (expected["start"] >> e & 1).sum() for e in range(len(recipe.engine_lanes))}
        goals |= {"a program that follows while one runs": (expected["again"] & stimulus["launch"]).sum()} if overlaps else {}
        return goals | {"finish": expected["finish"].sum(), "idle": (expected["busy"] == 0).sum()}

    return Scenario(
        name,
        component,
        lambda given: emulated.trace(recipe, given),
        line.stimulus(),
        dict.fromkeys(("number", "pc"), "start") | ({"rest": "finish"} if overlaps else {}),
        coverage=coverage,
    )


def relaxations() -> list[Recipe]:
    """Return recipes with so many sweeps that their programs have blocks: of one row and of several, played equally and unequally often."""
    return [
        small("sweeps", rule="equilibrium", sweeps=(20, 7), **narrow(delta=(8, 5))),
        small("sweeps-deep", rule="centered-equilibrium", sweeps=(9, 9), sizes=(4, 3, 5, 2), lanes=(4, 2, 3), **narrow(delta=(8, 5))),
        small("steps", rule="predictive-coding", sweeps=(1, 32), alpha=0, sizes=(4, 3, 5, 2), lanes=(4, 2, 3), **narrow(delta=(8, 5))),
    ]


def scenarios() -> list[Scenario]:
    """Every recipe of the variety, and programs with blocks."""
    return [scenario(r) for r in (*recipes(), *relaxations())]
