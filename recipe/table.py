"""Parts of a chip's hardware: operations of engines and entries of units, numbered, and stores (contract sections 3, 7)."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from .geometry import Geometry, matrix_geometries
from .operations import MADE, SIGNS, Op, Operation, in_turn
from .program import lasting
from .recipe import Recipe
from .rules import rule
from .timing import drive, needs_label

OPERAND = 18
"""Bits of an operand of a multiplier, of the devices that chips are built for."""
MOST_LENT = 4
"""Most bits that are lent, of the 7 by which a rate shifts at most: of more, h, a rate above ``7 - h`` may be less than h."""


class Memory(NamedTuple):
    """An engine's copy of the stores of one population and format that its operations read in one way.

    Attributes
    ----------
    port : str
        ``column`` or ``row``.
    population : int
        Whose elements these are: 0 is the sample, k the neurons of unit k - 1, which alone writes here.
    format : str
        ``state`` or ``delta``.
    stores : tuple of str
        By slot. The sample has two slots, its banks, where one sample is under way.
    """

    port: str
    population: int
    format: str
    stores: tuple[str, ...]

    @property
    def banked(self) -> bool:
        """Return whether the level `bank`, not the operation, says which slot is read."""
        return not self.population and len(self.stores) == 1

    @property
    def slots(self) -> int:
        """Vectors that it holds."""
        return 2 if self.banked else len(self.stores)


class Engine(NamedTuple):
    """A row of lanes, what lies on it and what it does.

    Attributes
    ----------
    lanes : int
    operations : tuple of Operation
        By number. Where several samples may be under way, each is there so many times, on the sample of turn 0, 1, ...
    base : dict
        Address of the first word of each of its matrices in memory, by name.
    words : int
        Of its weight memory.
    memories : tuple of Memory
    views : tuple of Recipe
        The recipe as its matrices see it (`Recipe.of_layer`): one for each of their weight formats.
    """

    lanes: int
    operations: tuple[Operation, ...]
    base: dict[str, int]
    words: int
    memories: tuple[Memory, ...]
    views: tuple[Recipe, ...]

    @property
    def width(self) -> int:
        """Bits of a lane of its words: of its widest weights."""
        return max(r.formats.weight.width for r in self.views)

    def finer(self, view: Recipe) -> int:
        """Fraction bits that updates of a view's matrices have fewer than those of the coarsest, so many that E is shifted to the left."""
        return max(r.product_shift for r in self.views) - view.product_shift

    @property
    def operand(self) -> int:
        """Bits of the scalar operand E of update and probe."""
        return max(r.bits.operand + self.finer(r) for r in self.views)

    @property
    def lent(self) -> int:
        """Bits h by which fast updates shift B in place of E, so that E is no wider than a multiplier takes (contract section 3)."""
        more = self.operand - OPERAND
        rewrites = [s for s in self.operations if not s.reads]
        alone = any(s.op is Op.PROBE or s.column == SIGNS for s in rewrites)  # these have no rate, or nothing to be shifted
        state = max(r.formats.state.width for r in self.views)
        return more if 0 < more <= MOST_LENT and state + more <= OPERAND and rewrites and not alone else 0

    @property
    def scalar(self) -> int:
        """Bits of E as the lanes get it."""
        return self.operand - self.lent


class Entry(NamedTuple):
    """An entry of elements into a unit, and what is kept of them: an `Operation` without its engine.

    Attributes
    ----------
    engine : int
        Where the elements come from.
    place : str
        Format of what was read, ``state`` or ``delta``: which converter made the elements.
    slot : int
        Of the drives, where it takes or keeps one.
    turn : int
        Whose label it looks at, where it does.
    enter, force, negative, error, keep_drive, mean, difference, result, loss, keep_feedback, leak, moved
        As the operation's; the sign only of a force, the error only where a difference is kept or moves the mean, that it moves only where
        there is a mean.
    """

    engine: int
    place: str
    enter: str
    force: str
    negative: bool
    error: str
    keep_drive: bool
    mean: str
    difference: str
    result: bool
    loss: str
    keep_feedback: bool
    leak: int
    moved: bool
    slot: int
    turn: int


