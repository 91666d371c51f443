"""The error budget of a recipe on its data, with its plot, and what training would come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from .. import emulator
from ..recipe import Recipe
from ..sim import budget as effects
from . import plots
from . import predict as predictions


class Budget(NamedTuple):
    """Losses of the gradient, by cause.

    Attributes
    ----------
    recipe : str
    samples, epochs : int
        Test samples that it is judged by; how long the weights were trained first.
    budget : list of dict
        A row for each effect, as `sim.budget.budget` has them.
    largest : str
        The effect that costs most cosine by itself.
    cost : float
        How much of it.
    plot : str
        File of the waterfall.
    predicted : dict or None
        Accuracy after `predict.EPOCHS` epochs, with its bounds; None if it was not asked for.
    critical_noise : float or None
        Read noise at which the rule stops learning; None if at none that was tried.
    mended : dict or None
        Cause to what mending it would add to the accuracy, the most first.
    """

    recipe: str
    samples: int
    epochs: int
    budget: list[dict]
    largest: str
    cost: float
    plot: str
    predicted: dict | None = None
    critical_noise: float | None = None
    mended: dict | None = None


def budget(
    recipe: Recipe,
    dataset: Sequence,
    samples: int = 60,
    epochs: int = 0,
    predict: bool = False,
    output: Path = Path("build"),
    each: Callable[[dict], None] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Budget:
    """Measure which effect costs how much of the gradient, and draw it.

    Parameters
    ----------
    recipe : Recipe
    dataset : (x_train, y_train, x_test, y_test)
    samples : int
        Test samples to judge by.
    epochs : int
        Train so long first; 0: at the initial weights.
    predict : bool
        Also say what training comes to, and what mending each cause would give.
    output : path
        Folder for the plot.
    each : callable, optional
        Called with each row as it is measured.
    progress : callable, optional
        Called as ``progress(step, done, of)``.

    Returns
    -------
    Budget

    Raises
    ------
    ValueError
        For a rule that does not learn, or one whose training nothing is known of.
    """
    if predict:
        predictions.check(recipe)
    x, y = dataset[2][:samples], dataset[3][:samples]
    weights = emulator.train(recipe, *dataset, epochs=epochs).weights if epochs else emulator.initial_weights(recipe)
    rows = []
    for row in effects.measured(recipe, weights, x, y, progress=progress):
        rows.append(row)
        if each:
            each(row)
    plot = output / f"{recipe.name}-budget.svg"
    output.mkdir(parents=True, exist_ok=True)
    plots.waterfall(rows, plot)
    told = _predicted(recipe) if predict else {}
    return Budget(recipe.name, samples, epochs, rows, *effects.largest(rows), str(plot), **told)


def _predicted(recipe: Recipe) -> dict:
    """Return what training comes to, and with each cause mended, the most first."""
    mended = predictions.mended(recipe)
    first, *others = predictions.predict([recipe, *mended.values()])
    gains = {cause: p.accuracy - first.accuracy for cause, p in zip(mended, others, strict=True)}
    return {
        "predicted": first._asdict() | {"epochs": predictions.EPOCHS},
        "critical_noise": predictions.critical_noise(recipe),
        "mended": dict(sorted(gains.items(), key=lambda item: -item[1])),
    }
