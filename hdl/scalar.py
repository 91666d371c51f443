"""The scalar of a rewriting slot, which goes to all lanes: E of contract section 6."""

from __future__ import annotations

from collections.abc import Callable

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed

from ..recipe import SLOPE, Op
from .choose import ByOperation, either, settled
from .delay import delayed, history


def scalar_of(m: Module, of: ByOperation, before: Value, element: Value, slope: Value, rate: Value) -> Signal:
    """The register of E: what goes to all lanes of a rewriting slot; `before` is the number of a cycle before its element."""
    rewrites = [s for s in of.engine.operations if not s.reads]
    updates, width = [s for s in rewrites if s.op is Op.UPDATE], of.engine.scalar
    scalar = Signal(signed(width))
    value = element
    if any(s.row == SLOPE for s in updates):
        value = Mux(settled(m, of(before, lambda g, s: s.row == SLOPE, 1, lambda s: s.op is Op.UPDATE)), slope, value)
    m.d.sync += scalar.eq(shifted(m, of, before, value, rate))
    if any(s.op is Op.PROBE for s in rewrites):
        view = of.engine.views[0]  # where there are probes all are of one weight format
        probe = view.probe << view.update_shift
        probes = settled(m, of(before, lambda g, s: s.op is Op.PROBE, 1))
        step = settled(m, of(before, lambda g, s: -2 * probe if s.negative else probe, signed(width), lambda s: s.op is Op.PROBE))
        with m.If(probes):
            m.d.sync += scalar.eq(step)
    return scalar


def shifted(m: Module, of: ByOperation, before: Value, value: Value, rate: Value) -> Value:
    """An update's row element or slope as its operation asks: aligned, with its sign, times its gain and the rate.

    `before` is the operation's number of a cycle before.
    """
    (r, engine, _), updates = of, [s for s in of.engine.operations if s.op is Op.UPDATE]

    def asked(asks: Callable[..., bool]) -> Value:
        return settled(m, of(before, lambda g, s: asks(s), 1, lambda s: s.op is Op.UPDATE))

    def changed(value: Value, instead: Value, asks: Callable[..., bool]) -> Value:
        """`instead` for the updates that ask for it, else `value`."""
        return either(asked(asks), instead, value)

    if any(map(r.row_of_states, updates)):
        value = changed(value, value.shift_left(r.align), r.row_of_states)
    for gain in sorted({s.gain for s in updates} - {0}):
        value = changed(value, value.shift_left(gain), lambda s, gain=gain: s.gain == gain)
    for finer in sorted({engine.finer(v) for v in engine.views} - {0}):
        value = either(settled(m, _is_finer(of, before, finer)), value.shift_left(finer), value)
    value = (value << rate)[: engine.scalar].as_signed()
    if any(s.negative for s in updates):  # every bit turned and one more, last: an adder's way into a register is the shortest
        opposite = asked(lambda s: s.negative)
        value = (value.as_unsigned() ^ opposite.replicate(len(value))).as_signed() + opposite
    return value


def lending(m: Module, of: ByOperation, before: Value, rate: Value) -> tuple[Value, Value, Value]:
    """Return the rate of E, and whether columns are shifted by the bits that it lends, in c + 1 and in c + 2: registers or constants."""
    lent = of.engine.lent
    if not lent:
        return rate, Const(0), Const(0)
    fast = rate > 7 - lent
    shifts = history(m, fast & of(before, lambda g, s: s.op is Op.UPDATE, 1), 2)
    return delayed(m, Mux(fast, rate - lent, rate)[: len(rate)], 1), shifts[1], shifts[2]


def _is_finer(of: ByOperation, number: Value, bits: int) -> Value:
    """Return whether an update's weights are finer than the engine's coarsest by this many bits."""
    return of(number, lambda g, s: of.engine.finer(g.recipe) == bits, 1, lambda s: s.op is Op.UPDATE)
