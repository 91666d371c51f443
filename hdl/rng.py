"""The counter-based generator: any word of any stream, one per cycle (contract section 2)."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..recipe import RANDOM_BITS
from .families import Platform

ROUNDS = 8
INDEX_BITS = 24
VIEWS = 16
"""Lane views of one pair."""


def lane_view(x: Value, y: Value, lane: int) -> Value:
    """24 bits of a pair, independent of those of any other lane; combinational."""
    return x.shift_right((lane + 1) >> 1)[:INDEX_BITS] ^ y.shift_right(8 - (lane >> 1))[:INDEX_BITS]


def rounding_word(x: Value, y: Value, lane: int) -> Value:
    """The 16-bit rounding word of a lane view."""
    return lane_view(x, y, lane)[INDEX_BITS - RANDOM_BITS :]


def negative(x: Value, y: Value, lane: int) -> Value:
    """One bit: the sign of a lane view is minus."""
    return lane_view(x, y, lane)[0]


class Generator(wiring.Component):
    """A pure function of (key, stream, step, index) to two 32-bit words; latency 8, one pair per cycle.

    Parameters
    ----------
    key : tuple of int
        ``(k0, k1)``, 32 bits each.
    stream : int
        0 to 255, with the low four bits 0 where `layer` is used.

    Members
    -------
    layer : In(4)
        The low four bits of the stream.
    index : In(24)
    step : In(32)
    x, y : Out(32)
    """

    LATENCY = ROUNDS

    def __init__(self, key: tuple[int, int], stream: int):
        if not 0 <= stream < 256:
            raise ValueError(f"Generator: stream {stream}; allowed is 0 to 255")
        if len(key) != 2 or not all(0 <= k < 1 << 32 for k in key):
            raise ValueError(f"Generator: key {key}; allowed are two 32-bit words")
        self._key, self._stream = key, stream
        super().__init__({"layer": In(4), "index": In(INDEX_BITS), "step": In(32), "x": Out(32), "y": Out(32)})

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        x = (Cat(self.index, self.layer) | Const(self._stream << INDEX_BITS, 32)) ^ Const(self._key[0], 32)
        y = self.step ^ Const(self._key[1], 32)
        for i in range(1, ROUNDS + 1):
            # round i, one cycle
            last = i == ROUNDS
            next_x = self.x if last else Signal(32, name=f"x{i}")
            next_y = self.y if last else Signal(32, name=f"y{i}")
            mixed = (x.rotate_right(8) + y)[:32] ^ Const(0x9E3779B9 * i & 0xFFFFFFFF ^ self._key[i % 2], 32)
            m.d.sync += [next_x.eq(mixed), next_y.eq(y.rotate_left(3) ^ mixed)]
            x, y = next_x, next_y
        return m


def of_sample(level: Value, turn: Value, number: Value) -> Value:
    """Return the step or run of an operation's sample, given that of the newest one and its turn: those under way follow each other."""
    return (level - (turn - number[: len(turn)])[: len(turn)])[: len(level)]
