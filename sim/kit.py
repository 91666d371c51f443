"""A folder for an FPGA engineer: a board's top level as Verilog, constraints, a FuseSoC core, a cocotb test with the emulator's answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import emulator
from ..emulator.link import Board as Twin
from ..emulator.link import frame, packed
from ..hdl import synth, verilog
from ..hdl.axi import Axi
from ..hdl.boards import Board, Top
from ..hdl.boards import board as board_of
from ..hdl.host import Host
from ..hdl.initial import woken
from ..recipe import Recipe, in_memory, registers, require_recipe
from ..recipe.link import VERSION, Error, Link, Tag, fingerprint

GENERIC = "generic"
"""Name in place of a board: a chip beside a processor (contract section 13)."""
LINT = {"flow": "lint", "flow_options": {"tool": "verilator"}}
SAMPLES = 2
"""That the cocotb test trains."""


def write(recipe: Recipe, board: str, folder: str | Path, command: str, weights: Sequence[np.ndarray] | None = None) -> list[Path]:
    """Write a recipe's chip for a board, or for a processor beside it, with what is needed to build and to test it.

    Parameters
    ----------
    recipe : Recipe
    board : str
        A key of `hdl.boards.BOARDS`, or ``generic``.
    folder : path
        Made if it does not exist; files of the same names are replaced, except a ``NAME.toml`` of the user's that says this recipe.
    command : str
        That asked for it, for the header and the page.
    weights : list of int arrays (R, C), optional
        That the memories hold at power-up.

    Returns
    -------
    list of Path
        ``NAME.v``, ``NAME.toml``, ``NAME.core``, ``NAME.md`` (how to build and test it, and the map of frames or registers); for a board
        also ``NAME.lpf`` or as its family calls it, ``test_NAME.py`` for cocotb and ``NAME.vectors.json``, what that sends and expects.

    Raises
    ------
    ValueError
        An unknown board, or a ``NAME.toml`` that says another recipe and was not made here.
    ToolMissing
        Without amaranth-boards.
    """
    require_recipe(recipe)
    folder, own = Path(folder), f"{recipe.name}.toml"
    files = _generic(recipe, command, weights) if board == GENERIC else _board(recipe, board_of(board), command, weights)
    if not verilog.kept(folder / own, recipe):
        files[own] = verilog.MADE + recipe.to_toml()
    return verilog.write_together(folder, files)


def _word(name: str) -> str:
    """A name that Verilog and Python take."""
    return name.replace("-", "_")


def _generic(recipe: Recipe, command: str, weights) -> dict[str, str]:
    name, top = recipe.name, _word(f"{recipe.name}_axi")
    component = Axi(recipe)
    woken(component.chip, recipe, weights)
    source = verilog.convert(component, top)
    page = (
        f"# {name}: a chip beside a processor\n\nMade by `{command}`. `{name}.v` is the module `{top}`: AXI4-Stream for samples, "
        f"labels, results and weights, AXI4-Lite for control and counters, one clock.\n\n"
        f"```sh\nfusesoc --cores-root . run --target lint crossdyad:boards:{name}     # with Verilator\n```\n\n"
        + _streams(recipe)
        + "\n"
        + registers.table()
    )
    core = _core(recipe, GENERIC, top, {}, {"lint": LINT})
    return {f"{name}.v": verilog.headed(source, recipe, command), f"{name}.core": core, f"{name}.md": page}


def _streams(recipe: Recipe) -> str:
    f, weights = recipe.formats, sum(g.R * g.C for g in in_memory(recipe))
    fraction = ", ".join(str(q.frac) for q in dict.fromkeys(recipe.weight_formats))
    rows = [
        ("s_axis_sample", f"{recipe.sizes[0]} to a sample, {f.state.width} bits, signed, {f.state.frac} of them fraction"),
        ("s_axis_label", f"the class, 0 to {recipe.sizes[-1] - 1}"),
        ("s_axis_weight, m_axis_weight", f"{weights}, {recipe.weight_width} bits, signed, {fraction} of them fraction"),
        ("m_axis_result", f"{recipe.sizes[-1]} to a packet, as samples are"),
    ]
    return "| stream | transfers |\n|---|---|\n" + "".join(f"| {name} | {what} |\n" for name, what in rows)


def _board(recipe: Recipe, board: Board, command: str, weights) -> dict[str, str]:
    synth.ensure_tools(board.family)
    name, top, family = recipe.name, _word(f"{recipe.name}_{board.name}"), board.family
    host = Host(recipe, board.clock, synth.BAUD)
    woken(host.chip, recipe, weights)
    source = verilog.convert(Top(host, pins=board.pins), top, replace(board, plain=True))
    test, pins = f"test_{_word(name)}", f"{name}.{family.pins[1]}"
    options = [*family.options(family.devices[board.device], board.description.package, board.speed), "--freq", f"{board.clock / 1e6:g}"]
    targets = {
        "build": {"flow": family.flow, "flow_options": {"nextpnr_options": options, "yosys_synth_options": list(family.plain)}},
        "lint": LINT,
    }
    filesets = {"build": {pins: {"file_type": family.pins[1].upper()}}}
    core = f"crossdyad:boards:{name}"
    page = (
        f"# {name} on {board.name} ({board.part})\n\nMade by `{command}`. `{name}.v` is the top level, at the board's own "
        f"{board.clock / 1e6:g} MHz; its serial line runs at {synth.BAUD} bits per second.\n"
        f"FuseSoC looks for `yosys`, `nextpnr-{family.name.lower()}` and `{family.packer.removeprefix('run_')}` on PATH, "
        "the test for cocotb and Icarus (or, much faster, `SIM=verilator`):\n\n"
        f"```sh\nfusesoc --cores-root . run --target build {core}     # a bitstream\n"
        f"python {test}.py     # {SAMPLES} samples over the line, answered as the emulator does\n"
        f"crossdyad synth {name}.toml --board {board.name}     # the same from the device's blocks, smaller and faster\n"
        f"crossdyad board {name}.toml     # to talk to it\n```\n\n" + _frames(recipe)
    )
    return {
        f"{name}.v": verilog.headed(source, recipe, command),
        pins: board.constraints(),
        f"{name}.core": _core(recipe, board.name, top, filesets, targets),
        f"{name}.md": page,
        f"{test}.py": TEST.replace("NAME", name).replace("TOP", top),
        f"{name}.vectors.json": json.dumps(_vectors(recipe, board), indent=1) + "\n",
    }


def _core(recipe: Recipe, board: str, top: str, filesets: dict, targets: dict) -> str:
    """A FuseSoC core; JSON is YAML."""
    name = recipe.name
    sets = {"rtl": {"files": [{f"{name}.v": {"file_type": "verilogSource"}}]}}
    sets |= {kind: {"files": [{file: options} for file, options in files.items()]} for kind, files in filesets.items()}
    made = {kind: {"filesets": ["rtl", *[kind] * (kind in filesets)], "toplevel": top} | options for kind, options in targets.items()}
    what = f"a chip that learns ({' '.join(map(str, recipe.sizes))}, {recipe.rule}), {board}"
    core = {
        "name": f"crossdyad:boards:{name}:0.1.0",
        "description": what,
        "filesets": sets,
        "targets": {"default": {"filesets": ["rtl"], "toplevel": top}} | made,
    }
    return "CAPI=2:\n" + json.dumps(core, indent=1) + "\n"


def _frames(recipe: Recipe) -> str:
    """The map of the link's frames, as lengths of this chip."""
    link = Link(recipe)
    rows = [f"| 0x{tag:02X} | {tag.name.lower()} | {link.requests[tag]} | 0x{tag | 0x80:02X} | {link.replies[tag]} |" for tag in Tag]
    return (
        "A frame is number, tag, payload and CRC-32, COBS-coded, and a zero byte; answers end with the status, 7 bytes, before the CRC "
        f"(contract section 10). Protocol {VERSION}, recipe {fingerprint(recipe).hex()}, {link.slots} slots of {link.slot} bytes, "
        f"{link.chunk} weights to a chunk, {link.weights} in all.\n\n"
        "| tag | request | payload, bytes | answer | payload, bytes |\n|---|---|---|---|---|\n"
        + "\n".join(rows)
        + "\n\nErrors (0xFF): "
        + ", ".join(f"{e.value} {e.name.lower().replace('_', ' ')}" for e in Error)
        + ".\n"
    )


