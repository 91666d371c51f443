"""Multiplexers of an engine or a unit, chosen by an operation's number: none where all its operations agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from amaranth.hdl import Array, Const, Module, Mux, ShapeLike, Signal, Value, unsigned

from ..recipe import Geometry, Operation, Recipe, matrix_geometries, table
from .delay import delayed


def index_bits(n: int) -> int:
    """Return the bits of a port that numbers `n` things; at least one."""
    return max(1, (n - 1).bit_length())


def choose(number: Value, values: Sequence[int | bool | None], shape: ShapeLike | None = None) -> Value:
    """Return the entry of `values` with this number: a constant if all agree, else a multiplexer.

    Parameters
    ----------
    number : Value
        Below ``len(values)``.
    values : sequence of int or None
        None where it does not matter.
    shape : Shape, optional
        By default unsigned, of as many bits as the largest needs.
    """
    given = [v for v in values if v is not None]
    shape = unsigned(index_bits(max(given, default=0) + 1)) if shape is None else shape
    if len(set(given)) <= 1:
        return Const(given[0] if given else 0, shape)
    return Array(Const(given[0] if v is None else v, shape) for v in values)[number]


def either(chosen: Value, one: Value, other: Value) -> Value:
    """Return `one` where a bit is set, else `other`: a multiplexer, none where the bit is a constant."""
    if isinstance(chosen, Const):
        return one if chosen.value else other
    return Mux(chosen, one, other)


def settled(m: Module, choice: Value) -> Value:
    """Return a choice by the number of a cycle before, as a register, so that no path begins with it; a constant is one already."""
    return choice if isinstance(choice, Const) else delayed(m, choice, 1)


def held(m: Module, load: Value, choice: Value) -> Value:
    """Return a register that takes a choice where `load` is set, so that no path begins with it; a constant is one already."""
    if isinstance(choice, Const):
        return choice
    register = Signal.like(choice)
    with m.If(load):
        m.d.sync += register.eq(choice)
    return register


class ByOperation(NamedTuple):
    """Choice by an operation's number among the operations of one engine.

    Attributes
    ----------
    recipe : Recipe
    engine : table.Engine
    geometry : list of Geometry
        Of each operation, that of the matrix it is on.
    """

    recipe: Recipe
    engine: table.Engine
    geometry: Sequence[Geometry]

    @classmethod
    def of(cls, recipe: Recipe, engine: table.Engine) -> ByOperation:
        """Return those of an engine of the recipe's table."""
        geometry = matrix_geometries(recipe)
        return cls(recipe, engine, [geometry[step.matrix] for step in engine.operations])

    @property
    def pairs(self) -> Iterator[tuple[Geometry, Operation]]:
        """Each operation, and the geometry of its matrix before it."""
        return zip(self.geometry, self.engine.operations, strict=True)

    def __call__(
        self,
        number: Value,
        value: Callable[[Geometry, Operation], int | bool | None],
        shape: ShapeLike | None = None,
        only: Callable[[Operation], bool] | None = None,
    ) -> Value:
        """Choose ``value(geometry, operation)`` by number; `only` says which operations it matters to."""
        return choose(number, [None if only and not only(s) else value(g, s) for g, s in self.pairs], shape)
