"""Replay: a recorded stimulus through Verilator in a C++ loop, for millions of cycles."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..hdl import tools
from .simulators import TOP, SimulationFailed, require
from .surroundings import PIECES, build_folder, verilator_environment

if TYPE_CHECKING:
    from ..hdl import verilog

MAIN = """\
// Drives every input port in each clock cycle from a file and writes every output port to another.
// One cycle is a record of 32-bit words, port after port, low word first.
#include <cstdint>
#include <cstdio>
#include <vector>
#include "Vtop.h"
#include "verilated.h"

static inline uint64_t word(const uint32_t* in, int words) { return words > 1 ? in[0] | uint64_t(in[1]) << 32 : in[0]; }

int main(int argc, char** argv) {
    VerilatedContext context;
    Vtop top(&context);
    FILE* in = fopen(argv[1], "rb");
    FILE* out = fopen(argv[2], "wb");
    if (!in || !out) return 2;
    const size_t batch = 4096;
    std::vector<uint32_t> given(batch * INPUT_WORDS), seen(batch * OUTPUT_WORDS);
    RESET
    for (size_t cycles; (cycles = fread(given.data(), 4 * INPUT_WORDS, batch, in)) > 0;) {
        const uint32_t* g = given.data();
        uint32_t* s = seen.data();
        for (size_t c = 0; c < cycles; ++c, g += INPUT_WORDS, s += OUTPUT_WORDS) {
            DRIVE
            CLOCK(0)
            top.eval();
            SAMPLE
            CLOCK(1)
            top.eval();
        }
        if (fwrite(seen.data(), 4 * OUTPUT_WORDS, cycles, out) != cycles) return 3;
    }
    top.final();
    return fclose(out) ? 3 : 0;
}
"""


def member(port: str) -> str:
    """A port's name in Verilator's C++."""
    return "top." + port.replace("__", "___05F")


def words(width: int) -> int:
    """32-bit words of a port."""
    return -(-width // 32)


def data_ports(source: verilog.Verilog) -> tuple[list[verilog.Port], list[verilog.Port]]:
    """(inputs, outputs) without clock and reset."""
    ports = [p for p in source.ports if p.name not in ("clk", "rst")]
    return [p for p in ports if p.direction == "input"], [p for p in ports if p.direction == "output"]


def clocking(source: verilog.Verilog) -> list[str]:
    """C++ definitions for `CLOCK(level)` and the reset; a design without registers has neither port."""
    names = {p.name for p in source.ports}
    clock = "#define CLOCK(level) " + ("top.clk = level;" if "clk" in names else "")
    steps = "for (int i = 0; i < 2; ++i) { CLOCK(0) top.eval(); CLOCK(1) top.eval(); }"
    reset = f"top.rst = 1; {steps} top.rst = 0;" if "rst" in names else steps
    return [clock, f"#define RESET {reset}"]


def _harness(source: verilog.Verilog) -> str:
    inputs, outputs = data_ports(source)
    drive, sample, at = [], [], 0
    for p in inputs:
        n = words(p.width)
        drive.append(
            f"{member(p.name)} = word(g + {at}, {n});"
            if p.width <= 64
            else f"for (int i = 0; i < {n}; ++i) {member(p.name)}[i] = g[{at} + i];"
        )
        at += n
    read = at
    at = 0
    for p in outputs:
        n = words(p.width)
        sample.append(
            f"for (int i = 0; i < {n}; ++i) s[{at} + i] = {member(p.name)}[i];"
            if p.width > 64
            else f"s[{at}] = uint32_t({member(p.name)});" + (f" s[{at + 1}] = uint32_t({member(p.name)} >> 32);" if n == 2 else "")
        )
        at += n
    return "\n".join(
        [
            f"#define INPUT_WORDS {read}",
            f"#define OUTPUT_WORDS {at}",
            *clocking(source),
            "#define DRIVE " + " ".join(drive),
            "#define SAMPLE " + " ".join(sample),
            MAIN,
        ]
    )


def executable(source: verilog.Verilog, main: str, optimize: int) -> Path:
    """Build Verilog and a C++ main function with Verilator; the program's path."""
    require("replay")
    with verilator_environment(optimize), build_folder(source.text, main, optimize, *PIECES[optimize]) as (final, draft):
        if draft:
            (draft / "top.v").write_text(source.text)
            (draft / "main.cpp").write_text(main)
            command = [
                "verilator",
                "--cc",
                "--exe",
                "--build",
                "-j",
                "1",
                "--top-module",
                TOP,
                "--prefix",
                "Vtop",
                "-Wno-fatal",
                "-Wno-WIDTH",
                "--x-assign",
                "fast",
                "--x-initial",
                "fast",
                "--noassert",
                *(["-O3"] if optimize == 3 else []),
                *PIECES[optimize],
                "-Mdir",
                str(draft),
                "-o",
                "program",
                "top.v",
                "main.cpp",
            ]
            done = tools.run(command, cwd=draft)
            if done.returncode:
                raise SimulationFailed(f"verilator: the build failed\n{done.stdout[-3000:]}")
    return final / "program"


