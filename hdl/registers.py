"""Registers of a chip beside a processor: its commands and counters on AXI4-Lite (contract section 13)."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..recipe import Recipe
from ..recipe.link import fingerprint
from ..recipe.registers import ADDRESS, ADDRESS_BITS, REGISTERS
from .chip import INFER, LOAD, RATE, READ, RUN, STEP, TRAIN
from .families import Platform

COMMANDS = {"INFER": INFER, "TRAIN": TRAIN, "LOAD": LOAD, "READ": READ, "RATE": RATE, "STEP": STEP, "RUN": RUN}
TIMES = {"LOAD": 1, "READ": 1, "RATE": 1, "STEP": 4, "RUN": 4}
"""Commands that a write gives where it does not say how many."""
OKAY, SLVERR = 0, 2
BUS = {
    "awaddr": In(ADDRESS_BITS),
    "awvalid": In(1),
    "awready": Out(1),
    "wdata": In(32),
    "wstrb": In(4),
    "wvalid": In(1),
    "wready": Out(1),
    "bresp": Out(2),
    "bvalid": Out(1),
    "bready": In(1),
    "araddr": In(ADDRESS_BITS),
    "arvalid": In(1),
    "arready": Out(1),
    "rdata": Out(32),
    "rresp": Out(2),
    "rvalid": Out(1),
    "rready": In(1),
}
"""Signals of AXI4-Lite, as the chip sees them."""
LEVELS = {
    "busy": 1,
    "rate": 3,
    "step": 32,
    "cycles": 64,
    "loss": 64,
    "saturations_accumulator": 32,
    "saturations_state": 32,
    "saturations_delta": 32,
    "saturations_weight": 32,
}
"""Level outputs of the chip, and their bits here."""


class Registers(wiring.Component):
    """Commands and counters of a chip as registers.

    Parameters
    ----------
    recipe : Recipe
        Its fingerprint is the identity.

    Members
    -------
    The signals of `BUS`, and those at the chip: the `LEVELS`, and ``command_valid``, ``command_code``, ``command_operand``,
    ``command_ready``.
    """

    def __init__(self, recipe: Recipe):
        self._recipe = recipe
        super().__init__(
            BUS
            | {name: In(width) for name, width in LEVELS.items()}
            | {"command_valid": Out(1), "command_code": Out(3), "command_operand": Out(8), "command_ready": In(1)}
        )

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        # the commands that are left
        code = Signal(3)
        operands = Signal(32)
        left = Signal(32)
        m.d.comb += [self.command_valid.eq(left != 0), self.command_code.eq(code), self.command_operand.eq(operands[:8])]
        with m.If(self.command_valid & self.command_ready):
            m.d.sync += [left.eq(left - 1), operands.eq(operands >> 8)]

        # writes: address and data are taken together, when the answer to the one before has gone
        write = Signal()
        m.d.comb += [write.eq(self.awvalid & self.wvalid & (~self.bvalid | self.bready)), self.awready.eq(write), self.wready.eq(write)]
        with m.If(self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(write):
            m.d.sync += [self.bvalid.eq(1), self.bresp.eq(SLVERR)]
            with m.Switch(self.awaddr[2:]):
                for name, command in COMMANDS.items():
                    with m.Case(ADDRESS[name] // 4):
                        stops = self.wdata == 0 if name not in TIMES else 0
                        with m.If(self.wstrb.all() & ((left == 0) | stops)):
                            m.d.sync += [
                                self.bresp.eq(OKAY),
                                code.eq(command),
                                operands.eq(self.wdata),
                                left.eq(TIMES.get(name, self.wdata)),
                            ]

        # reads
        fetch = Signal()
        high = Signal(32)
        m.d.comb += [fetch.eq(self.arvalid & (~self.rvalid | self.rready)), self.arready.eq(fetch)]
        identity = int.from_bytes(fingerprint(self._recipe), "little")
        wide = {"CYCLES_LOW": self.cycles, "LOSS_LOW": self.loss}
        shown = (
            {
                "IDENTITY_LOW": identity & 0xFFFFFFFF,
                "IDENTITY_HIGH": identity >> 32,
                "STATUS": Cat(self.busy, left != 0),
                "INFER": Mux(code == INFER, left, 0),
                "TRAIN": Mux(code == TRAIN, left, 0),
                "RATE": self.rate,
                "STEP": self.step,
                "CYCLES_HIGH": high,
                "LOSS_HIGH": high,
            }
            | wide
            | {f"SATURATIONS_{p}": getattr(self, f"saturations_{p.lower()}") for p in ("ACCUMULATOR", "STATE", "DELTA", "WEIGHT")}
        )
        with m.If(self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(fetch):
            m.d.sync += [self.rvalid.eq(1), self.rdata.eq(0), self.rresp.eq(SLVERR)]
            with m.Switch(self.araddr[2:]):
                for i, register in enumerate(REGISTERS):
                    with m.Case(i):
                        m.d.sync += [self.rresp.eq(OKAY), self.rdata.eq(shown.get(register.name, 0))]
                        if register.name in wide:
                            m.d.sync += high.eq(wide[register.name][32:])
        return m