@functools.lru_cache(maxsize=1024)
def steps(recipe: Recipe) -> tuple[Operation, ...]:
    """Return the distinct operations of both programs, in the order in which they first occur; each with its twin where there are such."""
    found = dict.fromkeys((*rule(recipe.rule).infer(recipe), *(recipe.steps if recipe.learns else ())))
    if recipe.samples_in_flight == 1:
        return tuple(found)
    return tuple(in_its_turn(recipe, step, turn) for step in found for turn in range(recipe.samples_in_flight))


def in_its_turn(recipe: Recipe, step: Operation, turn: int) -> Operation:
    """Return the operation on the sample of a turn: on the slots of its own of stores that have several."""
    slots = lasting(recipe)
    own: dict[str, Any] = {
        port: in_turn(name, turn % slots[name])
        for port in ("column", "row", "mean", "difference")
        if (name := getattr(step, port)) in slots
    }
    return step._replace(turn=turn, **own)


def drive_slots(recipe: Recipe, unit: int) -> int:
    """Return how many samples' drives a unit keeps."""
    return lasting(recipe).get(drive(unit), 1)


def entry(recipe: Recipe, step: Operation) -> Entry:
    """Return how the elements of a read enter its unit."""
    moved = step.moved and bool(step.mean or step.result)
    return Entry(
        matrix_geometries(recipe)[step.matrix].engine,
        recipe.place(step),
        step.enter,
        step.force,
        bool(step.force) and step.negative,
        step.error if step.difference or moved else "dyad",
        step.keep_drive,
        step.mean,
        step.difference,
        step.result,
        step.loss,
        step.keep_feedback,
        step.leak if step.enter == "relax" else 0,
        moved,
        step.turn % drive_slots(recipe, step.unit) if step.keep_drive or step.enter != "drive" else 0,
        step.turn if needs_label(step) else 0,
    )


@functools.lru_cache(maxsize=1024)
def entries(recipe: Recipe, unit: int) -> tuple[Entry, ...]:
    """Return the distinct entries of a unit, by number."""
    return tuple(dict.fromkeys(entry(recipe, step) for step in steps(recipe) if step.reads and step.unit == unit))


@functools.lru_cache(maxsize=1024)
def engines(recipe: Recipe) -> tuple[Engine, ...]:
    """Return the engines of a chip."""
    geometry = matrix_geometries(recipe)
    return tuple(_engine(recipe, e, lanes, [g for g in geometry.values() if g.engine == e]) for e, lanes in enumerate(recipe.engine_lanes))


def _engine(recipe: Recipe, e: int, lanes: int, matrices: list[Geometry]) -> Engine:
    names = {g.matrix.name for g in matrices}
    own = tuple(step for step in steps(recipe) if step.matrix in names)
    base, words = {}, 0
    for g in matrices:
        if g.matrix.source == "memory":
            base[g.matrix.name] = words
            words += g.N
    return Engine(lanes, own, base, words, _memories(recipe, own), tuple(dict.fromkeys(g.recipe for g in matrices)))


def _memories(recipe: Recipe, operations: tuple[Operation, ...]) -> tuple[Memory, ...]:
    made = [(name, step.unit + 1) for step in steps(recipe) if step.reads for name in (step.mean, step.difference)]
    population = {in_turn("input0", n): 0 for n in range(recipe.samples_in_flight)} | dict(made)
    found: dict[tuple[str, int, str], dict[str, None]] = {}
    for port in ("column", "row"):
        for name in (getattr(step, port) for step in operations):
            if name and name not in MADE:
                found.setdefault((port, population[name], "state" if name in recipe.states else "delta"), {})[name] = None
    return tuple(Memory(*key, tuple(stores)) for key, stores in found.items())


def errors(recipe: Recipe, unit: int) -> tuple[str, ...]:
    """Return what the difference of a unit is (`Operation.error`), each kind once; at least one."""
    return tuple(dict.fromkeys(e.error for e in entries(recipe, unit) if e.difference or e.moved)) or ("dyad",)
