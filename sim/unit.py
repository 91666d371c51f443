"""Scenarios of `Unit` (contract section 7)."""

from __future__ import annotations

from ..emulator import unit as emulated
from ..recipe import Recipe, table
from .fixed import integers, seeded
from .scenario import Scenario
from .timeline import Timeline
from .variety import named, recipes


def scenario(recipe: Recipe, unit: int, rounds: int = 6) -> Scenario:
    """One unit: in every round elements enter in every way, in random order of the ways."""
    name = f"unit {recipe.name} unit {unit}"
    rng, entries, last = seeded(name), table.entries(recipe, unit), unit == recipe.layers - 1
    width, count = recipe.formats.accumulator.width, recipe.sizes[unit + 1]
    labels = emulated.labels(recipe)
    ports = [p for p in emulated.inputs(recipe, unit) if p not in labels]
    line = Timeline(tuple(ports), labels if last else ())
    line.now = 3
    for _ in range(rounds):
        if last:
            line.level(**{name: rng.integers(0, count) for name in labels})
        for number in rng.permutation(len(entries)):
            line.mark(str(entries[number]), line.now)
            every = rng.integers(1, 4)
            for index in range(count):
                line.pulse(line.now, valid=1, number=number, index=index)
                line.pulse(
                    line.now + 2,
                    random=int(rng.integers(0, 1 << 48)),
                    **{p: int(integers(rng, width, 1)[0]) for p in ports if p.startswith("value")},
                )
                line.now += int(every)
            line.now += 12  # what it keeps is there, and the loss
            line.mark("loss", line.now)
    line.now += 10

    def component():
        from ..hdl.unit import Unit

        return Unit(recipe, unit)

    def coverage(stimulus, expected):
        goals = {f"entry {what}": len(cycles) for what, cycles in line.marks.items() if what != "loss"}
        goals |= {
            f"{port}s kept": expected[f"{port}_valid"].sum() for port in ("mean", "difference") if any(getattr(e, port) for e in entries)
        }
        if any(e.keep_drive for e in entries):
            goals["drives kept"] = expected["drive_write"].sum()
        return goals

    qualifier = {f"drive_{p}": "drive_write" for p in ("index", "value")} | {p: f"{p}_valid" for p in ("mean", "difference")}
    shown = emulated.trace(recipe, unit, line.stimulus())
    qualifier |= dict.fromkeys(("out_number", "out_index"), (shown["mean_valid"] | shown["difference_valid"]).astype(bool))
    if last:
        qualifier["loss"] = line.mask("loss")
    return Scenario(name, component, lambda given: emulated.trace(recipe, unit, given), line.stimulus(), qualifier, coverage=coverage)


def scenarios() -> list[Scenario]:
    """Every unit of every recipe of the variety."""
    return [scenario(r, k) for r in recipes() for k in range(r.layers)]


def range_events(scenarios: list[Scenario]) -> dict[str, int]:
    """Count the range events of each place that a set of scenarios provokes."""
    seen = [s.trace(s.stimulus) for s in scenarios]
    return {place: int(sum(ports[f"events_{place}"].sum() for ports in seen)) for place in ("accumulator", "state", "delta")}


def quick() -> list[Scenario]:
    """A few of `scenarios`, for slow simulators."""
    return [scenario(named("alpha-half"), 0), scenario(named("alpha-half"), 1)]
