"""Requantize: the only way a number loses bits (contract section 1)."""

from __future__ import annotations

import numpy as np

from ..recipe import RANDOM_BITS
from .arrays import Integers, namespace
from .clock import Ports, Stimulus, Waves, walk


def round_shift(value: Integers, shift: int | Integers, rounding: str, random: Integers | int = 0) -> Integers:
    """The rounding step: ``value * 2**-shift`` to an integer (contract section 1, step 1).

    Parameters
    ----------
    value : signed integer array
        One bit of headroom is needed; a left shift must fit the type (`requantize` sees to that).
    shift : int, or int32 array
        An array has one shift per chip; values that are shifted to the left then need int64.
    rounding : str
        ``floor``, ``nearest`` (half up), ``nearest_even`` or ``stochastic``.
    random : integer array
        16-bit words, for ``stochastic``.

    Returns
    -------
    array of value's type

    Notes
    -----
    The contract's sums are regrouped so that no intermediate is wider than the value: for all integers
    ``(v + (r << k)) >> (k + m) == ((v >> k) + r) >> m``.
    """
    if not isinstance(shift, int):
        return _round_by(value, shift, rounding, random)
    if shift <= 0:
        return value << -shift
    top = np.iinfo(value.dtype).bits - 1  # a shift by more gives the sign, as a shift by `top` does
    if rounding == "floor":
        return value >> min(shift, top)
    if rounding == "nearest":
        return ((value >> min(shift - 1, top)) + 1) >> 1
    if rounding == "nearest_even":
        half = value >> min(shift - 1, top)
        above = (half << min(shift - 1, top)) != value
        up = above | ((half >> 1) & 1).astype(bool)
        return (half + up.astype(value.dtype)) >> 1
    if rounding == "stochastic":
        m = min(shift, RANDOM_BITS)
        random = namespace(value).asarray(random).astype(value.dtype)
        return ((value >> min(shift - m, top)) + (random >> (RANDOM_BITS - m))) >> m
    raise ValueError(f"rounding: {rounding!r}; allowed are floor, nearest, nearest_even, stochastic")


def _round_by(value: Integers, shift: Integers, rounding: str, random: Integers | int) -> Integers:
    """`round_shift` with shifts that are data: both ways are written out, each harmless where it does not apply."""
    xp, top = namespace(value), np.iinfo(value.dtype).bits - 1
    left, right = xp.clip(-shift, 0, top).astype(value.dtype), xp.clip(shift, 0, top).astype(value.dtype)
    value, half = value << left, xp.maximum(right - 1, 0)
    if rounding == "floor":
        return value >> right
    if rounding == "stochastic":
        m = xp.minimum(right, RANDOM_BITS)
        random = xp.asarray(random).astype(value.dtype)
        return ((value >> (right - m)) + (random >> (RANDOM_BITS - m))) >> m
    halves = value >> half
    up = 1 if rounding == "nearest" else ((halves << half) != value).astype(value.dtype) | (halves >> 1) & 1
    return xp.where(right > 0, (halves + up) >> 1, value)


def limit(value: Integers, low: int | Integers, high: int | Integers) -> tuple[Integers, Integers]:
    """Saturate to ``low .. high``; also says where that changed the value."""
    xp = namespace(value)
    return xp.minimum(xp.maximum(value, low), high), (value < low) | (value > high)


def wrap(value: Integers, width: int | Integers) -> Integers:
    """The low `width` bits, read as signed."""
    spare = np.iinfo(value.dtype).bits - width
    return (value << spare) >> spare


