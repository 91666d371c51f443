"""Rules of layers that learn on their own: each has a loss through a head of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..operations import Matrix, Operation
from . import parts

if TYPE_CHECKING:
    from ..recipe import Recipe


def heads(recipe: Recipe) -> Iterator[Operation]:
    """Every hidden unit learns from a head of its own on the engine above it; the last unit serves all heads."""
    last = recipe.layers - 1
    for k in range(last):
        head = f"head{k}"
        yield parts.read(k, recipe)
        yield parts.nudged(recipe, matrix=f"A{k}", column=f"input{k + 1}", mean="", difference=head, result=False)
        yield parts.back(k + 1, f"A{k}", row=head, mean="")
        yield parts.update(k + 1, f"A{k}", row=head, column=f"input{k + 1}")
        yield parts.update(k)
    yield parts.nudged(recipe)
    yield parts.update(last)


def headed(recipe: Recipe) -> Iterator[Matrix]:
    """Yield the weights, and a head for every hidden unit."""
    yield from parts.weights(recipe)
    for k in range(recipe.layers - 1):
        yield Matrix(f"A{k}", k + 1, recipe.layers, k + 1)
