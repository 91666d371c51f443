"""A layer's weights in cells on arrays: written, left alone for a while, and what a read of them multiplies with."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import draws
from .device import Device
from .drift import compensation
from .mapping import Mapping
from .noise import CellNoise, PerProduct
from .spread import Spread
from .tiles import Tiles
from .wires import Wires

COMPENSATIONS = ("none", "array", "output")


class Written:
    """A layer's levels, in cells: what everything that is loaded (`programming`) and everything that is read (`Array`) is made of.

    Parameters
    ----------
    levels : array (outputs, inputs)
        Whole numbers; or any where one cell takes all bits of a weight.
    device : Device
    mapping : Mapping
    tiles : Tiles
    wires : Wires, optional
    seed : int
    layer : int
        Which cells of the chip: those of a layer keep their spread and their stuck cells for good.
    write : int
        How often they have been written before: each time has errors of its own.
    time : float, optional
        Seconds since then. Default: just written, neither drift nor 1/f noise.
    temperature : float, optional
        Kelvin since then. Default: that at which the device was measured.

    Attributes
    ----------
    slices : list of Slice
        Least significant first.
    """

    def __init__(
        self,
        levels: np.ndarray,
        device: Device,
        mapping: Mapping,
        tiles: Tiles,
        wires: Wires | None = None,
        seed: int = 0,
        layer: int = 0,
        write: int = 0,
        time: float | None = None,
        temperature: float | None = None,
    ):
        self.slices, self.device, self._tiles, self._wires = mapping.slices(levels), device, tiles, wires
        self._seed, self._first, self._when = seed, 2 * len(self.slices) * layer, (time, write, temperature)
        self._cells: dict[int, list[tuple[Any, ...]]] = {}  # by slice: both planes, when just written and now
        self._seen: dict[tuple[int, bool, bool], np.ndarray] = {}

    def unit(self, n: int) -> float:
        """Microsiemens of one level of slice n."""
        return (self.device.g_max - self.device.g_min) / self.slices[n].top

    def cells(self, n: int, fresh: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Conductances of the two planes of slice n, now or when they were just written (`fresh`), microsiemens."""
        if n not in self._cells:
            s = self.slices[n]
            planes = [
                self.device.program(levels / s.top, self._seed, self._first + 2 * n + i, *self._when)
                for i, levels in enumerate(self._tiles.planes(s))
            ]
            self._cells[n] = list(zip(*planes, strict=True))
        return self._cells[n][not fresh]

    def conductance(self, n: int, turned: bool = False, fresh: bool = False) -> np.ndarray:
        """Return what a read of slice n, or the transposed one (`turned`), multiplies with (outputs, inputs): microsiemens, signed."""
        turned = turned and self._wires is not None and not self._wires.reciprocal
        if (n, turned, fresh) not in self._seen:
            self._seen[n, turned, fresh] = self._tiles.read(*self.cells(n, fresh), self._wires, turned)
        return self._seen[n, turned, fresh]

    def weight(self, turned: bool = False, fresh: bool = False) -> np.ndarray:
        """All slices together (outputs, inputs): microsiemens times levels, of which a level has ``g_max - g_min``."""
        return sum((s.significance * s.top * self.conductance(n, turned, fresh) for n, s in enumerate(self.slices)), np.zeros(()))

    def factor(self, compensate: str, turned: bool = False, outputs: int = 0) -> float | np.ndarray:
        """Digital factor against the mean of what time and temperature do.

        One (``array``), one along the axis of the outputs (``output``), or 1 (``none``).
        """
        if compensate not in COMPENSATIONS:
            raise ValueError(f"compensate: {compensate!r}; allowed are {', '.join(COMPENSATIONS)}")
        time, _, temperature = self._when
        if compensate == "none" or time is None and temperature is None:
            return 1.0
        before, now = (np.moveaxis(self.weight(turned, fresh), outputs, 0) for fresh in (True, False))
        return compensation(before, now, compensate == "output")

    def variances(self, n: int) -> list[np.ndarray] | None:
        """Variances of one read of the cells of slice n's two planes, in levels squared; None without noise of cells."""
        if not isinstance(self.device.read, CellNoise | PerProduct):
            return None
        spread, key = self.device.spread or Spread(), draws.key(self._seed)
        found = [
            self.device.read_variance(g) * (spread.noisiness(key, self._first + 2 * n + i, g.shape) / self.unit(n)) ** 2
            for i, g in enumerate(self.cells(n))
        ]
        return found if any(v.any() for v in found) else None
