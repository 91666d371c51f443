"""Fresh noise of reads, in the unit of their sums: how large it is for what is read, and which outputs share it.

Variances are sums of squares of input codes times variances of cells. Both become small integers, whose float32 sums are exact in any
order of addition, so that a read's noise depends on nothing but its vector and its number. The integers are rounded along the inputs
such that what one loses the next gets: many small inputs, or many quiet cells, beside a large one are not lost together.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from . import draws
from .bitwise import Sums


@dataclass(frozen=True)
class Even:
    """Noise of one size for all outputs: proportional to the input's norm.

    Parameters
    ----------
    deviation : float
        Sum units per unit of the norm.
    outputs : int
    """

    deviation: float
    outputs: int

    def bitwise(self, codes: np.ndarray, bits: np.ndarray) -> None:
        """See `OfCells.bitwise`: nothing but the input's norm is needed."""

    def draw(self, codes: np.ndarray, reads: draws.Reads, variance: np.ndarray | None = None) -> np.ndarray:
        """See `OfCells.draw`."""
        x = codes.astype(np.float32)
        length = np.sqrt(np.einsum("bi,bi->b", x, x, dtype=np.float64))
        return reads.noise(self.outputs, (length * (self.deviation / draws.DEVIATION)).astype(np.float32))


class OfCells:
    """Noise of each cell's conductance.

    Parameters
    ----------
    variance : float array (inputs, lines)
        Of each cell, in levels squared. The first lines are the outputs.
    unit : float
        Sum units of one input code times one level.
    groups : list of slice
        Outputs that the lines beyond the outputs, one after the other, are subtracted from: these share that line's noise.
    summed : float array (outputs,), optional
        Variance of one more cell of each output, driven with minus the sum of the inputs.
    """

    def __init__(self, variance: np.ndarray, unit: float, groups: Sequence[slice] = (), summed: np.ndarray | None = None):
        bits = (24 - (len(variance) - 1).bit_length()) // 2
        peak, largest = variance.max(), variance.max(axis=0)
        # a line whose cells are all so much less noisy that 6 bits would not be left gets integers and a factor of its own
        largest = np.where((largest > 0) & (largest < peak * 2.0 ** (6 - bits)), largest, peak) if peak else np.ones(len(largest))
        self._top, self._groups = (1 << bits) - 1, groups
        self._matrix = np.ascontiguousarray(evenly_rounded(variance * (self._top / largest)), np.float32)
        self._unit = unit * float(np.sqrt(peak)) / (self._top * draws.DEVIATION)
        self._own = np.sqrt(largest / (peak or 1.0)).astype(np.float32)
        self._outputs = variance.shape[1] - len(groups)
        self._summed = None if summed is None else (summed * (unit / draws.DEVIATION) ** 2).astype(np.float32)

    @functools.cached_property
    def _of_bits(self) -> Sums:
        return Sums(self._matrix, signed=False)

    def bitwise(self, codes: np.ndarray, bits: np.ndarray) -> np.ndarray:
        """Sums of the cells' variances, as `draw` takes them: `Sums.of`."""
        return self._of_bits.of(codes, bits)

    def draw(self, codes: np.ndarray, reads: draws.Reads, variance: np.ndarray | None = None) -> np.ndarray:
        """Noise of the reads of each vector.

        Parameters
        ----------
        codes : integer array (reads * n, inputs)
            What the reads apply, the first of all vectors, the second of all, ...
        reads : draws.Reads
        variance : float32 array (reads * n, lines), optional
            `bitwise` of these codes; becomes the noise.

        Returns
        -------
        float32 array (reads * n, outputs)
            Integers.
        """
        from . import compiled

        top, largest = np.float32(self._top), np.ones(len(codes), np.float32)
        if variance is None:
            squares, largest = compiled.squares(codes, self._top)
            variance, top = squares @ self._matrix, np.float32(1)
        noise, scales, own = variance, largest * np.float32(self._unit), self._own
        if self._summed is not None:
            noise *= top
            noise *= np.square(scales)[:, None]
            noise *= np.square(own)
            noise += np.square(codes.sum(axis=1, dtype=np.float64).astype(np.float32))[:, None] * self._summed
            top, scales, own = np.float32(1), np.ones_like(scales), np.ones_like(own)
        compiled.noise(noise, top, scales, own, *reads.addresses(noise.shape[1]))
        own = noise[:, : self._outputs]
        for line, outputs in enumerate(self._groups):
            own[:, outputs] -= noise[:, self._outputs + line, None]
        return np.ascontiguousarray(own) if self._groups else own


def evenly_rounded(values: np.ndarray) -> np.ndarray:
    """Integers (inputs, lines) whose sums along the inputs, up to any of them, are within a half of those of the values."""
    until = np.rint(np.cumsum(values, axis=0))
    until[1:] -= until[:-1].copy()
    return until
