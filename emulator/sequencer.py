"""The sequencer: plays a program, instruction by instruction (contract section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ..recipe import FREE, Instruction, Recipe, program_memory, programs, table
from .clock import Ports, Stimulus, Waves, walk

Program: TypeAlias = "tuple[tuple[int, Instruction], ...]"
"""Instructions with their positions in the program memory."""


def instructions(recipe: Recipe, train: bool) -> Program:
    """The instructions of a program with their positions in the program memory, in that order."""
    memory, first = program_memory(recipe)
    program = programs(recipe)[train]
    start = first if train else 0
    return tuple((pc, memory[pc]) for pc in range(start, start + len(program.instructions)))


def length(recipe: Recipe, train: bool) -> int:
    """Cycles of a program."""
    return programs(recipe)[train].length


def cycles(recipe: Recipe, samples: int, follows: bool = False) -> int:
    """Cycles of the training programs of samples that wait for one another; `follows`: for one before them, too."""
    program = programs(recipe)[True]
    return samples * program.period + (0 if follows else program.length - program.period)


# Trace ------------------------------------------------------------------------------------------------------


def trace(recipe: Recipe, stimulus: Stimulus) -> Waves:
    """Every port of `Sequencer` at every clock.

    Parameters
    ----------
    recipe : Recipe
    stimulus : dict
        ``launch``, ``train`` and, where several samples may be under way, ``turn``: one entry per clock, from reset.

    Returns
    -------
    dict
        ``busy``, ``finish``, ``start`` (bit e: engine e), ``number``, ``pc``; the last two mean something only while a bit of `start`
        is set. And ``again``, ``spare``, ``rest`` where several samples may be under way.
    """
    return walk((Overlapping if recipe.samples_in_flight > 1 else Clocked)(recipe).clock, stimulus, inputs(recipe))


def inputs(recipe: Recipe) -> tuple[str, ...]:
    """Return the input ports of `Sequencer`."""
    return ("launch", "train", *(("turn",) if recipe.samples_in_flight > 1 else ()))


class Clocked:
    """The registers of `Sequencer`."""

    def __init__(self, recipe: Recipe):
        self.programs = [({i.cycle: (pc, i) for pc, i in instructions(recipe, train)}, length(recipe, train)) for train in (False, True)]
        self.engines = table.engines(recipe)
        self.table, self.length = self.programs[0]
        self.cycle: int | None = None  # program cycle, None when idle

    def start(self, trains: bool) -> None:
        """Launch a program: its cycle 0 is the next one."""
        self.table, self.length = self.programs[trains]
        self.cycle = 0

    def clock(self, launch: int, train: int) -> Ports:
        busy, finish = self.cycle is not None, False
        start = number = pc = 0
        if self.cycle is not None:
            finish = self.cycle == self.length - 1
            if self.cycle in self.table:
                pc, instruction = self.table[self.cycle]
                start = 1 << instruction.engine
                number = self.engines[instruction.engine].operations.index(instruction.step)
            self.cycle = None if finish else self.cycle + 1
        elif launch:
            self.start(bool(train))
        return {"busy": int(busy), "finish": int(finish), "start": start, "number": number, "pc": pc}


@dataclass
class _Running:
    """A program under way: its cycle, and the turn of its sample, which is known from its first cycle on."""

    trains: bool
    cycle: int = 0
    turn: int | None = None


class Overlapping:
    """The same where several samples may be under way."""

    def __init__(self, recipe: Recipe):
        self.programs = [
            ({i.cycle: (pc, i) for pc, i in instructions(recipe, bool(train))}, program.length, program.interval)
            for train, program in enumerate(programs(recipe))
        ]
        self.engines = table.engines(recipe)
        self.running: list[_Running] = []  # oldest first

    def start(self, trains: bool) -> None:
        """Launch a program: its cycle 0 is the next one."""
        self.running.append(_Running(trains))

    def clock(self, launch: int, train: int, turn: int) -> Ports:
        ports = {"busy": int(bool(self.running)), **dict.fromkeys(("finish", "rest", "again", "spare", "start", "number", "pc"), 0)}
        for program in self.running:
            cycle, (of_cycle, length, interval) = program.cycle, self.programs[program.trains]
            program.turn = turn if program.turn is None else program.turn
            if cycle in of_cycle:
                pc, instruction = of_cycle[cycle]
                found = self.engines[instruction.engine].operations
                ports |= {"start": 1 << instruction.engine, "number": found.index(instruction.step) + program.turn, "pc": pc}
            ports["finish"] |= cycle == length - 1
            ports["again"] |= cycle == interval - 1
            ports["spare"] |= cycle == FREE - 1
            program.cycle += 1
        if ports["finish"]:
            ports["rest"] = len(self.running) == 1
            self.running.pop(0)
        if launch:
            self.start(bool(train))
        return {name: int(value) for name, value in ports.items()}
