"""Weights that were trained once, on many devices: each written to cells of its own, and what such a chip makes of samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ..recipe import Recipe
from .devices import ArrayChip, Device, device_of, programmed
from .many import Common, Many

TOGETHER = 100
"""Devices of one compiled program."""


def drawn(
    recipe: Recipe,
    weights: Sequence[np.ndarray],
    x: ArrayLike,
    seeds: Sequence[int],
    shared: Common | None = None,
    device: Device | None = None,
    shown: tuple[ArrayLike, ArrayLike] | None = None,
) -> np.ndarray:
    """Return the outputs of chips that the same weights are written to, once, and that are as old as the recipe says.

    Parameters
    ----------
    recipe : Recipe
        Chips with `arrays` are played one by one.
    weights : list of int32 arrays (R, C)
        As they were trained, before they are written to cells.
    x : array (n, inputs)
        Real values.
    seeds : sequence of int
        Of the devices: their cells, their read noise, which of them are stuck.
    shared : Common, optional
        Of a larger set of recipes, to share its compiled program.
    device : Device, optional
        Instead of the recipe's: a device of your own.
    shown : (array, integer array), optional
        Samples and class numbers that output converters of arrays are calibrated on.

    Returns
    -------
    int32 array (seeds, n, outputs)
        State integers.

    Raises
    ------
    ValueError
        If there are no seeds, or nothing is shown to output converters.
    """
    seeds = [int(s) for s in seeds]
    if not seeds:
        raise ValueError("seeds: none; give one per device")
    made, cells = [], device or device_of(recipe.devices)
    read = recipe.as_built if recipe.pulses.emulated else recipe  # nothing learns any more
    if recipe.arrays.on:
        return np.concatenate([_on_arrays(recipe, weights, x, seed, cells, shown) for seed in seeds])
    for i in range(0, len(seeds), TOGETHER):
        some = seeds[i : i + TOGETHER]
        filled = some + some[-1:] * (min(TOGETHER, len(seeds)) - len(some))  # what is added is computed, and dropped
        chips = Many([read] * len(filled), filled, shared)
        each = [np.broadcast_to(w, (len(some), *w.shape)) for w in map(np.asarray, weights)]
        if cells:
            each = programmed(recipe, each, 0, recipe.devices.age or None, some, device, temperature=recipe.devices.temperature or None)
        chips.weights = [np.concatenate([w, np.repeat(w[-1:], len(filled) - len(some), axis=0)]) for w in each]
        made.append(chips.infer(x)[: len(some)])
    return np.concatenate(made)


def _on_arrays(
    recipe: Recipe, weights: Sequence[ArrayLike], x: ArrayLike, seed: int, device: Device | None, shown: tuple[ArrayLike, ArrayLike] | None
) -> np.ndarray:
    """Outputs of one chip with arrays."""
    chip = ArrayChip(recipe, (1,), [seed], device)
    each = [np.asarray(w)[None] for w in weights]
    if device:
        each = programmed(recipe, each, 0, recipe.devices.age or None, [seed], device, temperature=recipe.devices.temperature or None)
    chip.weights = each
    if recipe.arrays.output_bits:
        if shown is None:
            raise ValueError("shown: none; give samples and class numbers that the output converters' ranges are set by")
        chip.calibrate(*shown)
    return chip.infer(x)
