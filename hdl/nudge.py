"""The output's nudge: squared error, or its hinge (contract section 5)."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..recipe import RANDOM_BITS, Recipe
from .delay import delayed
from .families import Platform
from .fixed import Requantize
from .neuron import activated


class Nudge(wiring.Component):
    """Error of an output unit, and the feedback it gets: beta times the error. One unit per cycle.

    Parameters
    ----------
    recipe : Recipe

    Members
    -------
    a : In(signed(wa))
    target : In(1)
        This unit is the label's class.
    negative : In(1)
        With -beta in place of beta.
    random : In(16)
        Of cycle c + 2 for inputs of cycle c.
    error : Out(signed(wa + 1))
        Latency 2.
    b : Out(signed(wa))
        Latency 4.
    b_out_of_range : Out(1)
        Latency 4.
    """

    LATENCY_ERROR = 2
    LATENCY = 4

    def __init__(self, recipe: Recipe):
        self._recipe = recipe
        width = recipe.formats.accumulator.width
        super().__init__(
            {
                "a": In(signed(width)),
                "target": In(1),
                "negative": In(1),
                "random": In(RANDOM_BITS),
                "error": Out(signed(width + 1)),
                "b": Out(signed(width)),
                "b_out_of_range": Out(1),
            }
        )

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        r = self._recipe
        # cycle 1: the output
        output = activated(self.a.shift_left(1), r.pieces(r.layers - 1)).shift_right(1)
        v = Signal(signed(len(output)))
        m.d.sync += v.eq(output)
        # cycle 2: the error
        label = delayed(m, self.target, 1)
        error = Mux(label, r.target(True), r.target(False)) - v
        if r.objective == "squared-hinge":  # beyond its target: less than 0 of the label, or more of others
            error = Mux(error[-1] == label, 0, error)
        m.d.sync += self.error.eq(error)
        # cycles 3 and 4: times beta
        m.submodules.requantize = requantize = Requantize(
            len(self.error) + 1, r.nudge_shift, len(self.b), r.rounding.accumulator, r.overflow.accumulator
        )
        m.d.comb += [
            requantize.value.eq(Mux(delayed(m, self.negative, 2), -self.error, self.error)),
            requantize.random.eq(self.random),
            self.b.eq(requantize.result),
            self.b_out_of_range.eq(requantize.out_of_range),
        ]
        return m
