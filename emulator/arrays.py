"""Integers on either engine: the namespace of an array, and matrix products that are exact."""

from __future__ import annotations

import numpy as np


def namespace(*arrays):
    """The array namespace (NumPy's or JAX's) of the arguments; plain numbers count as NumPy's."""
    for a in arrays:
        if not isinstance(a, np.ndarray | np.generic) and hasattr(a, "__array_namespace__"):
            return a.__array_namespace__()
    return np


def integer_type(bits: int):
    """The signed NumPy type that holds every `bits`-bit two's complement integer, int32 or int64."""
    if bits > 64:
        raise ValueError(f"{bits}-bit integers: this emulator holds at most 64 bits; use narrower formats")
    return np.int32 if bits <= 32 else np.int64


def product(a, b, bits_a: int, bits_b: int):
    """Exact integer matrix product ``a @ b``.

    Parameters
    ----------
    a, b : integer arrays, (..., n, k) and (..., k, m)
    bits_a, bits_b : int
        Widths of the two's complement formats that hold the elements.

    Returns
    -------
    integer array (..., n, m)
        int32 where the static bound ``k * 2**(bits_a + bits_b - 2)`` fits, else int64.

    Notes
    -----
    Sums below 2**24 are exact in float32 and below 2**53 in float64, in any order of addition, so that BLAS may do them.
    A vector times a matrix (n = 1) on JAX is an integer loop: there the conversion would cost more than the product.
    """
    xp = namespace(a, b)
    k = a.shape[-1]
    bound = bits_a + bits_b - 2 + (k - 1).bit_length()       # |sum| <= 2**bound
    out = integer_type(bound + 2)
    if xp is not np and a.shape[-2] == 1 and bound <= 62:
        return _vector_product(xp, a, b, bits_a + bits_b - 2, out)
    if bound > 53:
        return xp.matmul(a.astype(np.int64), b.astype(np.int64))
    real = np.float32 if bound <= 24 else np.float64
    options = {} if xp is np else {"precision": "highest"}
    return xp.matmul(a.astype(real), b.astype(real), **options).astype(out)


def _vector_product(xp, a, b, term_bits, out):
    """``a @ b`` for one row a: int32 sums over chunks short enough to be exact, then the sum of the chunks."""
    rows, columns = a[..., 0, None, :], xp.swapaxes(b, -1, -2)
    if term_bits > 29:
        return xp.sum(columns.astype(out) * rows.astype(out), axis=-1, dtype=out)[..., None, :]
    k, chunk = rows.shape[-1], (2**31 - 1) >> term_bits
    pieces = -(-k // chunk)
    size = -(-k // pieces)
    terms = [xp.sum(columns[..., i:i + size].astype(np.int32) * rows[..., i:i + size].astype(np.int32), axis=-1,
                    dtype=np.int32) for i in range(0, k, size)]
    total = terms[0].astype(out)
    for t in terms[1:]:
        total = total + t.astype(out)
    return total[..., None, :]
