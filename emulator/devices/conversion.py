"""Codes of exact sums, from products that are not: a float32 product decides wherever its error bound allows, an exact sum elsewhere.

An output converter is defined on integers (`converters`). Its sums can have more digits than float32 holds, and a float64 product takes
twice the time. But a code is the same for all sums between two thresholds: only where one lies within the error of the float32 product
is the sum made again, in float64, where it is exact. So codes are those of the definition, whoever multiplies.

The bound: let u be half the distance of 1 to the next number, and A the sum of the sizes of K products, p what they sum to. However a
product of matrices orders its sums, a partial sum is the sum of some of the products, so not further from zero than ``(A + |p|) / 2``, and
each of the K additions rounds it by u of that at most; rounding the weights, and the products where they are not fused, adds ``2 u A``.
A is at most ``norm(x) norm(w)``. Scaling to codes, with noise and shift, rounds a few times more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .converters import OutputConverter, Usage

DOUBT = 0.2
"""The bound, in codes, above which so many sums would be made twice that a float64 product takes less time."""
SINGLE, DOUBLE = 2.0**-24, 2.0**-53
"""Half the distance of 1 to the next float32 and float64."""
SECOND_ORDER = 1.01
"""Bound on what products of roundings can add."""


class Conversion(NamedTuple):
    """The output converters of one product, ready to use.

    Attributes
    ----------
    factors : float32 or float64 array (inputs, outputs)
        Weights to multiply with.
    inverse, shift : arrays (outputs,) of the same type
        Codes per sum; codes added.
    slack : four numbers of the same type
        How far a scaled sum may be off: a constant, and per unit of the vector's norm, of the scaled sum, and of the code.
    limits : (int, int)
        Lowest and highest code.
    weights : float64 array (outputs, inputs)
        Integers.
    lsb, offset : float64 arrays (outputs,)
        Integers.
    """

    factors: np.ndarray
    inverse: np.ndarray
    shift: np.ndarray
    slack: tuple[np.floating, ...]
    limits: tuple[int, int]
    weights: np.ndarray
    lsb: np.ndarray
    offset: np.ndarray


def conversion(
    output: OutputConverter, weights: np.ndarray, lsb: np.ndarray | int, offset: np.ndarray | int, bound: int, peak: int
) -> Conversion:
    """The converters of one product.

    Parameters
    ----------
    output : OutputConverter
    weights : float64 array (outputs, inputs)
        Integers, of which no product sums to 2**51 or more.
    lsb, offset : int64 arrays (outputs,)
        In the unit of the sums.
    bound : int
        No sum, and no partial sum, is further from zero.
    peak : int
        The largest input.
    """
    lsb, offset = (np.broadcast_to(np.asarray(v, np.float64), len(weights)) for v in (lsb, offset))
    inverse, length, error = 1 / lsb, weights.shape[1], 0.0
    digits = int(np.bitwise_or.reduce(weights.astype(np.int64), axis=None))
    exact = bound < (digits & -digits or 1) << 24  # every partial sum is a float32: so many of the weights' common unit
    if not exact:
        error = SECOND_ORDER * (length / 2 + 2) * SINGLE * float(np.max(np.linalg.norm(weights, axis=1) * inverse, initial=0.0))
    single = peak < 1 << 24 and error * peak * np.sqrt(length) < DOUBT
    if not single:
        exact, error = True, 0.0
    kind, u = (np.float32, SINGLE) if single else (np.float64, DOUBLE)
    factors = np.ascontiguousarray(weights.T, np.float32) if single else weights.T
    shift = offset * inverse
    per_sum = 5 if exact else length / 2 + 5
    slack = (8 * u * (1 + float(np.max(np.abs(shift), initial=0.0))), error, SECOND_ORDER * per_sum * u, SECOND_ORDER * 4 * u)
    return Conversion(
        factors,
        inverse.astype(kind),
        shift.astype(kind),
        tuple(kind(v) for v in slack),
        (output.low, output.high),
        weights,
        lsb.copy(),
        offset.copy(),
    )


def add_codes(
    out: np.ndarray, factor: int, made: Conversion, x: np.ndarray, noise: np.ndarray | None = None, sums: np.ndarray | None = None
) -> Usage:
    """Add the codes of some vectors' sums, times a factor, to an array; of several reads of each, times twice that of the read before.

    Parameters
    ----------
    out : int32 or int64 array (n, outputs)
    factor : int
    made : Conversion
    x : float array (reads * n, inputs) of the type of `made.factors`
        Integers.
    noise : float array (reads * n, outputs) of that type, optional
        Integers, added to the sums.
    sums : float array (reads * n, outputs) of that type, optional
        ``x @ made.factors``, in any order of addition.

    Returns
    -------
    Usage
    """
    from . import compiled

    if not out.size:
        return Usage()
    sums = x @ made.factors if sums is None else sums
    factors = np.array([factor << read for read in range(len(x) // len(out))], out.dtype)
    clipped, least, most, _ = compiled.convert(sums, noise, x, *made[1:], factors, out)
    return Usage(sums.size, clipped, least, most, 1 << made.limits[1].bit_length() + 1)
