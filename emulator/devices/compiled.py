"""Compiled loops over reads and pulses. Import them inside functions: numba takes half a second to import.

Floating point is as written, operation by operation, but for `_exact` and `_norm`: the sums of one have no rounding that an order could
change, and those of the other enter a bound only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function, and keep the result for the next process where a folder for it can be written."""

    def made(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # neither beside this file nor in the user's home
            return njit(nogil=True, **options)(function)

    return made


# The generator ----------------------------------------------------------------------------------------------


@compiled()
def _rotated(v, left):
    return np.uint32(np.uint32(v << np.uint32(left)) | np.uint32(v >> np.uint32(32 - left)))


@compiled()
def _start(x, y, low, high, prefix):
    """State that `rng.pair` begins with, of the indices ``prefix | 0``, ``prefix | 1``, ...; the key has the stream and the step in it."""
    for i in range(len(x)):
        x[i] = np.uint32(i) ^ np.uint32(prefix ^ low)
        y[i] = high


@compiled()
def _rounds(x, y, constants):
    for constant in constants:
        for i in range(len(x)):
            x[i] = np.uint32(_rotated(x[i], 24) + y[i]) ^ constant
            y[i] = _rotated(y[i], 3) ^ x[i]


@compiled()
def _fill(x, y, low, high, constants, prefix):
    """`rng.pair` of the indices ``prefix | 0``, ``prefix | 1``, ..."""
    _start(x, y, low, high, prefix)
    _rounds(x, y, constants)


@compiled()
def pairs(key: tuple[np.uint32, np.uint32, np.ndarray], steps: np.ndarray, prefixes: np.ndarray, count: int) -> np.ndarray:
    """Random words: uint32 (steps, prefixes, 2, count).

    Parameters
    ----------
    key : (uint32, uint32, uint32 array)
        From `draws.streamed`.
    steps : uint32 array
    prefixes : uint32 array
        Multiples of a power of two that is not below `count`: indices are ``prefix | 0 .. count - 1``.
    count : int
    """
    out = np.empty((len(steps), len(prefixes), 2, count), np.uint32)
    for s in range(len(steps)):
        for p in range(len(prefixes)):
            _fill(out[s, p, 0], out[s, p, 1], key[0], np.uint32(key[1] ^ steps[s]), key[2], prefixes[p])
    return out


@compiled()
def shared(key: tuple[np.uint32, np.uint32, np.ndarray], steps: np.ndarray, prefixes: np.ndarray, count: int) -> np.ndarray:
    """16 words of each of `pairs`, ``x ^ rotate(y, 2 lane)``, two 11-bit numbers in each: uint32 (steps, prefixes, 16, count)."""
    x, y = np.empty(count, np.uint32), np.empty(count, np.uint32)
    out = np.empty((len(steps), len(prefixes), 16, count), np.uint32)
    for s in range(len(steps)):
        for p in range(len(prefixes)):
            _fill(x, y, key[0], np.uint32(key[1] ^ steps[s]), key[2], prefixes[p])
            for lane in range(16):
                row, right = out[s, p, lane], np.uint32(31 - 2 * lane)  # in two steps, as no word is shifted by 32
                for i in range(count):
                    word = x[i] ^ np.uint32(np.uint32(y[i] << np.uint32(2 * lane)) | np.uint32(y[i] >> np.uint32(1)) >> right)
                    row[i] = word >> np.uint32(5) & np.uint32(0x07FF07FF)
    return out


# Read noise -------------------------------------------------------------------------------------------------

AT_ONCE = 512
"""Pairs of words that are made at once: few enough to stay near the processor, many enough for a loop."""


@compiled()
def squares(codes: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """Squares of codes (n, inputs) as integers relative to each vector's largest, which is `top`; what one loses the next gets.

    Returns
    -------
    float32 array (n, inputs), float32 array (n,)
        The squares, and the largest magnitude of each vector's codes (1 if all are 0).
    """
    n, inputs = codes.shape
    out, largest = np.empty((n, inputs), np.float32), np.empty(n, np.float32)
    for i in range(n):
        most = 1
        for j in range(inputs):
            most = max(most, abs(np.int64(codes[i, j])))
        largest[i] = most
        share, total, before = top / np.float64(most * most), np.int64(0), 0.0
        for j in range(inputs):
            code = np.int64(codes[i, j])
            total += code * code
            now = np.floor(total * share + 0.5)
            out[i, j] = now - before
            before = now
    return out, largest


@compiled()
def noise(
    squares: np.ndarray,
    top: float,
    scales: np.ndarray,
    own: np.ndarray,
    key: tuple[np.uint32, np.uint32, np.ndarray],
    vectors: np.ndarray,
    prefixes: np.ndarray,
    memories: np.ndarray,
) -> None:
    """Noise of sums of squares times `top`, in place: the root, times that of its vector, of its line and a deviate, rounded.

    Parameters
    ----------
    squares : float32 array (reads * vectors, lines)
        All vectors of the first read, all of the second, ...
    top : float32
    scales, own : float32 arrays (reads * vectors,), (lines,)
    key, vectors, prefixes, memories
        From `draws.Reads.addresses`.
    """
    lines = squares.shape[1]
    q = (lines + 3) // 4
    many, byte = max(1, AT_ONCE // q), np.uint32(0xFF)
    words, deviates = np.empty((2, many * q), np.uint32), np.empty((2, 2 * q), np.float32)
    flat, i = deviates.ravel(), 0
    for prefix in prefixes:
        for first in range(0, len(vectors), many):
            some = min(many, len(vectors) - first)
            x, y = words[0, : some * q], words[1, : some * q]
            for v in range(some):
                _start(x[v * q : (v + 1) * q], y[v * q : (v + 1) * q], key[0], np.uint32(key[1] ^ vectors[first + v]), prefix)
            _rounds(x, y, key[2])
            for v in range(some):
                for side in range(2):
                    for k in range(q):
                        word = words[side, v * q + k]
                        deviates[side, 2 * k] = memories[0, word & byte] + memories[1, word >> np.uint32(8) & byte]
                        deviates[side, 2 * k + 1] = memories[0, word >> np.uint32(16) & byte] + memories[1, word >> np.uint32(24)]
                line, scale = squares[i], scales[i]
                for j in range(lines):
                    line[j] = np.rint(np.sqrt(line[j] * top) * scale * own[j] * flat[j])
                i += 1


# Output converters ------------------------------------------------------------------------------------------


@compiled(fastmath={"reassoc", "contract"})
def _exact(x, weights):
    total = 0.0
    for k in range(len(x)):
        total += np.float64(x[k]) * weights[k]
    return total


@compiled(fastmath={"reassoc", "contract"})
def _norm(x):
    total = np.float32(0)
    for k in range(len(x)):
        total += np.float32(x[k]) * np.float32(x[k])
    return np.sqrt(total)


@compiled()
def convert(
    sums: np.ndarray,
    noise: np.ndarray,
    x: np.ndarray,
    inverse: np.ndarray,
    shift: np.ndarray,
    slack: tuple[float, ...],
    limits: tuple[int, int],
    weights: np.ndarray,
    lsb: np.ndarray,
    offset: np.ndarray,
    factors: np.ndarray,
    out: np.ndarray,
) -> tuple[int, int, int, int]:
    """Add the codes of sums, times factors, to `out`; `conversion.Conversion` has the arguments, and why the codes are right.

    Sums of several reads of the vectors of `out` lie one after the other; each read has its factor.

    Returns
    -------
    clipped, least, most, doubtful : int
        How many codes were clipped; the extreme ones; how many it took an exact sum to tell.
    """
    n, outputs = sums.shape
    constant, per_norm, per_sum, per_code = slack
    low, high = limits
    real = sums.dtype.type
    floor, ceiling, middle = real(low - 1), real(high + 1), real(0.5)
    codes, doubts = np.empty(outputs, np.int32), np.zeros(outputs + 8 - outputs % 8, np.bool_)
    eights = doubts.view(np.uint64)  # most are without a doubt
    clipped, least, most, doubtful = 0, high, low, 0
    for i in range(n):
        own, read, vector, found = sums[i], i // len(out), i % len(out), np.int32(0)
        bound = constant + per_norm * real(_norm(x[i])) if per_norm > 0 else constant
        for j in range(outputs):
            share = own[j] * inverse[j]
            value = share + shift[j]
            if noise is not None:
                value += noise[i, j] * inverse[j]
            nearest = np.rint(value)
            doubt = abs(value - nearest) + (bound + per_sum * abs(share) + per_code * abs(value)) >= middle
            doubts[j] = doubt
            found += np.int32(doubt)
            codes[j] = np.int32(min(max(nearest, floor), ceiling))
        if found:
            doubtful += found
            for eight in range(len(eights)):
                if eights[eight]:
                    for j in range(8 * eight, 8 * eight + 8):
                        if doubts[j]:
                            total = _exact(x[i], weights[j]) + offset[j]
                            if noise is not None:
                                total += noise[i, j]
                            code = np.floor((total + 0.5 * lsb[j]) / lsb[j])
                            codes[j] = np.int32(min(max(code, np.float64(low - 1)), np.float64(high + 1)))
        over, bottom, top = np.int32(0), np.int32(high), np.int32(low)
        for j in range(outputs):
            code = codes[j]
            kept = min(max(code, np.int32(low)), np.int32(high))
            over += np.int32(kept != code)
            bottom, top = min(bottom, kept), max(top, kept)
            out[vector, j] += factors[read] * kept
        clipped, least, most = clipped + over, min(least, bottom), max(most, top)
    return clipped, least, most, doubtful


# Pulses -----------------------------------------------------------------------------------------------------


@compiled()
def chosen(counts: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """`down` where counts are negative, else `up`."""
    out = np.empty_like(up)
    for i in range(counts.shape[0]):
        for j in range(counts.shape[1]):
            one, other = up[i, j], down[i, j]  # both are read: then there is no branch
            out[i, j] = other if counts[i, j] < 0 else one
    return out


@compiled()
def add(
    w: np.ndarray,
    change: np.ndarray,
    reach: np.ndarray,
    factors: np.ndarray,
    counts: np.ndarray,
    words: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> None:
    """``w += change * reach * factors[counts << 11 | words]``, within the bounds; no factors where there are no words."""
    for i in range(w.shape[0]):
        for j in range(w.shape[1]):
            by = change[i, j] * reach[i, j]
            if words is not None:
                by *= factors[np.uint32(counts[i, j]) << np.uint32(11) | np.uint32(words[i, j])]
            moved, bottom, top = w[i, j] + by, low[i, j], high[i, j]
            moved = moved if moved < top else top
            w[i, j] = moved if moved > bottom else bottom
