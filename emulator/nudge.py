"""The nudge of the last layer: squared error or hinge, its loss register and SPSA's slope (contract section 5)."""

from __future__ import annotations

import numpy as np

from ..recipe import Recipe
from . import fixed
from .arrays import Integers, namespace
from .clock import Ports, Stimulus, Waves, walk
from .neuron import activated, activated_exact


def targets(recipe: Recipe, a: Integers, target: Integers) -> Integers:
    """Return the outputs' targets in accumulator format, of the type of the drive `a`; `target` as in `nudge`."""
    return namespace(a, target).where(target, recipe.target(True), recipe.target(False)).astype(a.dtype)


def nudge(
    recipe: Recipe, a: Integers, target: Integers, random: Integers | int = 0, negative: bool = False
) -> tuple[Integers, Integers, Integers]:
    """Error of the outputs, and the feedback that nudges them.

    Parameters
    ----------
    recipe : Recipe
    a : int32 array
        Drive of the last layer, accumulator format.
    target : bool array
        This unit is the label's class.
    random : integer array
        16-bit rounding words.
    negative : bool
        With -beta in place of beta.

    Returns
    -------
    error : int32 array
        In accumulator LSBs.
    b, b_out_of_range : int32 and bool arrays, accumulator format
    """
    xp = namespace(a, target)
    error = targets(recipe, a, target) - (activated(recipe.pieces(recipe.layers - 1), 2 * a) >> 1)
    if recipe.objective == "squared-hinge":
        error = xp.where(target, xp.maximum(error, 0), xp.minimum(error, 0))
    b = fixed.requantize(
        -error if negative else error,
        recipe.nudge_shift,
        recipe.formats.accumulator.width,
        recipe.rounding.accumulator,
        recipe.overflow.accumulator,
        random,
    )
    return error, *b


def loss(error: Integers) -> Integers:
    """Sum of the squared errors over the last axis, int64: the loss register's units."""
    error = error.astype(np.int64)
    return namespace(error).sum(error * error, axis=-1)


def slope(recipe: Recipe, loss: Integers) -> tuple[Integers, Integers]:
    """SPSA's slope from the loss register: (slope in delta format, out_of_range)."""
    return fixed.requantize(-loss, recipe.slope_shift, recipe.formats.delta.width, "nearest", "saturate")


# Trace ------------------------------------------------------------------------------------------------------


def slope_exact(recipe: Recipe, loss: int) -> tuple[int, bool]:
    """`slope` on one Python integer."""
    return fixed.requantize_exact(-loss, recipe.slope_shift, recipe.formats.delta.width, "nearest", "saturate")


def trace(recipe: Recipe, stimulus: Stimulus) -> Waves:
    """Every port of `Nudge` at every clock (contract section 5: error latency 2, b latency 4).

    Parameters
    ----------
    recipe : Recipe
    stimulus : dict
        ``a``, ``target``, ``negative``, ``random``: one entry per clock, from reset.

    Returns
    -------
    dict
        ``error``, ``b``, ``b_out_of_range``.
    """
    return walk(Clocked(recipe).clock, stimulus, ("a", "target", "negative", "random"))


class Clocked:
    """The registers of `Nudge`."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.pieces = recipe.pieces(recipe.layers - 1)
        self.shift = recipe.nudge_shift
        self.output, self.error, self.rounded, self.fitted = (0, 0, 0, 0), 0, 0, (0, False)
        self.negative = 0

    def clock(self, a: int, target: int, random: int, negative: int = 0) -> Ports:
        recipe = self.recipe
        ports = {"error": self.error, "b": self.fitted[0], "b_out_of_range": self.fitted[1]}
        self.fitted = fixed.fit_exact(self.rounded, recipe.formats.accumulator.width, recipe.overflow.accumulator)
        self.rounded = fixed.round_exact(-self.error if self.negative else self.error, self.shift, recipe.rounding.accumulator, random)
        value, wanted, label, self.negative = self.output
        self.error = wanted - value
        if recipe.objective == "squared-hinge":
            self.error = max(self.error, 0) if label else min(self.error, 0)
        self.output = activated_exact(self.pieces, 2 * a) >> 1, recipe.target(bool(target)), bool(target), negative
        return ports
