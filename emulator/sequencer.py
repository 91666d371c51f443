"""The sequencer: plays a program, instruction by instruction (contract section 8)."""

from __future__ import annotations

from ..recipe import Instruction, Recipe, program_memory, programs, table
from .clock import walk


def instructions(recipe: Recipe, train: bool) -> tuple[tuple[int, Instruction], ...]:
    """The instructions of a program with their positions in the program memory, in order of their cycles."""
    memory, first = program_memory(recipe)
    program = programs(recipe)[train]
    start = first if train else 0
    return tuple((pc, memory[pc]) for pc in range(start, start + len(program.instructions)))


def length(recipe: Recipe, train: bool) -> int:
    """Cycles of a program."""
    return programs(recipe)[train].length


# Trace ------------------------------------------------------------------------------------------------------


def trace(recipe: Recipe, stimulus: dict) -> dict:
    """Every port of `Sequencer` at every clock.

    Parameters
    ----------
    recipe : Recipe
    stimulus : dict
        ``launch``, ``train``: one entry per clock, from reset.

    Returns
    -------
    dict
        ``busy``, ``finish``, ``start`` (bit e: engine e), ``number``, ``pc``; the last two mean something only while a bit of `start`
        is set.
    """
    return walk(Clocked(recipe).clock, stimulus, ("launch", "train"))


class Clocked:
    """The registers of `Sequencer`."""

    def __init__(self, recipe: Recipe):
        self.programs = [({i.cycle: (pc, i) for pc, i in instructions(recipe, train)}, length(recipe, train))
                         for train in (False, True)]
        self.engines = table.engines(recipe)
        self.table, self.length = self.programs[0]
        self.cycle = None                    # program cycle, None when idle

    def clock(self, launch: int, train: int) -> dict:
        busy, finish = self.cycle is not None, False
        start = number = pc = 0
        if busy:
            finish = self.cycle == self.length - 1
            if self.cycle in self.table:
                pc, instruction = self.table[self.cycle]
                start = 1 << instruction.engine
                number = self.engines[instruction.engine].operations.index(instruction.step)
            self.cycle = None if finish else self.cycle + 1
        elif launch:
            self.table, self.length = self.programs[bool(train)]
            self.cycle = 0
        return {"busy": int(busy), "finish": int(finish), "start": start, "number": number, "pc": pc}
