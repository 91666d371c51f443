"""Integers on either engine: the namespace of an array, and matrix products that are exact."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Union

import numpy as np

if TYPE_CHECKING:
    import jax

Integers: TypeAlias = Union[np.ndarray, "jax.Array"]  # noqa: UP007 (jax is not imported for this)
"""Integers, or truths, of either engine and of any shape."""
Integral: TypeAlias = int | np.integer | Integers
"""Integers, or a single one."""
State: TypeAlias = dict[str, Any]
"""State of chips: by name arrays, or tuples of them (`machine.reset`)."""
_Made = TypeVar("_Made")


def namespace(*arrays: object) -> ModuleType:
    """The array namespace (NumPy's or JAX's) of the arguments; plain numbers count as NumPy's."""
    for a in arrays:
        if not isinstance(a, np.ndarray | np.generic) and hasattr(a, "__array_namespace__"):
            found: ModuleType = a.__array_namespace__()
            return found
    return np


@contextlib.contextmanager
def integers() -> Iterator[None]:
    """Set JAX to 64-bit integers and to its usual promotion of types and ranks, for a block; the caller's settings come back."""
    import jax

    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


CHIPS = "chips"
"""Name of the axis of `many` chips."""


def choose(condition: Integers | bool, yes: Callable[..., _Made], no: Callable[..., _Made], *operands: object) -> _Made:
    """``yes(*operands)`` if the condition holds, else ``no(*operands)``, which must be right in any case; only that one is computed.

    Inside a map over the axis `CHIPS` the condition must hold for all chips, so that there is one branch to take.
    """
    if namespace(condition, *operands) is np:
        return (yes if condition else no)(*operands)
    import jax

    if _together():
        condition = jax.lax.pmin(jax.numpy.asarray(condition, np.int32), CHIPS) > 0  # type: ignore[no-untyped-call]  # JAX's own
    return jax.lax.cond(condition, yes, no, *operands)


def _together() -> bool:
    """Return whether JAX is inside a map over the axis `CHIPS`."""
    import jax

    try:
        return bool(jax.lax.axis_size(CHIPS))
    except NameError:  # no such map
        return False


def within(value: Integers | int, reach: int) -> Integers | int:
    """Clamp a Python int to plus or minus `reach`; return a traced value unchanged (`many` clamps its numbers itself)."""
    return min(max(value, -reach), reach) if isinstance(value, int) else value


def integer_type(bits: int) -> type[np.int32] | type[np.int64]:
    """The signed NumPy type that holds every `bits`-bit two's complement integer, int32 or int64."""
    if bits > 64:
        raise ValueError(f"{bits}-bit integers: this emulator holds at most 64 bits; use narrower formats")
    return np.int32 if bits <= 32 else np.int64


def product(a: Integers, b: Integers, bits_a: int, bits_b: int, peak: Integers | None = None, by_columns: bool = False) -> Integers:
    """Exact integer matrix product ``a @ b``, where b is given by its rows or by its columns.

    Parameters
    ----------
    a : integer array (..., n, k)
    b : integer array (..., k, m), or (..., m, k) if `by_columns`
    bits_a, bits_b : int
        Widths of the two's complement formats that hold the elements.
    peak : int64 scalar, optional
        No element of b is further from zero.

    Returns
    -------
    integer array (..., n, m)
        int32 where the static bound ``k * 2**(bits_a + bits_b - 2)`` fits with a bit to spare, else int64.

    Notes
    -----
    Sums below 2**24 are exact in float32 and below 2**53 in float64, in any order of addition, so BLAS may do them.
    Where the static bound is too wide, the elements themselves may prove a narrower one: no sum over any part of two
    vectors is larger than the product of their lengths (Cauchy-Schwarz), and as an integer not larger than its floor.
    Float32 sums a few parts of the vectors, each with a bound of its own.
    A vector times a matrix on JAX is an integer product: a conversion would cost more than the product.
    """
    xp = namespace(a, b)
    bound = bits_a + bits_b - 2 + (a.shape[-1] - 1).bit_length()  # |sum| <= 2**bound
    out = integer_type(bound + 2)

    def multiply(kind: type[np.number]) -> Callable[[Integers, Integers], Integers]:
        options = {} if xp is np else {"precision": "highest"}

        def matmul(a: Integers, b: Integers) -> Integers:
            a, b = a.astype(kind), b.astype(kind)
            if by_columns and a.shape[-2] == 1:  # the vector is the one to turn, not the matrix
                return xp.swapaxes(xp.matmul(b, xp.swapaxes(a, -1, -2), **options), -1, -2).astype(out)
            return xp.matmul(a, xp.swapaxes(b, -1, -2) if by_columns else b, **options).astype(out)

        return matmul

    if xp is not np and a.shape[-2] == 1:
        if bound <= 30:
            return multiply(np.int32)(a, b)
        if peak is None:
            return multiply(np.int64)(a, b)
        largest = xp.max(xp.sum(xp.abs(a), axis=-1, dtype=np.int64)) * peak
        return choose(largest < 2**31, multiply(np.int32), multiply(np.int64), a, b)
    if bound > 53:
        return multiply(np.int64)(a, b)
    if bound <= 24:
        return multiply(np.float32)(a, b)
    # of many chips together one is enough to break a narrower bound: not worth the programs of both
    if a.shape[-2] == 1 or xp is not np and _together():
        return multiply(np.float64)(a, b)

    axis_b = -1 if by_columns else -2
    parts = list(zip(_parts(a, -1), _parts(b, axis_b), strict=True))

    def length(v: Integers, axis: int) -> Integers:
        return xp.max(xp.sum(xp.square(v.astype(np.float64)), axis=axis))

    def by_parts(a: Integers, b: Integers) -> Integers:
        first, *rest = (multiply(np.float32)(p, q) for p, q in zip(_parts(a, -1), _parts(b, axis_b), strict=True))
        return sum(rest, start=first)

    longest = xp.max(xp.stack([length(p, -1) * length(q, axis_b) for p, q in parts]))
    return choose(longest <= 2.0**48, by_parts, multiply(np.float64), a, b)


PARTS = 4
"""Into how many pieces a sum is cut so that float32 holds each."""


def _parts(v: Integers, axis: int) -> list[Integers]:
    """Slices of an array along an axis."""
    cuts = [v.shape[axis] * i // PARTS for i in range(PARTS + 1)]
    return [v[(..., slice(i, j)) if axis == -1 else (..., slice(i, j), slice(None))] for i, j in zip(cuts, cuts[1:], strict=False)]
