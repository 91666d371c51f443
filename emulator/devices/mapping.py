"""Weights to conductances: levels, slices, pairs of cells, and arrays of a given size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Slice:
    """The digits of one significance: two planes of cells, read as their difference.

    Parameters
    ----------
    significance : int
        The weight of this slice in the digital sum.
    plus, minus : integer arrays (outputs, inputs), minus maybe (1, inputs)
        Levels of the cells.
    top : int
        The largest level a cell can have.
    """

    significance: int
    plus: np.ndarray
    minus: np.ndarray
    top: int

    @property
    def digits(self) -> np.ndarray:
        """Return what an ideal array multiplies with."""
        return self.plus - self.minus


@dataclass(frozen=True)
class Mapping:
    """Map from signed weights to conductances.

    Parameters
    ----------
    bits : int
        Of a weight, sign included, 2 to 12: levels from ``-(2**(bits-1) - 1)`` to ``2**(bits-1) - 1``.
    kind : str
        ``differential``: one cell for the positive and one for the negative part, the other at g_min. ``offset``: one cell, level 0 in the
        middle; one reference line per array, of cells in the middle, is subtracted from every output (and driven with minus the sum of
        the inputs in the transposed read).
    slice_bits : int, optional
        Bits of one cell; a weight takes several slices, each converted on its own and added digitally. Default: one slice.
    """

    bits: int = 8
    kind: str = "differential"
    slice_bits: int | None = None

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 12:
            raise ValueError(f"mapping: bits = {self.bits}; allowed are 2 to 12")
        if self.kind not in ("differential", "offset"):
            raise ValueError(f"mapping: kind = {self.kind!r}; allowed are 'differential', 'offset'")
        if self.slice_bits is not None and not 1 <= self.slice_bits <= self.stored_bits:
            raise ValueError(f"mapping: slice_bits = {self.slice_bits}; allowed are 1 to {self.stored_bits}")

    @property
    def limit(self) -> int:
        """The largest level of a weight."""
        return (1 << (self.bits - 1)) - 1

    @property
    def stored_bits(self) -> int:
        """Bits that cells hold: the sign is a matter of which cell in a pair."""
        return self.bits - 1 if self.kind == "differential" else self.bits

    @property
    def sliced(self) -> bool:
        """Return whether a weight takes several cells."""
        return self.slice_bits is not None and self.slice_bits < self.stored_bits

    def levels(self, weights: ArrayLike, scale: float | None = None) -> tuple[np.ndarray, float]:
        """Nearest levels of real weights.

        Parameters
        ----------
        weights : array_like (outputs, inputs)
        scale : float, optional
            The weight that the largest level stands for. Default: the largest in magnitude.

        Returns
        -------
        levels : int32 array (outputs, inputs)
        step : float
            The weight of one level.
        """
        weights = np.asarray(weights)
        if weights.ndim != 2 or not weights.size:
            raise ValueError(f"weights: shape {weights.shape}; expected (outputs, inputs)")
        if not np.isfinite(weights).all():
            raise ValueError("weights: contain NaN or infinity; every weight must be finite")
        largest = float(np.max(np.abs(weights)))
        scale = largest or 1.0 if scale is None else float(scale)
        if not scale > 0:
            raise ValueError(f"weights: scale = {scale:g}; it must be positive")
        step = scale / self.limit
        levels = np.rint(weights / step).astype(np.int32)
        if np.abs(levels).max() > self.limit:
            raise ValueError(
                f"weights: {largest:g} is more than the largest conductance stands for, {scale:g}; give a larger scale or clip the weights"
            )
        return levels, step

    def slices(self, levels: np.ndarray) -> list[Slice]:
        """The planes of cells that hold levels (outputs, inputs), least significant first.

        Levels are whole numbers, or any where one cell takes all bits of a weight.
        """
        width = self.slice_bits or self.stored_bits
        top = (1 << width) - 1
        if self.kind == "differential":
            plus, minus = np.maximum(levels, 0), np.maximum(-levels, 0)
        else:
            plus, minus = levels + self.limit, np.full((1, levels.shape[1]), self.limit, levels.dtype)
        if not self.sliced:
            return [Slice(1, plus, minus, top)]
        return [Slice(1 << s, plus >> s & top, minus >> s & top, top) for s in range(0, self.stored_bits, width)]


def blocks(length: int, size: int | None) -> list[slice]:
    """`length` lines over arrays of at most `size` lines, as evenly as possible."""
    count = 1 if size is None else -(-length // size)
    edges = [length * i // count for i in range(count + 1)]
    return [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]
