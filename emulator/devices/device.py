"""A memory cell: its conductance range and everything that is not ideal about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import draws, thermal
from .drift import PowerLaw
from .iv import Cubic, Measured
from .noise import CellNoise, Constant, Flicker, PerProduct
from .spread import Spread, Stuck

EFFECTS = ("states", "spread", "programming", "drift", "flicker", "stuck", "thermal", "read", "iv")


@dataclass(frozen=True)
class Device:
    """A memory cell. Every effect is off unless given.

    Parameters
    ----------
    g_max, g_min : float
        Conductance range, microsiemens.
    programming : CellNoise
        Error of a written conductance.
    read : CellNoise, PerProduct or Constant
        Fresh noise of every read; a `CellNoise` is that of each cell's conductance.
    drift : PowerLaw
    flicker : Flicker
        1/f noise accumulated since programming.
    spread : Spread
    stuck : Stuck
    thermal : thermal.Linear
        How conductances follow temperature.
    iv : Cubic or Measured
        Without it cells follow Ohm's law.
    states : tuple of float
        The only conductances that are written, ascending, microsiemens: a target is the nearest of them, the lower of two as near.
    name, paper, doi : str
        What it is called, and where the numbers come from.
    fit : str
        What of it is a loose fit, or was not measured.
    """

    g_max: float = 25.0
    g_min: float = 0.0
    programming: CellNoise | None = None
    read: CellNoise | PerProduct | Constant | None = None
    drift: PowerLaw | None = None
    flicker: Flicker | None = None
    spread: Spread | None = None
    stuck: Stuck | None = None
    thermal: thermal.Linear | None = None
    iv: Cubic | Measured | None = None
    states: tuple[float, ...] | None = None
    name: str = ""
    paper: str = ""
    doi: str = ""
    fit: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.g_min < self.g_max < np.inf:
            raise ValueError(f"device: g_min = {self.g_min}, g_max = {self.g_max}; conductances need 0 <= g_min < g_max (microsiemens)")
        if self.states is not None and (
            len(self.states) < 2 or np.any(np.diff(self.states) <= 0) or not self.g_min <= self.states[0] <= self.states[-1] <= self.g_max
        ):
            raise ValueError(
                f"device: states = {self.states}; allowed are two or more, ascending, from {self.g_min:g} to {self.g_max:g} uS"
            )

    @property
    def changes_cells(self) -> bool:
        """Return whether cells differ from their nominal conductances."""
        return any((self.states, self.spread, self.programming, self.drift, self.flicker, self.stuck, self.thermal))

    @property
    def ages(self) -> bool:
        """Return whether there is a law of what time does to cells."""
        return bool(self.drift or self.flicker)

    def check(self, time: float | None, temperature: float | None = None) -> None:
        """ValueError if nothing is known of the device so many seconds after programming, or at a temperature (kelvin)."""
        if temperature is not None:
            thermal.check(temperature)
            if not (self.thermal or self.drift and self.drift.activation):
                raise ValueError(
                    f"device {self.name or 'without a name'}: temperature = {temperature:g} K, but it has no model of it (activation "
                    "energy of drift, temperature coefficient); give no temperature, or a device that has one"
                )
        if time is None:
            return
        if not 0 <= time < np.inf:
            raise ValueError(f"device: time = {time:g} s; it is counted from programming and cannot be negative or infinite")
        if not self.ages:
            raise ValueError(
                f"device {self.name or 'without a name'}: time = {time:g} s, but it has no law of ageing (drift, 1/f noise); "
                "give no time, or a device that has one"
            )
        if self.drift:
            self.drift.check(time, temperature)

    def target(self, share: np.ndarray) -> np.ndarray:
        """Conductances (microsiemens) for shares 0 .. 1 of the range."""
        share = np.asarray(share, np.float64)
        if share.size and (share.min() < 0 or share.max() > 1):
            raise ValueError(
                f"device: asked for {share.min():.3g} to {share.max():.3g} of its range of {self.g_min:g} to {self.g_max:g} "
                "uS; scale the weights to 0 to 1"
            )
        g = self.g_min + (self.g_max - self.g_min) * share
        if self.states is None:
            return g
        states = np.asarray(self.states, np.float64)
        return states[np.searchsorted((states[1:] + states[:-1]) / 2, g)]

    def program(
        self, share: np.ndarray, seed: int, plane: int, time: float | None = None, write: int = 0, temperature: float | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cells as they are written, and as they are `time` seconds later.

        Parameters
        ----------
        share : float array
            Target, as a share of the range.
        seed : int
        plane : int
            Number of this plane of cells, below `draws.PLANES`.
        time : float, optional
            Seconds after programming; default: no drift and no 1/f noise yet. Refused of a device without a law of ageing.
        write : int
            How often these cells have been written before. Every time has noise and drift of its own; spread and stuck cells stay.
        temperature : float, optional
            Kelvin, since they were written; default: that at which the device was measured, at which it is written.

        Returns
        -------
        programmed, now : float64 arrays
            Microsiemens. Each draw depends on the seed, the plane, the number of the write and the cell only: later times
            are the same cells, older.
        """
        if time is not None:
            self.check(time)
        key, g, written = draws.key(seed), self.target(share), draws.step(plane, write)
        noisiness = self.spread.noisiness(key, plane, g.shape) if self.spread else 1.0
        if self.spread:
            g = self.spread.apply(g, self.g_min, self.g_max, key, plane)
        if self.programming:
            g = self.programming.draw(g, self.g_max, key, draws.PROGRAMMING, written, noisiness)
        now = g
        if time is not None and self.drift:
            now = self.drift.apply(now, self.g_max, time, key, written, temperature)
        if time is not None and self.flicker:
            now = self.flicker.draw(now, g, self.g_max, time, key, written, noisiness)
        if self.stuck:
            g, now = (self.stuck.apply(v, self.g_min, self.g_max, key, plane) for v in (g, now))
        if self.thermal and temperature is not None:
            now = self.thermal.apply(now, self.g_max, temperature)
        return g, now

    def read_variance(self, g: np.ndarray) -> np.ndarray:
        """Variance of one read of conductances g (microsiemens), in microsiemens squared; 0 where no cell is noisy on its own."""
        if isinstance(self.read, CellNoise):
            return self.read.sigma(g, self.g_max) ** 2
        if isinstance(self.read, PerProduct):
            return self.read.magnitude**2 * (self.g_max - self.g_min) * np.maximum(np.subtract(g, self.g_min), 0)
        return np.zeros(np.shape(g))
