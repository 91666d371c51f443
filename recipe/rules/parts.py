"""Parts of rules: operations with the chip's own names of matrices and stores.

``W{k}`` are the weights of layer k. ``input{k}`` is what they read: the sample (k = 0), else the means of unit k - 1; ``input{K}`` are the
outputs. ``error{k}`` are the differences of unit k.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..operations import Matrix, Op, Operation

if TYPE_CHECKING:
    from ..recipe import Recipe


def weights(recipe: Recipe) -> Iterator[Matrix]:
    """Yield the weights of every layer, each on an engine of its own."""
    for k in range(recipe.layers):
        yield Matrix(f"W{k}", k, k + 1, k)


def feedback(recipe: Recipe, letter: str = "B", **how: Any) -> Iterator[Matrix]:
    """Yield a matrix of the shape of W{k} for every layer k > 0, on its engine; `how` are fields of `Matrix`."""
    for k in range(1, recipe.layers):
        yield Matrix(f"{letter}{k}", k, k + 1, k, **how)


def read(k: int, recipe: Recipe, **changes: Any) -> Operation:
    """Return the forward read of layer k: the drive of unit k, whose mean goes up; `changes` are fields of `Operation`."""
    given: dict[str, Any] = {"op": Op.FORWARD, "matrix": f"W{k}", "column": f"input{k}", "unit": k, "mean": f"input{k + 1}"}
    if k < recipe.layers - 1:
        given |= {"keep_drive": True}
    else:
        given |= {"result": True, "loss": "zero"}
    return Operation(**given | changes)


def nudged(recipe: Recipe, **changes: Any) -> Operation:
    """Return the forward read of the last layer, nudged by beta, whose error is kept."""
    last = recipe.layers - 1
    return read(last, recipe, **{"force": "feedback", "difference": f"error{last}", "loss": "set"} | changes)


def hidden(recipe: Recipe, **changes: Any) -> Iterator[Operation]:
    """Yield the forward reads of all layers but the last."""
    for k in range(recipe.layers - 1):
        yield read(k, recipe, **changes)


def inference(recipe: Recipe) -> Iterator[Operation]:
    """Yield the forward reads of all layers."""
    yield from hidden(recipe)
    yield read(recipe.layers - 1, recipe)


def back(k: int, matrix: str = "", **changes: Any) -> Operation:
    """Return the transposed read that brings the error of unit k to unit k - 1, whose mean and difference are made anew."""
    given: dict[str, Any] = {
        "op": Op.TRANSPOSED,
        "matrix": matrix or f"W{k}",
        "row": f"error{k}",
        "unit": k - 1,
        "enter": "feedback",
        "mean": f"input{k}",
        "difference": f"error{k - 1}",
    }
    return Operation(**given | changes)


def update(k: int, matrix: str = "", **changes: Any) -> Operation:
    """Return the update of W{k} (or `matrix`) by the outer product of the error of unit k and what the layer reads."""
    given: dict[str, Any] = {"op": Op.UPDATE, "matrix": matrix or f"W{k}", "row": f"error{k}", "column": f"input{k}"}
    return Operation(**given | changes)


def updates(recipe: Recipe, **changes: Any) -> Iterator[Operation]:
    """Yield the updates of all layers, the first one first."""
    for k in range(recipe.layers):
        yield update(k, **changes)
