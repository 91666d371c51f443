"""When an operation reads and writes each element of each store, in cycles after its start (contract section 8)."""

from __future__ import annotations

import numpy as np

from .geometry import LEAD, Geometry
from .operations import SIGNS, SLOPE, Op, Operation

LOSS = "loss"
"""The loss register, as a store of one element."""


def drive(unit: int) -> str:
    """Return the name of a unit's drive memory as a store."""
    return f"drive of unit {unit}"


def traffic(step: Operation) -> tuple[set[str], set[str]]:
    """Return the stores that an operation reads and those that it writes; the engine orders what happens to its matrices."""
    needs, makes = {name for name in (step.column, step.row) if name and name not in (SIGNS, SLOPE)}, set()
    if step.row == SLOPE:
        needs.add(LOSS)
    if step.reads:
        if step.enter != "drive":
            needs.add(drive(step.unit))
        if step.keep_drive:
            makes.add(drive(step.unit))
        if step.loss != "keep":
            makes.add(LOSS)
        makes |= {name for name in (step.mean, step.difference) if name}
    return needs, makes


def sums(g: Geometry, op: Op) -> np.ndarray:
    """Return the cycle of each sum that a read gives, by element (contract section 3)."""
    if op is Op.FORWARD:
        return LEAD + 5 + g.lv + g.F * (np.arange(g.R) + 1)
    fold, lane = np.divmod(np.arange(g.C), g.L)
    return LEAD + 6 + g.P * fold + g.R + lane


def entry(g: Geometry, step: Operation) -> int:
    """Return the cycles from a sum to its unit: two of the converter, and two more to the unit of another engine."""
    return 2 if step.unit == g.layer else 4


def at_dyad(g: Geometry, step: Operation) -> int:
    """Return the cycles from a sum to the dyad: the last unit has a nudge before it, and a sum with the drive takes one."""
    return entry(g, step) + 4 * (step.unit == g.recipe.layers - 1) + (step.enter in ("more", "less")) + (step.force == "drive")


def reads(g: Geometry, step: Operation, store: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last cycle in which `step` addresses each element of `store`."""
    first, row = LEAD + 1, np.arange(g.R)
    if store == LOSS:
        return np.array([-2]), np.array([first + g.N + 1])        # the slope is registered twice
    if step.reads and store == drive(step.unit):
        cycle = sums(g, step.op) + entry(g, step) - 2
        return cycle, cycle
    if step.op is Op.TRANSPOSED:
        return first + row, first + (g.F - 1) * g.P + row
    fold = np.arange(g.C) // g.L
    columns, rows = (first + fold, first + (g.R - 1) * g.F + fold), (first + g.F * row, first + g.F * row + g.F - 1)
    if store == step.column == step.row:
        return tuple(pick(a, b) for pick, a, b in zip((np.minimum, np.maximum), columns, rows, strict=True))
    return columns if store == step.column else rows


def writes(g: Geometry, step: Operation, store: str) -> np.ndarray:
    """Return the cycle in which `step` writes each element of `store`; a read one cycle later finds it."""
    z = sums(g, step.op)
    if store == drive(step.unit):
        return z + entry(g, step) + (step.enter in ("more", "less"))
    if store == LOSS:
        return z[-1:] + entry(g, step) + 4
    return z + at_dyad(g, step) + 5


def at_unit(g: Geometry, step: Operation) -> tuple[int, int]:
    """Return the first and the last cycle in which elements of a read are at the dyad of its unit."""
    z = sums(g, step.op) + at_dyad(g, step)
    return int(z[0]), int(z[-1])


def end(g: Geometry, step: Operation) -> int:
    """Return the cycle in which `step` writes for the last time; a unit makes its means whether they are kept or not."""
    if not step.reads:
        return LEAD + g.N + 7
    return int(sums(g, step.op)[-1]) + at_dyad(g, step) + 5
