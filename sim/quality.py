"""Quality of a chip's gradient: its estimates, of many chips at once, against the exact ones.

A rule that sends errors or contrasts states is judged by its estimate of every sample's gradient: what the updates of the layers' weights
sum to. A rule that probes has one number per sample, the slope along a direction that the chip draws: it is judged by
how that slope agrees with the exact one, so that what the guess of a direction costs (row 29) is not counted among the chip's errors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..emulator.devices import ArrayChip, Device, asymmetry, programmed
from ..emulator.signals import writes
from ..recipe import Recipe
from ..recipe.seeds import several
from . import gradient

SEEDS = 8
"""Chips over which noise is averaged."""
ROUNDING = 1e-12
"""Share of a square that is its sums' rounding."""


def varies(recipe: Recipe, device: Device | None = None) -> bool:
    """Return whether figures differ from chip to chip: by noise, cells, random rounding, or the directions of probes."""
    rounding, spread = recipe.rounding, recipe.arrays.gain_spread or recipe.arrays.offset_spread
    return bool(
        recipe.signed
        or device
        or recipe.devices.read_noise
        or spread
        or "stochastic" in (rounding.accumulator, rounding.state, rounding.delta)
    )


class Vectors(NamedTuple):
    """A layer's gradient estimates: ``sum over terms of row outer column``, real numbers (chips, n, terms, R) and (chips, n, terms, C)."""

    row: np.ndarray
    column: np.ndarray


class Probes(NamedTuple):
    """Readings of updates along signs: differences of the loss register (chips, n), and seeds (chips,) of the directions."""

    loss: np.ndarray
    seed: np.ndarray


def measured(
    recipe: Recipe, weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray, seeds: Sequence[int], device: Device | None = None
) -> list:
    """Return what the updates of chips would read for the same samples, with the weights held.

    Parameters
    ----------
    recipe : Recipe
        Of a rule that learns.
    weights : list of int32 arrays (R, C), or (chips, R, C)
    x, y : samples and class numbers, n of them
    seeds : sequence of int
        One per chip.
    device : Device, optional
        Cells that each chip's weights are written to and left in for the recipe's age.

    Returns
    -------
    list of Vectors, one per layer; or of one Probes
        Every array has the chips' axis first.
    """
    seeds, read = np.array(seeds, dtype=object), judge(recipe).read
    age, warm = (recipe.devices.age or None) if device and device.ages else None, recipe.devices.temperature or None
    weights = [np.broadcast_to(w, (len(seeds), *w.shape[-2:])) for w in weights]
    chips = [(recipe.model_copy(update={"seed": int(s)}), [w[i] for w in weights]) for i, s in enumerate(seeds)]
    held = [programmed(chip, w, time=age, device=device, temperature=warm) if device else w for chip, w in chips]
    if not recipe.arrays.on:
        return read(recipe.as_built, [np.stack(w) for w in zip(*held, strict=True)], x, y, seeds)
    made = []
    for i, (chip, w) in enumerate(chips):
        player = ArrayChip(chip, device=device)
        player.weights, player.turned = held[i], asymmetry(chip, w, time=age, device=device, temperature=warm)
        player.calibrate(x, y)
        made.append(read(chip, held[i], x, y, seeds[i : i + 1], player.machine()))
    return [type(parts[0])(*map(np.concatenate, zip(*parts, strict=True))) for parts in zip(*made, strict=True)]


def some(made: list, chips: slice | Sequence[int]) -> list:
    """A part of the chips of `measured`."""
    return [type(part)(*(v[chips] for v in part)) for part in made]


def _vectors(recipe: Recipe, weights, x, y, seeds, machine=None) -> list[Vectors]:
    made = gradient.terms(recipe, writes(recipe, weights, x, y, machine, None if machine else seeds))
    return [
        Vectors(*(np.broadcast_to(np.stack(v, axis=-2), (len(seeds), *v[0].shape[-2:-1], len(v), v[0].shape[-1])) for v in layer))
        for layer in made
    ]


def _probes(recipe: Recipe, weights, x, y, seeds, machine=None) -> list[Probes]:
    loss = writes(recipe, weights, x, y, machine, None if machine else seeds)[0].row
    return [Probes(np.broadcast_to(loss, (len(seeds), len(x))), seeds)]


def figures(recipe: Recipe, made: list, exact: Sequence[np.ndarray]) -> dict[str, float]:
    """Chips' gradient estimates of each sample against the exact ones.

    Parameters
    ----------
    recipe : Recipe
    made : list
        As `measured` returns it, for chips that differ only in their seed.
    exact : list of arrays (n, R, C)
        The exact gradient of each sample, as `real.exact`'s.

    Returns
    -------
    dict
        Of a gradient ``cosine``: mean over samples and seeds; ``bias``: size of the estimates' mean error over that of the gradient,
        without the share that a mean over so few chips has by chance; ``deviation``: root of the estimates' variance over the size of the
        gradient; ``sign``: share of weights whose estimate has the right sign, where either is not zero. Of slopes along signs, where all
        of samples and chips are one vector: ``cosine`` to the exact slopes; ``bias``: by which share of the exact ones they are too large
        or too small together; ``deviation``: norm of the residual after removing the bias, over that of the exact ones; ``sign`` as above.
    """
    return judge(recipe).figures(recipe, made, exact)


