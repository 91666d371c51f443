"""The walk over the words of the matrices in memory, while weights are loaded or read."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..recipe import Geometry
from .choose import choose, index_bits
from .families import Platform


class Walk(wiring.Component):
    """Steps through all weights of the chip: matrix by matrix, row by row, column by column.

    Between two steps lies a cycle at least, and between the last restart and the first step, too.

    Parameters
    ----------
    matrices : tuple of Geometry
    base : list of int
        Address of each matrix's first word, in the memory of its engine.

    Members
    -------
    restart : In(1)
        Back to the first weight.
    step : In(1)
        To the next weight.
    matrix, address, lane : Out
        Of the current weight; the address in the memory of its engine.
    word_end, chip_end : Out(1)
        The current weight is the last column of its word, the last weight of the chip.
    """

    def __init__(self, matrices: tuple[Geometry, ...], base: list[int]):
        self._matrices, self._base = matrices, base
        super().__init__(
            {
                "restart": In(1),
                "step": In(1),
                "matrix": Out(index_bits(len(matrices))),
                "address": Out(index_bits(max(b + g.N for b, g in zip(base, matrices, strict=True)))),
                "lane": Out(index_bits(max(g.L for g in matrices))),
                "word_end": Out(1),
                "chip_end": Out(1),
            }
        )

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()

        def of_matrix(numbers: list[int]) -> Value:
            return choose(self.matrix, numbers)

        fold = Signal(index_bits(max(g.F for g in self._matrices)))
        last_fold = Signal()
        last_word = Signal()
        following = Signal.like(self.address)
        last_lane = Mux(
            fold == of_matrix([g.F - 1 for g in self._matrices]),
            of_matrix([g.C - (g.F - 1) * g.L - 1 for g in self._matrices]),
            of_matrix([g.L - 1 for g in self._matrices]),
        )
        # compared in the cycle after a step, so that the next one begins at registers
        m.d.sync += [
            last_fold.eq(fold == of_matrix([g.F - 1 for g in self._matrices])),
            last_word.eq(self.address == of_matrix([b + g.N - 1 for b, g in zip(self._base, self._matrices, strict=True)])),
            following.eq(of_matrix([*self._base[1:], 0])),
            self.word_end.eq(self.lane == last_lane),
        ]
        m.d.comb += self.chip_end.eq(self.word_end & last_word & (self.matrix == len(self._matrices) - 1))
        with m.If(self.restart):
            m.d.sync += [self.matrix.eq(0), self.address.eq(self._base[0]), self.lane.eq(0), fold.eq(0)]
        with m.Elif(self.step):
            m.d.sync += self.lane.eq(self.lane + 1)
            with m.If(self.word_end):
                m.d.sync += [
                    self.lane.eq(0),
                    fold.eq(Mux(last_fold, 0, fold + 1)),
                    self.address.eq(Mux(last_word, following, self.address + 1)),
                    self.matrix.eq(self.matrix + last_word),
                ]
        return m
