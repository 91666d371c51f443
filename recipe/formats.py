"""Number formats: what an integer on the chip means (contract, conventions and section 1)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from .kinds import Whole

Rounding = Literal["floor", "nearest", "nearest_even", "stochastic"]
Overflow = Literal["saturate", "wrap"]

RANDOM_BITS = 16
"""Width of the random word a stochastic rounding consumes."""

_AS_REALS = "for zeros and ones write x.astype(float)"


class QFormat(BaseModel):
    """A signed fixed-point format: the value of an integer is ``integer * 2**-frac``.

    Parameters
    ----------
    width : int
        Bits, sign included, 2 to 24.
    frac : int
        Fraction bits; may be negative or exceed the width.

    Examples
    --------
    >>> q = QFormat(width=8, frac=6)
    >>> q.low, q.high, q.step
    (-2.0, 1.984375, 0.015625)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: Annotated[Whole, Field(ge=2, le=24)]
    frac: Annotated[Whole, Field(ge=-16, le=32)]

    @property
    def min(self) -> int:
        """Least integer."""
        return -(1 << (self.width - 1))

    @property
    def max(self) -> int:
        """Greatest integer."""
        return (1 << (self.width - 1)) - 1

    @property
    def step(self) -> float:
        """Value of one LSB."""
        return 2.0**-self.frac

    @property
    def low(self) -> float:
        """Least value."""
        return self.min * self.step

    @property
    def high(self) -> float:
        """Greatest value."""
        return self.max * self.step

    def encode(self, values: ArrayLike, what: str = "values") -> np.ndarray:
        """Real numbers to integers of this format, to nearest (half up).

        Parameters
        ----------
        values : array_like of float
        what : str
            The name of the quantity, for the error message.

        Returns
        -------
        ndarray of int32, same shape

        Raises
        ------
        ValueError
            If values are no numbers, not finite, more than half an LSB below `low`, or above full scale, which is one LSB above `high`
            (1.0 in a format that ends at 0.99) and becomes `high`.
        """
        values = np.asarray(values)
        if values.dtype.kind not in "fiu":
            raise ValueError(f"{what}: expected real numbers, got {values.dtype}; {_AS_REALS}")
        values = values.astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError(f"{what}: contains NaN or infinity; every value must be finite")
        scaled = np.ldexp(values, self.frac)
        if scaled.size and (scaled.min() < self.min - 0.5 or scaled.max() > self.max + 1):
            outside = (scaled < self.min - 0.5) | (scaled > self.max + 1)
            worst = values[outside].flat[int(np.argmax(np.abs(values[outside])))]
            raise ValueError(
                f"{what}: {worst:g} does not fit {self}; allowed is {self.low:g} to {self.high:g} "
                "(scale the data or give the format more integer bits)"
            )
        codes: np.ndarray = np.minimum(half_up(scaled), self.max).astype(np.int32)
        return codes

    def samples(self, values: ArrayLike, what: str = "x") -> np.ndarray:
        """Samples of a user as integers of this format, by a rule that cannot be misread.

        Parameters
        ----------
        values : array_like of float, or NumPy array of int32
            Real numbers, which are encoded; or integers of this format, in the type that `encode` makes.
        what : str
            The name of the quantity, for the error message.

        Returns
        -------
        ndarray of int32, same shape

        Raises
        ------
        ValueError
            If values are whole numbers of another kind, such as a list ``[1, 0]``, whose 1 may mean one or one LSB; if they do not fit.
        """
        array = np.asarray(values)
        if array.dtype.kind == "f":
            return self.encode(array, what)
        if array.dtype.kind in "iu" and not (array.dtype == np.int32 and isinstance(values, np.ndarray)):
            given = array.dtype if isinstance(values, np.ndarray) else f"whole numbers of a {type(values).__name__}"
            raise ValueError(
                f"{what}: {given}; real numbers are floating (x.astype(float), of images x / 255); integers of {self}, "
                f"in which 1 means {self.step:g}, are a NumPy array of int32, as QFormat.encode makes it"
            )
        return self.check(array, what)

    def decode(self, integers: ArrayLike) -> np.ndarray:
        """Integers of this format to real numbers (float64, exact)."""
        return np.ldexp(np.asarray(integers, dtype=np.float64), -self.frac)

    def check(self, integers: ArrayLike, what: str = "values") -> np.ndarray:
        """Integers as int32, or a ValueError that names those which do not fit."""
        integers = np.asarray(integers)
        if integers.dtype.kind not in "iu":
            remedy = "use QFormat.encode for real numbers" if integers.dtype.kind == "f" else _AS_REALS
            raise ValueError(f"{what}: expected integers of {self}, got {integers.dtype}; {remedy}")
        if integers.size and (integers.min() < self.min or integers.max() > self.max):
            bad = max(int(integers.max()), int(integers.min()), key=abs)
            raise ValueError(f"{what}: {bad} does not fit {self}; allowed is {self.min} to {self.max}")
        return integers.astype(np.int32)

    def __str__(self) -> str:
        return f"s{self.width}.{self.frac}"


def half_up(values: ArrayLike) -> np.ndarray:
    """Real numbers to the nearest whole ones, halves up; adding 0.5 would round once too often just below a half."""
    below = np.floor(values)
    return below + (values - below >= 0.5)


def log2_exact(value: float) -> int:
    """The integer n with ``2**n == value``; ValueError if there is none."""
    mantissa, exponent = math.frexp(value)
    if mantissa != 0.5:
        raise ValueError(f"{value:g} is not a power of two")
    return exponent - 1
