"""Programs: static schedules that both the hardware's sequencer and the emulator execute (contract section 8)."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from . import rules, timing
from .geometry import Geometry, matrix_geometries
from .operations import Op, Operation
from .overlap import FIRST, FREE, GAP, once, overlapped
from .recipe import Recipe


@dataclass(frozen=True)
class Instruction:
    """Start `step` on engine `engine` in program cycle `cycle`; of a read, `lag` updates of the samples before it are not seen yet."""

    cycle: int
    engine: int
    step: Operation
    lag: int = 0

    @property
    def op(self) -> Op:
        """Operation of the engine."""
        return self.step.op

    def __str__(self) -> str:
        behind = f"; {self.lag} update{'s' * (self.lag > 1)} behind" if self.lag else ""
        return f"{self.cycle:8d}  engine {self.engine}  {self.step}{behind}"


@dataclass(frozen=True)
class Program:
    """A named schedule.

    Attributes
    ----------
    name : str
    instructions : tuple of Instruction
        In the order in which they start where no other sample is under way: that of their positions in the program memory.
    length : int
        Its exact number of cycles.
    interval : int
        The next sample may start so many cycles after this one, while it still runs; 0: only when it has ended.
    """

    name: str
    instructions: tuple[Instruction, ...]
    length: int
    interval: int = 0

    @property
    def period(self) -> int:
        """Cycles that a sample takes where the next one waits for it."""
        return self.interval or self.length

    @property
    def in_flight(self) -> int:
        """Samples that are under way at most, each an interval after the one before."""
        return -(-self.length // self.interval) if self.interval else 1

    @property
    def staleness(self) -> dict[str, int]:
        """Map each matrix that is read to the updates by earlier samples that the furthest of its reads does not see yet."""
        found: dict[str, int] = {}
        for i in self.instructions:
            if i.step.reads:
                found[i.step.matrix] = max(i.lag, found.get(i.step.matrix, 0))
        return found

    def __str__(self) -> str:
        stale = ", ".join(f"{name} {lag}" for name, lag in self.staleness.items() if lag)
        told = f", the next sample after {self.interval}, {self.in_flight} under way; updates behind: {stale or 'none'}"
        told = told if self.interval else ""
        head = f"program {self.name}: {self.length} cycles{told}\n   cycle  engine    operation\n"
        return head + "\n".join(map(str, self.instructions)) + "\n"


def compile_program(recipe: Recipe, name: str, steps: Iterable[Operation], flight: int = 1) -> Program:
    """Return the program of a rule's operations: each as early as its elements and its way through engine and unit allow.

    Parameters
    ----------
    recipe : Recipe
    name : str
        Of the program.
    steps : iterable of Operation
        In the order of the rule.
    flight : int
        More than 1: the next sample starts while this one still runs, and so many may be under way, as soon as all give the values that
        they give alone, with weights as stale as the recipe allows.

    Returns
    -------
    Program
        Instructions at least `GAP` apart; the shortest of those that differ in how long the most urgent operation is
        waited for, or the one of the least interval. Operations of which one writes what the other reads or writes start in the order of
        the rule.
    """
    tasks = _tasks(recipe, tuple(steps))
    patience = PATIENCE if 1 < len(tasks) <= MOST_ORDERED else (None,)
    found = [_listed(tasks, wait) for wait in patience]
    placed, length = min(found, key=lambda made: made[1])
    order, interval, lags = np.argsort(placed, kind="stable"), 0, [0] * len(tasks)
    if flight > 1 and (shorter := overlapped(tasks, placed, length, flight)):
        placed, length, interval, lags = shorter
    instructions = tuple(Instruction(placed[n], tasks[n].geometry.engine, tasks[n].step, lags[n]) for n in order)
    return Program(name, instructions, length, interval)


PATIENCE = (None, 0, 4, 8, 16, 32)
"""Cycles that a more urgent operation is waited for; None: all are placed in the order of the rule."""
MOST_ORDERED = 100
"""Operations of a program whose order is looked for; longer ones keep the rule's."""


