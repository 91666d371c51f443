"""Programs: static schedules that both the hardware's sequencer and the emulator execute (contract section 8)."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from . import rules, timing
from .geometry import matrix_geometries
from .operations import Op, Operation
from .recipe import Recipe

FIRST = 2
"""Program cycle of the earliest instruction."""

GAP = 2
"""Least distance of two instructions, in cycles."""


@dataclass(frozen=True)
class Instruction:
    """Start `step` on engine `engine` in program cycle `cycle`."""

    cycle: int
    engine: int
    step: Operation

    @property
    def op(self) -> Op:
        """What the engine does."""
        return self.step.op

    def __str__(self) -> str:
        return f"{self.cycle:8d}  engine {self.engine}  {self.step}"


@dataclass(frozen=True)
class Program:
    """A named schedule; `length` is its exact number of cycles."""

    name: str
    instructions: tuple[Instruction, ...]
    length: int

    def __str__(self) -> str:
        head = f"program {self.name}: {self.length} cycles\n   cycle  engine    operation\n"
        return head + "\n".join(map(str, self.instructions)) + "\n"


def compile_program(recipe: Recipe, name: str, steps: Iterable[Operation]) -> Program:
    """Return the program of a rule's operations: each as early as its elements and its way through engine and unit allow.

    Parameters
    ----------
    recipe : Recipe
    name : str
        Of the program.
    steps : iterable of Operation
        In the order of the rule.

    Returns
    -------
    Program
        Instructions sorted by cycle, at least `GAP` apart. Those that share a store, a matrix or an engine start in the order of the rule.
    """
    geometry = matrix_geometries(recipe)
    free: dict[str, int] = {}               # first cycle in which a place that takes one operation at a time is free
    made: dict[str, np.ndarray] = {}        # last write of each element
    used: dict[str, np.ndarray] = {}        # last read of each element
    touched: dict[str, int] = {}            # last start that touches a store
    taken: set[int] = set()
    instructions = []
    end = 0
    for step in steps:
        g = geometry[step.matrix]
        needs, makes = timing.traffic(g.matrix, step)
        read = {v: timing.reads(g, step, v) for v in needs}
        write = {v: timing.writes(g, step, v) for v in makes}
        passes = timing.passes(g, step)
        # an element written in cycle c is read, and written again, from c + 1 on; one read in cycle c is written from c + 1 on
        earliest = [FIRST] + [touched[v] + 1 for v in needs | makes if v in touched]
        earliest += [int((made[v] + 1 - read[v][0]).max()) for v in needs if v in made]
        earliest += [int((before[v] + 1 - write[v]).max()) for v in makes for before in (made, used) if v in before]
        earliest += [free[place] - first for place, (first, _) in passes.items() if place in free]
        start = max(earliest)
        while not taken.isdisjoint(range(start - GAP + 1, start + GAP)):
            start += 1
        taken.add(start)
        free |= {place: start + last + 1 for place, (_, last) in passes.items()}
        for v in needs:
            used[v] = np.maximum(used.get(v, 0), start + read[v][1])
        for v in makes:
            made[v] = start + write[v]
        touched |= dict.fromkeys(needs | makes, start)
        instructions.append(Instruction(start, g.engine, step))
        end = max(end, start + timing.end(g, step))
    return Program(name, tuple(sorted(instructions, key=lambda i: i.cycle)), end + 1)


@functools.cache
def programs(recipe: Recipe) -> tuple[Program, Program]:
    """Return the chip's two programs, (infer, train); a chip that does not learn has the same twice."""
    infer = compile_program(recipe, "infer", rules.rule(recipe.rule).infer(recipe))
    return infer, compile_program(recipe, recipe.rule, recipe.steps) if recipe.learns else infer


def program_memory(recipe: Recipe) -> tuple[tuple[Instruction, ...], int]:
    """Return all instructions in program-memory order and the address of the training program's first one."""
    infer, train = programs(recipe)
    if train is infer:
        return infer.instructions, 0
    return infer.instructions + train.instructions, len(infer.instructions)


def emissions(recipe: Recipe, train: bool) -> tuple[Instruction, ...]:
    """Return the reads of a program whose outputs enter the result queue, in order (contract section 9)."""
    return tuple(i for i in programs(recipe)[train].instructions if i.step.result)


def most_results(recipe: Recipe) -> int:
    """Return the most elements that one program puts into the result queue, E of contract section 9."""
    return recipe.sizes[-1] * max(len(emissions(recipe, train)) for train in (False, True))
