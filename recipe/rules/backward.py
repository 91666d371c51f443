"""Rules that send an error down: dual propagation, exact backpropagation, and what replaces the transpose in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..operations import NOISE, Matrix, Operation
from . import parts

if TYPE_CHECKING:
    from ..recipe import Recipe


def _down(recipe: Recipe, letter: str = "W", **changes: Any) -> Iterator[Operation]:
    """Yield the reads that bring the error down, and after each what it makes possible; W0 first, as it is longest and critical."""
    last = recipe.layers - 1
    for k in range(last, 0, -1):
        yield parts.back(k, f"{letter}{k}", **changes)
        if k == 1:
            yield parts.update(0)
        yield parts.update(k)
    if last == 0:
        yield parts.update(0)


def dual_propagation(recipe: Recipe) -> Iterator[Operation]:
    """Up with a nudge, and down again, in which means and differences are made anew."""
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe)
    yield from _down(recipe)


def mean_substitution(recipe: Recipe) -> Iterator[Operation]:
    """Dual propagation whose means, made anew on the way down, go up again before anything is learned."""
    last = recipe.layers - 1
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe)
    for _ in range(max(1, recipe.sweeps[1] - 1)):
        for k in range(last, 0, -1):
            yield parts.back(k)
        for k in range(1, last):
            yield parts.read(k, recipe)
        yield parts.nudged(recipe)
    yield from _down(recipe)


def backprop(recipe: Recipe) -> Iterator[Operation]:
    """Exact gradients: feedback passes where the activation has a slope, and means stay as they are."""
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe, error="gate")
    yield from _down(recipe, error="gate", mean="")


def aligned(recipe: Recipe) -> Iterator[Operation]:
    """Exact backpropagation but for the matrices of the way down, which are fixed and random."""
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe, error="gate")
    yield from _down(recipe, "B", error="gate", mean="")


def random_feedback(recipe: Recipe) -> Iterator[Matrix]:
    """Yield the weights, and feedback signs that the generator makes again for every read."""
    yield from parts.weights(recipe)
    yield from parts.feedback(recipe, source="generator")


def stored_feedback(recipe: Recipe) -> Iterator[Matrix]:
    """Yield the weights, and random feedback that is stored."""
    yield from parts.weights(recipe)
    yield from parts.feedback(recipe)


def concordant(recipe: Recipe) -> Iterator[Operation]:
    """Dual propagation but for the way down, which sees only the signs of the weights."""
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe)
    yield from _down(recipe, "B")


def signs_of_weights(recipe: Recipe) -> Iterator[Matrix]:
    """Yield the weights, and the signs of those of every layer but the first."""
    yield from parts.weights(recipe)
    for k in range(1, recipe.layers):
        yield Matrix(f"B{k}", k, k + 1, k, "signs", f"W{k}")


def kolen_pollack(recipe: Recipe) -> Iterator[Operation]:
    """Feedback that gets the same updates as the weights, and forgets with them, so that the two become one."""
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe, error="gate")
    for k in range(recipe.layers - 1, 0, -1):
        yield parts.back(k, f"B{k}", error="gate", mean="")
    for k in range(recipe.layers):
        yield parts.update(k, decay=recipe.decay_bits)
        if k:
            yield parts.update(k, f"B{k}", decay=recipe.decay_bits)


def direct(recipe: Recipe) -> Iterator[Operation]:
    """The output's error to every hidden unit at once, through a fixed random matrix each."""
    last = recipe.layers - 1
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe, error="gate")
    for k in range(last):
        yield parts.back(k + 1, f"D{k}", row=f"error{last}", error="gate", mean="")
    yield from parts.updates(recipe)


def direct_feedback(recipe: Recipe) -> Iterator[Matrix]:
    """Yield the weights, and a matrix of random signs from the outputs to each hidden unit, made on the last engine."""
    yield from parts.weights(recipe)
    for k in range(recipe.layers - 1):
        yield Matrix(f"D{k}", k + 1, recipe.layers, recipe.layers - 1, "generator")


