"""Programs: static schedules that both the hardware's sequencer and the emulator execute (contract section 8)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from . import rules, timing
from .geometry import geometries
from .operations import Op, Operand
from .recipe import Recipe

FIRST = 2
"""Program cycle of the earliest instruction."""

GAP = 2
"""Least distance of two instructions, in cycles."""


@dataclass(frozen=True)
class Instruction:
    """Start `op` with `operand` on `layer` in program cycle `cycle`."""

    cycle: int
    layer: int
    op: Op
    operand: Operand

    def __str__(self) -> str:
        return f"{self.cycle:8d}  layer {self.layer}  {self.op.name.lower():<10}  {self.operand.name.lower()}"


@dataclass(frozen=True)
class Program:
    """A named schedule; `length` is its exact number of cycles."""

    name: str
    instructions: tuple[Instruction, ...]
    length: int

    def __str__(self) -> str:
        head = f"program {self.name}: {self.length} cycles\n   cycle  layer    operation   operand\n"
        return head + "\n".join(map(str, self.instructions)) + "\n"


def compile_program(recipe: Recipe, rule: str) -> Program:
    """Return the program of a rule on this recipe's chip: each operation as early as its elements, its engine and the dyads allow.

    Parameters
    ----------
    recipe : Recipe
    rule : str
        Of `rules.RULES`, or ``package.module:function``.

    Returns
    -------
    Program
        Instructions sorted by cycle, at least `GAP` apart. Those that share a vector or an engine start in the order of the rule.
    """
    geometry = geometries(recipe)
    engine = [0] * recipe.layers            # next start that each engine takes
    dyad = [0] * recipe.layers              # next cycle in which each dyad is free
    made: dict[str, np.ndarray] = {}        # last write of each element
    used: dict[str, np.ndarray] = {}        # last read of each element
    touched: dict[str, int] = {}            # last start that touches a vector
    taken: set[int] = set()
    instructions = []
    end = 0
    for step in map(rules.Step._make, rules.rule(rule)(recipe)):
        (layer, op, operand), (needs, makes) = step, rules.traffic(step, recipe)
        g = geometry[layer]
        first = {v: timing.reads(g, op, v) for v in needs}
        write = {v: timing.writes(g, op, v) for v in makes}
        # an element written in cycle c is read, and written again, from c + 1 on; one read in cycle c is written from c + 1 on
        earliest = [FIRST, engine[layer]] + [touched[v] + 1 for v in needs | makes if v in touched]
        earliest += [int((made[v] + 1 - first[v][0]).max()) for v in needs if v in made]
        earliest += [int((before[v] + 1 - write[v]).max()) for v in makes for before in (made, used) if v in before]
        if op in (Op.FORWARD, Op.TRANSPOSED):
            unit, enters, leaves = timing.dyad(g, op)
            earliest.append(dyad[unit] - enters)
        start = max(earliest)
        while any(t in taken for t in range(start - GAP + 1, start + GAP)):
            start += 1
        taken.add(start)
        engine[layer] = start + g.busy(op)
        if op in (Op.FORWARD, Op.TRANSPOSED):
            dyad[unit] = start + leaves + 1
        for v in needs:
            used[v] = np.maximum(used.get(v, 0), start + first[v][1])
        for v in makes:
            made[v] = start + write[v]
        touched |= dict.fromkeys(needs | makes, start)
        instructions.append(Instruction(start, layer, op, operand))
        end = max(end, start + timing.end(g, step))
    return Program(rule, tuple(sorted(instructions, key=lambda i: i.cycle)), end + 1)


@functools.cache
def programs(recipe: Recipe) -> tuple[Program, Program]:
    """The chip's two programs, (infer, train); an inference chip has the same twice."""
    infer = compile_program(recipe, "inference")
    return infer, infer if recipe.rule == "inference" else compile_program(recipe, recipe.rule)


def program_memory(recipe: Recipe) -> tuple[tuple[Instruction, ...], int]:
    """All instructions in program-memory order and the address of the training program's first one."""
    infer, train = programs(recipe)
    if train is infer:
        return infer.instructions, 0
    return infer.instructions + train.instructions, len(infer.instructions)


def emissions(recipe: Recipe, train: bool) -> tuple[Instruction, ...]:
    """Return the reads of a program whose outputs enter the result queue, in order (contract section 9)."""
    return tuple(i for i in programs(recipe)[train].instructions
                 if i.layer == recipe.layers - 1 and i.op == Op.FORWARD and i.operand != Operand.SUBTRACT)


def most_results(recipe: Recipe) -> int:
    """Return the most elements that one program puts into the result queue, E of contract section 9."""
    return recipe.sizes[-1] * max(len(emissions(recipe, train)) for train in (False, True))
