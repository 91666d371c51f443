"""Requantize: the only way a number loses bits (contract section 1)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from ..recipe import RANDOM_BITS, Overflow, Rounding
from .families import Platform


def rounded(value: Value, shift: int, rounding: Rounding, random: Value) -> Value:
    """The rounding step of contract section 1, combinational; signed, and wide enough to be exact."""
    if shift <= 0:
        return value.shift_left(-shift)
    floor = value.shift_right(shift)
    if rounding == "floor":
        return floor
    if rounding == "stochastic":
        # bits of the value below those the random word reaches cannot carry
        m = min(shift, RANDOM_BITS)
        return (value.shift_right(shift - m) + random[RANDOM_BITS - m :]).shift_right(m)
    half = value.shift_right(shift - 1)[0]
    if rounding == "nearest":
        return floor + half
    rest = value[: shift - 1].any() if shift > 1 else 0
    return floor + (half & (floor[0] | rest))


def rounded_onto(value: Value, shift: int, rounding: Rounding, random: Value, onto: Value) -> Value:
    """Return ``onto + rounded(value, ..)`` by one adder: what decides on the last bit lies below the bits of `onto`."""
    floor = value.shift_right(shift) if shift > 0 else value.shift_left(-shift)
    if shift <= 0 or rounding == "floor":
        return floor + onto
    if rounding == "stochastic":
        below = random[max(0, RANDOM_BITS - shift) :]
    else:
        rest = value[: shift - 1].any() if shift > 1 else Const(0, 1)
        below = Const(1, 1) if rounding == "nearest" else floor[0] | rest
    m = len(below)
    return (value.shift_right(shift - m) + Cat(below, onto).as_signed()).shift_right(m)


def limited(q: Value, width: int, overflow: Overflow) -> tuple[Value, Value]:
    """The overflow step of contract section 1: (result, out_of_range), combinational."""
    if len(q) <= width:
        return q, Const(0)
    top, sign = q[width - 1 :], q[-1]
    outside = top.any() & ~top.all()
    if overflow == "wrap":
        return q[:width].as_signed(), outside
    return Mux(outside, Cat((~sign).replicate(width - 1), sign), q[:width]).as_signed(), outside


def at_least(value: Value, least: int) -> Value:
    """``value >= least``, `value` unsigned, in gates: synthesis makes a chain of an adder of the comparison, which is larger."""
    if not 0 < least < 1 << len(value):
        return Const(least <= 0, 1)
    reached: Value = Const(1, 1)
    for bit, needed in zip(value, f"{least:0{len(value)}b}"[::-1], strict=True):  # of the bits so far, the lowest first
        reached = bit & reached if needed == "1" else bit | reached
    return reached


def clip(value: Value, low: int, high: int) -> Value:
    """`value` limited to ``low .. high``; combinational, in `span(low, high)`."""
    below, above = ~_reaches(value, low), _reaches(value, high)
    result = Mux(below, low, Mux(above, high, value))
    return result[: span(low, high).width].as_signed()


def _reaches(value: Value, least: int) -> Value:
    """``value >= least``, `value` signed, in gates: of a bound's low zeros nothing is left, as of most a format has."""
    half = 1 << len(value) - 1
    return at_least(Cat(value[:-1], ~value[-1]), least + half)


def span(low: int, high: int) -> Shape:
    """The narrowest signed shape that holds `low` and `high`."""
    return signed(max(bits_for(low, True), bits_for(high, True)))


class Requantize(wiring.Component):
    """Round and fit a number into a narrower format (contract section 1).

    Latency 2, one value per cycle: cycle 1 rounds, cycle 2 limits.

    Parameters
    ----------
    width_in : int
        Bits of `value`.
    shift : int
        Fraction bits to lose; negative: to gain.
    width : int
        Bits of `result`.
    rounding : str
        ``floor``, ``nearest``, ``nearest_even`` or ``stochastic``.
    overflow : str
        ``saturate`` or ``wrap``.

    Members
    -------
    value : In(signed(width_in))
    random : In(16)
        Random word of the same cycle; only stochastic rounding looks at it.
    result : Out(signed(width))
    out_of_range : Out(1)
    """

    LATENCY = 2

    def __init__(self, width_in: int, shift: int, width: int, rounding: Rounding, overflow: Overflow):
        if width_in < 1 or width < 1:
            raise ValueError(f"Requantize: widths {width_in} and {width}; both must be at least 1")
        if rounding not in Rounding.__args__:
            raise ValueError(f"Requantize: rounding {rounding!r}; allowed are {', '.join(Rounding.__args__)}")
        if overflow not in Overflow.__args__:
            raise ValueError(f"Requantize: overflow {overflow!r}; allowed are {', '.join(Overflow.__args__)}")
        self._shift, self._width, self._rounding, self._overflow = shift, width, rounding, overflow
        super().__init__({"value": In(signed(width_in)), "random": In(RANDOM_BITS), "result": Out(signed(width)), "out_of_range": Out(1)})

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        # cycle 1: round
        exact = rounded(self.value, self._shift, self._rounding, self.random)
        q = Signal(signed(len(exact)))
        m.d.sync += q.eq(exact)
        # cycle 2: limit
        result, outside = limited(q, self._width, self._overflow)
        m.d.sync += [self.result.eq(result), self.out_of_range.eq(outside)]
        return m