def _vectors(recipe: Recipe, board: Board) -> dict:
    """Return what the test sends over the line, frame by frame, and what the emulated board answers."""
    link, twin, draw = Link(recipe), Twin(recipe, board.clock, synth.BAUD), np.random.default_rng(1)
    f, flat = recipe.formats, np.concatenate([np.ravel(w) for w in emulator.initial_weights(recipe)])
    chunks = np.pad(flat, (0, -len(flat) % link.chunk)).reshape(-1, link.chunk)
    requests = [(Tag.LOAD, b""), *((Tag.WEIGHTS, packed(chunk, recipe.weight_width)) for chunk in chunks)]
    for _ in range(SAMPLES):
        label = int(draw.integers(recipe.sizes[-1]))
        x = draw.integers(f.state.min, f.state.max, recipe.sizes[0], endpoint=True)
        requests.append((Tag.TRAIN, label.to_bytes(link.label, "little") + packed(x, f.state.width)))
    requests.append((Tag.REPORT, b""))
    opening = bytes([VERSION]) + fingerprint(recipe) + b"\x01"
    sent = [frame(0, Tag.IDENTIFY), frame(0, Tag.OPEN, opening), *(frame(i % 256, *request) for i, request in enumerate(requests))]
    low = board.pins["rst"].inverted if "rst" in board.pins else None
    return {
        "clock": board.clock,
        "baud": synth.BAUD,
        "reset": None if low is None else int(not low),
        "exchanges": [[data.hex(), twin.receive(data).hex()] for data in sent],
    }


