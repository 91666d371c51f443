"""Rules that try: a loss with changed weights or drives says whether the change was good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..operations import SIGNS, SLOPE, Op, Operation
from . import parts

if TYPE_CHECKING:
    from ..recipe import Recipe


def node_perturbation(recipe: Recipe) -> Iterator[Operation]:
    """The loss with the drives of all neurons shaken up and down along random signs: the difference is their error, as far as it goes.

    The outputs are shaken half as much as hidden neurons, as they move the loss more.
    """
    last = recipe.layers - 1
    yield from parts.inference(recipe)
    for noise, loss in ((1, "set"), (-1, "subtract")):
        for k in range(last):
            shaken = {"column": f"shaken{k}"} if k else {}
            yield parts.read(k, recipe, noise=noise, mean=f"shaken{k + 1}", keep_drive=False, **shaken)
        shaken = {"column": f"shaken{last}"} if last else {}
        yield parts.read(last, recipe, noise=noise, gain=-1, mean="", result=False, loss=loss, **shaken)
    for k in range(recipe.layers):
        yield parts.update(k, row=SLOPE, gain=int(k == last))


def spsa(recipe: Recipe) -> Iterator[Operation]:
    """The loss with all weights raised and lowered along random signs, whose difference is their update (contract section 8)."""
    last = recipe.layers - 1
    for negative, loss in ((False, "set"), (True, "subtract"), (False, "")):
        yield from (Operation(Op.PROBE, f"W{k}", negative=negative) for k in range(recipe.layers))
        if loss:
            yield from parts.hidden(recipe)
            yield parts.read(last, recipe, loss=loss, result=loss == "set")
    for k in range(recipe.layers):
        yield Operation(Op.UPDATE, f"W{k}", SIGNS, SLOPE)
