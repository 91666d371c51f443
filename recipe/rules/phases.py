"""Rules of a net with an energy: it settles, is pushed, settles again, and learns from the contrast.

A unit's drive is ``W s_below + W^T s_above``; its state is the drive clipped (a layered clip Hopfield net). A sweep settles every unit once
from below upwards, each with the newest states of both neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from ..operations import Op, Operation

if TYPE_CHECKING:
    from ..recipe import Recipe


def _settle(recipe: Recipe, phase: str, k: int, below: str, above: str, **push: Any) -> Iterator[Operation]:
    """Yield what gives unit k its state of `phase`; `below` and `above` name the states that it sees, `push` is the last unit's."""
    if k == recipe.layers - 1:
        yield Operation(Op.FORWARD, f"W{k}", below, unit=k, mean=f"{phase}{k + 1}", **push)
    else:
        yield Operation(Op.FORWARD, f"W{k}", below, unit=k, keep_drive=True)
        yield Operation(Op.TRANSPOSED, f"W{k + 1}", row=above, unit=k, enter="more", mean=f"{phase}{k + 1}")


def _states(phase: str, population: int) -> str:
    """Return the store of a population's states; the sample has no phases."""
    return f"{phase}{population}" if population else "input0"


def _phase(recipe: Recipe, phase: str, start: str, sweeps: int, **push: Any) -> Iterator[Operation]:
    """Yield sweeps over all units, odd ones first, that begin with the states of the phase `start`."""
    made = dict.fromkeys(range(recipe.layers + 1), start)
    for _ in range(sweeps):
        for k in sorted(range(recipe.layers), key=lambda k: (k % 2 == 0, k)):
            yield from _settle(recipe, phase, k, _states(made[k], k), _states(made.get(k + 2, start), k + 2), **push)
            made[k + 1] = phase


def settled(recipe: Recipe, loss: Literal["zero", "set"] = "zero") -> Iterator[Operation]:
    """Yield inference: up once, sweeps, and the outputs that they end with."""
    last = recipe.layers - 1
    for k in range(recipe.layers):
        yield Operation(Op.FORWARD, f"W{k}", _states("free", k), unit=k, mean=f"free{k + 1}")
    yield from _phase(recipe, "free", "free", recipe.sweeps[0])
    yield Operation(
        Op.FORWARD, f"W{last}", _states("free", last), unit=last, keep_drive=True, mean=f"free{last + 1}", result=True, loss=loss
    )


def _learn(recipe: Recipe, phase: str, negative: bool) -> Iterator[Operation]:
    """Yield the updates by the products of neighbours' states in a phase."""
    for k in range(recipe.layers):
        yield Operation(Op.UPDATE, f"W{k}", _states(phase, k), f"{phase}{k + 1}", negative=negative)


def _contrast(recipe: Recipe, **push: Any) -> Iterator[Operation]:
    """Yield a free phase, one with `push` on the last unit, and the updates by what it changed."""
    yield from settled(recipe, "set")
    yield from _phase(recipe, "plus", "free", recipe.sweeps[1], **push)
    yield from _learn(recipe, "free", True)
    yield from _learn(recipe, "plus", False)


def equilibrium(recipe: Recipe) -> Iterator[Operation]:
    """Equilibrium propagation, one-sided: free, then nudged by +beta."""
    yield from _contrast(recipe, force="drive")


def centered(recipe: Recipe) -> Iterator[Operation]:
    """Equilibrium propagation, centered: nudged by +beta and by -beta, both from the free state."""
    yield from settled(recipe, "set")
    yield from _phase(recipe, "plus", "free", recipe.sweeps[1], force="drive")
    yield from _phase(recipe, "minus", "free", recipe.sweeps[1], force="drive", negative=True)
    yield from _learn(recipe, "minus", True)
    yield from _learn(recipe, "plus", False)


def contrastive(recipe: Recipe) -> Iterator[Operation]:
    """Contrastive Hebbian learning: free, then with the outputs clamped to the target."""
    yield from _contrast(recipe, force="clamp")


def coupled(recipe: Recipe) -> Iterator[Operation]:
    """Coupled learning: as contrastive, but the outputs are held beta of the way from their free drive to the target."""
    if recipe.alpha:
        raise ValueError(f"recalls the free drive beside a read that must not count, with alpha {recipe.alpha:g}; allowed is alpha = 0")
    yield from _contrast(recipe, enter="feedback", force="drive")


def continual(recipe: Recipe) -> Iterator[Operation]:
    """Continual equilibrium propagation: learns after every nudged sweep from what it changed."""
    yield from settled(recipe, "set")
    before = "free"
    for n in range(recipe.sweeps[1]):
        phase = f"step{n % 2}"
        yield from _phase(recipe, phase, before, 1, force="drive")
        yield from _learn(recipe, before, True)
        yield from _learn(recipe, phase, False)
        before = phase
