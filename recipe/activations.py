"""Activations of neurons: ascending, straight between knots, with slopes that a chip makes by shifts (contract section 4)."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from .formats import log2_exact
from .imported import imported

MOST_SHIFT = 15
"""The least slope is ``2**-MOST_SHIFT``."""

REACH = 1 << 28
"""Half accumulator LSBs that no drive reaches: knots beyond it lie there."""


class Pieces(NamedTuple):
    """An activation in half accumulator LSBs, as a chip has it.

    Attributes
    ----------
    knots : tuple of int
        Even, ascending; neighbours may be equal.
    shifts : tuple of int or None
        Between two knots the slope is ``2**-shift``; None: flat, as beyond the ends.
    first : int
        Value up to the first knot.
    """

    knots: tuple[int, ...]
    shifts: tuple[int | None, ...]
    first: int

    @property
    def values(self) -> tuple[int, ...]:
        """Values at the knots."""
        rises = [0 if s is None else (b >> s) - (a >> s) for s, (a, b) in zip(self.shifts, itertools.pairwise(self.knots), strict=True)]
        return tuple(itertools.accumulate(rises, initial=self.first))

    @property
    def slopes(self) -> tuple[float, ...]:
        """Slopes between the knots."""
        return tuple(0.0 if s is None else 2.0**-s for s in self.shifts)


@dataclass(frozen=True)
class Activation:
    """A neuron's function.

    Parameters
    ----------
    knots : tuple of float
        Drives at which the slope changes, ascending; the first may be -inf, the last inf. The function is flat beyond them.
    slopes : tuple of float
        Between two knots: a power of two from 2**-15 to 1, or 0.
    at_zero : float
        Value at drive 0.

    Raises
    ------
    ValueError
        If a chip cannot have it.
    """

    knots: tuple[float, ...]
    slopes: tuple[float, ...]
    at_zero: float = 0.0

    def __post_init__(self) -> None:
        if len(self.knots) < 2 or any(a >= b for a, b in itertools.pairwise(self.knots)):
            raise ValueError(f"knots {self.knots}; allowed are two or more, ascending")
        if len(self.slopes) != len(self.knots) - 1:
            raise ValueError(f"{len(self.slopes)} slopes for {len(self.knots)} knots; allowed is one between each two")
        for slope in self.slopes:
            if slope and (math.frexp(slope)[0] != 0.5 or not 2.0**-MOST_SHIFT <= slope <= 1):
                raise ValueError(f"slope {slope:g}; allowed are 0 and the powers of two from 2**-{MOST_SHIFT} to 1")
        if any(math.isinf(k) for k in self.knots[1:-1]) or any(math.isinf(self.knots[i]) and not self.slopes[i] for i in (0, -1)):
            raise ValueError(f"knots {self.knots} with slopes {self.slopes}; allowed at infinity are ends that rise")

    def at(self, drive: float | Fraction) -> float | Fraction:
        """Return the value at a drive, exact if that is a fraction."""

        def within(x: float | Fraction, low: float, high: float) -> float | Fraction:
            return min(max(x, low), high)

        ends = zip(self.slopes, itertools.pairwise(self.knots), strict=True)
        return Fraction(self.at_zero) + sum(Fraction(s) * (within(drive, *k) - within(Fraction(0), *k)) for s, k in ends if s)

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest value."""
        least, most = (k if math.isinf(k) else float(self.at(Fraction(k))) for k in (self.knots[0], self.knots[-1]))
        return least, most

    def drive(self, value: Fraction) -> float | Fraction:
        """Return the drive at which the function passes a value that lies within its limits."""
        for slope, (a, b) in zip(self.slopes, itertools.pairwise(self.knots), strict=True):
            if slope and (math.isinf(b) or value <= self.at(Fraction(b))):
                known = next(Fraction(p) for p in (a, b, 0.0) if not math.isinf(p))
                return known + (value - self.at(known)) / Fraction(slope)
        raise AssertionError(f"{value} is beyond the limits")

    def pieces(self, low: float, high: float, frac: int) -> Pieces:
        """Return the function in half LSBs of an accumulator with `frac` fraction bits, its values limited to ``low .. high``."""
        return _pieces(self, low, high, frac)


@functools.cache
def _pieces(of: Activation, low: float, high: float, frac: int) -> Pieces:
    least, most = of.limits
    ends = of.drive(Fraction(low)) if least < low else of.knots[0], of.drive(Fraction(high)) if most > high else of.knots[-1]
    grid = Fraction(2) ** frac
    cut = [Fraction(min(max(k, ends[0]), ends[1])) * grid for k in of.knots]
    whole = [math.ceil(cut[0]), *map(math.floor, cut[1:])]
    knots = tuple(itertools.accumulate((min(max(2 * k, -REACH), REACH) for k in whole), max))
    return Pieces(knots, tuple(-log2_exact(s) if s else None for s in of.slopes), math.ceil(2 * grid * of.at(knots[0] / (2 * grid))))


def _odd(ends: tuple[float, ...], slopes: tuple[float, ...], at_zero: float = 0.0) -> Activation:
    """Return the function that is the same on both sides of its value at zero, from its knots and slopes above zero."""
    return Activation((*(-k for k in reversed(ends)), *ends), (*reversed(slopes[1:]), *slopes), at_zero)


ACTIVATIONS: dict[str, Activation] = {
    "identity": Activation((-math.inf, math.inf), (1.0,)),
    "relu": Activation((0.0, math.inf), (1.0,)),
    "hard_sigmoid": Activation((0.0, 1.0), (1.0,)),
    "hard_tanh": Activation((-1.0, 1.0), (1.0,)),
    "leaky_relu": Activation((-math.inf, 0.0, math.inf), (2.0**-3, 1.0)),
    "sigmoid": _odd((1.0, 2.25, 5.25), (2.0**-2, 2.0**-3, 2.0**-5), 0.5),
    "tanh": _odd((0.5, 1.125, 2.625), (1.0, 2.0**-1, 2.0**-3)),
}
"""Activations by name. All else of them, in both twins, in the reference and in the cost, follows from what is said here."""


def activation(name: str) -> Activation:
    """Return an activation by name, or one's own as ``package.module:name``.

    Raises
    ------
    ValueError
        Of a name that is unknown or not allowed (`imported`), or of what is no activation.
    """
    found = imported(name, ACTIVATIONS)
    if not isinstance(found, Activation):
        raise ValueError(f"{name!r} is no Activation; allowed are {', '.join(ACTIVATIONS)}, or your own crossdyad.recipe.Activation")
    return found
