"""Temperature: conductances follow it. How it hastens drift is `drift.PowerLaw.as_old`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...recipe.temperature import ALLOWED, LEAST, MOST, ROOM


@dataclass(frozen=True)
class Linear:
    """``g(T) = g (1 + c (T - reference))``, not below 0: what is left of a conductance's curve near the reference.

    Parameters
    ----------
    coefficient : callable
        Of the conductance relative to g_max: c, per kelvin.
    reference : float
        Kelvin.
    """

    coefficient: Callable[[np.ndarray], np.ndarray]
    reference: float = ROOM

    def __post_init__(self) -> None:
        check(self.reference, "reference")

    def apply(self, g: np.ndarray, g_max: float, temperature: float) -> np.ndarray:
        """Conductances at a temperature (kelvin), of those at the reference; microsiemens."""
        return np.maximum(g * (1 + self.coefficient(g / g_max) * (temperature - self.reference)), 0.0)


def check(temperature: float, name: str = "temperature") -> None:
    """ValueError for a temperature that no chip is at."""
    if not LEAST <= temperature <= MOST:
        raise ValueError(f"device: {name} = {temperature:g}; allowed are {ALLOWED}")
