"""Scenarios of `Crossbar` (contract section 3), and the way an engine is loaded and started."""

from __future__ import annotations

import numpy as np

from ..emulator import crossbar as emulated
from ..emulator import rng
from ..recipe import LEAD, Geometry, Op, Operand, Recipe
from .fixed import integers, seeded
from .scenario import Scenario
from .timeline import Timeline
from .variety import named, recipes, small

PULSES = ("start", "op", "operand", "input_write", "input_index", "input_value", "error_write", "error_index",
          "error_value", "word_write", "word_in", "word_address")
LEVELS = ("rate", "slope", "step", "bank")


def pack(lanes, width: int) -> int:
    """Lanes to a memory word, lane 0 lowest."""
    return sum((int(v) & ((1 << width) - 1)) << (i * width) for i, v in enumerate(lanes))


def load_words(line: Timeline, geometry: Geometry, rng: np.random.Generator):
    """Write every word through the host port; lanes beyond the last column stay 0."""
    g, width = geometry, geometry.recipe.formats.weight.width
    for address in rng.permutation(g.N):
        lanes = integers(rng, width, g.L)
        lanes[np.arange(g.L) + address % g.F * g.L >= g.C] = 0
        line.pulse(line.now, word_write=1, word_address=address, word_in=pack(lanes, width))
        line.now += 1


def read_words(line: Timeline, geometry: Geometry):
    """Address every word through the host port; each is shown two cycles later."""
    for address in range(geometry.N):
        line.pulse(line.now, word_address=address)
        line.mark("word", line.now + 2)
        line.now += 1
    line.now += 2


def write_vector(line: Timeline, port: str, count: int, width: int, rng: np.random.Generator):
    """Write elements 0 .. count-1 of the input or error memory, in random order with pauses."""
    for index, value in zip(rng.permutation(count), integers(rng, width, count), strict=True):
        line.pulse(line.now, **{f"{port}_write": 1, f"{port}_index": index, f"{port}_value": value})
        line.now += int(rng.integers(1, 3))


def variants(recipe: Recipe) -> list[tuple[Op, Operand]]:
    """What an engine of this recipe can be asked to do."""
    basic = [(Op.FORWARD, Operand.FREE), (Op.TRANSPOSED, Operand.FREE), (Op.UPDATE, Operand.DELTA)]
    spsa = [(Op.PROBE, Operand.PLUS), (Op.PROBE, Operand.MINUS), (Op.UPDATE, Operand.SLOPE)]
    return basic + (spsa if recipe.signed else [])


def scenario(recipe: Recipe, layer: int, rounds: int = 2, operations=None) -> Scenario:
    """One engine: load, then `rounds` times every operation it knows on new vectors, then read back."""
    g, f = Geometry(recipe, layer), recipe.formats
    banks = 2 if layer == 0 else 1
    name = f"crossbar {recipe.name} layer {layer}"
    rng = seeded(name)
    line = Timeline(PULSES, LEVELS)
    bank = 0
    line.now += 3
    load_words(line, g, rng)
    for _ in range(rounds):
        for op, operand in [variants(recipe)[i] for i in rng.permutation(len(variants(recipe)))]:
            if operations and op not in operations:
                continue
            line.level(rate=rng.integers(0, 8), slope=int(integers(rng, f.delta.width, 1)[0]),
                       step=rng.integers(0, 1 << 32))
            write_vector(line, "input", g.C, f.state.width, rng)
            write_vector(line, "error", g.R, f.delta.width, rng)
            if banks == 2:
                bank ^= 1
                line.level(bank=bank)
            start = line.now
            line.pulse(start, start=1, op=op, operand=operand)
            # the first slot reads in cycle start + LEAD + 1: a write one cycle before it still counts
            line.pulse(start + LEAD, error_write=1, error_index=0, error_value=int(integers(rng, f.delta.width, 1)[0]))
            line.mark(f"{op.name.lower()} {operand.name.lower()}", start)
            line.now = start + g.busy(op)
            if rng.random() < 0.5:      # at once, or with a look at the words in between
                read_words(line, g)
    line.now += g.L + 20
    read_words(line, g)
    line.now += 3

    def component():
        from ..hdl.crossbar import Crossbar
        return Crossbar(g, banks)

    def coverage(stimulus, expected):
        goals = {f"operation {what}": len(cycles) for what, cycles in line.marks.items()}
        valid = expected["sum_valid"].astype(bool)
        sums = expected["sum"][valid]
        goals["sum not zero"] = (sums != 0).sum()
        if not operations or Op.UPDATE in operations:
            goals["weights written by the engine"] = (expected["weight_write"] & (stimulus["word_write"] == 0)).sum()
        return goals

    return Scenario(name, component, lambda given: emulated.trace(g, banks, given), line.stimulus(), {
        "sum": "sum_valid", "sum_index": "sum_valid", "weight_address": "weight_write", "weight_word": "weight_write",
        "word_out": line.mask("word")}, coverage=coverage)


def scenarios() -> list[Scenario]:
    """Every layer of every recipe of the variety, more than 16 lanes, and a cell at the limit of being stuck."""
    many = small("many-lanes", sizes=(40, 3, 2), lanes=(32, 1), rule="spsa", epsilon=2.0**-6)
    fed = small("many-lanes-fed", sizes=(3, 40, 5), lanes=(1, 32), rule="feedback-alignment")
    variety = [scenario(r, k) for r in recipes() for k in range(r.layers)]
    return [scenario(fed, 1), scenario(stuck_at_the_limit(), 0), *variety, scenario(many, 0)]


def stuck_at_the_limit() -> Recipe:
    """A chip of two lane groups, about half of its cells stuck, in which one cell's word is the limit: it is not stuck."""
    chip = small("stuck-limit", sizes=(40, 3), lanes=(32,), rule="spsa", epsilon=2.0**-6)
    words = stuck_words(chip)
    word = min(words.values(), key=lambda w: abs(w - (1 << 15)))
    return chip.model_copy(update={"devices": chip.devices.model_copy(update={"stuck": word / 65536})})


def stuck_words(recipe: Recipe) -> dict[tuple[int, int], int]:
    """Return the words of the cells of layer 0, by row and column, that say whether they are stuck (contract section 11)."""
    columns, lanes = recipe.sizes[0], recipe.lanes[0]
    folds, groups = -(-columns // lanes), -(-lanes // 16)
    words = {}
    for row in range(recipe.sizes[1]):
        for column in range(columns):
            fold, lane = divmod(column, lanes)
            pair = rng.pair_exact(recipe.key, 0x40, 0, (row * folds + fold) * groups + lane // 16)
            words[row, column] = rng.view_exact(*pair, lane % 16)[0]
    return words


def quick() -> list[Scenario]:
    """A few of `scenarios`, for slow simulators."""
    return [scenario(named("alpha-half"), 0), scenario(named("spsa"), 1)]
