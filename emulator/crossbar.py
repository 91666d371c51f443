"""The row engine: weights, input and error memories, and its four operations (contract section 3)."""

from __future__ import annotations

from typing import Any, overload

import numpy as np

from ..recipe import Geometry, Recipe
from . import rng
from .arrays import Integers, choose, integer_type, namespace, product
from .rng import Pair
from .update import largest_change, product_type, update

# Weights are kept as the memory holds them: (..., R, F * L), columns beyond C are 0. So are input vectors: (..., F * L).


def pad(geometry: Geometry, array: Integers) -> Integers:
    """The last axis from C columns to whole words, F * L."""
    xp = namespace(array)
    spare = geometry.F * geometry.L - geometry.C
    if not spare:
        return array
    return xp.concatenate([array, xp.zeros((*array.shape[:-1], spare), dtype=array.dtype)], axis=-1)


@overload
def seen(recipe: Recipe, weights: int) -> int: ...


@overload
def seen(recipe: Recipe, weights: Integers) -> Integers: ...


def seen(recipe: Recipe, weights: Integers | int) -> Integers | int:
    """Return what products see of weights: as many levels as the cells have (contract section 11)."""
    d = recipe.hidden_bits
    if isinstance(d, int):
        return (weights >> d << d) | 1 << d - 1 if d else weights
    return (weights >> d << d) | (1 << d) >> 1


def _seen(geometry: Geometry, weights: Integers, peak: Integers | None) -> tuple[Integers, Integers | None]:
    """`seen`, and the bound of the weights that then holds."""
    if geometry.matrix.source != "memory":
        return weights, peak  # signs are no cells
    d = geometry.recipe.hidden_bits
    return seen(geometry.recipe, weights), peak + ((1 << d) >> 1) if peak is not None else None


def forward(geometry: Geometry, weights: Integers, x: Integers, peak: Integers | None = None, place: str = "state") -> Integers:
    """Return ``W x`` exactly, W as it is seen.

    Parameters
    ----------
    weights : int32 array (..., R, F * L)
    x : int32 array (..., n, F * L), n samples
    peak : int64 scalar, optional
        No weight is further from zero.
    place : str
        Format of x, ``state`` or ``delta``.

    Returns
    -------
    integer array (..., n, R)
    """
    width, (weights, peak) = geometry.recipe.bits, _seen(geometry, weights, peak)
    return product(x, weights, getattr(width, place), width.weight, peak, by_columns=True)


def transposed(geometry: Geometry, weights: Integers, e: Integers, peak: Integers | None = None, place: str = "delta") -> Integers:
    """Return ``W^T e`` exactly, W as it is seen: (..., R, F * L) and (..., n, R) to (..., n, D)."""
    width, (weights, peak) = geometry.recipe.bits, _seen(geometry, weights, peak)
    return product(e, weights, getattr(width, place), width.weight, peak)[..., : geometry.D]


def needs_pairs(recipe: Recipe) -> bool:
    """Return whether updates or probes use random bits."""
    return recipe.rounding.weight == "stochastic" or recipe.signed


def pairs(geometry: Geometry, key: Pair, step: Integers, like: Integers) -> Pair:
    """The generator's pairs for all words of the weight memory.

    Parameters
    ----------
    key : pair of uint32 arrays (...)
    step : uint32 scalar
    like : array
        Of the namespace to use.

    Returns
    -------
    x, y : uint32 arrays (..., R, F, G)
    """
    xp, g = namespace(like), geometry
    index = rng.of_groups(xp, g.N, g.G).reshape(g.R, g.F, g.G)
    return rng.pair(rng.behind(key, 3), g.layer, step, index)


def bits(geometry: Geometry, pairs: Pair) -> Integers:
    """The lane views of all weights, uint32 (..., R, F, G, lanes of a group)."""
    x, y = pairs
    lane = namespace(x).arange(min(geometry.L, 16), dtype=np.uint32)
    return rng.lane_view(x[..., None], y[..., None], lane)


def by_lanes(geometry: Geometry, array: Integers) -> Integers:
    """Flatten (..., R, F, G, lanes of a group) to (..., R, F * L); the last group may have fewer lanes than the others."""
    g = geometry
    flat = array.reshape(*array.shape[:-2], -1)
    return flat[..., : g.L].reshape(*array.shape[:-4], g.R, g.F * g.L)


def signs(geometry: Geometry, pairs: Pair) -> Integers:
    """SPSA's signs of all weights, +1 or -1, 0 in the columns beyond C; int32 (..., R, F * L)."""
    return pad(geometry, by_lanes(geometry, rng.sign(bits(geometry, pairs)))[..., : geometry.C])


STUCK = 0x40


def stuck(geometry: Geometry, key: Pair, like: Integers) -> Integers | None:
    """Return which cells no update changes, bool (..., R, F * L), or None where none can be (contract section 11)."""
    g, limit = geometry, geometry.recipe.stuck_limit
    if isinstance(limit, int) and not limit:
        return None
    index = rng.of_groups(namespace(like), g.N, g.G).reshape(g.R, g.F, g.G)
    words = rng.rounding_word(bits(g, rng.pair(rng.behind(key, 3), STUCK | g.layer, np.uint32(0), index)))
    return by_lanes(g, words < limit)


FEEDBACK = 0xA0
"""Streams of the signs of feedback that no memory holds."""


