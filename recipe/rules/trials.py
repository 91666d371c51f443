"""Rules that try: a loss with changed weights or drives says whether the change was good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..operations import SIGNS, SLOPE, Op, Operation
from . import parts

if TYPE_CHECKING:
    from ..recipe import Recipe


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
