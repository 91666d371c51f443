"""The dyad: drive and feedback to the mean and the difference of two compartments (contract section 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..recipe import Pieces, Recipe
from . import fixed
from .arrays import Integers, namespace
from .clock import Ports, Stimulus, Waves, walk


def activated(pieces: Pieces, p: Integers) -> Integers:
    """Return the value of an activation at drives `p`; all in half accumulator LSBs, int32."""
    xp = namespace(p)
    value: Any = pieces.first  # a number until the first piece that rises
    for shift, low, high in zip(pieces.shifts, pieces.knots[:-1], pieces.knots[1:], strict=True):
        if shift is not None:
            value = value + (xp.minimum(xp.maximum(p, low), high) >> shift) - (low >> shift)
    return value


def gated(pieces: Pieces, p: Integers, q: Integers) -> Integers:
    """Return `q` times the slope of an activation at drives `p`, 0 at both ends; all in half accumulator LSBs, int32."""
    xp = namespace(p, q)
    found: Any = 0
    for shift, low, high in zip(pieces.shifts, pieces.knots[:-1], pieces.knots[1:], strict=True):
        if shift is not None:
            found = xp.where((p >= low) & (p < high) & (p > pieces.knots[0]), q >> shift, found)
    return found


def dyad(
    recipe: Recipe,
    layer: int,
    a: Integers,
    b: Integers,
    random_state: Integers | int = 0,
    random_delta: Integers | int = 0,
    error: str = "dyad",
    moved: bool = False,
) -> tuple[Integers, Integers, Integers, Integers]:
    """Mean and difference of a dyad; the paper's Eq. 10 and 13 with errata E9 and E12, form DP^T.

    Parameters
    ----------
    recipe, layer
        Which chip and which of its layers (activation, formats, alpha).
    a, b : int32 arrays
        Drive and feedback, accumulator format.
    random_state, random_delta : integer arrays
        16-bit rounding words.
    error : str
        What stands for the difference: the ``dyad``'s; ``gate``: the activation's slope at a times b; ``feedback``: b.
    moved : bool
        The mean is the minus compartment plus the difference.

    Returns
    -------
    mean, mean_out_of_range : int32 and bool arrays, state format
    difference, difference_out_of_range : int32 and bool arrays, delta format
    """
    state_shift, delta_shift, twice = _constants(recipe)
    # half units of the accumulator LSB: at most 27 bits
    pieces = recipe.pieces(layer)
    plus, minus = activated(pieces, 2 * a + (2 - twice) * b), activated(pieces, 2 * a - twice * b)
    f, r, o = recipe.formats, recipe.rounding, recipe.overflow
    kinds: dict[str, Callable[[], Integers]] = {
        "dyad": lambda: plus - minus,
        "feedback": lambda: 2 * b,
        "gate": lambda: gated(pieces, 2 * a, 2 * b),
    }
    apart = kinds[error]()
    mean = fixed.requantize(
        2 * (minus + apart) if moved else twice * plus + (2 - twice) * minus, state_shift, f.state.width, r.state, o.state, random_state
    )
    difference = fixed.requantize(apart, delta_shift, f.delta.width, r.delta, o.delta, random_delta)
    return *mean, *difference


def _constants(recipe: Recipe) -> tuple[int, int, int]:
    """Shifts of mean and difference, and 2 alpha."""
    f = recipe.formats
    return f.accumulator.frac + 2 - f.state.frac, f.accumulator.frac + 1 - f.delta.frac, recipe.twice_alpha


def activated_exact(pieces: Pieces, p: int) -> int:
    """`activated` on a Python integer."""
    ends = zip(pieces.shifts, pieces.knots[:-1], pieces.knots[1:], strict=True)
    return pieces.first + sum((min(max(p, low), high) >> s) - (low >> s) for s, low, high in ends if s is not None)


def gated_exact(pieces: Pieces, p: int, q: int) -> int:
    """`gated` on Python integers."""
    if not pieces.knots[0] < p < pieces.knots[-1]:
        return 0
    here = next(n for n, high in enumerate(pieces.knots[1:]) if p < high)
    shift = pieces.shifts[here]
    return 0 if shift is None else q >> shift


# Trace ------------------------------------------------------------------------------------------------------


def trace(recipe: Recipe, unit: int, errors: tuple[str, ...], stimulus: Stimulus, moves: tuple[bool, ...] = (False,)) -> Waves:
    """Every port of `Dyad` at every clock (contract section 4: latency 5, random words three cycles after a and b).

    Parameters
    ----------
    recipe, unit, errors, moves
        As the component's.
    stimulus : dict
        ``a``, ``b``, ``error``, ``random_state``, ``random_delta``, and ``moved`` where `moves` has both: one entry per clock, from reset.

    Returns
    -------
    dict
        ``mean``, ``mean_out_of_range``, ``difference``, ``difference_out_of_range``.
    """
    block = Clocked(recipe, unit)

    def clock(error: int, moved: int = moves[0], **ports: int) -> Ports:
        return block.clock(**ports, error=errors[error], moved=moved)

    return walk(clock, stimulus, ("a", "b", "error", "random_state", "random_delta", *(("moved",) if len(moves) > 1 else ())))


class Clocked:
    """The registers of `Dyad`."""

    def __init__(self, recipe: Recipe, unit: int):
        self.recipe = recipe
        self.pieces = recipe.pieces(unit)
        self.entered = self.limited = (0, 0, "dyad", 0)  # a, b, the kind of error and whether it moves, one and two cycles ago
        self.sums = self.values = self.mixed = self.rounded = (0, 0)
        self.fitted = (0, False), (0, False)

    def clock(self, a: int, b: int, random_state: int, random_delta: int, error: str = "dyad", moved: int = 0) -> Ports:
        recipe, f = self.recipe, self.recipe.formats
        (mean, mean_out), (difference, difference_out) = self.fitted
        self.fitted = (
            fixed.fit_exact(self.rounded[0], f.state.width, recipe.overflow.state),
            fixed.fit_exact(self.rounded[1], f.delta.width, recipe.overflow.delta),
        )
        state_shift, delta_shift, twice = _constants(recipe)
        self.rounded = (
            fixed.round_exact(self.mixed[0], state_shift, recipe.rounding.state, random_state),
            fixed.round_exact(self.mixed[1], delta_shift, recipe.rounding.delta, random_delta),
        )
        plus, minus = self.values
        apart, (kept, fed, kind, moves) = plus - minus, self.limited
        if kind != "dyad":
            apart = 2 * fed if kind == "feedback" else gated_exact(self.pieces, 2 * kept, 2 * fed)
        self.mixed = 2 * (minus + apart) if moves else twice * plus + (2 - twice) * minus, apart
        self.limited, self.entered = self.entered, (a, b, error, moved)
        self.values = activated_exact(self.pieces, self.sums[0]), activated_exact(self.pieces, self.sums[1])
        self.sums = 2 * a + (2 - twice) * b, 2 * a - twice * b
        return {"mean": mean, "mean_out_of_range": mean_out, "difference": difference, "difference_out_of_range": difference_out}