def feedback(geometry: Geometry, key: Pair, weights: Integers) -> Integers:
    """Return the signs, times the recipe's feedback, that stand for a matrix that is not in memory (contract section 3).

    Parameters
    ----------
    geometry : Geometry
    key : pair of uint32 arrays (...)
    weights : int32 array (..., R, F * L)
        Of ``signs``: those that they are taken from; of the ``generator``: any, of the namespace to use.

    Returns
    -------
    int32 array (..., R, F * L)
    """
    g, xp, level = geometry, namespace(weights), geometry.recipe.feedback_level
    if g.matrix.source == "signs":
        return pad(g, xp.where(weights[..., : g.C] < 0, -level, level).astype(np.int32))
    index = rng.of_groups(xp, g.N, g.G).reshape(g.R, g.F, g.G)
    pairs = rng.pair(rng.behind(key, 3), FEEDBACK | g.layer, np.uint32(0), index)
    return (signs(g, pairs) * level).astype(np.int32)


def rewrite(
    geometry: Geometry,
    weights: Integers,
    e: Integers,
    b: Integers,
    pairs: Pair | None,
    probe: bool,
    peak: Integers,
    stuck: Integers | None = None,
    decay: int = 0,
) -> tuple[Integers, Integers, Integers]:
    """Update or probe: every weight plus the rounded product of its operand and its factor.

    Parameters
    ----------
    weights : int32 array (..., R, F * L)
    e : integer array (..., R) or (..., 1)
        The scalar operand E of each row.
    b : int32 array (..., 1 or R, F * L)
        The factor B of each lane.
    pairs : pair of uint32 arrays (..., R, F, G), or None
        Needed for stochastic rounding.
    probe : bool
    peak : int64 scalar
        No weight of any chip is further from zero.
    stuck : bool array (..., R, F * L), optional
        Cells that stay as they are.
    decay : int
        Weights also lose ``2**-decay`` of themselves; 0: nothing.

    Returns
    -------
    weights : int32 array (..., R, F * L)
    events : uint32 array (...)
        How many weights were out of range.
    peak : int64 scalar
        The same bound for the new weights.
    """
    g, recipe, xp = geometry, geometry.recipe, namespace(weights)
    kind, f = product_type(geometry), geometry.recipe.formats.weight

    whole = g.L <= 16 or g.L % 16 == 0  # lane groups are all of one size

    def words(array: Integers) -> Integers:
        """The last axis as the lanes are: folds, lane groups, lanes."""
        return array.reshape(*array.shape[:-1], g.F, g.G, -1) if whole else array

    def lanes(weights: Integers, e: Integers, b: Integers, pairs: Pair | None) -> tuple[Integers, Integers]:
        random: Integers | int = 0
        if recipe.rounding.weight == "stochastic":
            assert pairs is not None
            random = rng.rounding_word(bits(g, pairs))
        random = random if whole or isinstance(random, int) else by_lanes(g, random)
        e = e.astype(kind)
        product = (e[..., None, None, None] if whole else e[..., None]) * words(b.astype(kind))
        return update(recipe, words(weights), product, random, probe, decay)

    def kept(result: Integers) -> Integers:
        return result if stuck is None else xp.where(stuck, weights, result)

    def quiet(reach: Integers, *operands: Any) -> tuple[Integers, Integers, Integers]:
        result, _ = lanes(*operands)
        return kept(result.reshape(weights.shape)), xp.zeros(weights.shape[:-2], dtype=np.uint32), reach

    def counted(_: Integers, *operands: Any) -> tuple[Integers, Integers, Integers]:
        result, out_of_range = lanes(*operands)
        out_of_range = out_of_range.reshape(weights.shape)
        out_of_range = out_of_range if stuck is None else out_of_range & ~stuck
        events = xp.sum(out_of_range, axis=(-2, -1), dtype=np.uint32)
        result = kept(result.reshape(weights.shape))
        return result, events, xp.max(xp.abs(result)).astype(np.int64)

    # The largest change bounds the new weights. While that bound is inside the limits nothing needs counting, which
    # costs as much as the update itself; when it is not, count, and measure the bound anew.
    largest = xp.max(xp.abs(e)).astype(np.int64) * xp.max(xp.abs(b)).astype(np.int64)
    reach = peak + largest_change(recipe, largest) + ((peak >> decay) + 1 if decay else 0)
    return choose(reach <= f.max - recipe.guard, quiet, counted, reach, weights, e, b, pairs)


def probe_operand(geometry: Geometry, negative: bool) -> int:
    """Return the scalar operand E of a probe; a negative one takes back a positive one too."""
    recipe = geometry.recipe
    return (-2 * recipe.probe if negative else recipe.probe) << recipe.update_shift


def operand_type(geometry: Geometry) -> type[np.int32] | type[np.int64]:
    """Integer type that holds the scalar operand E."""
    return integer_type(geometry.operand_width + 1)


# Trace ------------------------------------------------------------------------------------------------------


def levels(recipe: Recipe) -> tuple[str, ...]:
    """Return the input ports of `Crossbar` that stand still while operations run."""
    return ("rate", "slope", "step", "turn" if recipe.samples_in_flight > 1 else "bank")


def of_sample(recipe: Recipe, level: int, turn: int | None, number: int) -> int:
    """Return the step or run of an operation's sample, given that of the newest one and its turn: those under way follow each other."""
    if turn is None:
        return level
    return (level - (turn - number) % recipe.samples_in_flight) & 0xFFFFFFFF
