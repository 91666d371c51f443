"""The virtual board: steps a second from the sample memory and over the line, in the board's own time, and clock cycles a second here.

The board's time is the difference of its clock cycles between a long run and a short one: ``python benchmarks/board.py [RECIPE ..]``.
"""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from crossdyad import board, emulator, hdl, recipe
from crossdyad.hdl.boards import BOARDS
from crossdyad.hdl.synth import BAUD
from crossdyad.recipe import programs
from crossdyad.sim import agreement, chip, drive, simulators, virtual

KEPT, SHORT, LONG = 64, 400, 6400
"""Samples in memory; steps of the two runs."""
virtual.QUIET = 2000
"""Idle clock cycles after which the board sleeps: so few of them run while the host thinks that they do not count."""


def cycles(program: Path, work) -> tuple[int, float]:
    """Clock cycles of a virtual board until `work` on its port is done and it sleeps, and how many it plays a second while awake."""
    with virtual.start(program, popen=lambda *command, **to: subprocess.Popen(*command, **to | {"stderr": subprocess.PIPE})) as process:
        work(process.stdout.readline().strip())
        process.send_signal(signal.SIGTERM)
        told = process.communicate()[1].split()
    return int(told[0]), float(told[3])


def compare(name: str) -> dict:
    r = recipe.load(name)
    clock, train = BOARDS["ulx3s"].clock, programs(r)[1].length
    x, y, _ = agreement.samples_for(r, KEPT)
    order = np.random.default_rng(1).integers(0, KEPT, LONG)

    def stored(steps):
        def work(port):
            with board.Chip(r, port) as c:
                c.restore(emulator.Chip(r).state())
                c.store(x, y)
                c.train_stored(order[:steps])
        return work

    def sent(steps):
        def work(port):
            with board.Chip(r, port) as c:
                c.restore(emulator.Chip(r).state())
                c.train(x[order[:steps]], y[order[:steps]])
        return work

    program = virtual.build(r, optimize=3, samples=KEPT)
    per_step, found = {}, {}
    for way, work in (("memory", stored), ("line", sent)):
        (short, _), (long, speed) = (cycles(program, work(steps)) for steps in (SHORT, LONG))
        per_step[way] = (long - short) / (LONG - SHORT)
        found |= {f"cycles a second here, {way}": speed}
    session = chip.Session(r)
    for n in order[:200]:
        session.train(x[n], int(y[n]))
    _, bare = drive.drive(hdl.convert(hdl.build(r), simulators.TOP), [chip.Session(r), session])
    link = recipe.link.Link(r)
    frame = link.label + link.sample + recipe.link.OVERHEAD
    return {
        "cycles of a training step": train, "cycles a step from memory": per_step["memory"],
        "share of the chip's rate, from memory": train / per_step["memory"], "steps a second, from memory": clock / per_step["memory"],
        "cycles a step over the line": per_step["line"], "steps a second, over the line": clock / per_step["line"],
        "share of the line's rate in whole frames": (frame + 2) * 10 / BAUD * clock / per_step["line"],
        **found, "cycles a second here, the bare chip": bare.cycles / bare.seconds,
        "board to bare chip": found["cycles a second here, memory"] * bare.seconds / bare.cycles,
    }


def main():
    for name in sys.argv[1:] or ("digits", "digits-deep"):
        print(name)
        for what, value in compare(name).items():
            print(f"  {what:45s} {value:12.6g}")


if __name__ == "__main__":
    main()
