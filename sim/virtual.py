"""The virtual board: the top level that goes onto a board, serial line included, in Verilator, behind a pseudo-terminal."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ..recipe import Recipe
from . import simulators, surroundings
from .replay import clocking, executable

if TYPE_CHECKING:
    from ..hdl.boards import Board, Top

MAIN = r"""
// A board: runs the clock, carries bytes between a pseudo-terminal and the serial line, and spoils some of them.
// Arguments: faults per byte, in 2**-32; seed; path of a link to the pseudo-terminal, or nothing.
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>
#include "Vtop.h"
#include "verilated.h"

static volatile sig_atomic_t stop = 0;
static uint64_t state;
static uint32_t draw() {                       // splitmix64
    uint64_t z = state += 0x9E3779B97F4A7C15ull;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ z >> 27) * 0x94D049BB133111EBull;
    return uint32_t((z ^ z >> 31) >> 32);
}
static void carry(std::deque<uint8_t>& line, uint8_t byte, uint32_t faults, uint64_t& spoiled) {
    if (faults && draw() < faults) {
        ++spoiled;
        switch (draw() % 4) {
        case 0: return;                                                    // lost
        case 1: line.push_back(byte ^ 1u << draw() % 8); return;           // flipped
        case 2: line.push_back(byte); break;                               // doubled
        case 3: line.push_back(uint8_t(draw())); break;                    // put in
        }
    }
    line.push_back(byte);
}

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    const uint32_t faults = strtoul(argv[1], nullptr, 10);
    state = strtoull(argv[2], nullptr, 10);
    const char* link = argc > 3 ? argv[3] : nullptr;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (master < 0 || grantpt(master) || unlockpt(master)) { perror("pseudo-terminal"); return 3; }
    const char* name = ptsname(master);
    int slave = open(name, O_RDWR | O_NOCTTY);         // kept open: the board outlives who talks to it
    termios raw;
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    if (link) { unlink(link); if (symlink(name, link)) { perror(link); return 3; } }
    signal(SIGTERM, [](int) { stop = 1; });
    signal(SIGINT, [](int) { stop = 1; });
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    VerilatedContext context;
    Vtop top(&context);
    top.rx = 1;
    RESET
    printf("%s\n", link ? link : name);
    fflush(stdout);

    std::deque<uint8_t> in, out;
    uint64_t cycle = 0, quiet = 0, spoiled = 0, carried = 0;
    // times in shares of a cycle, of which a cycle has SHARES and a bit BIT
    uint64_t now = 0, rx_next = 0, tx_next = 0;
    int rx_bits = 0, tx_bits = 0;
    uint32_t rx_word = 0, tx_word = 0;
    const auto begin = std::chrono::steady_clock::now();
    double asleep = 0;
    uint8_t buffer[4096];
    while (!stop) {
        if (in.size() < 64) {
            ssize_t n = read(master, buffer, sizeof buffer);
            for (ssize_t i = 0; i < n; ++i) carry(in, buffer[i], faults, spoiled);
            if (n > 0) { quiet = 0; carried += n; }
        }
        while (!out.empty()) {
            size_t n = 0;
            for (auto b = out.begin(); b != out.end() && n < sizeof buffer; ++b) buffer[n++] = *b;
            ssize_t done = write(master, buffer, n);
            if (done <= 0) break;
            out.erase(out.begin(), out.begin() + done);
        }
        if (quiet > QUIET && in.empty()) {
            const auto t = std::chrono::steady_clock::now();
            pollfd wait = {master, POLLIN, 0};
            poll(&wait, 1, 200);
            asleep += std::chrono::duration<double>(std::chrono::steady_clock::now() - t).count();
            if (!(wait.revents & POLLIN)) continue;
        }
        for (int i = 0; i < 512; ++i, ++cycle, ++quiet, now += SHARES) {
            if (now >= rx_next) {
                if (rx_bits) { top.rx = rx_word & 1; rx_word >>= 1; --rx_bits; rx_next += BIT; }
                else if (!in.empty()) {
                    rx_word = in.front() << 1 | 0x200; rx_bits = 10; in.pop_front(); rx_next = now;
                    top.rx = rx_word & 1; rx_word >>= 1; --rx_bits; rx_next += BIT; quiet = 0;
                }
                else rx_next = now;
            }
            CLOCK(0)
            top.eval();
            CLOCK(1)
            top.eval();
            if (!tx_bits) {
                if (!top.tx) { tx_bits = 9; tx_word = 0; tx_next = now + BIT + BIT / 2; quiet = 0; }
            } else if (now >= tx_next) {
                tx_word |= uint32_t(top.tx) << (9 - tx_bits); tx_next += BIT; quiet = 0;
                if (--tx_bits == 0 && tx_word >> 8) { carry(out, tx_word & 255, faults, spoiled); ++carried; }
            }
            if (top.busy) quiet = 0;
        }
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() - asleep;
    fprintf(stderr, "%llu clock cycles, %.0f a second while awake; %llu bytes, %llu spoiled\n", (unsigned long long)cycle,
            cycle / seconds, (unsigned long long)carried, (unsigned long long)spoiled);
    if (link) unlink(link);
    _exit(0);
}
"""

QUIET = 100_000
"""Clock cycles without anything on the line or in the chip after which the board sleeps until a byte comes."""


def top(recipe: Recipe, board: Board, samples: int = 0) -> Top:
    """Return the top level that goes onto a board, with a memory for so many samples."""
    from ..hdl.boards import Top
    from ..hdl.host import Host
    from ..hdl.synth import BAUD

    return Top(Host(recipe, board.clock, BAUD, samples))


def build(recipe: Recipe, board: str = "ulx3s", optimize: int = 0, samples: int = 0) -> Path:
    """Return the program of a virtual board, made where it is not kept already; one that is kept is found without making its Verilog.

    Parameters
    ----------
    recipe : Recipe
    board : str
        Whose clock and line it has.
    optimize : int
        0 builds fast, 3 runs fast.
    samples : int
        That it keeps beside the chip.

    Raises
    ------
    SimulatorMissing
        Without Verilator or a C++ compiler.
    """
    known = surroundings.builds() / f"virtual-{_key(recipe, board, optimize, samples)}"
    # a rule of one's own may say something else than it did
    if ":" not in recipe.rule and known.exists() and (program := known.parent / known.read_text()).exists():
        return program
    from ..hdl import convert  # Amaranth, which a program that is kept does without
    from ..hdl.boards import BOARDS
    from ..hdl.link_line import bit
    from ..hdl.synth import BAUD

    source = convert(top(recipe.as_built, BOARDS[board], samples), simulators.TOP)
    cycles: Fraction = bit(BOARDS[board].clock, BAUD)
    numbers = {"BIT": cycles.numerator, "SHARES": cycles.denominator, "QUIET": QUIET}
    defines = [*(f"#define {name} {number}ull" for name, number in numbers.items()), *clocking(source)]
    program = executable(source, "\n".join(defines) + MAIN, optimize)
    draft = known.with_name(f".{known.name}.{os.getpid()}")
    draft.write_text(str(program.relative_to(known.parent)))
    draft.replace(known)
    return program


def _key(*asked) -> str:
    """Return what a program is made from: a recipe as built, what was asked of it, and the text of what makes it."""
    recipe, *others = asked
    told = hashlib.sha256(f"{recipe.as_built.model_dump_json()} {others} {importlib.metadata.version('amaranth')} {QUIET}".encode())
    root = Path(__file__).parents[1]
    for path in sorted(path for folder in ("recipe", "hdl", "sim") for path in (root / folder).rglob("*.py")):
        told.update(path.read_bytes())
    return told.hexdigest()[:20]


def command(program: Path, faults: float = 0.0, seed: int = 1, link: Path | None = None) -> list[str]:
    """Return the command that runs a virtual board: it writes its port's name, and serves it until it is ended."""
    if not 0 <= faults < 1:
        raise ValueError(f"faults: {faults:g}; allowed is a share of the bytes, from 0 to below 1")
    return [str(program), str(round(faults * 2**32)), str(seed), *([str(link)] if link else [])]


@contextlib.contextmanager
def running(recipe: Recipe, board: str = "ulx3s", faults: float = 0.0, seed: int = 1, optimize: int = 0, samples: int = 0) -> Iterator[str]:
    """Run a virtual board; yields the name of its port."""
    with start(build(recipe, board, optimize, samples), faults, seed) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def start(program: Path, faults: float = 0.0, seed: int = 1, popen: Callable = subprocess.Popen) -> subprocess.Popen:
    """Start a virtual board; the first line of its output is the name of its port."""
    return popen(command(program, faults, seed), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
