"""Rules of layers that learn on their own: each has a loss through a head of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..operations import Matrix, Op, Operation
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


HASTE = 2
"""Hidden layers learn at ``2**HASTE`` times the rate of the head, whose error grows at a rate of which they still make little."""


def forward_forward(recipe: Recipe) -> Iterator[Operation]:
    """Hidden units that become more active with the label and less with the net's own guess of it; a head reads them without either.

    The objective of unit k is its goodness with the guess less that with the label, goodness ``sum phi(a)`` with ``phi' = f``: half the
    squared states until the activation saturates. The label enters every hidden unit beside the sample, through a matrix of its own.
    """
    last = recipe.layers - 1
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe, mean="guess")
    yield parts.read(last, recipe, force="clamp", mean="truth", result=False, loss="keep")
    for seen in ("truth", "guess"):
        for k in range(last):
            if k:  # unit 0 has kept what the sample alone brings
                yield Operation(Op.FORWARD, f"W{k}", f"{seen}{k}", unit=k, keep_drive=True)
            yield Operation(Op.FORWARD, f"L{k}", seen, unit=k, enter="more", mean=f"{seen}{k + 1}")
    for seen in ("truth", "guess"):
        for k in range(last):
            for matrix, column in ((f"L{k}", seen), (f"W{k}", f"{seen}{k}" if k else "input0")):
                yield parts.update(k, matrix, row=f"{seen}{k + 1}", column=column, negative=seen == "guess", gain=HASTE)
    yield parts.update(last)


def labelled(recipe: Recipe) -> Iterator[Matrix]:
    """Yield the weights, and a matrix to every hidden unit from the outputs, which become the label or a guess of it."""
    yield from parts.weights(recipe)
    for k in range(recipe.layers - 1):
        yield Matrix(f"L{k}", recipe.layers, k + 1, k)
