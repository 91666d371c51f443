"""Directed stimuli: weights and samples at their extremes, so that a chip's formats overflow and its weights come to their limits.

Data hardly ever do that. Many scenes are tried on the emulator, as one batch of chips; those that reach something new are simulated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import emulator
from ..recipe import Geometry, Recipe, in_memory
from .fixed import seeded

FASTEST = 7
"""The rate register's largest value."""
SAMPLES = 2
"""Training samples of a scene."""
TRIED, NUMBERS = 120, 1 << 22
"""Scenes that are tried at most, and how many weights they may have together."""


CHANGE = "weights that change"


class Scene(NamedTuple):
    """Weights that a chip is loaded with, and samples that it then learns from at the fastest rate.

    Attributes
    ----------
    weights : list of int32 arrays (R, C)
    x : int32 array (n, inputs), state integers
    y : int array (n,)
    """

    weights: list[np.ndarray]
    x: np.ndarray
    y: np.ndarray


def limits(g: Geometry) -> tuple[int, int]:
    """Return the least and the largest weight of a matrix that an update leaves (contract section 6)."""
    form, guard = g.recipe.formats.weight, g.recipe.guard
    return form.min + guard, form.max - guard


def reached(
    recipe: Recipe, before: Sequence[np.ndarray], after: Sequence[np.ndarray], saturations: Mapping[str, ArrayLike]
) -> dict[str, np.ndarray]:
    """Count how often chips came to the limits of their numbers.

    Parameters
    ----------
    recipe : Recipe
    before, after : list of integer arrays (*batch, R, C)
        Weights as they were loaded, and after training.
    saturations : dict
        Format to its counter, (*batch).

    Returns
    -------
    dict of int64 arrays (*batch)
        ``FORMAT out of range``: range events; ``weights that change``; and where weights saturate, how many came to rest on their
        largest and their least value: the format's less the guard.
    """

    def count(what):
        return sum(
            np.sum(what(np.asarray(a), np.asarray(b), *limits(g)), axis=(-2, -1), dtype=np.int64)
            for g, a, b in zip(in_memory(recipe), before, after, strict=True)
        )

    found = {f"{name} out of range": np.asarray(v).astype(np.int64) for name, v in saturations.items()}
    found[CHANGE] = count(lambda a, b, *ends: a != b)
    if recipe.overflow.weight == "saturate":
        for n, end in enumerate(("least", "largest")):
            found[f"weights that come to their {end}"] = count(lambda a, b, *ends, n=n: (a != ends[n]) & (b == ends[n]))
    return found


def scenes(recipe: Recipe) -> list[Scene]:
    """Choose scenes that together reach whatever one of the tried ones does; always the same ones for a recipe."""
    draw, held = seeded(f"directed {recipe.name}"), in_memory(recipe)
    count = int(np.clip(NUMBERS // sum(g.R * g.C for g in held), len(WEIGHTS), TRIED))
    weights = [np.stack([WEIGHTS[n % len(WEIGHTS)](draw, *limits(g), (g.R, g.C)) for n in range(count)]).astype(np.int32) for g in held]
    state, inputs = recipe.formats.state, recipe.sizes[0]
    x = np.stack(
        [
            [SAMPLE[(n // len(WEIGHTS) + i) % len(SAMPLE)](draw, state.min, state.max, (inputs,)) for i in range(SAMPLES)]
            for n in range(count)
        ]
    ).astype(np.int32)
    y = draw.integers(recipe.sizes[-1], size=(count, SAMPLES))

    chips = emulator.Chip(recipe, "numpy", (count,))
    chips.weights, chips.rate = weights, FASTEST
    chips.train(x, y)
    found = np.stack([v > 0 for v in reached(recipe, weights, chips.weights, chips.saturations).values()], axis=1)
    chosen, missing = [0], ~found[0]
    while (found & missing).any():
        chosen.append(int(np.argmax((found & missing).sum(1))))
        missing &= ~found[chosen[-1]]
    return [Scene([w[n] for w in weights], x[n], y[n]) for n in chosen]


def _ends(draw, low, high, shape):
    """Each number at one end or the other."""
    return np.where(draw.random(shape) < 0.5, low, high)


def _rows(draw, low, high, shape):
    """Each row at one end, in turns: sums as large and as small as they can be."""
    return np.broadcast_to(np.where(np.arange(shape[0]) % 2, low, high)[:, None], shape)


def _near(draw, low, high, shape):
    """Close to the ends, at all distances, so that small steps come to them."""
    return np.clip(_ends(draw, low, high, shape) + _small(draw, low, high, shape) // 2, low, high)


def _some(draw, low, high, shape):
    """Few at the ends, the others zero: sums that do not cancel."""
    return _ends(draw, low, high, shape) * (draw.random(shape) < 2 / shape[-1])


def _small(draw, low, high, shape):
    """Draw integers of all magnitudes."""
    return draw.integers(low, high, shape, endpoint=True) >> draw.integers(0, 32, shape)


def _anywhere(draw, low, high, shape):
    return draw.integers(low, high, shape, endpoint=True)


def _largest(draw, low, high, shape):
    return np.full(shape, high)


def _least(draw, low, high, shape):
    return np.full(shape, low)


WEIGHTS = (_rows, _ends, _near, _some, _anywhere, _small, _largest, _least)
SAMPLE = (_largest, _ends, _anywhere, _least)
