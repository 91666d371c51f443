"""Noise of cells: how far a programmed conductance, or one read of it, is from what was meant.

A noise model gives a standard deviation in microsiemens for a conductance in microsiemens. All are homogeneous: in a device
whose range is twice that of the paper, conductance and noise are both twice as large.
"""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import draws
from .converters import DeviceWarning
from .draws import Key


def _share(what: str, magnitude: float) -> None:
    """ValueError for a negative magnitude; a warning for one that looks like a percentage."""
    if not magnitude >= 0:
        raise ValueError(f"{what}: magnitude = {magnitude}; a standard deviation cannot be negative")
    if magnitude > 1:
        warnings.warn(f"{what}: magnitude = {magnitude:g} is a share: 0.05 is five per cent", DeviceWarning, stacklevel=4)


class CellNoise(ABC):
    """Base of all noise models of cells: `sigma`, `shape` and `draw`."""

    shape = "normal"

    @abstractmethod
    def sigma(self, g: np.ndarray, g_max: float) -> np.ndarray:
        """Standard deviation in microsiemens at conductances g, in a device that reaches g_max (both in microsiemens)."""

    def draw(self, g: np.ndarray, g_max: float, key: Key, stream: int, plane: int, noisiness: float | np.ndarray = 1.0) -> np.ndarray:
        """Conductances with their noise, in microsiemens, not below 0.

        Parameters
        ----------
        g : float64 array
            Microsiemens.
        g_max : float
            Of the device, microsiemens.
        key : pair of uint32
        stream, plane : int
            Where in the generator (`draws`).
        noisiness : float or array
            Factor of the deviation of each cell.
        """
        if self.shape == "uniform":
            xi = (draws.uniform(key, stream, plane, g.shape) - 0.5) * math.sqrt(12)
        else:
            xi = draws.normal(key, stream, plane, g.shape)
        return np.maximum(g + self.sigma(g, g_max) * noisiness * xi, 0.0)


@dataclass(frozen=True)
class Generic(CellNoise):
    """Noise of a magnitude relative to a stated quantity.

    Parameters
    ----------
    magnitude : float
        Standard deviation as a share (0.05 is five per cent) of g_max (``independent``), of g (``proportional``) or of
        ``g_max**2 / g`` (``inverse``).
    kind : str
    shape : str
        ``normal`` or ``uniform`` (same standard deviation).
    """

    magnitude: float
    kind: str = "independent"
    shape: str = "normal"

    def __post_init__(self) -> None:
        _share("noise", self.magnitude)
        if self.kind not in ("independent", "proportional", "inverse"):
            raise ValueError(f"noise: kind = {self.kind!r}; allowed are independent, proportional, inverse")
        if self.shape not in ("normal", "uniform"):
            raise ValueError(f"noise: shape = {self.shape!r}; allowed are normal, uniform")

    def sigma(self, g: np.ndarray, g_max: float) -> np.ndarray:
        g = np.asarray(g, np.float64)
        if self.kind == "independent":
            return np.full(g.shape, self.magnitude * g_max)
        if self.kind == "proportional":
            return self.magnitude * g
        if self.magnitude and np.any(g <= 0):
            raise ValueError("noise: kind 'inverse' grows without bound at zero conductance; give the device a g_min above 0")
        return self.magnitude * g_max**2 / g if self.magnitude else np.zeros(g.shape)


@dataclass(frozen=True)
class Polynomial(CellNoise):
    """A polynomial in the conductance, not below 0.

    Parameters
    ----------
    coefficients : tuple of float
        Of ``(g / g_max)**0, **1, ...``, in microsiemens, for a device that reaches `reference`.
    reference : float
        The g_max of the measured device, microsiemens.
    """

    coefficients: tuple[float, ...]
    reference: float

    def sigma(self, g: np.ndarray, g_max: float) -> np.ndarray:
        share = np.asarray(g, np.float64) / g_max
        return np.maximum(np.polynomial.polynomial.polyval(share, self.coefficients), 0) * (g_max / self.reference)


