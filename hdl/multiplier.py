"""The multiplier of a lane, and of a unit's squares (contract section 3)."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .delay import delayed
from .families import Platform


class Multiplier(wiring.Component):
    """Signed product with registered operands and result: latency 2, one product per cycle.

    On a board the registers are those of its family's multiplier block.

    Members
    -------
    a : In(signed(width_a))
    b : In(signed(width_b))
    product : Out(signed(width_a + width_b))
    """

    LATENCY = 2

    def __init__(self, width_a: int, width_b: int):
        super().__init__({"a": In(signed(width_a)), "b": In(signed(width_b)), "product": Out(signed(width_a + width_b))})

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        block = platform.family.multiplier if platform and not platform.plain else None
        if block and max(len(self.a), len(self.b)) <= block.width:
            product = Signal(2 * block.width)
            m.submodules.block = block.connect(self.a, self.b, product)
            m.d.comb += self.product.eq(product)
        else:
            m.d.sync += self.product.eq(delayed(m, self.a, 1) * delayed(m, self.b, 1))
        return m
