"""An engine: a crossbar, and the converters that turn its sums into elements for the units (contract section 7)."""

from __future__ import annotations

import numpy as np

from ..recipe import ELEMENT_BITS, Geometry, Recipe, matrix_geometries
from . import crossbar, crossbar_clocked, fixed, noise, rng
from .arrays import Integers, namespace
from .clock import Ports, Stimulus, Waves, walk
from .rng import Pair

VECTORS = 0x80
"""Streams from here on are those of vector elements (contract section 2)."""


def is_random(recipe: Recipe) -> bool:
    """Return whether a rounding of accumulator, state or delta is stochastic: only then elements have random words."""
    r = recipe.rounding
    return "stochastic" in (r.accumulator, r.state, r.delta)


def words(geometry: Geometry, key: Pair, step: Integers, pc: int, count: int, like: Integers) -> tuple[Integers | int, ...]:
    """Random words of the elements that an operation makes.

    Parameters
    ----------
    key : pair of uint32 arrays (...)
    pc : int
        Position of the operation in the program memory; 0 for a repeatable one.
    count : int
        Elements.
    like : array
        Of the namespace to use.

    Returns
    -------
    converter, state, delta, nudge : int32 arrays (..., 1, count), or four zeros where nothing rounds at random
    """
    if not is_random(geometry.recipe):
        return 0, 0, 0, 0
    index = namespace(like).arange(count, dtype=np.uint32) | np.uint32(pc << ELEMENT_BITS)
    x, y = rng.pair(rng.behind(key, 2), VECTORS | geometry.layer, step, index)
    return tuple(rng.rounding_word(rng.lane_view(x, y, view)) for view in range(4))


def convert(recipe: Recipe, place: str, sums: Integers, random: Integers | int, added: Integers | None = None) -> tuple[Integers, Integers]:
    """Convert exact sums over a store of format `place`, and the noise of their read: (int32 array, accumulator format; out_of_range)."""
    sums = sums if added is None else sums + added
    value, out_of_range = fixed.requantize(
        sums, _shift(recipe, place), recipe.formats.accumulator.width, recipe.rounding.accumulator, recipe.overflow.accumulator, random
    )
    return value.astype(np.int32), out_of_range


def _shift(recipe: Recipe, place: str) -> int:
    f = recipe.formats
    return f.weight.frac + getattr(f, place).frac - f.accumulator.frac


# Trace ------------------------------------------------------------------------------------------------------


def inputs(recipe: Recipe, engine: int) -> tuple[str, ...]:
    """Return the input ports of `Engine`."""
    return (*crossbar_clocked.inputs(recipe, engine), *runs(recipe))


def runs(recipe: Recipe) -> tuple[str, ...]:
    """Return the port with the number of the program, where there is one."""
    return ("run",) if recipe.devices.read_noise else ()


def trace(recipe: Recipe, engine: int, stimulus: Stimulus) -> Waves:
    """Every port of `Engine` at every clock.

    Parameters
    ----------
    recipe, engine
        As the component's.
    stimulus : dict
        Input ports of contract section 7, one entry per clock, from reset.

    Returns
    -------
    dict
        Output ports of section 7.
    """
    return walk(Clocked(recipe, engine).clock, stimulus, inputs(recipe, engine))


class Clocked:
    """The crossbar, and the elements between its sums and the units."""

    def __init__(self, recipe: Recipe, engine: int):
        self.recipe = recipe
        self.crossbar = crossbar_clocked.Clocked(recipe, engine)
        self.operations = self.crossbar.table.operations
        self.geometry = matrix_geometries(recipe)
        self.places = tuple(dict.fromkeys(recipe.place(s) for s in self.operations if s.reads))
        self.now = 0
        self.words: dict[int, tuple[int, ...]] = {}  # cycle of a sum: its element's random words
        self.noise: dict[int, int] = {}  # cycle of a sum: what is added to it
        self.shaken: dict[int, int] = {}  # the same of the signs along which neurons are shaken
        self.coming: dict[int, tuple[int, int, int]] = {}  # cycle in which the words are drawn: number, index, pc
        self.converted: dict[int, tuple[str, int, bool, int]] = {}  # cycle: place, value, out of range, random

    def clock(self, step: int, run: int = 0, turn: int | None = None, **ports: int) -> Ports:
        """Output ports of this cycle; all registers move to the next one."""
        shown = self.crossbar.clock(step=step, turn=turn, **ports)

        number, index, pc = (shown.pop(f"coming_{name}") for name in ("number", "index", "pc"))
        if shown.pop("coming_valid"):
            self._coming(number, index, pc, crossbar.of_sample(self.recipe, run, turn, number))
        if self.now in self.coming:
            number, index, pc = self.coming.pop(self.now)
            self._draw(number, index, pc, crossbar.of_sample(self.recipe, step, turn, number))
        total = shown.pop("sum")
        if shown["sum_valid"]:
            self._convert(shown["sum_number"], total)
        place, value, out, random = self.converted.pop(self.now, ("", 0, False, 0))
        self.now += 1
        return shown | {f"value_{p}": value if p == place else 0 for p in self.places} | {"random": random, "events_accumulator": int(out)}

    def _coming(self, number: int, index: int, pc: int, run: int) -> None:
        g, step = self.geometry[self.operations[number].matrix], self.operations[number]
        self.coming[self.now + 3] = number, index, pc
        if self.recipe.devices.read_noise:
            pair = rng.pair_exact(self.recipe.key, noise.STREAM | g.layer, run, pc << ELEMENT_BITS | index)
            self.noise[self.now + crossbar_clocked.AHEAD] = noise.noise_exact(g.recipe, self.recipe.place(step), *pair)

    def _draw(self, number: int, index: int, pc: int, step: int) -> None:
        g, shakes = self.geometry[self.operations[number].matrix], self.operations[number]
        if shakes.noise:
            level = shakes.noise << g.recipe.shake(g.recipe.place(shakes)) + shakes.gain
            self.shaken[self.now + 8] = level * noise.node_sign_exact(self.recipe, g.layer, step, index)
        if is_random(self.recipe):
            position = 0 if shakes.repeatable else pc
            x, y = rng.pair_exact(self.recipe.key, VECTORS | g.layer, step, position << ELEMENT_BITS | index)
            self.words[self.now + 8] = tuple(rng.view_exact(x, y, view)[0] for view in range(4))

    def _convert(self, number: int, total: int) -> None:
        step = self.operations[number]
        recipe = self.geometry[step.matrix].recipe
        place = recipe.place(step)
        random = self.words.pop(self.now, (0, 0, 0, 0))
        total += self.noise.pop(self.now, 0) + self.shaken.pop(self.now, 0)
        value, out = fixed.requantize_exact(
            total,
            _shift(recipe, place),
            recipe.formats.accumulator.width,
            recipe.rounding.accumulator,
            recipe.overflow.accumulator,
            random[0],
        )
        self.converted[self.now + 2] = place, value, out, random[1] | random[2] << 16 | random[3] << 32
