"""Which operations the hardware has, and what of them is fixed in a chip because all its programs agree in it (contract section 12)."""

from __future__ import annotations

import functools
from typing import NamedTuple

from .operations import SIGNS, SLOPE, Matrix, Op, Operation
from .recipe import Recipe
from .rules import parts, rule


class Down(NamedTuple):
    """The transposed read of an engine, as the chip has it.

    Attributes
    ----------
    matrix : Matrix
        In memory, it is the weights of the layer.
    revises : bool
        The means below are made anew.
    """

    matrix: Matrix
    revises: bool


@functools.lru_cache(maxsize=1024)
def down(recipe: Recipe, k: int) -> Down:
    """Return what the transposed reads of engine k have in common; the first one decides."""
    named = {m.name: m for m in recipe.matrices}
    own = (step for step in recipe.steps if step.op is Op.TRANSPOSED and named[step.matrix].engine == k)
    step = next(own, None)
    return Down(named[step.matrix if step else f"W{k}"], bool(step is None or step.mean))


@functools.lru_cache(maxsize=1024)
def error(recipe: Recipe, unit: int) -> str:
    """Return what the difference port of a unit gives (`Operation.error`); the first operation that keeps it decides."""
    return next((step.error for step in recipe.steps if step.reads and step.unit == unit and step.difference), "dyad")


@functools.lru_cache(maxsize=64)
def operations(recipe: Recipe) -> frozenset[Operation]:
    """Return all operations that this chip can have in hardware."""
    last = recipe.layers - 1
    found = {*parts.inference(recipe), parts.nudged(recipe, error=error(recipe, last)), *parts.updates(recipe)}
    found |= {parts.read(last, recipe, loss="set"), parts.read(last, recipe, loss="subtract", result=False)}
    for k in range(1, last + 1):
        matrix, revises = down(recipe, k)
        if matrix.source != "memory" or matrix.name == f"W{k}":
            found.add(parts.back(k, matrix.name, error=error(recipe, k - 1), mean=f"input{k}" if revises else ""))
    for k in range(recipe.layers):
        found |= {Operation(Op.UPDATE, f"W{k}", SIGNS, SLOPE), Operation(Op.PROBE, f"W{k}"), Operation(Op.PROBE, f"W{k}", negative=True)}
    return frozenset(found)


def missing(recipe: Recipe) -> str:
    """Return what the recipe's programs ask for that the hardware does not have, as one line; empty where it has all."""
    more = [m.name for m in recipe.matrices if m.source == "memory" and m.name != f"W{m.engine}"]
    if more:
        return (f"{recipe.name}: rule {recipe.rule}: matrices in memory beside the weights ({', '.join(more)}): the emulator holds them, "
                "the hardware has none such yet")
    had = operations(recipe)
    wanted = [step for step in (*rule(recipe.rule).infer(recipe), *recipe.steps) if step not in had]
    if not wanted:
        return ""
    return (f"{recipe.name}: rule {recipe.rule}: {wanted[0]}: the emulator plays this operation, the hardware has none such yet; "
            f"generate, cosim and synth take the rules {', '.join(had_by_all())}, and one's own of their operations")


@functools.lru_cache(maxsize=1)
def had_by_all() -> tuple[str, ...]:
    """Return the rules of the house that the hardware has."""
    from .rules import RULES

    like = Recipe(name="like", sizes=(4, 4, 4, 4), lanes=(2, 2, 2), alpha=0)
    found = (like.model_copy(update={"rule": name}) for name in RULES)
    return tuple(r.rule for r in found if all(step in operations(r) for step in (*rule(r.rule).infer(r), *r.steps)))
