"""A chip beside a processor: AXI4-Stream for what flows, AXI4-Lite for control and counters (contract section 13)."""

from __future__ import annotations

from amaranth.hdl import ClockDomain, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In, Out

from ..recipe import Recipe, in_memory
from .chip import Chip
from .families import Platform
from .registers import BUS, LEVELS, Registers


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
        members |= {f"s_axi_{name}": member for name, member in BUS.items()}
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

        m.submodules.registers = registers = Registers(self._recipe)
        for name, member in BUS.items():
            ours, port = getattr(self, f"s_axi_{name}"), getattr(registers, name)
            m.d.comb += port.eq(ours) if member.flow is In else ours.eq(port)
        m.d.comb += [getattr(registers, name).eq(getattr(chip, name)) for name in LEVELS]
        m.d.comb += [
            chip.i_command.valid.eq(registers.command_valid),
            chip.i_command.payload.code.eq(registers.command_code),
            chip.i_command.payload.operand.eq(registers.command_operand),
            registers.command_ready.eq(chip.i_command.ready),
        ]
        return m


def _bytes(value: Value) -> int:
    """Bits of the whole bytes that hold a value."""
    return -(-len(value) // 8) * 8
