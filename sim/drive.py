"""A chip in Verilator with its streams driven by a C++ loop: the fastest way to run the hardware, and its speed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..hdl import tools, verilog
from ..recipe import Recipe
from . import streams
from .chip import Session
from .replay import clocking, executable, member
from .simulators import SimulationFailed

MAIN = """\
// Feeds the input streams of a chip from queues, takes what the output streams give, and times it.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>
#include "Vtop.h"
#include "verilated.h"

static std::vector<int64_t> load(FILE* in) {
    int64_t count = 0;
    if (fread(&count, 8, 1, in) != 1) return {};
    std::vector<int64_t> values(count);
    if (fread(values.data(), 8, count, in) != size_t(count)) return {};
    return values;
}

int main(int argc, char** argv) {
    VerilatedContext context;
    Vtop top(&context);
    FILE* in = fopen(argv[1], "rb");
    FILE* out = fopen(argv[2], "wb");
    if (!in || !out) return 2;
    RESET
    for (;;) {                                       // one phase after the other
        std::vector<int64_t> limits = load(in);      // transfers wanted on the output streams
        if (limits.size() != OUTPUTS) break;
        std::vector<int64_t> given[INPUTS], taken[OUTPUTS];
        for (auto& queue : given) queue = load(in);
        size_t at[INPUTS] = {};
        int64_t cycles = 0, rest = 0;
        auto begin = std::chrono::steady_clock::now();
        while (rest < 4) {
            bool idle = true;
            DRIVE
            CLOCK(0)
            top.eval();
            SAMPLE
            idle = idle && !top.busy;
            rest = idle ? rest + 1 : 0;
            CLOCK(1)
            top.eval();
            ++cycles;
        }
        std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin;
        double seconds = spent.count();
        fwrite(&seconds, 8, 1, out);
        fwrite(&cycles, 8, 1, out);
        for (auto& values : taken) {
            int64_t count = values.size();
            fwrite(&count, 8, 1, out);
            fwrite(values.data(), 8, count, out);
        }
    }
    top.final();
    return fclose(out) ? 3 : 0;
}
"""


@dataclass(frozen=True)
class Phase:
    """Time that one session took, and payloads that it gave.

    Attributes
    ----------
    seconds : float
    cycles : int
    taken : dict
        Output stream to its payloads, int64, unsigned.
    """

    seconds: float
    cycles: int
    taken: dict


def drive(source: verilog.Verilog, sessions: list[Session], optimize: int = 3) -> list[Phase]:
    """Run sessions one after the other on one chip, without stalls, on one thread."""
    drives, samples = [], []
    for i, s in enumerate(streams.INPUTS):
        valid, ready, payload = (member(f"{s}__{what}") for what in ("valid", "ready", "payload"))
        mask = (1 << next(p.width for p in source.ports if p.name == f"{s}__payload")) - 1
        drives.append(f"{valid} = at[{i}] < given[{i}].size(); if ({valid}) {payload} = given[{i}][at[{i}]] & {mask}ull;")
        samples.append(f"at[{i}] += {valid} && {ready}; idle = idle && at[{i}] == given[{i}].size();")
    for i, s in enumerate(streams.OUTPUTS):
        valid, ready, payload = (member(f"{s}__{what}") for what in ("valid", "ready", "payload"))
        drives.append(f"{ready} = 1;")
        samples.append(f"if ({valid}) taken[{i}].push_back({payload}); idle = idle && int64_t(taken[{i}].size()) >= limits[{i}];")
    main = "\n".join(
        [
            f"#define INPUTS {len(streams.INPUTS)}",
            f"#define OUTPUTS {len(streams.OUTPUTS)}",
            *clocking(source),
            "#define DRIVE " + " ".join(drives),
            "#define SAMPLE " + " ".join(samples),
            MAIN,
        ]
    )
    program = executable(source, main, optimize)
    with tempfile.TemporaryDirectory(prefix="run-", dir=program.parent.parent) as folder:
        before, after = Path(folder) / "in", Path(folder) / "out"
        with before.open("wb") as file:
            for session in sessions:
                for values in ([session.wanted[s] for s in streams.OUTPUTS], *(session.given[s] for s in streams.INPUTS)):
                    np.array([len(values), *values], "<i8").tofile(file)
        done = tools.run([program, before, after])
        if done.returncode:
            raise SimulationFailed(f"drive: the simulation ended with status {done.returncode}\n{done.stdout[-2000:]}")
        raw = after.read_bytes()
    phases, at = [], 0
    for _ in sessions:
        seconds = float(np.frombuffer(raw, "<f8", 1, at)[0])
        cycles = int(np.frombuffer(raw, "<i8", 1, at + 8)[0])
        at, taken = at + 16, {}
        for s in streams.OUTPUTS:
            count = int(np.frombuffer(raw, "<i8", 1, at)[0])
            taken[s] = np.frombuffer(raw, "<i8", count, at + 8)
            at += 8 * (count + 1)
        phases.append(Phase(seconds, cycles, taken))
    return phases


def results(recipe: Recipe, phase: Phase) -> np.ndarray:
    """Output state integers (reads, outputs) that a phase gave."""
    return _signed(phase.taken["o_result"], recipe.formats.state.width).reshape(-1, recipe.sizes[-1])


def weights(recipe: Recipe, phase: Phase) -> np.ndarray:
    """Weight integers that a phase gave, in the order of the stream."""
    return _signed(phase.taken["o_weight"], recipe.weight_width)


def _signed(payload, width: int):
    low = payload & ((1 << width) - 1)
    return low - (low >> (width - 1) << width)
