"""Host: a chip behind one serial line (contract section 10)."""

from __future__ import annotations

from amaranth.hdl import ClockDomain, ClockSignal, DomainRenamer, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..recipe import Recipe
from .chip import Chip
from .families import Platform
from .link import Wire
from .link_player import Player


class Host(wiring.Component):
    """A chip behind a serial line, which carries frames.

    Parameters
    ----------
    recipe : Recipe
    clock : float
        Frequency in Hz.
    baud : float
        Bits per second of the line; a bit has four clock cycles at least.
    samples : int
        That the memory beside the chip holds, up to 65535; 0 makes none.

    Members
    -------
    rx : In(1)
    tx : Out(1)
    busy : Out(1)
        The chip runs a program.
    """

    def __init__(self, recipe: Recipe, clock: float, baud: float, samples: int = 0):
        if not 0 <= samples < 1 << 16:
            raise ValueError(f"samples: {samples}; allowed is 0 to 65535")
        self.wire, self.player = Wire(recipe, clock, baud, samples), Player(recipe, samples)
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "busy": Out(1)})

    @property
    def chip(self) -> Chip:
        return self.player.chip

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        m.submodules.wire = wire = self.wire
        # a clock domain of its own, whose reset is a register: it goes to every flip-flop of the chip
        m.domains.played = played = ClockDomain(local=True)
        again = Signal(init=1, reset_less=True)
        m.d.sync += again.eq(ResetSignal() | wire.reset)
        m.d.comb += [played.clk.eq(ClockSignal()), played.rst.eq(again)]
        m.submodules.player = DomainRenamer("played")(self.player)
        wiring.connect(m, wire.player, self.player.link)
        m.d.comb += [wire.rx.eq(self.rx), self.tx.eq(wire.tx), self.busy.eq(self.player.busy)]
        return m
