"""Rules of reversible blocks: what went up is computed back on the way down, so that states are not stored by depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from ..operations import Matrix, Op, Operation
from . import parts

if TYPE_CHECKING:
    from ..recipe import Recipe

BLOCKS = 2
"""Blocks between the last two hidden units: each adds to both of them once."""


def _streams(recipe: Recipe) -> tuple[int, int]:
    """Return the units of the two streams, a and b: the last hidden ones."""
    if recipe.layers < 3:
        raise ValueError(f"blocks lie between two hidden units, of {recipe.layers - 1}; sizes = [64, 32, 32, 10], for example, has them")
    return recipe.layers - 3, recipe.layers - 2


def _half(name: str, source: int, unit: int, enter: Literal["more", "less"]) -> Operation:
    """Return the read that adds to a stream, or takes from it, what a matrix makes of the other one."""
    return Operation(
        Op.FORWARD, name, f"input{source + 1}", unit=unit, enter=enter, keep_drive=True, repeatable=True, mean=f"input{unit + 1}"
    )


def _up(recipe: Recipe) -> Iterator[Operation]:
    """Yield the reads of all hidden units: a = W s, b = W f(a), then for each block a += A f(b), b += B f(a)."""
    a, b = _streams(recipe)
    for k in range(recipe.layers - 1):
        yield parts.read(k, recipe, repeatable=k >= a, keep_feedback=k >= a)  # which a drive leaves at 0
    for n in range(BLOCKS):
        yield _half(f"A{n}", b, a, "more")
        yield _half(f"B{n}", a, b, "more")


def _gather(matrix: str, above: int, unit: int) -> Operation:
    """Return the transposed read that adds to a stream's error what comes from the other's, where its activation has a slope."""
    return parts.back(above, matrix, unit=unit, enter="gather", error="feedback", keep_feedback=True, mean="", difference=f"error{unit}")


def inferred(recipe: Recipe) -> Iterator[Operation]:
    """Yield inference: up through the blocks, and the outputs."""
    yield from _up(recipe)
    yield parts.read(recipe.layers - 1, recipe)


def reversible(recipe: Recipe) -> Iterator[Operation]:
    """Exact backpropagation through reversible blocks, each computed back before its error goes down.

    Two drives, states and errors are kept for any number of blocks.
    """
    a, b = _streams(recipe)
    last = recipe.layers - 1
    yield from _up(recipe)
    yield parts.nudged(recipe, error="gate")
    yield _gather(f"W{last}", last, b)
    yield parts.update(last)
    for n in reversed(range(BLOCKS)):
        for name, above, below in ((f"B{n}", b, a), (f"A{n}", a, b)):
            yield _half(name, below, above, "less")
            yield _gather(name, above, below)
            yield parts.update(above, name, column=f"input{below + 1}")
    yield _gather(f"W{b}", b, a)
    yield parts.update(b)
    for k in range(a, 0, -1):
        yield parts.back(k, error="gate", mean="")
        yield parts.update(k)
    yield parts.update(0)


def matrices(recipe: Recipe) -> Iterator[Matrix]:
    """Yield the weights, and for each block a matrix to either stream from the other."""
    a, b = _streams(recipe)
    yield from parts.weights(recipe)
    for n in range(BLOCKS):
        yield Matrix(f"A{n}", b + 1, a + 1, a)
        yield Matrix(f"B{n}", a + 1, b + 1, b)
