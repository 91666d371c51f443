"""Programs: static schedules that both the hardware's sequencer and the emulator execute (contract section 8)."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from . import rules
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
    """The program of a rule on this recipe's chip: as early as data, engines and the sequencer allow.

    Parameters
    ----------
    recipe : Recipe
    rule : str
        Of `rules.RULES`, or ``package.module:function``.

    Returns
    -------
    Program
        Instructions sorted by cycle, at least `GAP` apart.
    """
    geometry = geometries(recipe)
    engine = [0] * recipe.layers      # next start each engine takes
    made: dict[str, int] = {}         # when each vector is complete
    used: dict[str, int] = {}         # until when each vector is being read
    taken: set[int] = set()
    instructions = []
    end = 0
    for step in map(rules.Step._make, rules.rule(rule)(recipe)):
        (layer, op, operand), (needs, makes) = step, rules.traffic(step, recipe)
        g = geometry[layer]
        # a vector is overwritten, at the earliest, after its last reader's last slot
        start = max([FIRST, engine[layer]] + [made.get(v, 0) for v in needs | makes] + [used.get(v, 0) for v in makes])
        while any(abs(start - t) < GAP for t in taken):
            start += 1
        taken.add(start)
        engine[layer] = start + g.busy(op)
        for v in makes:
            made[v] = start + g.ready(op)
        for v in needs:
            used[v] = max(used.get(v, 0), start + g.busy(op))
        instructions.append(Instruction(start, layer, op, operand))
        end = max(end, start + g.ready(op))
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
