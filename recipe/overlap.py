"""Programs of which two are under way: the least interval at which the next sample may start with nothing stale (contract section 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import timing
from .geometry import LEAD

if TYPE_CHECKING:
    from .program import Task

FIRST = 2
"""Program cycle of the earliest instruction."""
GAP = 2
"""Least distance of two instructions, in cycles."""
FREE = FIRST + LEAD + 1
"""Program cycle from which on the sample before needs its slot no longer: the first slot issues."""
MOST_MOVED = 24
"""Operations of a program whose order is looked for; longer ones keep theirs."""
NONE = -(1 << 40)
"""No edge."""


class Edges(NamedTuple):
    """Least distances between the starts of two operations, by their numbers; `NONE` where there is none.

    Attributes
    ----------
    own : int array (n, n)
        Least cycles from i to j of the same sample.
    carried : int array (n, n)
        Least cycles from i to j of the next sample.
    places : int array (n, n)
        Least cycles from i to whichever j comes after it at a place that takes one at a time.
    ends : int array (n,)
        Cycle of the last write, after the start.
    last : int array (n,)
        Cycles that the next sample's first operation must be behind the start: results are in the queue, label and sample are used up.
    """

    own: np.ndarray
    carried: np.ndarray
    places: np.ndarray
    ends: np.ndarray
    last: np.ndarray


def once(store: str) -> bool:
    """Return whether all samples share a store: registers, drives and words; the others have a slot for each sample under way."""
    return store == timing.LOSS or store.startswith(("drive of ", "feedback of ", "words of "))


def edges(tasks: Sequence[Task]) -> Edges:
    """Return the least distances between the starts of a program's operations."""
    n = len(tasks)
    own, carried, places = (np.full((n, n), NONE, np.int64) for _ in range(3))
    last = np.full(n, NONE, np.int64)
    for i, a in enumerate(tasks):
        for j, b in enumerate(tasks):
            shared = [a.passes[p][1] + 1 - b.passes[p][0] for p in a.passes if p in b.passes]
            places[i, j] = max(shared, default=NONE)
            carried[i, j] = max(_apart(a, b, once), default=NONE)
            if i < j:
                own[i, j] = max([*_apart(a, b), *([1] if i in b.before else [])], default=NONE)
        # the next sample's launch is in cycle `interval - 1` and takes its label and its slot of the sample in the next one
        behind = [int(timing.writes(a.geometry, a.step, "result")[-1]) + 2] if a.step.result else []
        behind += [timing.labelled(a.geometry, a.step) + 1] if timing.needs_label(a.geometry, a.step) else []
        behind += [int((a.reads["input0"][1] - np.arange(len(a.reads["input0"][1]))).max()) + 1 - FREE] if "input0" in a.reads else []
        last[i] = max(behind, default=NONE) + FIRST
    return Edges(own, carried, places, np.array([t.end for t in tasks]), last)


def _apart(first, then, which=lambda store: True) -> list[int]:
    """Return the least cycles between the starts of two operations, for each thing that they share."""
    found = []
    for v in filter(which, first.writes):
        found += [int((first.writes[v] + 1 - then.reads[v][0]).max())] if v in then.reads else []
        found += [int((first.writes[v] + 1 - then.writes[v]).max())] if v in then.writes else []
    found += [int((first.reads[v][1] + 1 - then.writes[v]).max()) for v in filter(which, first.reads) if v in then.writes]
    return found


def overlapped(tasks: Sequence[Task], starts: list[int], length: int) -> tuple[list[int], int, int] | None:
    """Return starts, length and interval of a program that overlaps with the next sample's; None where nothing is gained.

    Parameters
    ----------
    tasks : list of Task
        In the order of the rule.
    starts : list of int
        Of the program that runs alone; its first one is at `FIRST`.
    length : int
        Of the program that runs alone.

    Notes
    -----
    An order says in which order operations start within an interval, and which of them belong to the sample before. All that operations
    ask is then a least distance, and the least interval follows. Orders are looked for one move at a time, as long as one shortens it.
    """
    e = edges(tasks)
    order, late = [int(i) for i in np.argsort(starts, kind="stable")], np.zeros(len(tasks), np.int64)
    slots: dict[str, int] = {}
    for t in tasks:
        for place, (first, last) in t.passes.items():
            slots[place] = slots.get(place, 0) + last + 1 - first
    # a shorter interval is never kept, as the next sample comes an element a cycle
    least = max(FREE + tasks[0].geometry.recipe.sizes[0] + 1, *slots.values())
    best = _shortest(e, order, late, least, length - 2) if least <= length - 2 else None
    if best is None:
        return None
    for_moves = len(tasks) <= MOST_MOVED
    while for_moves and best[0] > least:
        for moved, kept in _moves(order, late):
            if _starts(e, moved, kept, best[0] - 1) is not None:
                order, late = moved, kept
                best = _shortest(e, order, late, least, best[0] - 1)
                break
        else:
            break
    interval, found = best
    placed = [int(v) for v in found + interval * late]
    return placed, max(s + t.end for s, t in zip(placed, tasks, strict=True)) + 1, interval


def _moves(order: list[int], late: np.ndarray):
    """Yield the orders in which one operation, but not the first, is elsewhere or belongs to the other sample."""
    for i in order[1:]:
        rest = [j for j in order if j != i]
        for belongs in (1 - late[i], late[i]):
            other = late.copy()
            other[i] = belongs
            for at in range(1, len(order)):
                moved = [*rest[:at], i, *rest[at:]]
                if moved != order or belongs != late[i]:
                    yield moved, other


def _shortest(e: Edges, order: list[int], late: np.ndarray, least: int, most: int):
    """Return the least interval of an order from `least` to `most`, and its starts less those of the intervals before; None if none."""
    found = _starts(e, order, late, most)
    if found is None:
        return None
    while least < most:
        middle = (least + most) // 2
        there = _starts(e, order, late, middle)
        if there is None:
            least = middle + 1
        else:
            most, found = middle, there
    return most, found


def _starts(e: Edges, order: list[int], late: np.ndarray, interval: int) -> np.ndarray | None:
    """Return the earliest starts within an interval, by longest paths; None where there are none."""
    n = len(order)
    before = np.empty(n, np.int64)
    before[order] = np.arange(n)
    apart = late[None, :] - late[:, None]
    if ((e.own > NONE) & (apart < 0)).any():
        return None                                     # an operation would be before what it waits for
    follows = before[:, None] < before[None, :]
    need = np.maximum(e.own - apart * interval, e.carried - (apart + 1) * interval)
    need = np.maximum(need, np.where(follows, np.maximum(e.places, GAP), e.places - interval))
    ends = np.maximum(e.last - (1 - late) * interval, e.ends + FIRST + 3 - (2 - late) * interval)
    need[:, order[0]] = np.maximum.reduce([need[:, order[0]], ends, np.full(n, FIRST + 1 - interval)])
    starts = np.full(n, FIRST, np.int64)
    for _ in range(n + 1):
        later = np.maximum(starts, (starts[:, None] + need).max(0))
        if later[order[0]] > FIRST:
            return None
        if (later == starts).all():
            return starts
        starts = later
    return None
