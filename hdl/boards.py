"""Boards a bitstream can be built for: the device, what it holds, and where the host's pins are."""

from __future__ import annotations

from dataclasses import dataclass, field

from amaranth.hdl import ClockDomain, Module
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In

from .pll import Pll


@dataclass(frozen=True)
class Board:
    """An ECP5 board with a clock, a serial line and an LED.

    Attributes
    ----------
    device, size : str
        The part, which says what its blocks can do, and its size as the place and route tool calls it.
    clock : float
        Frequency of the board's oscillator in Hz.
    holds : dict
        Resource to number available.
    pins : dict
        Port of the host's top level to package pin.
    """

    name: str
    device: str
    size: str
    holds: dict[str, int]
    package: str = "CABGA381"
    speed: int = 6
    clock: float = 25e6
    pins: dict[str, str] = field(default_factory=dict)

    def constraints(self) -> str:
        """The board's pins as a Lattice preference file."""
        lines = [f'LOCATE COMP "{port}" SITE "{pin}";\nIOBUF PORT "{port}" IO_TYPE=LVCMOS33;\n' for port, pin in self.pins.items()]
        return "".join(lines)


ULX3S_PINS = {"clk": "G2", "rst": "R1", "rx": "M1", "tx": "L4", "busy": "B2"}

SMALL = {"LUT": 24288, "FF": 24288, "multiplier": 28, "memory block": 56}
"""Of the 25F's die, which the 12F has too, as place and route counts it; the 12F's data sheet promises about half of LUTs and memory."""

BOARDS = {
    board.name: board
    for board in (
        Board("ulx3s", "LFE5U-25F", "25k", SMALL, pins=ULX3S_PINS),
        Board("ulx3s-85f", "LFE5U-85F", "85k", {"LUT": 83640, "FF": 83640, "multiplier": 156, "memory block": 208},
              pins=ULX3S_PINS),
        # a bitstream names its device, and the 12F takes no other's
        Board("ulx3s-12f", "LFE5U-12F", "12k", SMALL, pins=ULX3S_PINS),
    )
}


class Top(wiring.Component):
    """A component on a board: its ports, the clock, and a reset that may come at any time, like a button's.

    The reset is released in step with the clock, and reaches the flip-flops from one of their kind.

    Parameters
    ----------
    component : wiring.Component
    pll : Pll, optional
        Makes the component's clock; else it is the board's.

    Members
    -------
    clk, rst : In(1)
        And the members of the component.
    """

    def __init__(self, component, pll: Pll | None = None):
        self._component, self._pll = component, pll
        super().__init__({"clk": In(1), "rst": In(1)} | dict(component.signature.members))

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = sync = ClockDomain()
        if self._pll:
            m.submodules.reset = ResetSynchronizer(self.rst | ~self._pll.connect(m, self.clk, sync.clk))
        else:
            m.d.comb += sync.clk.eq(self.clk)
            m.submodules.reset = ResetSynchronizer(self.rst)
        m.submodules.component = self._component
        for name, member in self._component.signature.members.items():
            mine, its = getattr(self, name), getattr(self._component, name)
            m.d.comb += its.eq(mine) if member.flow is In else mine.eq(its)
        return m
