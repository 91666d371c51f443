"""Cells that do not follow Ohm's law: current as a sum of terms, each a function of the voltage times a function of the conductance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FRACTION = 12
"""Fraction bits of voltages that a table has bent."""


@dataclass(frozen=True)
class Cubic:
    """``I = G V + a2(G) V**2 + a3(G) V**3`` (Milo et al., IRPS 2021), a2 and a3 polynomials of log10 of the conductance in siemens.

    Parameters
    ----------
    a2, a3 : tuple of float
        Coefficients, lowest power first: ampere per volt squared, cubed.
    voltage : float
        Volts of the largest input code.
    range : (float, float)
        Conductances that the polynomials were fitted to, microsiemens; beyond them they stay at the limit.
    """

    a2: tuple[float, ...]
    a3: tuple[float, ...]
    voltage: float
    range: tuple[float, float]

    def terms(self, g: np.ndarray, limit: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """The current in microsiemens times volts of the least input code, as pairs (function of the code, matrix).

        Parameters
        ----------
        g : float64 array
            Microsiemens.
        limit : int
            The largest input code.

        Returns
        -------
        list of (int64 array (2 limit + 1,), float64 array like g)
            The functions as tables from code -limit on.
        """
        code, volt = np.arange(-limit, limit + 1, dtype=np.int64), self.voltage / limit
        log = np.log10(np.clip(g, *self.range) * 1e-6)
        bent = [np.polynomial.polynomial.polyval(log, a) * 1e6 for a in (self.a2, self.a3)]
        return [(code, g), (code**2, bent[0] * volt), (code**3, bent[1] * volt**2)]


@dataclass(frozen=True)
class Measured:
    """``I = G f(V)`` with a measured f, linear between its points.

    Parameters
    ----------
    volts, bent : tuple of float
        V, ascending, and f(V), both in volts; f(V) = V is an ideal cell.
    voltage : float
        Volts of the largest input code.
    """

    volts: tuple[float, ...]
    bent: tuple[float, ...]
    voltage: float

    def __post_init__(self) -> None:
        if len(self.volts) != len(self.bent) or np.any(np.diff(self.volts) <= 0):
            raise ValueError("I-V table: give one f(V) for each voltage, voltages ascending")
        if self.volts[0] > -self.voltage or self.volts[-1] < self.voltage:
            raise ValueError(
                f"I-V table: {self.volts[0]:g} to {self.volts[-1]:g} V does not cover inputs of +-{self.voltage:g} V; extend the table"
            )

    def terms(self, g: np.ndarray, limit: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """See `Cubic.terms`."""
        volt = self.voltage / limit
        bent = np.interp(np.arange(-limit, limit + 1) * volt, self.volts, self.bent) / volt
        return [(np.rint(bent * 2**FRACTION).astype(np.int64), g * 2.0**-FRACTION)]
