"""A chip, and the weights that it holds when it wakes up, as words of its engines' memories (contract section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..recipe import Recipe, in_memory, require_recipe, table
from .chip import Chip


def build(recipe: Recipe, weights: Sequence[np.ndarray] | None = None) -> Chip:
    """Return the chip of a recipe, as an Amaranth component; with weights (R, C) of each matrix in memory it wakes up with them."""
    return woken(Chip(require_recipe(recipe)), recipe, weights)


def woken(chip: Chip, recipe: Recipe, weights: Sequence[np.ndarray] | None) -> Chip:
    """Let a chip wake up with weights, (R, C) of each matrix in memory; return it."""
    for engine, initial in zip(chip.engines, words(recipe, weights) if weights is not None else (), strict=False):
        engine.crossbar.initial = initial
    return chip


def words(recipe: Recipe, weights: Sequence[np.ndarray]) -> list[list[int]]:
    """Return the words of each engine's memory, lane 0 lowest, lanes beyond the last column zero.

    Parameters
    ----------
    recipe : Recipe
    weights : list of int arrays (R, C)
        Of each matrix in memory.

    Raises
    ------
    ValueError
        If matrices are missing, or of another shape, or weights do not fit the format.
    """
    engines, placed = table.engines(recipe), in_memory(recipe)
    shapes = [np.shape(w) for w in weights]
    if shapes != [(g.R, g.C) for g in placed]:
        raise ValueError(f"weights: shapes {shapes}; allowed are {[(g.R, g.C) for g in placed]}, those of {recipe.name}")
    made = [[0] * max(2, e.words) for e in engines]
    for g, w in zip(placed, weights, strict=True):
        base, given = engines[g.engine].base[g.matrix.name], g.recipe.formats.weight.check(w, g.matrix.name)
        width = engines[g.engine].width
        for t, row in enumerate(given.tolist()):
            for fold in range(g.F):
                lanes = row[fold * g.L : (fold + 1) * g.L]
                made[g.engine][base + t * g.F + fold] = sum((v & (1 << width) - 1) << lane * width for lane, v in enumerate(lanes))
    return made
