"""Programs of which several are under way: the least interval at which the next sample may start.

What operations of neighbouring samples ask of each other, and how stale weights may be, is in contract section 8.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
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
TRIES = 4000
"""Orders that are drawn where more than two samples may be under way, since single moves find few that are much staler."""
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
        Least cycles from i to whichever j comes after it at a place that takes one at a time; words that may be stale are such a place.
    ends : int array (n,)
        Cycle of the last write, after the start.
    last : int array (n,)
        Cycles that the first operation of the sample before the next one of its turn must be behind the start: the slot is used up.
    lags : list of (int, int, int)
        Read, update, and by how many updates the read may be behind.
    """

    own: np.ndarray
    carried: np.ndarray
    places: np.ndarray
    ends: np.ndarray
    last: np.ndarray
    lags: list[tuple[int, int, int]]


def once(store: str) -> bool:
    """Return whether all samples share a store: the loss, feedbacks and words; the others have slots for the samples under way."""
    return store == timing.LOSS or store.startswith(("feedback of ", "words of "))


def edges(tasks: Sequence[Task]) -> Edges:
    """Return the least distances between the starts of a program's operations."""
    n = len(tasks)
    own, carried, places = (np.full((n, n), NONE, np.int64) for _ in range(3))
    last, lags = np.full(n, NONE, np.int64), []
    stale = {}
    for t in tasks:
        m = t.geometry.matrix
        if allowed := t.geometry.recipe.staleness_of(m):
            stale[timing.words(m)] = allowed
    for i, a in enumerate(tasks):
        for j, b in enumerate(tasks):
            shared = [a.passes[p][1] + 1 - b.passes[p][0] for p in a.passes if p in b.passes]
            # between two updates of words that may be stale a whole read sees one version, whosever it is
            shared += _apart(a, b, stale.__contains__)
            places[i, j] = max(shared, default=NONE)
            carried[i, j] = max(_apart(a, b, lambda v: once(v) and v not in stale) + [1] * (a.step.result and b.step.result), default=NONE)
            if i < j:
                own[i, j] = max([*_apart(a, b), *([1] if i in b.before else [])], default=NONE)
            lags += [(i, j, stale[v]) for v in stale if v in a.reads and v not in a.writes and v in b.writes]
        behind = [int((a.reads["input0"][1] - np.arange(len(a.reads["input0"][1]))).max()) + 1 - FREE] if "input0" in a.reads else []
        last[i] = max(behind, default=NONE) + FIRST
    return Edges(own, carried, places, np.array([t.end for t in tasks]), last, lags)


def _apart(first: Task, then: Task, which: Callable[[str], bool] = lambda store: True) -> list[int]:
    """Return the least cycles between the starts of two operations, for each thing that they share."""
    found = []
    for v in filter(which, first.writes):
        found += [int((first.writes[v] + 1 - then.reads[v][0]).max())] if v in then.reads else []
        found += [int((first.writes[v] + 1 - then.writes[v]).max())] if v in then.writes else []
    found += [int((first.reads[v][1] + 1 - then.writes[v]).max()) for v in filter(which, first.reads) if v in then.writes]
    return found


class Overlap(NamedTuple):
    """A program that overlaps with the next samples'.

    Attributes
    ----------
    starts : list of int
    length, interval : int
    lags : list of int
        By operation: the updates of its words that it does not see yet, those of the samples just before its own.
    """

    starts: list[int]
    length: int
    interval: int
    lags: list[int]


def overlapped(tasks: Sequence[Task], starts: list[int], length: int, flight: int) -> Overlap | None:
    """Return how a program overlaps with those of the next samples; None where nothing is gained.

    Parameters
    ----------
    tasks : list of Task
        In the order of the rule.
    starts : list of int
        Of the program that runs alone; its first one is at `FIRST`.
    length : int
        Of the program that runs alone.
    flight : int
        How many samples may be under way.

    Notes
    -----
    An order says in which order operations start within an interval, and by how many intervals each is late. All that operations
    ask is then a least distance, and the least interval follows. Orders are looked for one move at a time, as long as one shortens it; then
    again from orders a few moves away.
    """
    e = edges(tasks)
    slots: dict[str, int] = {}
    for t in tasks:
        for place, (first, last) in t.passes.items():
            slots[place] = slots.get(place, 0) + last + 1 - first
    # a shorter interval is never kept, as the next sample comes an element a cycle
    least = max(FREE + tasks[0].geometry.recipe.sizes[0] + 1, *slots.values())
    if least > length - 2:
        return None
    search = _Search(e, flight, least)
    found = search.run([int(i) for i in np.argsort(starts, kind="stable")], length - 2, len(tasks) <= MOST_MOVED)
    if found is None:
        return None
    interval, offsets, order, late = found
    placed = [int(v) for v in offsets + interval * late]
    lags = [0] * len(tasks)
    for r, u, _ in e.lags:
        lags[r] = _lag(order, late, r, u)
    return Overlap(placed, max(s + t.end for s, t in zip(placed, tasks, strict=True)) + 1, interval, lags)