def requantize(
    value: Integers, shift: int | Integers, width: int | Integers, rounding: str, overflow: str, random: Integers | int = 0
) -> tuple[Integers, Integers]:
    """Round and fit a number into fewer bits.

    Parameters
    ----------
    value : signed integer array or int
        With one bit of headroom in its type.
    shift : int, or int32 array with one per chip
        Fraction bits to drop; negative adds zeros.
    width : int, or int32 array with one per chip
        Bits of the result, sign included.
    rounding, overflow : str
        See contract section 1.
    random : integer array
        16-bit words, used by ``stochastic``.

    Returns
    -------
    result : array of value's type
    out_of_range : array of bool

    Examples
    --------
    >>> import numpy as np
    >>> result, out_of_range = requantize(np.array([-5, 6, 900]), 2, 8, "nearest", "saturate")
    >>> result.tolist(), out_of_range.tolist()
    ([-1, 2, 127], [False, False, True])
    """
    value = np.asarray(value) if isinstance(value, int) else value
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    if not isinstance(shift, int):
        return _requantize_by(value, shift, low, high, width, rounding, overflow, random)
    if shift < 0:
        # compared before the shift, which might not fit the type
        room = min(-shift, np.iinfo(value.dtype).bits - 1)
        under, over = value < -(-low >> room), value > high >> room
        if overflow == "wrap":
            return wrap(value << room, width) if -shift == room else value * 0, under | over
        xp = namespace(value)
        inside = xp.where(under | over, 0, value) << room
        return xp.where(over, high, xp.where(under, low, inside)).astype(value.dtype), under | over
    q = round_shift(value, shift, rounding, random)
    result, out_of_range = limit(q, low, high)
    return (wrap(q, width) if overflow == "wrap" else result), out_of_range


def _requantize_by(
    value: Integers,
    shift: Integers,
    low: int | Integers,
    high: int | Integers,
    width: int | Integers,
    rounding: str,
    overflow: str,
    random: Integers | int,
) -> tuple[Integers, Integers]:
    """`requantize` with shifts and widths that are data."""
    xp, wide = namespace(value), value.astype(np.int64)
    q = round_shift(wide, shift, rounding, random)
    left = xp.maximum(-shift, 0)
    # compared before a shift to the left, which might not fit the type
    under = xp.where(shift < 0, wide < -(-low >> left), q < low)
    over = xp.where(shift < 0, wide > high >> left, q > high)
    result = wrap(q, width) if overflow == "wrap" else xp.where(over, high, xp.where(under, low, q))
    return result.astype(value.dtype), under | over


# Trace ------------------------------------------------------------------------------------------------------


def round_exact(value: int, shift: int, rounding: str, random: int) -> int:
    """The rounding step on one Python integer, as the contract writes it."""
    if shift <= 0:
        return value << -shift
    n = shift
    if rounding == "nearest":
        value += 1 << (n - 1)
    elif rounding == "nearest_even":
        value += (1 << (n - 1)) - 1 + ((value >> n) & 1)
    elif rounding == "stochastic":
        m = min(n, 16)
        value += (random >> (16 - m)) << (n - m)
    return value >> n


def fit_exact(q: int, width: int, overflow: str, guard: int = 0) -> tuple[int, bool]:
    """The overflow step on one Python integer; `guard` narrows the limits of saturation (section 6)."""
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    if overflow == "wrap":
        return ((q - low) & ((1 << width) - 1)) + low, not low <= q <= high
    low, high = low + guard, high - guard
    return min(max(q, low), high), not low <= q <= high


def requantize_exact(value: int, shift: int, width: int, rounding: str, overflow: str, random: int = 0) -> tuple[int, bool]:
    """`requantize` on one Python integer of any size."""
    return fit_exact(round_exact(value, shift, rounding, random), width, overflow)


def trace(width_in: int, shift: int, width: int, rounding: str, overflow: str, stimulus: Stimulus) -> Waves:
    """Every port of `Requantize` at every clock (contract section 1: latency 2).

    Parameters
    ----------
    width_in, shift, width, rounding, overflow
        As the component's.
    stimulus : dict
        ``value`` (and ``random``): one entry per clock, from reset.

    Returns
    -------
    dict
        ``result``, ``out_of_range``: one entry per clock.
    """
    return walk(Clocked(shift, width, rounding, overflow).clock, stimulus, ("value", "random"))


class Clocked:
    """The registers of `Requantize`."""

    def __init__(self, shift: int, width: int, rounding: str, overflow: str):
        self.shift, self.width, self.rounding, self.overflow = shift, width, rounding, overflow
        self.rounded, self.fitted = 0, (0, False)

    def clock(self, value: int, random: int) -> Ports:
        ports = {"result": self.fitted[0], "out_of_range": self.fitted[1]}
        self.fitted = fit_exact(self.rounded, self.width, self.overflow)
        self.rounded = round_exact(value, self.shift, self.rounding, random)
        return ports
