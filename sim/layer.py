"""Scenarios of `Layer` (contract section 7)."""

from __future__ import annotations

from ..emulator import layer as emulated
from ..recipe import POSITION_BITS, Geometry, Op, Operand, Recipe, hardware
from .crossbar import LEVELS, load_words, read_words, write_vector
from .fixed import integers, seeded
from .scenario import Scenario
from .timeline import Timeline
from .variety import named, recipes

PULSES = ("start", "op", "operand", "pc", "input_write", "input_index", "input_value", "word_write", "word_in",
          "word_address")
RECEIVED = ("received_valid", "received_index", "received_value", "received_random")


def steps(recipe: Recipe, k: int) -> list:
    """Operations of one round, in an order in which each finds its operands."""
    last = k == recipe.layers - 1
    if recipe.signed:
        plan = [(Op.PROBE, Operand.PLUS), (Op.FORWARD, Operand.ADD), (Op.PROBE, Operand.MINUS),
                (Op.FORWARD, Operand.SUBTRACT), (Op.PROBE, Operand.PLUS), (Op.UPDATE, Operand.SLOPE)]
        return [(op, o if last or op != Op.FORWARD else Operand.FREE) for op, o in plan]
    plan = [(Op.FORWARD, Operand.FREE), (Op.FORWARD, Operand.NUDGE if last else Operand.FREE)]
    # layer 0 has nobody to send feedback to
    return plan + [(Op.TRANSPOSED, Operand.FREE)] * (k > 0) + [(Op.UPDATE, Operand.DELTA)]


def scenario(recipe: Recipe, k: int, rounds: int = 4) -> Scenario:
    """One layer: load, then `rounds` times the operations of a step with feedback received, then read back."""
    g, f, last = Geometry(recipe, k), recipe.formats, k == recipe.layers - 1
    name = f"layer {recipe.name} layer {k}"
    rng = seeded(name)
    levels = (*LEVELS, *["label"] * last, *["run"] * (recipe.devices.read_noise > 0))
    line = Timeline(PULSES + (() if last else RECEIVED), levels)
    bank, pc = 0, 0
    line.now = 3
    load_words(line, g, rng)
    for _ in range(rounds):
        for op, operand in steps(recipe, k):
            levels = {"rate": rng.choice([7, rng.integers(0, 8)]), "slope": int(integers(rng, f.delta.width, 1)[0])}
            if operand in (Operand.FREE, Operand.PLUS):
                levels["step"] = rng.integers(0, 1 << 32)
            if recipe.devices.read_noise:
                levels["run"] = rng.integers(0, 1 << 32)
            if last:
                levels["label"] = rng.integers(0, g.R)
            line.level(**levels)
            write_vector(line, "input", g.C, f.state.width, rng)
            if k == 0:
                bank ^= 1
                line.level(bank=bank)
            line.pulse(line.now, start=1, op=op, operand=operand, pc=pc)
            line.mark(f"{op.name.lower()} {operand.name.lower()}", line.now)
            pc = int(rng.integers(0, 1 << POSITION_BITS))
            line.now += g.ready(op)
            line.mark("loss", line.now)
            if not last and op == Op.FORWARD:
                for index in rng.permutation(g.R):
                    line.pulse(line.now, received_valid=1, received_index=index,
                               received_value=int(integers(rng, f.accumulator.width, 1)[0]),
                               received_random=int(rng.integers(0, 1 << 32)))
                    line.now += int(rng.integers(1, 3))
                line.now += 10
    line.now += 10
    read_words(line, g)

    def component():
        from ..hdl.layer import Layer
        return Layer(recipe, k)

    def coverage(stimulus, expected):
        goals = {f"operation {what}": len(cycles) for what, cycles in line.marks.items()}
        goals["state made"] = expected["state_valid"].sum()
        if not last:
            if hardware.down(recipe, k + 1).revises:
                goals["revised"] = expected["revised_valid"].sum()
            goals |= {"error written": expected["error_write"].sum()}
        return goals

    qualifier = {"weight_address": "weight_write", "weight_word": "weight_write", "word_out": line.mask("word")}
    for port, valid in (("state", "valid"), ("feedback", "valid"), ("revised", "valid"), ("drive", "write"),
                        ("error", "write")):
        qualifier |= {f"{port}_{what}": f"{port}_{valid}" for what in ("index", "value", "random")}
    if last:
        qualifier["loss"] = line.mask("loss")
    return Scenario(name, component, lambda given: emulated.trace(recipe, k, given), line.stimulus(), qualifier,
                    coverage=coverage)


def scenarios() -> list[Scenario]:
    """Every layer of every recipe of the variety."""
    return [scenario(r, k) for r in recipes() for k in range(r.layers)]


def range_events(scenarios: list[Scenario]) -> dict[str, int]:
    """How many range events of each place a set of scenarios provokes."""
    places = ("accumulator", "state", "delta", "weight")
    seen = [s.trace(s.stimulus) for s in scenarios]
    return {place: int(sum(ports[f"events_{place}"].sum() for ports in seen)) for place in places}


def quick() -> list[Scenario]:
    """A few of `scenarios`, for slow simulators."""
    return [scenario(named("alpha-half"), 0), scenario(named("alpha-half"), 1)]
