"""A harness for components that are measured by themselves."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .families import Platform


class Harness(wiring.Component):
    """A component between two shift registers: three pins however many ports it has."""

    def __init__(self, component: wiring.Component):
        self._component = component
        super().__init__({"serial_in": In(1), "serial_out": Out(1), "take": In(1)})
        self.bits = 0

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        m.submodules.dut = dut = self._component
        inputs: list[Any] = []
        outputs: list[Any] = []
        for _path, member, value in dut.signature.flatten(dut):
            (inputs if member.flow is In else outputs).append(value)
        width_in = sum(len(v.as_value() if hasattr(v, "as_value") else v) for v in inputs)
        self.bits = 0
        if inputs:
            shift = Signal(width_in)
            held = Signal(width_in)
            m.d.sync += [shift.eq(Cat(self.serial_in, shift)), held.eq(shift)]
            m.d.comb += Cat(*inputs).eq(held)
            self.bits += 2 * width_in
        out = Cat(*outputs)
        seen = Signal(len(out))
        leaving = Signal(len(out))
        m.d.sync += seen.eq(out)
        with m.If(self.take):
            m.d.sync += leaving.eq(seen)
        with m.Else():
            m.d.sync += leaving.eq(leaving >> 1)
        m.d.comb += self.serial_out.eq(leaving[0])
        self.bits += 2 * len(out)
        return m
