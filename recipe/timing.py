"""When an operation reads and writes each element of each vector, in cycles after its start (contract section 8)."""

from __future__ import annotations

import numpy as np

from .geometry import LEAD, Geometry
from .operations import Op
from .rules import Step, traffic


def sums(g: Geometry, op: Op) -> np.ndarray:
    """Return the cycle of each sum that a read gives, by element (contract section 3)."""
    if op is Op.FORWARD:
        return LEAD + 5 + g.lv + g.F * (np.arange(g.R) + 1)
    fold, lane = np.divmod(np.arange(g.C), g.L)
    return LEAD + 6 + g.P * fold + g.R + lane


def reads(g: Geometry, op: Op, vector: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last cycle in which `op` addresses each element of `vector`."""
    first = LEAD + 1
    if vector == "loss":
        return np.array([-2]), np.array([first + g.N + 1])        # the slope is registered twice
    if vector.startswith("drive"):
        cycle = sums(g, op) + 2
        return cycle, cycle
    if vector.startswith("input"):
        fold = np.arange(g.C) // g.L
        return first + fold, first + (g.R - 1) * g.F + fold
    row = np.arange(g.R)
    if op is Op.TRANSPOSED:
        return first + row, first + (g.F - 1) * g.P + row
    return first + g.F * row, first + g.F * row + g.F - 1


def writes(g: Geometry, op: Op, vector: str) -> np.ndarray:
    """Return the cycle in which `op` writes each element of `vector`; a read one cycle later finds it."""
    z = sums(g, op)
    if op is Op.TRANSPOSED:
        return z + 9
    if vector.startswith("drive"):
        return z + 2
    if vector == "loss":
        return z + 6
    return z + (11 if g.is_last else 7)


def dyad(g: Geometry, op: Op) -> tuple[int, int, int]:
    """Return the layer whose dyad a read uses, and the first and the last cycle of its elements there."""
    z = sums(g, op)
    if op is Op.TRANSPOSED:
        return g.layer - 1, int(z[0]) + 4, int(z[-1]) + 4
    enter = 6 if g.is_last else 2
    return g.layer, int(z[0]) + enter, int(z[-1]) + enter


def end(g: Geometry, step: Step) -> int:
    """Return the cycle in which `step` writes for the last time."""
    if step.op in (Op.UPDATE, Op.PROBE):
        return LEAD + g.N + 7
    _, makes = traffic(step, g.recipe)
    return max(int(writes(g, step.op, vector)[-1]) for vector in makes)
