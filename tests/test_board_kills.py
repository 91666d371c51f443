"""Training on a board goes on to the same bits, whatever is killed in the middle of it."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from crossdyad import emulator
from crossdyad.recipe import Recipe
from crossdyad.sim import simulators, virtual

TINY = Recipe(name="tiny", sizes=[3, 4, 2], lanes=[2, 2], alpha=0.5)
SAMPLES, EPOCHS = 640, 3
DRIVER = """
import sys
import numpy as np
from crossdyad import board, emulator
from test_board_kills import EPOCHS, TINY, given
with board.Chip(TINY, sys.argv[1]) as chip:
    done = emulator.train(TINY, *given(), epochs=EPOCHS, chip=chip, checkpoint=sys.argv[2], progress=lambda *what: print(*what, flush=True))
np.savez(sys.argv[3], *done.weights, cycles=done.cycles)
"""


def given():
    rng = np.random.default_rng(3)
    x, y = rng.integers(-60, 61, (SAMPLES, 3)).astype(np.int32), rng.integers(0, 2, SAMPLES)
    return x, y, x[:40], y[:40]


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "kills"), [("driver", 20), ("board", 20)])
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path, victim, kills):
    if reason := simulators.missing("replay"):
        pytest.skip(reason)
    program, draw, told = virtual.build(TINY), random.Random(kills), 0
    command = virtual.command(program, 1e-3, 7, tmp_path / "tty")

    def board():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        process.stdout.readline()
        return process

    (tmp_path / "driver.py").write_text(DRIVER)
    alive = board()
    try:
        while True:
            files = (tmp_path / name for name in ("driver.py", "tty", "kept.npz", "end.npz"))
            driver = subprocess.Popen(
                [sys.executable, *files],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
            )
            if told < kills:
                driver.stdout.readline()  # an epoch is on its way
                time.sleep(draw.random() * 2)
                (driver if victim == "driver" else alive).kill()
                told += 1
            _, error = driver.communicate()
            if victim == "board" and alive.poll() is not None:
                assert "the port has gone" in error or "no reply" in error, error
                alive = board()
            if driver.returncode == 0:
                break
            assert victim == "board" or driver.returncode == -9, error
    finally:
        alive.kill()
    alone = emulator.train(TINY, *given(), epochs=EPOCHS, engine="numpy")
    with np.load(tmp_path / "end.npz") as end:
        assert all(np.array_equal(end[f"arr_{k}"], w) for k, w in enumerate(alone.weights)) and end["cycles"] == alone.cycles
    assert told == kills
