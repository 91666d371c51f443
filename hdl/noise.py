"""Read noise: a sum of bytes, scaled (contract section 11)."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..recipe import Recipe
from .delay import delayed
from .families import Platform

BYTES = 8


def noise_width(gain: int) -> int:
    """Bits of noise of a gain, signed."""
    return ((BYTES * 255 // 2 * gain + 128) >> 8).bit_length() + 1


class Noise(wiring.Component):
    """The noise of a read from a pair of the generator. Latency 3, one per cycle.

    Parameters
    ----------
    recipe : Recipe
        With `devices.read_noise`.

    Members
    -------
    x, y : In(32)
    delta : In(1)
        The read is one of differences, whose sums have other fraction bits.
    noise : Out(signed)
        In LSBs of the sum.
    """

    LATENCY = 3

    def __init__(self, recipe: Recipe):
        self._gains = recipe.noise_gain("state"), recipe.noise_gain("delta")
        super().__init__({"x": In(32), "y": In(32), "delta": In(1), "noise": Out(signed(noise_width(max(self._gains))))})

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        words = Cat(self.x, self.y)
        parts = [words.word_select(i, 8) for i in range(BYTES)]
        # cycle 1: pairs of bytes
        pairs = [delayed(m, a + b, 1) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        # cycle 2: all of them, centred
        deviate = Signal(signed(12))
        m.d.sync += deviate.eq((pairs[0] + pairs[1]) + (pairs[2] + pairs[3]) - BYTES * 255 // 2)
        # cycle 3: scaled
        of_states, of_differences = self._gains
        product = deviate * of_states
        if of_differences != of_states:
            product = Mux(delayed(m, self.delta, 2), deviate * of_differences, product)
        m.d.sync += self.noise.eq((product + 128) >> 8)
        return m