TEST = '''\
"""NAME over its serial line, under cocotb: frames that the emulated board has answered get the same answers, byte for byte."""

import json
from pathlib import Path

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer, with_timeout

GIVEN = json.loads((Path(__file__).parent / "NAME.vectors.json").read_text())
BIT = round(1e12 / GIVEN["baud"])      # ps


async def send(rx, data):
    for byte in data:
        for bit in (0, *((byte >> i) & 1 for i in range(8)), 1):
            rx.value = bit
            await Timer(BIT, "ps")


async def receive(tx, count):
    data = bytearray()
    while len(data) < count:
        await FallingEdge(tx)
        await Timer(BIT // 2, "ps")
        byte = 0
        for i in range(8):
            await Timer(BIT, "ps")
            byte |= int(tx.value) << i
        data.append(byte)
    return bytes(data)


@cocotb.test()
async def the_board_answers_as_the_emulator(dut):
    dut.rx.value = 1
    cocotb.start_soon(Clock(dut.clk, 2 * round(0.5e12 / GIVEN["clock"]), "ps").start())
    if GIVEN["reset"] is not None:
        dut.rst.value = GIVEN["reset"]
        await Timer(1, "us")
        dut.rst.value = 1 - GIVEN["reset"]
    await Timer(2, "us")
    for i, (sent, answer) in enumerate(GIVEN["exchanges"]):
        expected = bytes.fromhex(answer)
        answering = cocotb.start_soon(receive(dut.tx, len(expected)))
        await send(dut.rx, bytes.fromhex(sent))
        got = await with_timeout(answering, 10, "ms")
        assert got == expected, f"exchange {i}: sent {sent}, expected {answer}, got {got.hex()}"


if __name__ == "__main__":
    import os
    import sys

    from cocotb_tools.runner import get_results, get_runner

    here = Path(__file__).resolve().parent
    simulator = os.environ.get("SIM", "icarus")
    runner, options = get_runner(simulator), {"icarus": ["-g2005"], "verilator": ["-Wno-fatal"]}
    runner.build(sources=[here / "NAME.v"], hdl_toplevel="TOP", build_dir=here / "build-test",
                 build_args=options.get(simulator, []), timescale=("1ns", "1ps"))
    results = runner.test(hdl_toplevel="TOP", test_module=Path(__file__).stem, test_dir=here)
    sys.exit(bool(get_results(results)[1]))
'''
