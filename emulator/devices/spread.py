"""Cells are not alike: their conductance ranges spread, and some are stuck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import draws
from .draws import Key


@dataclass(frozen=True)
class Spread:
    """Device-to-device spread of the conductance range and of the noise.

    Parameters
    ----------
    span : float
        Standard deviation of a cell's ``g_max - g_min``, relative to the nominal one.
    least : float
        Standard deviation of a cell's g_min, relative to the nominal g_max.
    noise : float
        Standard deviation of how noisy cells are (when they are written, read and as they age), relative to their model's deviation.
    """

    span: float = 0.0
    least: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not (self.span >= 0 and self.least >= 0 and self.noise >= 0):
            raise ValueError("spread: span, least and noise are standard deviations and cannot be negative")

    def apply(self, g: np.ndarray, g_min: float, g_max: float, key: Key, plane: int) -> np.ndarray:
        """Return what cells of spread ranges give for nominal conductances g (microsiemens), not below 0."""
        if self.span:
            g = g_min + (g - g_min) * np.maximum(1 + self.span * draws.normal(key, draws.RANGE, plane, g.shape), 0)
        if self.least:
            g = g + self.least * g_max * draws.normal(key, draws.LEAST, plane, g.shape)
        return np.maximum(g, 0.0)

    def noisiness(self, key: Key, plane: int, shape: tuple[int, ...]) -> float | np.ndarray:
        """Return how much noisier each cell is than its model says; 1 if all are alike."""
        return np.abs(1 + self.noise * draws.normal(key, draws.NOISE, plane, shape)) if self.noise else 1.0


@dataclass(frozen=True)
class Stuck:
    """Cells that hold one conductance whatever is written.

    Parameters
    ----------
    low, high : float
        Shares of the cells of each plane that are stuck at g_min and at g_max. Exactly ``round(share * cells)`` cells are, at places drawn
        from the seed.
    """

    low: float = 0.0
    high: float = 0.0

    def __post_init__(self) -> None:
        if self.low < 0 or self.high < 0 or self.low + self.high > 1:
            raise ValueError(f"stuck cells: low = {self.low}, high = {self.high}; shares and their sum are 0 to 1 (0.01 is one per cent)")

    def apply(self, g: np.ndarray, g_min: float, g_max: float, key: Key, plane: int) -> np.ndarray:
        """Conductances (microsiemens) with the stuck cells in them."""
        order = np.argsort(draws.uniform(key, draws.STUCK, plane, g.size), kind="stable")
        low, high = round(self.low * g.size), round(self.high * g.size)
        g = g.copy()
        g.flat[order[:low]] = g_min
        g.flat[order[low : low + high]] = g_max
        return g
