"""Boards a bitstream can be built for: each a line, its pins from amaranth-boards."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass

from amaranth.build import Attrs, Pins, Platform, Resource, ResourceError, Subsignal
from amaranth.hdl import ClockDomain, Const, Module, Value
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In

from .families import ECP5, ICE40, Family, Pin
from .pll import Pll


@dataclass(frozen=True)
class Board:
    """A board with a clock and a serial line, maybe a button and an LED.

    Attributes
    ----------
    family : Family
    device : str
        One of the family's.
    clock : float
        Frequency of the board's oscillator in Hz.
    described : str
        Module and class in `amaranth_boards`, which know the pins, package and speed grade; it is asked for builds only.
    loader : str
        The board's name to openFPGALoader.
    serial : tuple of str
        Connector pins of the serial line, board's end: receives, sends. Without, the one that the board has.
    plain : bool
        Whether products are left to the synthesis tool, not made of the family's blocks: for Verilog that any tool reads.
    """

    name: str
    family: Family
    device: str
    clock: float
    described: str
    loader: str
    serial: tuple[str, str] | None = None
    plain: bool = False

    @property
    def holds(self) -> dict[str, int]:
        """Resource to number available."""
        return self.family.devices[self.device].holds

    @functools.cached_property
    def description(self) -> Platform:
        """The board in `amaranth_boards`."""
        module, name = self.described.split(".")
        made: Platform = getattr(importlib.import_module(f"amaranth_boards.{module}"), name)()
        return made

    @property
    def part(self) -> str:
        """Device, speed grade and package."""
        return f"{self.device}-{self.speed}{self.description.package}"

    @property
    def speed(self) -> str:
        """Grade of the device, where its family has some."""
        return getattr(self.description, "speed", "")

    @functools.cached_property
    def pins(self) -> dict[str, Pin]:
        """Port of the host's top level to pin; `rst` and `busy` only where a button and an LED are free."""
        found = {"clk": self._on(self.description.lookup(str(self.description.default_clk)))}
        if self.serial:
            found |= {
                port: self._on(Resource(port, 0, Pins(pin, dir=direction), Attrs(**dict(found["clk"].attributes))))
                for port, pin, direction in zip(("rx", "tx"), self.serial, "io", strict=True)
            }
        else:
            found |= {port: self._on(self.description.lookup("uart"), port) for port in ("rx", "tx")}
        for port, choices in (("rst", ("rst", "button")), ("busy", ("led", "rgb_led"))):
            pin = next(filter(None, (self._pin(name, "g") for name in choices)), None)
            if pin and pin.site not in {taken.site for taken in found.values()}:
                found[port] = pin
        return found

    def _pin(self, name: str, part: str = "") -> Pin | None:
        """Return the pin of a resource of the board, of its part where it has several; None where there is no such resource."""
        try:
            resource = self.description.lookup(name)
        except ResourceError:
            return None
        return self._on(resource, part)

    def _on(self, resource: Resource, part: str = "") -> Pin:
        io = next((io for io in resource.ios if getattr(io, "name", "") == part), resource.ios[0])
        attributes = {**resource.attrs, **getattr(io, "attrs", {})}
        pins = io.ios[0] if isinstance(io, Subsignal) else io
        return Pin(pins.map_names(self.description._conn_pins, resource)[0], pins.invert, tuple(attributes.items()))

    def constraints(self) -> str:
        """Return where the ports are, for place and route."""
        return self.family.constraints(self.pins)


BOARDS = {
    board.name: board
    for board in (
        Board("ulx3s", ECP5, "LFE5U-25F", 25e6, "ulx3s.ULX3S_25F_Platform", "ulx3s"),
        Board("ulx3s-12f", ECP5, "LFE5U-12F", 25e6, "ulx3s.ULX3S_12F_Platform", "ulx3s"),
        Board("ulx3s-45f", ECP5, "LFE5U-45F", 25e6, "ulx3s.ULX3S_45F_Platform", "ulx3s"),
        Board("ulx3s-85f", ECP5, "LFE5U-85F", 25e6, "ulx3s.ULX3S_85F_Platform", "ulx3s"),
        Board("orangecrab", ECP5, "LFE5U-25F", 48e6, "orangecrab_r0_2.OrangeCrabR0_2_25FPlatform", "orangeCrab", ("io_0:0", "io_0:1")),
        Board("orangecrab-85f", ECP5, "LFE5U-85F", 48e6, "orangecrab_r0_2.OrangeCrabR0_2_85FPlatform", "orangeCrab", ("io_0:0", "io_0:1")),
        Board("ecpix5-45f", ECP5, "LFE5UM5G-45F", 100e6, "ecpix5.ECPIX545Platform", "ecpix5"),
        Board("ecpix5-85f", ECP5, "LFE5UM5G-85F", 100e6, "ecpix5.ECPIX585Platform", "ecpix5"),
        Board("colorlight-5a-75b", ECP5, "LFE5U-25F", 25e6, "colorlight_5a75b_r7_0.Colorlight_5A75B_R70Platform", "colorlight"),
        Board("icebreaker", ICE40, "iCE40UP5K", 12e6, "icebreaker.ICEBreakerPlatform", "ice40_generic"),
    )
}


def board(name: str) -> Board:
    """Return the board of that name; ValueError with the names there are."""
    if name not in BOARDS:
        raise ValueError(f"board: {name!r} is unknown; allowed are {', '.join(BOARDS)}")
    return BOARDS[name]


class Top(wiring.Component):
    """A component on a board: its ports, the clock, and a reset that may come at any time, like a button's.

    The reset is released in step with the clock, and reaches the flip-flops from one of their kind.

    Parameters
    ----------
    component : wiring.Component
    pll : Pll, optional
        Makes the component's clock; else it is the board's.
    pins : dict, optional
        Port to pin of a board: ports without one are left out, and those whose pin is low when it means 1 are inverted.

    Members
    -------
    clk, rst : In(1)
        And the members of the component.
    """

    def __init__(self, component: wiring.Component, pll: Pll | None = None, pins: dict[str, Pin] | None = None):
        self._component, self._pll, self._pins = component, pll, pins or {}
        members = {"clk": In(1), "rst": In(1)} | dict(component.signature.members)
        super().__init__({name: member for name, member in members.items() if pins is None or name in pins})

    def elaborate(self, platform: Platform | None) -> Module:
        m = Module()
        m.domains.sync = sync = ClockDomain()
        low = {name for name, pin in self._pins.items() if pin.inverted}

        def meant(name: str, value: Value) -> Value:
            return ~value if name in low else value

        reset = meant("rst", self.rst) if "rst" in self.signature.members else Const(0)
        if self._pll:
            reset |= ~self._pll.connect(m, self.clk, sync.clk)
        else:
            m.d.comb += sync.clk.eq(self.clk)
        m.submodules.reset = ResetSynchronizer(reset)
        m.submodules.component = self._component
        for name, member in self._component.signature.members.items():
            if name in self.signature.members:
                mine, its = getattr(self, name), getattr(self._component, name)
                m.d.comb += its.eq(meant(name, mine)) if member.flow is In else mine.eq(meant(name, its))
        return m
