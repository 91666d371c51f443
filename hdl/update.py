"""The new weight (contract section 6)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..recipe import LONGEST_TRAIN, RANDOM_BITS, Geometry
from .delay import delayed
from .fixed import clip, limited, rounded


class Update(wiring.Component):
    """One lane's weight update: round the product, add, limit. Latency 3, one weight per cycle.

    Parameters
    ----------
    geometry : Geometry
        Of the layer whose weights these are.

    Members
    -------
    weight : In(signed(ww))
    product : In(signed(operand_width + ws))
        The operand times input or sign, `Recipe.update_shift` fraction bits below the weight LSB.
    random : In(16)
    probe : In(1)
        A probe may use the guard at the ends of the range.
    result : Out(signed(ww))
    out_of_range : Out(1)
    """

    LATENCY = 3

    def __init__(self, geometry: Geometry):
        self._recipe = geometry.recipe
        f = self._recipe.formats
        super().__init__({
            "weight": In(signed(f.weight.width)),
            "product": In(signed(geometry.operand_width + f.state.width)),
            "random": In(RANDOM_BITS), "probe": In(1),
            "result": Out(signed(f.weight.width)), "out_of_range": Out(1),
        })

    def _change(self, weight, n):
        """What the rounded number does to a weight: it is the change, or a count of pulses (contract section 11)."""
        r = self._recipe
        c, width = r.slope_bits, r.formats.weight.width
        if c is None:
            return n.shift_left(r.pulse_bits)
        end, m = 1 << width - 1, width - 1 - r.pulse_bits
        room = Mux(n > 0, end - (weight >> c), end + (weight >> c))
        return (n * room + (1 << m - 1)) >> m

    def elaborate(self, platform):
        m = Module()
        r = self._recipe
        low, high, guard = r.formats.weight.min, r.formats.weight.max, r.guard
        saturate = r.overflow.weight == "saturate"
        # cycle 1: round, with a pulse law to a count of pulses
        exact = rounded(self.product, r.product_shift, r.rounding.weight, self.random)
        if r.devices.law != "ideal":
            exact = clip(exact, -LONGEST_TRAIN, LONGEST_TRAIN)
        q = Signal(signed(len(exact)))
        m.d.sync += q.eq(exact)
        # cycle 2: add
        total = (weight := delayed(m, self.weight, 1)) + self._change(weight, q)
        v = Signal(signed(len(total)))
        m.d.sync += v.eq(total)
        # cycle 3: limit
        if guard and saturate:
            probe = delayed(m, self.probe, 2)
            low, high = Mux(probe, low, low + guard), Mux(probe, high, high - guard)
            below, above = v < low, v > high
            result, outside = Mux(below, low, Mux(above, high, v)), below | above
        else:
            result, outside = limited(v, len(self.result), r.overflow.weight)
        m.d.sync += [self.result.eq(result), self.out_of_range.eq(outside)]
        return m
