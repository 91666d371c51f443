"""Read noise: a sum of bytes, scaled (contract section 11)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..recipe import ELEMENT_BITS, Geometry, Recipe
from . import rng
from .arrays import Integers, namespace
from .clock import Ports, Stimulus, Waves, walk
from .rng import Pair

STREAM = 0x90
CENTRE = 8 * 255 // 2


def noise(geometry: Geometry, place: str, key: Pair, run: Integers, pc: int, count: int, like: Integers) -> Integers:
    """The noise of the elements that an operation reads, in LSBs of the sum.

    Parameters
    ----------
    geometry : Geometry
    place : str
        Format of what is read, ``state`` or ``delta``.
    key : pair of uint32 arrays (*batch)
    run : uint32 array (n,)
        Program number of each sample.
    pc : int
        Position of the operation in the program memory.
    count : int
        Elements.
    like : array
        Of the namespace to use.

    Returns
    -------
    int64 array (*batch, n, count)
    """
    index = namespace(like).arange(count, dtype=np.uint32) | np.uint32(pc << ELEMENT_BITS)
    x, y = rng.pair(rng.behind(key, 2), STREAM | geometry.layer, run[:, None], index)
    total: Any = sum((w >> np.uint32(8 * i)) & np.uint32(255) for w in (x, y) for i in range(4))
    deviate = total.astype(np.int64) - CENTRE
    return (deviate * geometry.recipe.noise_gain(place) + 128) >> 8


NODES = 0xD0
"""Streams of the signs along which neurons are shaken."""


def node_signs(geometry: Geometry, key: Pair, step: Integers, count: int, like: Integers) -> Integers:
    """Return the signs of the elements of a shaken read, +1 or -1, int32 (*batch, 1, count); `step` is the chip's (contract section 12)."""
    index = namespace(like).arange(count, dtype=np.uint32)
    x, y = rng.pair(rng.behind(key, 2), NODES | geometry.layer, step, index)
    return rng.sign(rng.lane_view(x, y, 0)).astype(np.int32)


def node_sign_exact(recipe: Recipe, layer: int, step: int, element: int) -> int:
    """`node_signs` of one element, on Python integers."""
    return rng.view_exact(*rng.pair_exact(recipe.key, NODES | layer, step, element), 0)[1]


COLUMNS = 0xE0
"""Streams of the signs of columns of noise."""


def column(geometry: Geometry, key: Pair, step: Integers, like: Integers) -> Integers:
    """Return a column of noise, `Recipe.noise_level` with a sign for each column: int32 (*batch, 1, C) (contract section 12)."""
    g, xp = geometry, namespace(like)
    index = rng.of_groups(xp, g.F, g.G)[..., None]
    x, y = rng.pair(rng.behind(key, 3), COLUMNS | g.layer, step, index)
    signs = rng.sign(rng.lane_view(x, y, xp.arange(min(g.L, 16), dtype=np.uint32)))
    signs = signs.reshape(*signs.shape[:-2], -1)[..., : g.L]  # the last group may have fewer lanes
    return (signs.reshape(*signs.shape[:-2], 1, -1)[..., : g.C] * g.recipe.noise_level).astype(np.int32)


def column_exact(geometry: Geometry, step: int, element: int) -> int:
    """`column` of one element, on Python integers."""
    (fold, lane), g = divmod(element, geometry.L), geometry
    pair = rng.pair_exact(g.recipe.key, COLUMNS | g.layer, step, rng.group_exact(fold, lane // 16, g.G))
    return g.recipe.noise_level * rng.view_exact(*pair, lane % 16)[1]


# Trace ------------------------------------------------------------------------------------------------------


def noise_exact(recipe: Recipe, place: str, x: int, y: int) -> int:
    """The noise of a pair of the generator, on Python integers."""
    deviate = sum(w >> 8 * i & 255 for w in (x, y) for i in range(4)) - CENTRE
    return deviate * recipe.noise_gain(place) + 128 >> 8


def trace(recipe: Recipe, stimulus: Stimulus) -> Waves:
    """Every port of `Noise` at every clock, meaningful from the third on (latency 3).

    Parameters
    ----------
    recipe : Recipe
    stimulus : dict
        ``x``, ``y``, ``delta``: one entry per clock, from reset.

    Returns
    -------
    dict
        ``noise``.
    """
    made = [0] * 3

    def clock(x: int, y: int, delta: int) -> Ports:
        made.append(noise_exact(recipe, "delta" if delta else "state", x, y))
        return {"noise": made.pop(0)}

    return walk(clock, stimulus, ("x", "y", "delta"))