class Task(NamedTuple):
    """An operation of a program and what the scheduler asks of it; cycles are after its start.

    Attributes
    ----------
    step : Operation
    geometry : Geometry
    reads, writes : dict
        By store: the first and the last cycle in which each element is read; the cycle in which it is written.
    passes : dict
        `timing.passes`.
    end : int
        Cycle of the last write.
    before : tuple of int
        Tasks that must have started.
    """

    step: Operation
    geometry: Geometry
    reads: dict[str, tuple[np.ndarray, np.ndarray]]
    writes: dict[str, np.ndarray]
    passes: dict[str, tuple[int, int]]
    end: int
    before: tuple[int, ...]


def _tasks(recipe: Recipe, steps: tuple[Operation, ...]) -> list[Task]:
    geometry, tasks, alike = matrix_geometries(recipe), [], {}
    last: dict[str, int] = {}  # by store: the task that wrote it last
    since: dict[str, list[int]] = {}  # by store: the tasks that have read it since
    for n, step in enumerate(steps):
        g = geometry[step.matrix]
        if step not in alike:
            needs, makes = timing.traffic(g.matrix, step)
            alike[step] = (
                {v: timing.reads(g, step, v) for v in needs},
                {v: timing.writes(g, step, v) for v in makes},
                timing.passes(g, step),
                timing.end(g, step),
            )
        reads, writes, passes, end = alike[step]
        makes = {*writes, *(("results",) if step.result else ())}
        before = {last[v] for v in {*reads, *makes} if v in last} | {m for v in makes for m in since.get(v, ())}
        tasks.append(Task(step, g, reads, writes, passes, end, tuple(sorted(before))))
        for v in reads:
            since.setdefault(v, []).append(n)
        for v in makes:
            last[v], since[v] = n, []
    return tasks


def _listed(tasks: list[Task], patience: int | None) -> tuple[list[int], int]:
    """Return the start of each task and the program's length; `patience` as in `PATIENCE`."""
    schedule, starts = _Schedule(), [0] * len(tasks)
    urgent = _urgency(tasks) if patience is not None else []
    waiting = list(range(len(tasks)))
    while waiting:
        chosen = waiting[0]
        if patience is not None:
            open_ = [n for n in waiting if not any(starts[m] == 0 for m in tasks[n].before)]
            earliest = {n: schedule.earliest(tasks[n], [starts[m] for m in tasks[n].before]) for n in open_}
            soon = min(earliest.values()) + patience
            chosen = max((n for n in open_ if earliest[n] <= soon), key=lambda n: (urgent[n], -n))
        starts[chosen] = schedule.place(tasks[chosen], [starts[m] for m in tasks[chosen].before])
        waiting.remove(chosen)
    return starts, schedule.end + 1


def _urgency(tasks: list[Task]) -> list[int]:
    """Return, for each task, the cycles from its start to the end of what waits for it, were engines and units free."""
    after = [t.end for t in tasks]
    for n in reversed(range(len(tasks))):
        for m in tasks[n].before:
            after[m] = max(after[m], _apart(tasks[m], tasks[n]) + after[n])
    return after


def _apart(first: Task, then: Task) -> int:
    """Return the least cycles between the starts of two tasks that share a store."""
    found = [1]
    for v, written in first.writes.items():
        found += [int((written + 1 - then.reads[v][0]).max())] if v in then.reads else []
        found += [int((written + 1 - then.writes[v]).max())] if v in then.writes else []
    found += [int((read[1] + 1 - then.writes[v]).max()) for v, read in first.reads.items() if v in then.writes]
    return max(found)