def _lag(order: list[int], late: np.ndarray, read: int, update: int) -> int:
    """Return how many updates of samples before its own a read does not see."""
    return int(late[update] - late[read] - (order.index(update) < order.index(read)))


class _Found(NamedTuple):
    """The least interval of an order, the starts within it, the order, and by how many intervals each is late."""

    interval: int
    starts: np.ndarray
    order: list[int]
    late: np.ndarray


class _Search:
    """Looks for the order of the least interval."""

    def __init__(self, e: Edges, flight: int, least: int):
        self.e, self.flight, self.least = e, flight, least
        self.rng = random.Random(0)

    def run(self, order: list[int], most: int, moves: bool) -> _Found | None:
        """Return what is found with an interval up to `most`; None if nothing is."""
        late = np.zeros(len(order), np.int64)
        best = self._shortest(order, late, most)
        if not moves or best is None:
            return best
        best = self._improved(best)
        for n in range(TRIES if self.flight > 2 else 0):
            if best.interval == self.least:
                break
            if found := self._shortest(*self._drawn(best.order, n % 5), best.interval - 1):
                best = self._improved(found)
        return best

    def _improved(self, best: _Found) -> _Found:
        while best.interval > self.least:
            for order, late in self._moves(best.order, best.late):
                if found := self._shortest(order, late, best.interval - 1):
                    best = found
                    break
            else:
                break
        return best

    def _moves(self, order: list[int], late: np.ndarray) -> Iterator[tuple[list[int], np.ndarray]]:
        """Yield the orders in which one operation, but not the first, is elsewhere or late by other intervals."""
        for i in order[1:]:
            rest = [j for j in order if j != i]
            for belongs in sorted(range(self.flight), key=lambda n: (n == late[i], n)):
                other = late.copy()
                other[i] = belongs
                for at in range(1, len(order)):
                    moved = [*rest[:at], i, *rest[at:]]
                    if moved != order or belongs != late[i]:
                        yield moved, other

    def _drawn(self, order: list[int], moves: int) -> tuple[list[int], np.ndarray]:
        """Return an order some moves away, or any if none, each operation late by as many intervals as it must, or one more."""
        first, *rest = order
        if not moves:
            self.rng.shuffle(rest)
        for _ in range(moves):
            i = rest.pop(self.rng.randrange(len(rest)))
            rest.insert(self.rng.randrange(len(rest) + 1), i)
        order = [first, *rest]
        at, late = {i: n for n, i in enumerate(order)}, np.zeros(len(order), np.int64)
        for j in range(len(order)):
            if j != first:
                waits = np.flatnonzero(self.e.own[:, j] > NONE).tolist()
                late[j] = max([late[i] + (at[j] < at[i]) for i in waits], default=0) + (self.rng.random() < 0.25)
        return order, np.minimum(late, self.flight - 1)

    def _shortest(self, order: list[int], late: np.ndarray, most: int) -> _Found | None:
        """Return an order with its least interval up to `most`; None if none is long enough."""
        least, found = self.least, self._starts(order, late, most)
        if found is None:
            return None
        while least < most:
            middle = (least + most) // 2
            there = self._starts(order, late, middle)
            if there is None:
                least = middle + 1
            else:
                most, found = middle, there
        return _Found(most, found, order, late)

    def _starts(self, order: list[int], late: np.ndarray, interval: int) -> np.ndarray | None:
        """Return the earliest starts within an interval, by longest paths; None where there are none."""
        e, n = self.e, len(order)
        if any(not 0 <= _lag(order, late, r, u) <= allowed for r, u, allowed in e.lags):
            return None
        before = np.empty(n, np.int64)
        before[order] = np.arange(n)
        apart = late[None, :] - late[:, None]
        if ((e.own > NONE) & (apart < 0)).any():
            return None  # an operation would be before what it waits for
        follows = before[:, None] < before[None, :]
        need = np.maximum(e.own - apart * interval, e.carried - (apart + 1) * interval)
        need = np.maximum(need, np.where(follows, np.maximum(e.places, GAP), e.places - interval))
        ends = np.maximum(e.last - (self.flight - 1 - late) * interval, e.ends + 1 + FIRST - (self.flight - late) * interval)
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