def mirrored(recipe: Recipe) -> Iterator[Operation]:
    """Feedback that learns what the weights are: from what each layer makes of noise, forgetting the rest."""
    last = recipe.layers - 1
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe, keep_drive=True)
    yield from _down(recipe, "B", mean="")
    for k in range(1, last + 1):
        answer = f"answer{k}"
        yield _hears(k, recipe, answer)
        yield parts.update(k, f"B{k}", row=answer, column=NOISE, decay=recipe.decay_bits)


def targets(recipe: Recipe) -> Iterator[Operation]:
    """Difference target propagation by linear feedback, which learns to give back the noise that a layer hears.

    A target is ``s_k + B^T (t_above - s_above)``. What a matrix makes of its layer's answer to noise comes on top of the hidden state, so
    that the noise less what came back is three updates.
    """
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe, keep_drive=True)
    for k in range(recipe.layers - 1, 0, -1):
        row = f"change{k}" if k < recipe.layers - 1 else f"error{k}"
        yield parts.back(k, f"B{k}", row=row, mean="", error="gate")
        if k > 1:
            yield parts.back(k, f"B{k}", row=row, mean="", error="feedback", difference=f"change{k - 1}")
    yield from parts.updates(recipe)
    for k in range(1, recipe.layers):
        answer, guess = f"answer{k}", f"guess{k}"
        yield _hears(k, recipe, answer)
        yield parts.back(k, f"B{k}", row=answer, error="feedback", moved=True, mean=guess, difference="")
        for column, negative in ((NOISE, False), (guess, True), (f"input{k}", False)):
            yield parts.update(k, f"B{k}", row=answer, column=column, negative=negative)


def _hears(k: int, recipe: Recipe, answer: str) -> Operation:
    """Return the read of layer k that gives its answer to noise, whatever its units do."""
    return parts.read(
        k, recipe, column=NOISE, enter="feedback", error="feedback", keep_drive=False, mean="", difference=answer, result=False, loss="keep"
    )


LEAK = 2
"""Leak of predictive coding: a state goes a quarter of the way to where its errors balance, in a step."""
CONTROL = 1
"""Leak of a controller: what it adds to a unit goes half of the way to what the outputs' errors ask for, in a step."""


def predictive(recipe: Recipe) -> Iterator[Operation]:
    """Predictive coding: a state is what the layer below predicts and an error, which relaxes to what comes back."""
    odd_first = sorted(range(recipe.layers - 1), key=lambda k: (k % 2 == 0, k))
    yield from _relaxed(recipe, odd_first, lambda k: parts.back(k + 1, error="gate"), LEAK)


def controlled(recipe: Recipe) -> Iterator[Operation]:
    """Deep feedback control: the outputs' errors drive every hidden state until the outputs are nearer; what that took is learned.

    A leaky integral controller for each output (u' = beta e - u), whose integrator lies behind the fixed random matrix: in the feedback
    that each hidden unit keeps, ``D^T u``.
    """
    last = recipe.layers - 1
    yield from _relaxed(recipe, range(last), lambda k: parts.back(k + 1, f"D{k}", row=f"error{last}"), CONTROL)


def _relaxed(recipe: Recipe, order: Iterable[int], back: Callable[[int], Operation], leak: int) -> Iterator[Operation]:
    """Yield steps in which hidden states relax, unit by unit, to what ``back(unit)`` brings, then updates by what this adds to them."""
    if recipe.alpha:
        raise ValueError(f"states are drives and what is added to them, with alpha {recipe.alpha:g} something else; allowed is alpha = 0")
    yield from parts.hidden(recipe, keep_feedback=True)
    yield parts.nudged(recipe, error="gate")
    for _ in range(recipe.sweeps[1]):
        for k in order:
            if k:
                yield parts.read(k, recipe, mean="")
            yield back(k)._replace(enter="relax", leak=leak, keep_feedback=True, moved=True)
        yield parts.nudged(recipe, error="gate", result=False, loss="keep")
    yield from parts.updates(recipe)
