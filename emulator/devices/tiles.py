"""Layout of a layer's cells on arrays, and the matrix that each read of them multiplies with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import wires
from .mapping import Slice, blocks


@dataclass(frozen=True)
class Tiles:
    """A layer on arrays of a given size.

    Parameters
    ----------
    rows, columns : list of slice
        Inputs and outputs of each array.
    referenced : bool
        Whether each array has a reference line (offset mapping), as its last output. Then the second plane of cells has a line for each
        of `columns`, else as many as the first.
    """

    rows: list[slice]
    columns: list[slice]
    referenced: bool

    @classmethod
    def of(cls, shape: tuple[int, int], rows: int | None, columns: int | None, kind: str) -> Tiles:
        """Lay out (outputs, inputs) weights on arrays of at most so many inputs and outputs, mapped as `mapping.Mapping.kind`."""
        return cls(blocks(shape[1], rows), blocks(shape[0], columns), kind == "offset")

    def planes(self, s: Slice) -> tuple[np.ndarray, np.ndarray]:
        """Levels of the two planes of cells (outputs, inputs)."""
        return s.plus, np.repeat(s.minus, len(self.columns), axis=0) if self.referenced else s.minus

    def pairs(self, function: Callable[[np.ndarray], np.ndarray], plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
        """`function` of the cells of each array, one by one, as its result for signed weights (outputs, inputs).

        The function takes (inputs, outputs) of one array and returns the same shape.
        """
        out = np.empty(plus.shape)
        for n, columns in enumerate(self.columns):
            for rows in self.rows:
                if self.referenced:
                    both = function(np.concatenate([plus[columns, rows], minus[n : n + 1, rows]]).T).T
                    out[columns, rows] = both[:-1] - both[-1]
                else:
                    out[columns, rows] = (function(plus[columns, rows].T) - function(minus[columns, rows].T)).T
        return out

    def read(self, plus: np.ndarray, minus: np.ndarray, w: wires.Wires | None, transposed: bool = False) -> np.ndarray:
        """Return what a read of ohmic cells multiplies with (outputs, inputs), in the unit of the conductances (microsiemens)."""
        if w is None:
            return self.pairs(np.asarray, plus, minus)
        return self.pairs(lambda g: wires.read(g, w, transposed), plus, minus)
