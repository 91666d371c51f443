"""Reads of inputs bit by bit, all of a vector at once: sums over inputs that are 0, 1 or -1.

A few inputs of that kind have few states, so what they add to every output is looked up: one addition in place of four products. Four sums
of small whole numbers share a word of 64 bits, each modulo 2**16 and never beyond it; others are sums of float32. Of few outputs or few
vectors one product of matrices takes all bits. Either way sums are those of the reads one by one.
"""

from __future__ import annotations

import numpy as np

FEWEST_ROWS, FEWEST_LINES = 256, 128
"""Reads of vectors, and outputs, below which a product of matrices is faster."""
LARGEST = (1 << 15) - 1
"""Largest sum in a quarter of a word."""
PASSES = {True: 16, False: 24}
"""Inputs of one pass: four tables of four signed inputs, or of six that are 0 or 1."""


class Sums:
    """Sums over inputs that are 0, 1 or, if `signed`, -1.

    Parameters
    ----------
    matrix : float array (inputs, lines)
        Whole numbers times a power of two, or any numbers.
    signed : bool
    """

    def __init__(self, matrix: np.ndarray, signed: bool):
        self._matrix, self._signed, self._words = np.ascontiguousarray(matrix, np.float32), signed, None
        whole = np.asarray(matrix, np.float64)
        if whole.shape[1] < FEWEST_LINES or (whole != np.rint(whole)).any() or np.abs(whole).max(initial=0) >= 2.0**62:
            return
        numbers = whole.astype(np.int64)
        digits = int(np.bitwise_or.reduce(numbers, axis=None))
        unit = digits & -digits or 1
        numbers, self._unit = numbers // unit, np.float32(unit)
        self._most = LARGEST // max(1, int(np.abs(numbers).max()))
        if self._most >= PASSES[signed]:
            padded = np.pad(numbers, ((0, 0), (0, -numbers.shape[1] % 4))).reshape(len(numbers), -1, 4)
            self._words = np.ascontiguousarray(sum(padded[:, :, i] << 16 * i for i in range(4)))

    def of(self, codes: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """Sums over each bit of codes, a new array.

        Parameters
        ----------
        codes : integer array (n, inputs)
        bits : float32 array (count * n, inputs)
            `compiled_bits.bits` of these. If not `signed`, -1 counts as 1.

        Returns
        -------
        float32 array (count * n, lines)
        """
        if len(bits) < FEWEST_ROWS or self._matrix.shape[1] < FEWEST_LINES:
            return (bits if self._signed else np.abs(bits)) @ self._matrix
        from . import compiled_bits

        count = len(bits) // len(codes)
        if self._words is None:
            return (compiled_bits.SIGNED_REALS if self._signed else compiled_bits.POSITIVE_REALS)(codes, count, self._matrix)
        sums = (compiled_bits.SIGNED if self._signed else compiled_bits.POSITIVE)(codes, count, self._words, self._most, self._unit)
        return sums[:, : self._matrix.shape[1]]
