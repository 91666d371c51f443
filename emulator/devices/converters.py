"""Input and output converters: real numbers to input codes, and exact sums to output codes.

An output converter is defined on integers: of a sum ``s`` (in sum units: input LSB times conductance grid) the code is
``clip(floor((2 (s + offset) + lsb) / (2 lsb)), low, high)``, with integer ``lsb`` and ``offset``: round half up, then saturate.
`conversion` says how it is computed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

CLIPPED_SHARE = 0.01
"""Share of clipped reads above which a report warns, unless told otherwise."""


LSB_BITS = 10
"""Binary digits of a calibrated LSB: a range is at most a 256th wider than need be."""


class DeviceWarning(UserWarning):
    """A model is used outside the range where it makes sense; the message has the count and the remedy."""


class Usage(NamedTuple):
    """Record of an output converter: reads, clipped reads, the extreme codes it gave, and how many codes it has."""

    reads: int = 0
    clipped: int = 0
    low: int = 0
    high: int = 0
    codes: int = 0

    def __add__(self, other: Usage) -> Usage:  # type: ignore[override]  # two in one, not a longer tuple
        if not self.reads:
            return other
        if not other.reads:
            return self
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Usage(self.reads + other.reads, self.clipped + other.clipped, low, high, self.codes)

    @property
    def span(self) -> float:
        """Share of the codes between the extremes that were given."""
        return (self.high - self.low + 1) / self.codes if self.reads else 0.0

    @property
    def share_clipped(self) -> float:
        return self.clipped / self.reads if self.reads else 0.0

    def complaints(self, clipped_share: float = CLIPPED_SHARE) -> list[str]:
        """Tell what is wrong with the range, in words; empty if nothing is."""
        found = []
        if self.share_clipped > clipped_share:
            found.append(
                f"{self.clipped} of {self.reads} reads clipped ({self.share_clipped:.2%}, more than {clipped_share:.2%}): "
                "widen the output range (full_scale, or calibrate on data like this)"
            )
        if self.reads and self.span < 0.25:
            found.append(
                f"reads span {self.high - self.low + 1} of {self.codes} codes (less than a quarter): "
                "narrow the output range (full_scale, or calibrate on data like this)"
            )
        return found


@dataclass(frozen=True)
class InputConverter:
    """Real numbers to signed integer codes.

    Parameters
    ----------
    bits : int
        Sign included, 2 to 12: codes from ``-(2**(bits-1) - 1)`` to ``2**(bits-1) - 1``.
    full_scale : float
        The real value of the largest code.
    slice_bits : int, optional
        Apply the magnitude in slices of so many bits, least first, one read each (bit-serial if 1); the sign goes with each slice.
        Default: the whole code is one amplitude.
    """

    bits: int = 8
    full_scale: float = 1.0
    slice_bits: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 12:
            raise ValueError(f"input converter: bits = {self.bits}; allowed are 2 to 12")
        if not self.full_scale > 0:
            raise ValueError(f"input converter: full_scale = {self.full_scale}; it must be positive")
        if self.slice_bits is not None and not 1 <= self.slice_bits <= self.bits - 1:
            raise ValueError(f"input converter: slice_bits = {self.slice_bits}; allowed are 1 to {self.bits - 1}, its magnitude")

    @property
    def limit(self) -> int:
        """The largest code."""
        return (1 << (self.bits - 1)) - 1

    @property
    def slice_limit(self) -> int:
        """The largest code that one read sees."""
        return self.limit if self.slice_bits is None else (1 << self.slice_bits) - 1

    @property
    def step(self) -> float:
        """Real value of one code."""
        return self.full_scale / self.limit

    def encode(self, values: ArrayLike) -> tuple[np.ndarray, int]:
        """Nearest codes (ties to even), and how many values were clipped.

        Returns
        -------
        codes : int16 array
        clipped : int
        """
        code = np.rint(np.asarray(values) * (self.limit / self.full_scale))
        if not np.isfinite(code).all():
            raise ValueError("input converter: values contain NaN or infinity; every input must be finite")
        clipped = int(np.count_nonzero(np.abs(code) > self.limit))
        return np.clip(code, -self.limit, self.limit).astype(np.int16), clipped

    def check(self, codes: ArrayLike) -> np.ndarray:
        """The codes, or a ValueError if they are no integers of this converter."""
        codes = np.asarray(codes)
        if codes.dtype.kind not in "iu":
            raise ValueError(f"input codes: expected integers, got {codes.dtype}; use array.encode for real numbers, or call the array")
        if codes.size and max(int(codes.max()), -int(codes.min())) > self.limit:
            raise ValueError(
                f"input codes: {codes.min()} to {codes.max()} do not fit {self.bits} bits; allowed is -{self.limit} to {self.limit}"
            )
        return codes

    def slices(self, codes: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Pairs (digital weight, codes that one read sees); their weighted sum is `codes`."""
        if self.slice_bits is None:
            return [(1, codes)]
        sign, magnitude = np.sign(codes), np.abs(codes.astype(np.int32))
        mask = (1 << self.slice_bits) - 1
        return [(1 << s, sign * (magnitude >> s & mask)) for s in range(0, self.bits - 1, self.slice_bits)]


@dataclass(frozen=True)
class OutputConverter:
    """Exact sums to integer codes.

    Parameters
    ----------
    bits : int
        2 to 16: codes from ``-2**(bits-1)`` to ``2**(bits-1) - 1``.
    full_scale : float or "calibrated"
        Half the input range, in input LSB times weight levels: the sum that gives code ``2**(bits-1)``. The LSB is the nearest one that
        the array's grid has (`Circuit.fraction_bits`). ``"calibrated"``: set by `Array.calibrate` from data.
    gain_spread : float
        Standard deviation of the converters' LSBs (one converter an output), relative to the nominal one.
    offset_spread : float
        Standard deviation of the converters' offsets, in LSBs.
    """

    bits: int = 8
    full_scale: float | str = "calibrated"
    gain_spread: float = 0.0
    offset_spread: float = 0.0

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise ValueError(f"output converter: bits = {self.bits}; allowed are 2 to 16")
        if self.full_scale != "calibrated" and not (isinstance(self.full_scale, int | float) and self.full_scale > 0):
            raise ValueError(f"output converter: full_scale = {self.full_scale!r}; allowed is a positive number or 'calibrated'")
        if self.gain_spread < 0 or self.offset_spread < 0:
            raise ValueError("output converter: gain_spread and offset_spread are standard deviations and cannot be negative")

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1

    def lsb(self, full_scale: float) -> float:
        """The LSB of a range, in input LSB times weight levels."""
        return full_scale / -self.low

    def calibrate(self, sums: np.ndarray, clipped_share: float = 0.0) -> float:
        """The least LSB of `LSB_BITS` binary digits with which at most a share of the sums is clipped.

        Its last digit is 1: so few sums lie just between two codes, and none of whole numbers that are smaller than the LSB has digits.
        """
        sums = np.abs(np.asarray(sums, np.float64)).ravel()
        if not sums.size:
            raise ValueError("output converter: no sums to calibrate on; give at least one input vector")
        least = float(np.quantile(sums, 1 - clipped_share)) / (self.high + 0.5) or 1.0
        last = 2.0 ** (math.frexp(least)[1] - LSB_BITS)
        return (math.ceil(least / last) | 1) * last