class _Schedule:
    """Places of the tasks so far."""

    def __init__(self) -> None:
        self.free: dict[str, int] = {}  # first cycle in which a place that takes one operation at a time is free
        self.made: dict[str, np.ndarray] = {}  # last write of each element
        self.used: dict[str, np.ndarray] = {}  # last read of each element
        self.taken: set[int] = set()  # starts
        self.end = 0

    def earliest(self, t: Task, before: list[int]) -> int:
        """Return the first cycle in which a task can start, after the starts `before`."""
        # an element written in cycle c is read, and written again, from c + 1 on; one read in cycle c is written from c + 1 on
        bounds = [FIRST, *(start + 1 for start in before)]
        bounds += [int((self.made[v] + 1 - read[0]).max()) for v, read in t.reads.items() if v in self.made]
        bounds += [int((past[v] + 1 - write).max()) for v, write in t.writes.items() for past in (self.made, self.used) if v in past]
        bounds += [self.free[place] - first for place, (first, _) in t.passes.items() if place in self.free]
        start = max(bounds)
        while not self.taken.isdisjoint(range(start - GAP + 1, start + GAP)):
            start += 1
        return start

    def place(self, t: Task, before: list[int]) -> int:
        """Place a task as early as it can be; return its start."""
        start = self.earliest(t, before)
        self.taken.add(start)
        self.free |= {place: start + last + 1 for place, (_, last) in t.passes.items()}
        for v, read in t.reads.items():
            self.used[v] = np.maximum(self.used.get(v, 0), start + read[1])
        self.made |= {v: start + write for v, write in t.writes.items()}
        self.end = max(self.end, start + t.end)
        return start


@functools.cache
def programs(recipe: Recipe) -> tuple[Program, Program]:
    """Return the chip's two programs, (infer, train); a chip that does not learn has the same twice."""
    infer = compile_program(recipe, "infer", rules.rule(recipe.rule).infer(recipe))
    return infer, compile_program(recipe, recipe.rule, recipe.steps, recipe.samples_in_flight) if recipe.learns else infer


@functools.cache
def lasting(recipe: Recipe) -> dict[str, int]:
    """Return the slots of each store that the next samples write while this one still needs it; of the sample and the drives, too."""
    return {} if recipe.samples_in_flight == 1 else outlasting(recipe, programs(recipe)[1])


def outlasting(recipe: Recipe, program: Program) -> dict[str, int]:
    """Return the same of any program, whose next sample may start after its interval: powers of two, more than 1."""
    geometry = matrix_geometries(recipe)
    first: dict[str, np.ndarray] = {}
    last: dict[str, np.ndarray] = {}
    for i in program.instructions:
        g = geometry[i.step.matrix]
        needs, makes = timing.traffic(g.matrix, i.step)
        for v in needs | makes:
            used = [timing.writes(g, i.step, v)] * (v in makes) + [timing.reads(g, i.step, v)[1]] * (v in needs)
            last[v] = functools.reduce(np.maximum, (i.cycle + c for c in used), last.get(v, np.array(0)))
        for v in makes:
            first[v] = np.minimum(first.get(v, np.array(1 << 40)), i.cycle + timing.writes(g, i.step, v))
    # the next sample comes into the slot after that of the one before, from program cycle FREE on
    first["input0"] = FREE - program.interval + np.arange(recipe.sizes[0])
    found = {"input0": 2}
    for v in first:
        while program.interval and not once(v) and (last.get(v, first[v] - 1) >= found.get(v, 1) * program.interval + first[v]).any():
            found[v] = 2 * found.get(v, 1)
    return found


def program_memory(recipe: Recipe) -> tuple[tuple[Instruction, ...], int]:
    """Return all instructions in program-memory order and the address of the training program's first one."""
    infer, train = programs(recipe)
    if train is infer:
        return infer.instructions, 0
    return infer.instructions + train.instructions, len(infer.instructions)


def emissions(recipe: Recipe, train: bool) -> tuple[Instruction, ...]:
    """Return the reads of a program whose outputs enter the result queue, in order (contract section 9)."""
    return tuple(i for i in programs(recipe)[train].instructions if i.step.result)


def results_held(recipe: Recipe) -> int:
    """Return the elements for which the result queue has room: a program's, and those of the samples under way (contract section 9)."""
    train, geometry = programs(recipe)[True], matrix_geometries(recipe)
    last = max((i.cycle + int(timing.writes(geometry[i.step.matrix], i.step, "result")[-1]) for i in emissions(recipe, True)), default=0)
    coming = 1 + (last + 1) // train.interval if train.interval else 1
    return (1 + coming) * most_results(recipe)


def most_results(recipe: Recipe) -> int:
    """Return the most elements that one program puts into the result queue, E of contract section 9."""
    return recipe.sizes[-1] * max(len(emissions(recipe, train)) for train in (False, True))
