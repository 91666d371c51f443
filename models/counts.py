"""Counts of a program: its matrices as it sees them, what is known of its values, and what it does in all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class View(NamedTuple):
    """A matrix as a program sees it.

    Attributes
    ----------
    matrix : int
    axes : tuple
        What each axis is: ``o`` outputs, ``i`` inputs, None neither.
    signs : bool
        Whether of the weights only the signs are left.
    moved : int
        Number of the operation that put other weights in their place, 0 for none.
    """

    matrix: int
    axes: tuple
    signs: bool = False
    moved: int = 0


@dataclass(frozen=True)
class Value:
    """Knowledge of one value of a program.

    Attributes
    ----------
    ready : int
        Tick from which it is there.
    chain : int
        Reads between the target and it, one after the other; -1 where it does not depend on the target.
    words : tuple of int
        Entries of `Count.held` that hold it.
    view : View, optional
    constant, drawn, target : bool
        Whether it depends on nothing that is given; on the key alone or with the target; on the target alone.
    name : object
        Equal for results of the same operation on the same values.
    """

    ready: int = 0
    chain: int = -1
    words: tuple[int, ...] = ()
    view: View | None = None
    constant: bool = False
    drawn: bool = False
    target: bool = False
    name: Any = None


@dataclass
class Count:
    """Counts of a whole program.

    Attributes
    ----------
    forward, transposed, signs : Counter
        Vectors multiplied, by matrix: in rows, in columns, and by signs of weights in either.
    moved : int
        Weight words that are set to something else while the sample is worked on.
    derivatives, random, messages, scalars : int
        Slopes of activations evaluated; random numbers drawn; words sent to matrices; scalars that depend on the target and multiply
        vectors.
    solves : int
        Dense systems solved.
    held : list of [words, ready, last, drawn]
        Results of operations: how many words, when they are there, when they are read last, and whether they follow from the key alone.
    busy : Counter
        Ticks that each matrix works.
    started : dict
        First tick of each matrix.
    results : list of Value
        Of the program.
    matrices, others
        As `count` was given them.
    """

    forward: Counter = field(default_factory=Counter)
    transposed: Counter = field(default_factory=Counter)
    signs: Counter = field(default_factory=Counter)
    moved: int = 0
    derivatives: int = 0
    random: int = 0
    messages: int = 0
    scalars: int = 0
    solves: int = 0
    held: list[list] = field(default_factory=list)
    busy: Counter = field(default_factory=Counter)
    started: dict[int, int] = field(default_factory=dict)
    free: Counter = field(default_factory=Counter)
    results: list[Value] = field(default_factory=list)
    matrices: Any = ()
    others: Any = ()

    @property
    def ticks(self) -> int:
        """Ticks until the last result is there."""
        return max([v.ready for v in self.results] + list(self.free.values()), default=0)

    def longest(self) -> int:
        """Return the ticks that any state waits until it is read last."""
        return max((last - ready for _, ready, last, drawn in self.held if not drawn), default=0)

    def peak(self, longer: int = 0, drawn: bool = False) -> int:
        """Return the most words of states, or of numbers drawn, that are held at once for more than `longer` ticks each."""
        edges: Counter = Counter()
        for words, ready, last, of_key in self.held:
            if last - ready > longer and of_key == drawn:
                edges[ready] += words
                edges[last] -= words
        most = now = 0
        for _, change in sorted(edges.items()):
            now += change
            most = max(most, now)
        return most