def _of_vectors(recipe: Recipe, made: list[Vectors], exact) -> dict[str, float]:
    """An estimate is a sum of outer products: its products with the exact gradient, with itself and with other chips' are made of the
    vectors, and never of all its numbers."""
    chips = len(made[0].row)
    along, squares, mean_square, right, there = 0.0, 0.0, 0.0, 0.0, 0.0
    whole = sum(np.sum(np.square(g), axis=(1, 2)) for g in exact)
    for layer, g in zip(made, exact, strict=True):
        e, v = (np.moveaxis(a, 0, -1) for a in layer)  # (n, terms, R, d), (n, terms, C, d)
        along = along + np.sum(e * (g[:, None] @ v), axis=(1, 2))  # (n, d)
        products = sum(
            (np.swapaxes(e[:, i], 1, 2) @ e[:, j]) * (np.swapaxes(v[:, i], 1, 2) @ v[:, j])
            for i in range(e.shape[1])
            for j in range(e.shape[1])
        )  # (n, d, d)
        squares = squares + np.diagonal(products, axis1=1, axis2=2)
        mean_square = mean_square + products.mean((1, 2))
        alike, any_sign = _signs(e, v, g)
        right, there = right + alike, there + any_sign
    sizes = np.sqrt(np.maximum(squares, 0) * whole[:, None])
    cosines = np.divide(along, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    scatter = np.sum(squares, axis=1) - chips * mean_square
    # of chips that are alike, a difference of rounding is left
    variance = np.sum(scatter, where=scatter > ROUNDING * np.sum(squares, axis=1)) / max(1, chips - 1)
    # what is left of the noise in a mean over a few chips is no bias
    bias = np.sum(mean_square) - 2 * np.sum(along) / chips + np.sum(whole) - variance / chips
    norm = np.sqrt(np.sum(whole)) or np.nan  # where there is no gradient, there is no relative error
    return {
        "cosine": float(cosines.mean()),
        "bias": float(np.sqrt(max(0.0, bias)) / norm),
        "deviation": float(np.sqrt(variance) / norm),
        "sign": float(right / there) if there else np.nan,
    }


def _signs(e, v, g) -> tuple[float, float]:
    """Count the weights whose estimate has the exact gradient's sign, and those where either is not zero; shapes as in `_of_vectors`."""
    if e.shape[1] > 1:
        right = there = 0
        for d in range(e.shape[-1]):
            made, exact = np.sign(np.swapaxes(e[..., d], 1, 2) @ v[..., d]), np.sign(g)
            right, there = right + np.sum((made == exact) & (made != 0)), there + np.sum((made != 0) | (exact != 0))
        return float(right), float(there)
    # signs are -1, 0 and 1: sums of their products are counts
    e, v, g = (np.sign(a).astype(np.float32) for a in (e[:, 0], v[:, 0], g))
    both = np.sum(abs(e) * (abs(g) @ abs(v)), dtype=np.float64)
    right = (both + np.sum(e * (g @ v), dtype=np.float64)) / 2
    size = np.sum(abs(e).sum(1) * abs(v).sum(1), dtype=np.float64) + e.shape[-1] * np.sum(abs(g), dtype=np.float64)
    return float(right), float(size - both)


def _of_probes(recipe: Recipe, made: list[Probes], exact) -> dict[str, float]:
    """A slope and the exact one, along the same direction of signs."""
    slopes, along = gradient.slopes(recipe, made[0].loss), np.zeros(made[0].loss.shape)
    for n in range(along.shape[1]):
        for signs, g in zip(gradient.directions(recipe, made[0].seed, n), exact, strict=True):
            along[:, n] += np.sum(signs * g[n], axis=(1, 2))
    square, there = np.sum(along**2), (slopes != 0) | (along != 0)
    size = np.sqrt(square * np.sum(slopes**2))
    share = np.sum(slopes * along) / (square or np.nan)  # where there is no gradient, there is no relative error
    return {
        "cosine": float(np.sum(slopes * along) / size) if size else 0.0,
        "bias": float(abs(share - 1)),
        "deviation": float(np.sqrt(np.sum((slopes - share * along) ** 2) / (square or np.nan))),
        "sign": float(np.mean((np.sign(slopes) == np.sign(along))[there])) if there.any() else np.nan,
    }


class Judge(NamedTuple):
    """Judge of a rule's gradient.

    Attributes
    ----------
    places : tuple of str
        Formats whose rounding enters it.
    read, figures : callable
        What `measured` and `figures` do.
    """

    places: tuple[str, ...]
    read: Callable
    figures: Callable


def judge(recipe: Recipe) -> Judge:
    """Return how the gradient of a recipe's rule is judged.

    Raises
    ------
    ValueError
        For a rule that does not learn.
    """
    if not recipe.learns:
        raise ValueError(f"{recipe.name}: rule {recipe.rule!r} does not learn, so that there is no gradient to judge")
    if recipe.signed:
        return Judge(("state", "accumulator"), _probes, _of_probes)
    places = ("state", "delta", "accumulator") if any(step.difference for step in recipe.steps) else ("state", "accumulator")
    return Judge(places, _vectors, _of_vectors)


def quality(
    recipe: Recipe,
    weights: Sequence[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    exact: Sequence[np.ndarray],
    seeds: int = SEEDS,
    device: Device | None = None,
) -> dict[str, float]:
    """`figures` of so many chips, the first one with the recipe's seed; `measured` has the parameters."""
    return figures(recipe, measured(recipe, weights, x, y, several(recipe.seed, seeds), device), exact)
