"""A chip beside a processor: AXI4-Stream for what flows, AXI4-Lite for control and counters (contract section 13)."""

from __future__ import annotations

from amaranth.hdl import Cat, ClockDomain, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In, Out

from ..recipe import Recipe, in_memory
from ..recipe.link import fingerprint
from ..recipe.registers import ADDRESS, ADDRESS_BITS, REGISTERS
from .chip import INFER, LOAD, RATE, READ, RUN, STEP, TRAIN, Chip
from .families import Platform

COMMANDS = {"INFER": INFER, "TRAIN": TRAIN, "LOAD": LOAD, "READ": READ, "RATE": RATE, "STEP": STEP, "RUN": RUN}
TIMES = {"LOAD": 1, "READ": 1, "RATE": 1, "STEP": 4, "RUN": 4}
"""Commands that a write gives where it does not say how many."""
OKAY, SLVERR = 0, 2


class Axi(wiring.Component):
    """A chip beside a processor.

    Parameters
    ----------
    recipe : Recipe

    Members
    -------
    As in contract section 13, each signal of a bus a port: ``s_axi_awaddr``, ``m_axis_result_tdata`` ..
    """

    def __init__(self, recipe: Recipe):
        self._recipe, self.chip = recipe, Chip(recipe)
        members = {"aclk": In(1), "aresetn": In(1)}
        for name in ("sample", "label", "weight"):
            members |= {
                f"s_axis_{name}_tdata": In(_bytes(getattr(self.chip, f"i_{name}").payload)),
                f"s_axis_{name}_tvalid": In(1),
                f"s_axis_{name}_tready": Out(1),
            }
        for name, payload in (("result", self.chip.o_result.payload.value), ("weight", self.chip.o_weight.payload)):
            members |= {
                f"m_axis_{name}_tdata": Out(_bytes(payload)),
                f"m_axis_{name}_tvalid": Out(1),
                f"m_axis_{name}_tready": In(1),
                f"m_axis_{name}_tlast": Out(1),
            }
        for channel, signals in {"aw": {"addr": ADDRESS_BITS}, "w": {"data": 32, "strb": 4}, "ar": {"addr": ADDRESS_BITS}}.items():
            members |= {f"s_axi_{channel}{name}": In(width) for name, width in (signals | {"valid": 1}).items()}
            members[f"s_axi_{channel}ready"] = Out(1)
        for channel, signals in {"b": {"resp": 2}, "r": {"data": 32, "resp": 2}}.items():
            members |= {f"s_axi_{channel}{name}": Out(width) for name, width in (signals | {"valid": 1}).items()}
            members[f"s_axi_{channel}ready"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        m.domains.sync = sync = ClockDomain()
        m.d.comb += sync.clk.eq(self.aclk)
        m.submodules.reset = ResetSynchronizer(~self.aresetn)
        m.submodules.chip = chip = self.chip
        for name in ("sample", "label", "weight"):
            into = getattr(chip, f"i_{name}")
            m.d.comb += [
                into.payload.eq(getattr(self, f"s_axis_{name}_tdata")),
                into.valid.eq(getattr(self, f"s_axis_{name}_tvalid")),
                getattr(self, f"s_axis_{name}_tready").eq(into.ready),
            ]
        weights = sum(g.R * g.C for g in in_memory(self._recipe))
        read = Signal(range(weights), name="weights_read")
        result = chip.o_result.payload
        for name, value, last in (("result", result.value, result.last), ("weight", chip.o_weight.payload, read == weights - 1)):
            out = getattr(chip, f"o_{name}")
            m.d.comb += [
                getattr(self, f"m_axis_{name}_tdata").eq(value),
                getattr(self, f"m_axis_{name}_tvalid").eq(out.valid),
                getattr(self, f"m_axis_{name}_tlast").eq(last),
                out.ready.eq(getattr(self, f"m_axis_{name}_tready")),
            ]
        with m.If(chip.o_weight.valid & chip.o_weight.ready):
            m.d.sync += read.eq(Mux(read == weights - 1, 0, read + 1))

        # the commands that are left
        code = Signal(3)
        operands = Signal(32)
        left = Signal(32)
        m.d.comb += [chip.i_command.valid.eq(left != 0), chip.i_command.payload.code.eq(code), chip.i_command.payload.operand.eq(operands)]
        with m.If(chip.i_command.valid & chip.i_command.ready):
            m.d.sync += [left.eq(left - 1), operands.eq(operands >> 8)]

        # writes: address and data are taken together, when the answer to the one before has gone
        write = Signal()
        m.d.comb += [
            write.eq(self.s_axi_awvalid & self.s_axi_wvalid & (~self.s_axi_bvalid | self.s_axi_bready)),
            self.s_axi_awready.eq(write),
            self.s_axi_wready.eq(write),
        ]
        with m.If(self.s_axi_bready):
            m.d.sync += self.s_axi_bvalid.eq(0)
        with m.If(write):
            m.d.sync += [self.s_axi_bvalid.eq(1), self.s_axi_bresp.eq(SLVERR)]
            with m.Switch(self.s_axi_awaddr[2:]):
                for name, command in COMMANDS.items():
                    with m.Case(ADDRESS[name] // 4):
                        stops = self.s_axi_wdata == 0 if name not in TIMES else 0
                        with m.If(self.s_axi_wstrb.all() & ((left == 0) | stops)):
                            m.d.sync += [
                                self.s_axi_bresp.eq(OKAY),
                                code.eq(command),
                                operands.eq(self.s_axi_wdata),
                                left.eq(TIMES.get(name, self.s_axi_wdata)),
                            ]

        # reads
        fetch = Signal()
        high = Signal(32)
        m.d.comb += [fetch.eq(self.s_axi_arvalid & (~self.s_axi_rvalid | self.s_axi_rready)), self.s_axi_arready.eq(fetch)]
        identity = int.from_bytes(fingerprint(self._recipe), "little")
        loss = Signal(64)
        m.d.comb += loss.eq(chip.loss)
        wide = {"CYCLES_LOW": chip.cycles, "LOSS_LOW": loss}
        shown = (
            {
                "IDENTITY_LOW": identity & 0xFFFFFFFF,
                "IDENTITY_HIGH": identity >> 32,
                "STATUS": Cat(chip.busy, left != 0),
                "INFER": Mux(code == INFER, left, 0),
                "TRAIN": Mux(code == TRAIN, left, 0),
                "RATE": chip.rate,
                "STEP": chip.step,
                "CYCLES_HIGH": high,
                "LOSS_HIGH": high,
            }
            | wide
            | {f"SATURATIONS_{p}": getattr(chip, f"saturations_{p.lower()}") for p in ("ACCUMULATOR", "STATE", "DELTA", "WEIGHT")}
        )
        with m.If(self.s_axi_rready):
            m.d.sync += self.s_axi_rvalid.eq(0)
        with m.If(fetch):
            m.d.sync += [self.s_axi_rvalid.eq(1), self.s_axi_rdata.eq(0), self.s_axi_rresp.eq(SLVERR)]
            with m.Switch(self.s_axi_araddr[2:]):
                for i, register in enumerate(REGISTERS):
                    with m.Case(i):
                        m.d.sync += [self.s_axi_rresp.eq(OKAY), self.s_axi_rdata.eq(shown.get(register.name, 0))]
                        if register.name in wide:
                            m.d.sync += high.eq(wide[register.name][32:])
        return m


def _bytes(value: Value) -> int:
    """Bits of the whole bytes that hold a value."""
    return -(-len(value) // 8) * 8
