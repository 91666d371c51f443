"""Boards at serial ports: found, and tested."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from .. import emulator
from ..recipe import Recipe
from ..recipe.link import Tag
from .chip import Chip
from .port import BoardError, connect, ports
from .session import Session

SAMPLES = 20
"""Samples of a test."""
REQUESTS = 100
"""That are timed."""


class Found(NamedTuple):
    """A port, and what the board there says of itself."""

    port: str
    says: str


class Tested(NamedTuple):
    """A board that infers what the emulator infers with its weights.

    Attributes
    ----------
    port, recipe : str
    clock_mhz : float
    baud, step : int
        Bits per second; training steps until now.
    requests_per_second : float
    samples : int
        Inferences that were compared.
    """

    port: str
    recipe: str
    clock_mhz: float
    baud: int
    step: int
    requests_per_second: float
    samples: int


def found(recipe: Recipe) -> list[Found]:
    """Return the serial ports here, and what the board at each says of itself."""
    return [Found(name, _said(recipe, name)) for name in ports()]


def _said(recipe: Recipe, name: str) -> str:
    try:
        port = connect(recipe, name)
        try:
            session = Session(recipe, port, patience=0.5)
        finally:
            port.close()
    except BoardError as error:
        return str(error).removeprefix(f"{name}: ")
    return f"{recipe.name}, step {session.status.step}"


def tested(recipe: Recipe, name: str) -> Tested:
    """Ask a board what it is, how fast it answers, and whether it infers what the emulator infers with its weights.

    Raises
    ------
    BoardError
        If there is no such board.
    RuntimeError
        If an output is another.
    """
    with Chip(recipe, name) as chip:
        begin = time.monotonic()
        for _ in chip.session.play([(Tag.NOTHING, b"")] * REQUESTS):
            pass
        seconds, state = time.monotonic() - begin, chip.state()
        twin = emulator.Chip(recipe.as_built)
        twin.restore(state)
        f = recipe.formats.state
        x = np.random.default_rng(1).integers(f.min, f.max, (SAMPLES, recipe.sizes[0]), dtype=np.int32, endpoint=True)
        if not np.array_equal(chip.infer(x), twin.infer(x)):
            raise RuntimeError(
                f"{name}: the board infers other outputs than the emulator with the same weights; see that the bitstream "
                "was built by this version, and its clock is below Fmax"
            )
        line = chip.session.identity
        return Tested(name, recipe.name, line.clock / 1e6, line.baud, int(state["step"]), REQUESTS / seconds, SAMPLES)
