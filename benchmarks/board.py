"""The virtual board: steps a second from the sample memory and over the line, in the board's own time, and clock cycles a second here.

The board's time is the difference of its clock cycles between a long run and a short one: ``python benchmarks/board.py [RECIPE ..]``.
``python benchmarks/board.py first [RECIPE ..]``: seconds from the command that starts a board built before to its first sample.
"""

import signal
import statistics
import subprocess
import sys
import tempfile
import time
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
        "cycles of a training step": train,
        "cycles a step from memory": per_step["memory"],
        "share of the chip's rate, from memory": train / per_step["memory"],
        "steps a second, from memory": clock / per_step["memory"],
        "cycles a step over the line": per_step["line"],
        "steps a second, over the line": clock / per_step["line"],
        "share of the line's rate in whole frames": (frame + 2) * 10 / BAUD * clock / per_step["line"],
        **found,
        "cycles a second here, the bare chip": bare.cycles / bare.seconds,
        "board to bare chip": found["cycles a second here, memory"] * bare.seconds / bare.cycles,
    }


CLIENT = """
import sys, time
from pathlib import Path
import numpy as np
from crossdyad import board, recipe
r = recipe.load(sys.argv[1])
while not Path(sys.argv[2]).exists():
    time.sleep(0.005)
with board.Chip(r, sys.argv[2]) as chip:
    chip.infer(np.zeros((1, r.sizes[0])))
"""
"""A user's script: inference of one sample on the board at a port."""


def first_sample(name: str) -> float:
    """Seconds from the start of the board's command, and of a script beside it, until the script has ended."""
    with tempfile.TemporaryDirectory() as folder:
        port, start = f"{folder}/tty", time.perf_counter()
        with subprocess.Popen(
            [str(Path(sys.executable).with_name("crossdyad")), "board", name, "--virtual", "--port", port],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as there:
            try:
                subprocess.run([sys.executable, "-c", CLIENT, name, port], check=True)
                return time.perf_counter() - start
            finally:
                there.send_signal(signal.SIGTERM)


def main():
    first, names = sys.argv[1:2] == ["first"], [name for name in sys.argv[1:] if name != "first"]
    for name in names or ("digits", "digits-deep"):
        if first:
            seconds = [first_sample(name) for _ in range(6)][1:]  # the first may build
            print(f"{name}: first sample after {min(seconds):.2f} to {max(seconds):.2f} s, median {statistics.median(seconds):.2f} s")
            continue
        print(name)
        for what, value in compare(name).items():
            print(f"  {what:45s} {value:12.6g}")


if __name__ == "__main__":
    main()
