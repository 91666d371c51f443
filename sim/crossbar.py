"""Scenarios of `Crossbar` (contract section 3), and the way an engine is loaded and started."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..emulator import crossbar, crossbar_clocked, rng
from ..recipe import POSITION_BITS, Recipe, matrix_geometries, table, timing
from .fixed import integers, seeded
from .scenario import Scenario
from .timeline import Timeline
from .variety import named, narrow, recipes, small


def pack(lanes: Iterable[int], width: int) -> int:
    """Lanes to a memory word, lane 0 lowest."""
    return sum((int(v) & ((1 << width) - 1)) << (i * width) for i, v in enumerate(lanes))


def load_words(line: Timeline, recipe: Recipe, engine: int, rng: np.random.Generator) -> None:
    """Write every word of an engine's matrices through the host port, any of their formats; lanes beyond the last column stay 0."""
    found = table.engines(recipe)[engine]
    for name, base in found.base.items():
        g = matrix_geometries(recipe)[name]
        for i in rng.permutation(g.N):
            lanes = integers(rng, g.recipe.formats.weight.width, g.L)
            lanes[np.arange(g.L) + i % g.F * g.L >= g.C] = 0
            line.pulse(line.now, word_write=1, word_address=base + i, word_in=pack(lanes, found.width))
            line.now += 1


def read_words(line: Timeline, recipe: Recipe, engine: int) -> None:
    """Address every word through the host port; each is shown two cycles later."""
    for address in range(table.engines(recipe)[engine].words):
        line.pulse(line.now, word_address=address)
        line.mark("word", line.now + 2)
        line.now += 1
    line.now += 2


def fill_stores(line: Timeline, recipe: Recipe, engine: int, rng: np.random.Generator, bank: int) -> int:
    """Write every slot of every store, elements in order with pauses; return the bank that reads must then use."""
    for i, memory in enumerate(table.engines(recipe)[engine].memories):
        width, count = getattr(recipe.formats, memory.format).width, recipe.sizes[memory.population]
        for slot in [bank ^ 1] if memory.banked else rng.permutation(memory.slots):
            for index, value in enumerate(integers(rng, width, count)):
                given = {"valid": 1, "slot": slot, "index": index, "value": value}
                line.pulse(line.now, **{f"store{i}__{port}": v for port, v in given.items()})
                line.now += int(rng.integers(1, 3))
    return bank ^ 1


def pulses(recipe: Recipe, engine: int) -> tuple[str, ...]:
    """Input ports that are not levels."""
    return tuple(p for p in crossbar_clocked.inputs(recipe, engine) if p not in crossbar.levels(recipe))


def drive(line: Timeline, recipe: Recipe, engine: int, rng: np.random.Generator, rounds: int, levels: Callable[[], dict] = dict) -> None:
    """Load an engine; then in every round all its operations, in random order, alone and as close as they may be; then read back.

    Parameters
    ----------
    levels : callable
        Returns more levels, anew before each group of operations.
    """
    found, f = table.engines(recipe)[engine], recipe.formats
    bank = 0
    line.now += 3
    load_words(line, recipe, engine, rng)
    for _ in range(rounds):
        order = list(rng.permutation(len(found.operations)))
        while order:
            group, order = order[: (n := int(rng.integers(1, 4)))], order[n:]
            bank = fill_stores(line, recipe, engine, rng, bank)
            line.level(
                rate=rng.choice([7, rng.integers(0, 8), *[8 - found.lent] * bool(found.lent)]),
                **({"slope": int(integers(rng, f.delta.width, 1)[0]), "step": rng.integers(0, 1 << 32)} | levels()),
            )
            line.level(**({"bank": bank} if recipe.samples_in_flight == 1 else {"turn": rng.integers(0, recipe.samples_in_flight)}))
            line.now = _operations(line, recipe, engine, group, rng) + 30
            if rng.random() < 0.5:
                read_words(line, recipe, engine)
    read_words(line, recipe, engine)
    line.now += 3


def _operations(line: Timeline, recipe: Recipe, engine: int, numbers: list[int], rng: np.random.Generator) -> int:
    """Start operations as early as their words and their way through the engine allow; return when the last one is over."""
    free, made, used, end, start = {}, {}, {}, 0, line.now
    for number in numbers:
        step = table.engines(recipe)[engine].operations[number]
        g = matrix_geometries(recipe)[step.matrix]
        passes = {place: span for place, span in timing.passes(g, step).items() if "engine" in place}
        words = timing.words(g.matrix)
        earliest = [start] + [free[place] - first for place, (first, _) in passes.items() if place in free]
        if words:
            earliest += [int((made[words] + 1 - timing.reads(g, step, words)[0]).max())] if words in made else []
        if words and not step.reads:
            earliest += [int((before[words] + 1 - timing.writes(g, step, words)).max()) for before in (made, used) if words in before]
            made[words] = max(earliest) + timing.writes(g, step, words)
        start = max(earliest)
        if words:
            used[words] = np.maximum(used.get(words, 0), start + timing.reads(g, step, words)[1])
        line.pulse(start, start=1, number=number, pc=rng.integers(0, 1 << POSITION_BITS))
        line.mark(str(step), start)
        free |= {place: start + last + 1 for place, (_, last) in passes.items()}
        end, start = max(end, start + timing.end(g, step)), start + 2
    return end