def replay(source: verilog.Verilog, stimulus: dict, optimize: int = 0) -> dict:
    """Every output port at every clock of a recorded stimulus.

    Parameters
    ----------
    source : Verilog
    stimulus : dict
        Input port name to array (cycles,), one entry per clock from reset; ports that are absent stay 0.

    Returns
    -------
    dict
        Output port name to array (cycles,): int64, or Python integers for ports of more than 62 bits.
    """
    inputs, outputs = data_ports(source)
    program = executable(source, _harness(source), optimize)
    cycles = len(next(iter(stimulus.values())))
    given = np.concatenate([_split(stimulus.get(p.name, np.zeros(cycles, np.int64)), p.width) for p in inputs], axis=1)
    with tempfile.TemporaryDirectory(prefix="run-", dir=program.parent.parent) as folder:
        before, after = Path(folder) / "in", Path(folder) / "out"
        given.astype("<u4").tofile(before)
        done = tools.run([program, before, after])
        if done.returncode:
            raise SimulationFailed(f"replay: the simulation ended with status {done.returncode}\n{done.stdout[-2000:]}")
        seen = np.fromfile(after, "<u4").reshape(cycles, -1)
    result, at = {}, 0
    for p in outputs:
        n = words(p.width)
        result[p.name] = _join(seen[:, at : at + n], p.width, p.signed)
        at += n
    return result


def _split(values, width: int) -> np.ndarray:
    """Integers as 32-bit words (cycles, words), low word first, bits above the width clear."""
    values, n = np.asarray(values), words(width)
    if width <= 62 and values.dtype != object:
        bits = values.astype(np.int64).view(np.uint64) & np.uint64((1 << width) - 1)
        return np.stack([(bits >> np.uint64(32 * i)).astype(np.uint32) for i in range(n)], axis=1)
    mask = (1 << width) - 1
    raw = b"".join((int(v) & mask).to_bytes(4 * n, "little") for v in values)
    return np.frombuffer(raw, "<u4").reshape(-1, n)


def _join(split: np.ndarray, width: int, signed: bool) -> np.ndarray:
    """The inverse of `_split`."""
    if width <= 62:
        bits = np.zeros(len(split), np.int64)
        for i in range(split.shape[1]):
            bits |= split[:, i].astype(np.int64) << (32 * i)
        return bits - ((bits >> (width - 1)) << width) if signed else bits
    raw, size = np.ascontiguousarray(split).tobytes(), 4 * split.shape[1]
    numbers = [int.from_bytes(raw[i : i + size], "little") for i in range(0, len(raw), size)]
    return np.array([v - (1 << width) if signed and v >> (width - 1) else v for v in numbers], dtype=object)
