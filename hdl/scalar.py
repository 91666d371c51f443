"""The scalar of a rewriting slot, which goes to all lanes: E of contract section 6."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed

from ..recipe import SLOPE, Geometry, Op, Operation
from .choose import ByOperation, either, settled
from .delay import delayed, history
from .stores import chosen_store


def scalar_of(m: Module, of: ByOperation, before: Value, rows: dict[int, Value], slope: Value, rate: Value) -> Value:
    """Return E, which goes to all lanes of a rewriting slot, in its c + 2.

    `before` is the number of a cycle before its element, `rate` the rate then, `rows` the outputs of the rows' memories by their numbers.
    """
    rewrites = [s for s in of.engine.operations if not s.reads]
    updates, width = [s for s in rewrites if s.op is Op.UPDATE], of.engine.scalar
    least = _least(of)
    value = chosen_store(m, of, before, "row", {i: v.shift_left(least.get(i, 0)) for i, v in rows.items()})
    if any(s.row == SLOPE for s in updates):
        of_slope = settled(m, of(before, lambda g, s: s.row == SLOPE, 1, lambda s: s.op is Op.UPDATE))
        value = either(of_slope, slope.shift_left(least[None]), value)
    scalar, one_more = _scaled(m, of, before, value, rate)
    if any(s.op is Op.PROBE for s in rewrites):
        view = of.engine.views[0]  # where there are probes all are of one weight format
        probe = view.probe << view.update_shift
        probes = settled(m, of(before, lambda g, s: s.op is Op.PROBE, 1))
        step = settled(m, of(before, lambda g, s: -2 * probe if s.negative else probe, signed(width), lambda s: s.op is Op.PROBE))
        with m.If(probes):
            m.d.sync += scalar.eq(step)
    return (scalar + one_more)[:width].as_signed()


def opposite_of(m: Module, of: ByOperation, before: Value, slope: Value, rate: Value) -> Value:
    """Return what E is with the slope's opposite."""
    scalar, one_more = _scaled(m, of, before, (-slope).shift_left(_least(of)[None]), rate)
    return (scalar + one_more)[: of.engine.scalar].as_signed()


def _bits(of: ByOperation, g: Geometry, s: Operation) -> int:
    """Return by how many bits an update shifts its row's element at the slowest rate."""
    return s.gain + (of.recipe.align if of.recipe.row_of_states(s) else 0) + of.engine.finer(g.recipe)


def _from(of: ByOperation, s: Operation) -> int | None:
    """Return the number of the memory of an update's row; None for the slope."""
    return next((i for i, memory in enumerate(of.engine.memories) if memory.port == "row" and s.row in memory.stores), None)


def _least(of: ByOperation) -> dict[int | None, int]:
    """Return the fewest bits by which updates shift what a memory gives, or the slope (None): these are wires."""
    least: dict[int | None, int] = {}
    for g, s in of.pairs:
        if s.op is Op.UPDATE:
            bits = _bits(of, g, s)
            least[_from(of, s)] = min(bits, least.get(_from(of, s), bits))
    return least


def _scaled(m: Module, of: ByOperation, before: Value, value: Value, rate: Value) -> tuple[Signal, Value]:
    """Return the register of an update's row element or slope, its least bits shifted, times the rest of its gain and the rate.

    Beside it what is to add: where an update subtracts every bit is turned, and 1 more makes the opposite.
    A cycle has time for choice and shift, the next for the sum.
    """
    least = _least(of)
    scalar = Signal(signed(of.engine.scalar))
    more = of(before, lambda g, s: _bits(of, g, s) - least[_from(of, s)], only=lambda s: s.op is Op.UPDATE)
    # one shift, by a register, for all that shifts: a multiplexer for each would lie in the way of the element
    value = (value << delayed(m, rate + more, 1))[: len(scalar)]
    turned = settled(m, of(before, lambda g, s: s.op is Op.UPDATE and s.negative, 1, lambda s: not s.reads))
    m.d.sync += scalar.eq(value ^ turned.replicate(len(scalar)))
    return scalar, settled(m, turned)


def lending(m: Module, of: ByOperation, before: Value, rate: Value) -> tuple[Value, Value, Value]:
    """Return the rate of E in c, and whether columns are shifted by what it lends, in c + 1 and c + 2: registers or constants."""
    lent = of.engine.lent
    if not lent:
        return rate, Const(0), Const(0)
    fast = rate > 7 - lent
    shifts = history(m, fast & of(before, lambda g, s: s.op is Op.UPDATE, 1), 2)
    return Mux(fast, rate - lent, rate)[: len(rate)], shifts[1], shifts[2]