@dataclass(frozen=True)
class Saturating(CellNoise):
    """``a (1 - exp(-g / b))``.

    Parameters
    ----------
    a, b : float
        Microsiemens, for a device that reaches `reference`.
    reference : float
        The g_max of the measured device, microsiemens.
    """

    a: float
    b: float
    reference: float

    def sigma(self, g: np.ndarray, g_max: float) -> np.ndarray:
        scale = g_max / self.reference
        return self.a * scale * -np.expm1(-np.asarray(g, np.float64) / (self.b * scale))


@dataclass(frozen=True)
class Table(CellNoise):
    """A measured table, linear between its points and constant beyond them.

    Parameters
    ----------
    conductance : tuple of float
        Microsiemens, ascending, not negative.
    deviation : tuple of float
        Standard deviations at these, microsiemens.
    reference : float, optional
        The g_max of the measured device, microsiemens; default: the last conductance.
    """

    conductance: tuple[float, ...]
    deviation: tuple[float, ...]
    reference: float | None = None

    def __post_init__(self) -> None:
        g, s = np.asarray(self.conductance, np.float64), np.asarray(self.deviation, np.float64)
        object.__setattr__(self, "conductance", tuple(g.tolist()))
        object.__setattr__(self, "deviation", tuple(s.tolist()))
        if g.ndim != 1 or g.shape != s.shape or not len(g):
            raise ValueError(f"noise table: {g.size} conductances and {s.size} deviations; give one deviation for each")
        if not (np.isfinite(g).all() and np.isfinite(s).all()):
            raise ValueError("noise table: contains NaN or infinity; every entry must be finite")
        if (g < 0).any() or (np.diff(g) <= 0).any():
            raise ValueError("noise table: conductances must be positive or 0, and ascending (microsiemens)")
        if (s < 0).any():
            raise ValueError("noise table: standard deviations cannot be negative")

    def sigma(self, g: np.ndarray, g_max: float) -> np.ndarray:
        scale = g_max / (self.reference or self.conductance[-1])
        return np.interp(np.asarray(g, np.float64) / scale, self.conductance, self.deviation) * scale


@dataclass(frozen=True)
class PerProduct:
    """Read noise of products, output-referred, with weights relative to the largest (Nandakumar et al., ICECS 2019: short-term PCM noise).

    ``y_i += magnitude sqrt(sum_j |w_ij| x_j**2) xi``: a cell's variance is proportional to what it conducts beyond the least conductance,
    which of ideal pairs of cells is the weight. A reference line's cells have theirs.
    """

    magnitude: float

    def __post_init__(self) -> None:
        _share("read noise", self.magnitude)


@dataclass(frozen=True)
class Constant:
    """Read noise that depends on the input only, with weights relative to the largest: ``y_i += magnitude ||x|| xi``."""

    magnitude: float

    def __post_init__(self) -> None:
        _share("read noise", self.magnitude)


@dataclass(frozen=True)
class Flicker:
    """1/f noise accumulated since programming (Nandakumar et al. 2019; Joshi et al. 2020).

    ``sigma = g Q(g_P / g_max) sqrt(ln((t + read_time) / (2 read_time)))``, g the conductance now and g_P the programmed one.

    Parameters
    ----------
    q : callable
        Of the programmed conductance relative to g_max.
    read_time : float
        Seconds.
    """

    q: Callable[[np.ndarray], np.ndarray]
    read_time: float

    def sigma(self, g: np.ndarray, programmed: np.ndarray, g_max: float, time: float) -> np.ndarray:
        """Standard deviation in microsiemens, `time` seconds after programming."""
        if time < self.read_time:
            raise ValueError(
                f"1/f noise: time = {time:g} s is before the first read is over; give at least read_time = {self.read_time:g} s"
            )
        return np.abs(g) * self.q(programmed / g_max) * math.sqrt(math.log((time + self.read_time) / (2 * self.read_time)))

    def draw(
        self, g: np.ndarray, programmed: np.ndarray, g_max: float, time: float, key: Key, plane: int, noisiness: float | np.ndarray = 1.0
    ) -> np.ndarray:
        """Conductances `time` seconds after programming, microsiemens, not below 0."""
        return np.maximum(g + self.sigma(g, programmed, g_max, time) * noisiness * draws.normal(key, draws.FLICKER, plane, g.shape), 0.0)
