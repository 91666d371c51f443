"""Products that a device's multiplier blocks make."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from .table import engines

if TYPE_CHECKING:
    from .recipe import Recipe


def products(recipe: Recipe) -> Counter[int]:
    """Return how many products a chip makes in each cycle, the square of errors left out, by the bits of their wider operand.

    Of lanes, of the sizes of their pulses, and of read noise.
    """
    found = Counter[int]()
    for engine in engines(recipe):
        found[max(engine.width, engine.scalar)] += engine.lanes
        if recipe.slope_bits is not None and recipe.learns:
            found[engine.width + 2] += engine.lanes
        if recipe.devices.read_noise:
            gain = max(max(r.noise_gain("state"), r.noise_gain("delta")) for r in engine.views)
            found[gain.bit_length() + 1] += bool(gain)
    return found


def slices(bits: int, width: int) -> int:
    """Return how many blocks of so wide operands lie along one of so many bits; a bit that is left over is multiplied in LUTs."""
    return -(-(bits - 1) // width)
