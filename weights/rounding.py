"""A net's weights rounded to a chip: what that loses, what the chip infers, and files for other tools."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .. import emulator
from ..recipe import Recipe
from .files import save
from .fit import Layer, load


class Rounded(NamedTuple):
    """Result of rounding a net to a chip.

    Attributes
    ----------
    recipe : str
    layers : list of Layer
    notes : list of str
    accuracy : float or None
        Of the chip on the test set; None without data.
    files : list of str
        What was written for other tools.
    """

    recipe: str
    layers: list[Layer]
    notes: list[str]
    accuracy: float | None
    files: list[str]


def rounded(recipe: Recipe, source: str | Path, dataset: Sequence | None = None, output: Path | None = None) -> Rounded:
    """Round a file of weights to a chip, test it, and write the weights for other tools.

    Parameters
    ----------
    recipe : Recipe
    source : path
        As `load` reads it.
    dataset : (x_train, y_train, x_test, y_test), optional
    output : path, optional
        As `save` writes it.

    Returns
    -------
    Rounded

    Raises
    ------
    WeightsError
        If they are not this recipe's weights.
    """
    found = load(recipe, source)
    accuracy = None
    if dataset is not None:
        chip = emulator.Chip(recipe.as_built, "jax")
        chip.weights = found.weights
        accuracy = float(emulator.training.accuracy(chip, *dataset[2:]))
    return Rounded(
        recipe.name, list(found.layers), list(found.notes), accuracy, [str(save(recipe, found.weights, output))] if output else []
    )
