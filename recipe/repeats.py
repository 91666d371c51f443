"""Blocks of a program that its memory holds once, though they are played several times (contract section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .program import Instruction, Program

WORTH = 48
"""Rows that blocks must leave out: with fewer the sequencer of `digits-equilibrium` takes more LUTs than without any."""


class Block(NamedTuple):
    """The last `rows` rows are played `times` times more, each time `period` cycles after the one before."""

    rows: int
    period: int
    times: int


class Row(NamedTuple):
    """A row of the program memory.

    Attributes
    ----------
    cycle : int
        Program cycle of its first start, less the cycles by which the blocks before it go back.
    instruction : Instruction
        The first that it stands for.
    block : Block or None
        That ends with it.
    """

    cycle: int
    instruction: Instruction
    block: Block | None = None


def rows(programs: Sequence[Program]) -> list[tuple[Row, ...]]:
    """Return the rows of the programs of a memory, in order: the fewest, or all of them where blocks leave out fewer than `WORTH`."""
    cut = [_fewest(p) for p in programs]
    if sum(len(p.instructions) for p in programs) - sum(count for blocks in cut for count, _ in blocks) < WORTH:
        cut = [[(1, 1)] * len(p.instructions) for p in programs]
    return [_listed(p, blocks) for p, blocks in zip(programs, cut, strict=True)]


def _listed(program: Program, blocks: list[tuple[int, int]]) -> tuple[Row, ...]:
    """Return the rows of a program that is cut into blocks: of each its rows, and how often they are played."""
    listed, n, gone = [], 0, 0
    for count, times in blocks:
        listed += [Row(i.cycle - gone, i) for i in program.instructions[n : n + count]]
        if times > 1:
            period = program.instructions[n + count].cycle - program.instructions[n].cycle
            listed[-1] = listed[-1]._replace(block=Block(count, period, times - 1))
            gone += (times - 1) * period
        n += count * times
    return tuple(listed)


def taken(listed: Sequence[Row]) -> int:
    """Return the cycles by which the blocks of a program's rows go back, all times together."""
    return sum(row.block.times * row.block.period for row in listed if row.block)


def _fewest(program: Program) -> list[tuple[int, int]]:
    """Return how a program is cut into blocks of the fewest rows: of each block its rows, and how often they are played."""
    cycles = np.array([i.cycle for i in program.instructions])
    number = {known: n for n, known in enumerate(dict.fromkeys((i.engine, i.step) for i in program.instructions))}
    names = np.array([number[i.engine, i.step] for i in program.instructions])
    n = len(cycles)
    # by first instruction and rows: how often the block is played at most
    times = np.ones((n, n // 2 + 1), dtype=np.int16)
    for count in range(1, n // 2 + 1):
        apart, same = cycles[count:] - cycles[:-count], names[count:] == names[:-count]
        goes_on = same[:-1] & same[1:] & (apart[:-1] == apart[1:])
        ends = np.append(np.where(goes_on, n, np.arange(len(goes_on))), len(goes_on))
        run = np.where(same, np.minimum.accumulate(ends[::-1])[::-1] + 1 - np.arange(n - count), 0)
        times[: n - count, count] = 1 + run // count
    least, best = np.zeros(n + 1, dtype=int), [(1, 1)] * n
    for i in reversed(range(n)):
        least[i] = 1 + least[i + 1]
        tried: list[int] = []
        for count in map(int, np.flatnonzero(times[i] > 1)):
            most = int(times[i, count])
            if any(count % c == 0 and c * times[i, c] >= count * most for c in tried):
                continue  # it is itself played several times
            tried.append(count)
            rests = count + least[i + count * np.arange(2, most + 1)]
            if rests.min() < least[i]:
                least[i], best[i] = rests.min(), (count, 2 + int(rests.argmin()))
    listed, i = [], 0
    while i < n:
        listed.append(best[i])
        i += best[i][0] * best[i][1]
    return listed
