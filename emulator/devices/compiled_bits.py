"""Compiled loops over inputs that are read bit by bit (`bitwise`). Import them inside functions, as those of `compiled`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .compiled import compiled


@compiled()
def bits(codes: np.ndarray, count: int) -> np.ndarray:
    """Binary digits of magnitudes, the least first, each with the sign of its code: float32 (count, n, inputs)."""
    n, inputs = codes.shape
    out = np.empty((count, n, inputs), np.float32)
    for b in range(count):
        for i in range(n):
            for j in range(inputs):
                code = np.int32(codes[i, j])
                digit = abs(code) >> b & 1
                out[b, i, j] = -digit if code < 0 else digit
    return out


BYTES = np.array([sum((v >> b & 1) << 8 * b for b in range(8)) for v in range(256)], np.uint64)
"""The binary digits of a byte, a byte each."""


def _looked_up(size: int, radix: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Sums of integers and of reals over groups of so many inputs, each of which has `radix` states; constants of the compiled program."""
    block, most_states = 64, radix**size

    @compiled()
    def states(codes, count, groups):
        n, inputs = codes.shape
        out = np.zeros((groups, count * n), np.uint8)
        for first in range(0, count, 8):
            for i in range(n):
                for g in range(-(-inputs // size)):
                    word, factor = np.uint64(0), np.uint64(1)  # the states of eight bits, none of which reaches 256
                    for k in range(size * g, min(size * (g + 1), inputs)):
                        code = np.int32(codes[i, k])
                        digits = BYTES[(abs(code) >> first) & 0xFF]
                        word += factor * (digits << np.uint64(radix == 3 and code < 0))
                        factor *= np.uint64(radix)
                    for b in range(first, min(first + 8, count)):
                        out[g, b * n + i] = word & np.uint64(0xFF)
                        word >>= np.uint64(8)
        return out

    @compiled()
    def tabulate(table, row, matrix, first, start, width):
        for t in range(4):
            known = 1
            for k in range((first + t) * size, (first + t + 1) * size):
                row[:] = 0
                if k < len(matrix):
                    row[:width] = matrix[k, start : start + width]
                for state in range(known):
                    for j in range(block):
                        table[t, state + known, j] = table[t, state, j] + row[j]
                        if radix == 3:
                            table[t, state + 2 * known, j] = table[t, state, j] - row[j]
                known *= radix

    @compiled()
    def add(total, table, seen, first):
        for i in range(len(total)):
            a, b, c, d = np.intp(seen[first, i]), np.intp(seen[first + 1, i]), np.intp(seen[first + 2, i]), np.intp(seen[first + 3, i])
            for j in range(block):
                total[i, j] += (table[0, a, j] + table[1, b, j]) + (table[2, c, j] + table[3, d, j])

    @compiled()
    def reals(codes, count, matrix):
        n, lines = count * len(codes), matrix.shape[1]
        groups = -(-len(matrix) // (4 * size)) * 4
        seen = states(codes, count, groups)
        table, total = np.zeros((4, most_states, block), np.float32), np.zeros((n, block), np.float32)
        row, out = np.zeros(block, np.float32), np.zeros((n, lines), np.float32)
        for start in range(0, lines, block):
            width = min(block, lines - start)
            total[:] = 0
            for g in range(0, groups, 4):
                tabulate(table, row, matrix, g, start, width)
                add(total, table, seen, g)
            out[:, start : start + width] = total[:, :width]
        return out

    @compiled()
    def sums(codes, count, words, most, unit):
        n, wide = count * len(codes), words.shape[1]
        groups = -(-len(words) // (4 * size)) * 4
        seen = states(codes, count, groups)
        table, total = np.zeros((4, most_states, block), np.int64), np.zeros((n, block), np.int64)
        row, out = np.zeros(block, np.int64), np.zeros((n, 4 * wide), np.float32)
        for start in range(0, wide, block):
            width, taken = min(block, wide - start), 0
            for g in range(0, groups, 4):
                tabulate(table, row, words, g, start, width)
                add(total, table, seen, g)
                taken += 4 * size
                if taken + 4 * size > most or g + 4 >= groups:
                    for i in range(n):
                        for j in range(width):
                            word = total[i, j]
                            for quarter in range(4):
                                one = np.int64(np.int16(word & 0xFFFF))
                                out[i, 4 * (start + j) + quarter] += unit * np.float32(one)
                                word = (word - one) >> 16
                        for j in range(block):
                            total[i, j] = 0
                    taken = 0
        return out

    return sums, reals


(SIGNED, SIGNED_REALS), (POSITIVE, POSITIVE_REALS) = _looked_up(4, 3), _looked_up(6, 2)
"""Sums over binary digits of codes, with their signs (`SIGNED`) or without, of matrices of which a word holds four numbers.

Parameters
----------
codes : integer array (n, inputs)
count : int
    Digits: the sums of the least one come first.
words : int64 array (inputs, words)
    The matrix.
most : int
    Of how many inputs no sum leaves 16 bits.
unit : float32
    A power of two that all sums are multiplied by.


Returns
-------
float32 array (count * n, 4 words)
    `SIGNED_REALS` and `POSITIVE_REALS` take codes, count and a float32 array (inputs, lines) and give float32 (count * n, lines).
"""
