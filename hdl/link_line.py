"""The serial line: bytes in and out, 8 data bits, no parity, one stop bit."""

from __future__ import annotations

from fractions import Fraction

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .families import Platform

LEAST = 4
"""Clock cycles of the shortest bit."""


def bit(clock: float, baud: float) -> Fraction:
    """Return the clock cycles of a bit, with a denominator of at most 8; ValueError if they are fewer than `LEAST`."""
    cycles = Fraction(clock / baud).limit_denominator(8)
    if cycles < LEAST:
        raise ValueError(
            f"baud: {baud:g} is {float(cycles):.3g} clock cycles per bit at {clock / 1e6:g} MHz; allowed is {LEAST} or more "
            "(a slower line or a faster clock)"
        )
    return cycles


class Receiver(wiring.Component):
    """Serial line to bytes, 8N1, sampled in the middle of each bit.

    Parameters
    ----------
    cycles : Fraction
        Of the clock, to a bit.

    Members
    -------
    rx : In(1)
    o : Out(stream of 8 bits)
        A byte that is not taken before the next one arrives is lost.
    zero : Out(1)
        That byte is zero.
    """

    def __init__(self, cycles: Fraction):
        self._bit, self._cycle = cycles.as_integer_ratio()
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8)), "zero": Out(1)})

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        line = Signal(3, init=7)  # two stages against metastability, one to see the edge
        m.d.sync += line.eq(Cat(self.rx, line))
        # the timer counts shares of a cycle
        timer = Signal(range(2 * self._bit))
        left = Signal(range(10))
        bits = Signal(8)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(left == 0):
            with m.If(~line[1] & line[2]):
                m.d.sync += [left.eq(9), timer.eq(self._bit + self._bit // 2 - self._cycle)]
        with m.Elif(timer >= self._cycle):
            m.d.sync += timer.eq(timer - self._cycle)
        with m.Else():
            m.d.sync += [left.eq(left - 1), timer.eq(timer + self._bit - self._cycle), bits.eq(Cat(bits[1:], line[1]))]
            with m.If(left == 1):  # the stop bit
                m.d.sync += [self.o.payload.eq(bits), self.o.valid.eq(line[1]), self.zero.eq(bits == 0)]
        return m


class Transmitter(wiring.Component):
    """Bytes to the serial line, 8N1, `cycles` of the clock to a bit."""

    def __init__(self, cycles: Fraction):
        self._bit, self._cycle = cycles.as_integer_ratio()
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        timer = Signal(range(self._bit))
        left = Signal(range(11))
        bits = Signal(10, init=0x3FF)
        idle = Signal(init=1)  # a register: what hangs on it is spread over the whole device
        m.d.comb += [self.i.ready.eq(idle), self.tx.eq(bits[0])]
        with m.If(idle):
            with m.If(self.i.valid):
                m.d.sync += [
                    bits.eq(Cat(Const(0, 1), self.i.payload, Const(1, 1))),
                    left.eq(10),
                    timer.eq(self._bit - self._cycle),
                    idle.eq(0),
                ]
        with m.Else():
            m.d.sync += timer.eq(timer - self._cycle)
            with m.If(timer < self._cycle):
                m.d.sync += [
                    timer.eq(timer + self._bit - self._cycle),
                    left.eq(left - 1),
                    bits.eq(Cat(bits[1:], Const(1, 1))),
                    idle.eq(left == 1),
                ]
        return m
