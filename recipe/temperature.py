"""Temperature of cells, as a recipe says it: drift is hastened, conductances follow."""

from __future__ import annotations

import math

BOLTZMANN = 8.617333262e-5
"""Electronvolts per kelvin."""
LEAST, MOST = 200.0, 600.0
"""Kelvin at which a chip may be: degrees Celsius are none of these."""
ROOM = 298.15
"""Kelvin."""
ALLOWED = f"{LEAST:g} to {MOST:g} kelvin (25 degrees Celsius are {ROOM:g})"


def hastened(energy: float, temperature: float, reference: float) -> float:
    """Factor by which a thermally activated process is faster than at the reference.

    ``exp(energy / k (1 / reference - 1 / temperature))``: Arrhenius, as JEDEC has it for acceleration by temperature (JEP122), and Ielmini
    et al. for the drift of phase-change cells (Applied Physics Letters 92, 193511, 2008).

    Parameters
    ----------
    energy : float
        Activation energy, eV.
    temperature, reference : float
        Kelvin.
    """
    return math.exp(energy / BOLTZMANN * (1 / reference - 1 / temperature))
