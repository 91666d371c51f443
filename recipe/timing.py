"""Cycles in which an operation reads and writes each element of each store, after its start (contract section 8)."""

from __future__ import annotations

import numpy as np

from .geometry import LEAD, Geometry
from .operations import CHANGES, FED, MADE, SLOPE, Matrix, Op, Operation

LOSS = "the loss register"
"""The loss register, as a store of what each element of the last unit adds."""


def drive(unit: int) -> str:
    """Return the name of a unit's drive memory as a store."""
    return f"drive of unit {unit}"


def feedback(unit: int) -> str:
    """Return the name of a unit's feedback memory as a store."""
    return f"feedback of unit {unit}"


def words(m: Matrix) -> str:
    """Return the name of a matrix's words as a store of one element a word; empty where it has none."""
    return {"memory": f"words of {m.name}", "signs": f"words of {m.of}"}.get(m.source, "")


def traffic(m: Matrix, step: Operation) -> tuple[set[str], set[str]]:
    """Return the stores that an operation on matrix `m` reads and those that it writes."""
    needs, makes = {name for name in (step.column, step.row) if name and name not in MADE}, set()
    if words(m):
        needs.add(words(m))
    if step.op in (Op.UPDATE, Op.PROBE):
        makes.add(words(m))
    if step.row == SLOPE:
        needs.add(LOSS)
    if step.reads:
        if step.enter != "drive":
            needs.add(drive(step.unit))
        if step.enter in FED:
            needs.add(feedback(step.unit))
        if step.keep_drive:
            makes.add(drive(step.unit))
        if step.keep_feedback:
            makes.add(feedback(step.unit))
        if step.loss != "keep":
            makes.add(LOSS)
        makes |= {name for name in (step.mean, step.difference) if name}
    return needs, makes


def sums(g: Geometry, op: Op) -> np.ndarray:
    """Return the cycle of each sum that a read gives, by element (contract section 3)."""
    if op is Op.FORWARD:
        return LEAD + 5 + g.lv + g.F * (np.arange(g.R) + 1)
    fold, lane = np.divmod(np.arange(g.D), g.L)
    return LEAD + 6 + g.P * fold + g.R + lane


CONVERTER = 2
"""Cycles from a sum to its unit."""


def at_drive(step: Operation) -> int:
    """Return the cycles from a sum to where its unit keeps drives: adding to what is there takes one."""
    return CONVERTER + (step.enter in CHANGES)


def at_dyad(g: Geometry, step: Operation) -> int:
    """Return the cycles from a sum to the dyad: the last unit has a nudge before it, and adding a force to the drive takes one."""
    return at_drive(step) + 4 * (step.unit == g.recipe.layers - 1) + (step.force == "drive")


def reads(g: Geometry, step: Operation, store: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last cycle in which `step` addresses each element of `store`."""
    first, row = LEAD + 1, np.arange(g.R)
    if store == LOSS:
        count = g.recipe.sizes[-1]
        return np.full(count, -2), np.full(count, first + g.N + 1)  # the slope is registered twice
    if step.reads and store in (drive(step.unit), feedback(step.unit)):
        return sums(g, step.op), sums(g, step.op)
    if store == words(g.matrix):
        t, f = np.divmod(np.arange(g.N), g.F)
        cycle = first + (np.minimum(f, g.T - 1) * g.P + t if step.op is Op.TRANSPOSED else np.arange(g.N))
        return cycle, cycle
    if step.op is Op.TRANSPOSED:
        return first + row, first + (g.T - 1) * g.P + row
    fold = np.arange(g.D) // g.L
    columns, rows = (first + fold, first + (g.R - 1) * g.F + fold), (first + g.F * row, first + g.F * row + g.F - 1)
    if store == step.column == step.row:
        return np.minimum(columns[0], rows[0]), np.maximum(columns[1], rows[1])
    return columns if store == step.column else rows


def writes(g: Geometry, step: Operation, store: str) -> np.ndarray:
    """Return the cycle in which `step` writes each element of `store`; a read one cycle later finds it."""
    if store == words(g.matrix):
        return LEAD + 8 + np.arange(g.N)
    z = sums(g, step.op)
    if store in (drive(step.unit), feedback(step.unit)):
        return z + at_drive(step)
    if store == LOSS:
        return z + at_drive(step) + 4
    return z + at_dyad(g, step) + 5


def needs_label(step: Operation) -> bool:
    """Return whether what a read does depends on the label."""
    return bool(step.force) or step.loss in ("set", "subtract")


def passes(g: Geometry, step: Operation) -> dict[str, tuple[int, int]]:
    """Return where two operations must not meet, and the first and the last cycle in which this one is there (contract section 8).

    The engine's slots; of a read the engine's sum, which a forward one takes from its first row's second fold on, and three places in
    its unit.
    """
    found = {f"slots of engine {g.engine}": (0, g.slots(step.op) - 1)}
    if step.reads:
        z = sums(g, step.op)
        first, last = int(z[0]), int(z[-1])
        found[f"sum of engine {g.engine}"] = first - (g.F - 1) * (step.op is Op.FORWARD), last
        for name, after in (("entry", CONVERTER), ("drive", at_drive(step)), ("dyad", at_dyad(g, step))):
            found[f"{name} of unit {step.unit}"] = first + after, last + after
    return found


def end(g: Geometry, step: Operation) -> int:
    """Return the cycle in which `step` writes for the last time; a unit makes its means whether they are kept or not."""
    if not step.reads:
        return LEAD + g.N + 7
    return int(sums(g, step.op)[-1]) + at_dyad(g, step) + 5
