"""Drift: conductances fall after programming, each with an exponent of its own; and what a digital scale can repair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...recipe.temperature import ROOM, hastened
from . import draws
from .draws import Key


@dataclass(frozen=True)
class PowerLaw:
    """``g(t) = g(t0) (t / t0)**-nu``.

    Parameters
    ----------
    mean, deviation : callable
        Of the conductance relative to g_max, not below `FLOOR`: mean and standard deviation of nu among cells. nu is the absolute value of
        the draw.
    start : float
        t0: seconds after programming at which the programmed conductance was measured.
    spread : float
        Device-to-device spread of nu beyond `deviation`: standard deviation relative to nu.
    activation : float
        Activation energy, eV: at another temperature than the reference t is `as_old`.
    reference : float
        Kelvin at which the law was measured.
    """

    mean: Callable[[np.ndarray], np.ndarray]
    deviation: Callable[[np.ndarray], np.ndarray]
    start: float
    spread: float = 0.0
    activation: float = 0.0
    reference: float = ROOM

    FLOOR = 1e-7

    def __post_init__(self) -> None:
        if not self.start > 0:
            raise ValueError(f"drift: start = {self.start}; t0 must be positive (seconds)")

    def as_old(self, time: float, temperature: float | None = None) -> float:
        """Seconds at the reference temperature that change cells as much as `time` seconds at `temperature` (kelvin)."""
        return time if temperature is None else time * hastened(self.activation, temperature, self.reference)

    def check(self, time: float, temperature: float | None = None) -> None:
        """ValueError if the time is before t0."""
        if not self.as_old(time, temperature) >= self.start:
            at = "" if temperature is None else f" at {temperature:g} K, as old as {self.as_old(time, temperature):g} s"
            raise ValueError(
                f"drift: time = {time:g} s{at} is before t0 = {self.start:g} s, when the programmed conductance was measured; "
                "give t0 or later"
            )

    def exponents(self, g: np.ndarray, g_max: float, key: Key, plane: int) -> np.ndarray:
        """nu of each cell."""
        share = np.maximum(np.asarray(g, np.float64) / g_max, self.FLOOR)
        mean, deviation = self.mean(share), self.deviation(share)
        return np.abs(mean + np.hypot(deviation, self.spread * mean) * draws.normal(key, draws.DRIFT, plane, share.shape))

    def apply(self, g: np.ndarray, g_max: float, time: float, key: Key, plane: int, temperature: float | None = None) -> np.ndarray:
        """Conductances in microsiemens, `time` seconds after programming, all of them at `temperature` (kelvin; default: the reference)."""
        self.check(time, temperature)
        return g * (self.as_old(time, temperature) / self.start) ** -self.exponents(g, g_max, key, plane)


def fixed(nu: float, start: float = 1.0, deviation: float = 0.0) -> PowerLaw:
    """Drift with the same law for all conductances."""
    return PowerLaw(lambda share: np.full(share.shape, nu), lambda share: np.full(share.shape, deviation), start)


def compensation(programmed: np.ndarray, now: np.ndarray, per_output: bool = False) -> float | np.ndarray:
    """The digital factor that undoes the mean drift of an array.

    Parameters
    ----------
    programmed, now : float arrays (outputs, inputs)
        Effective weights after programming and now (what reads of one-hot inputs give).
    per_output : bool
        One factor for each output, else one for all.

    Returns
    -------
    float, or float64 array (outputs,)
    """
    axis = 1 if per_output else None
    before, after = np.mean(np.abs(programmed), axis=axis), np.mean(np.abs(now), axis=axis)
    return np.where(after > 1e-12, before / np.maximum(after, 1e-12), 1.0)