def scenario(recipe: Recipe, engine: int, rounds: int = 3, levels: dict[str, int] | None = None) -> Scenario:
    """One crossbar: all its operations on new vectors in every round; some `levels` may be the same in all."""
    name = f"crossbar {recipe.name} engine {engine}"
    line = Timeline(pulses(recipe, engine), crossbar.levels(recipe))
    drive(line, recipe, engine, seeded(name), rounds, lambda: levels or {})
    found = table.engines(recipe)[engine]

    def component():
        from ..hdl.crossbar import Crossbar

        return Crossbar(recipe, engine)

    def coverage(stimulus, expected):
        goals = {f"operation {what}": len(cycles) for what, cycles in line.marks.items() if what != "word"}
        goals |= {f"operation {step}": 0 for step in found.operations if str(step) not in line.marks}
        if any(step.reads for step in found.operations):
            goals["sum not zero"] = (expected["sum"][expected["sum_valid"].astype(bool)] != 0).sum()
        if any(not step.reads for step in found.operations):
            goals["weights written by the engine"] = (expected["weight_write"] & (stimulus["word_write"] == 0)).sum()
        return goals

    return Scenario(
        name,
        component,
        lambda given: crossbar_clocked.trace(recipe, engine, given),
        line.stimulus(),
        QUALIFIER | {"word_out": line.mask("word")},
        coverage=coverage,
    )


QUALIFIER = {f"{stream}_{what}": f"{stream}_valid" for stream in ("sum", "coming") for what in ("number", "index")} | {
    "coming_pc": "coming_valid",
    "sum": "sum_valid",
    "weight_address": "weight_write",
    "weight_word": "weight_write",
}
"""Ports to what says that they are meaningful."""


def scenarios() -> list[Scenario]:
    """Every engine of every recipe of the variety, more than 16 lanes, and a cell at the limit of being stuck."""
    many = small("many-lanes", sizes=(50, 3, 2), lanes=(40, 1), rule="spsa", epsilon=2.0**-6)
    odd = small("odd-lanes", sizes=(40, 5, 2), lanes=(22, 3), rounding={"weight": "stochastic"})
    fed = small("many-lanes-fed", sizes=(3, 50, 5), lanes=(1, 40), rule="feedback-alignment")
    heard = small("many-lanes-heard", sizes=(3, 50, 5), lanes=(1, 40), rule="weight-mirror", sigma=0.25, decay=2.0**-8)
    # operands of 20 and 21 bits: fast updates shift the columns, too
    noise = {"sigma": 0.25, "bias": True} | narrow(delta=(12, 5))
    lent = small("lends", sizes=(3, 5, 12), lanes=(2, 3), rule="target-propagation", **noise)
    shaken = small("lends-shaken", sizes=(3, 5, 4), lanes=(2, 3), rule="node-perturbation", **noise)
    apart = [{"lanes": 3, "matrices": ["W0", "W1"]}, {"lanes": 2, "matrices": ["B1"]}]
    alone = small(
        "lends-noise",
        sizes=(3, 5, 4),
        lanes=(),
        engines=apart,
        rule="crossdyad.sim.variety:hears",
        sigma=1.0,
        **narrow(state=(11, 7), delta=(11, 7)),
    )
    # those that come last combine the most, and find faults that no other finds
    variety = [scenario(r, e) for r in reversed(recipes()) for e in range(len(r.engine_lanes))]
    return [
        scenario(lent, 1, 6),
        scenario(shaken, 1, 6, {"slope": shaken.formats.delta.min}),  # its opposite has all of these bits
        scenario(alone, 1, 6),
        scenario(fed, 1),
        scenario(heard, 1),
        scenario(odd, 0),
        scenario(stuck_at_the_limit(), 0),
        *variety,
        scenario(many, 0),
    ]


def stuck_at_the_limit() -> Recipe:
    """A chip of three lane groups, about half of its cells stuck, in which one cell's word is the limit: it is not stuck."""
    chip = small("stuck-limit", sizes=(50, 3), lanes=(40,), rule="spsa", epsilon=2.0**-6)
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
            pair = rng.pair_exact(recipe.key, 0x40, 0, (row * folds + fold << (groups - 1).bit_length()) + lane // 16)
            words[row, column] = rng.view_exact(*pair, lane % 16)[0]
    return words


def quick() -> list[Scenario]:
    """A few of `scenarios`, for slow simulators."""
    return [scenario(named("alpha-half"), 0), scenario(named("spsa"), 1)]
