"""Accuracy after training, told from the first thousand samples: gradient quality along them, and what has been learned by then.

What predicts was measured (`benchmarks/predict.py`, which also calibrates): the accuracy after 1024 samples most, then the rule, without
which backprop is told too low, then cosine, deviation and right signs of the gradient, and the learning rate. The logit of the accuracy is
a sum over the calibrated recipes of how alike their features are: kernel ridge regression, Gaussian and linear.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .. import data
from ..emulator.devices import device_of
from ..emulator.many import Many
from ..emulator.metric import score
from ..emulator.training import order
from ..recipe import Recipe
from .evaluate import _judged
from .jobs import Job, batches
from .sweep import WIDEST

POINTS = (0, 512, 1024)
"""Training samples after which a chip is looked at."""
JUDGED, HELD = 24, 360
"""Training samples that gradients are judged by, and that accuracies are measured on: the last ones, which these chips never learn."""
QUALITY = ("cosine", "deviation", "sign")
EPOCHS = 3
"""Epochs after which the accuracy is predicted."""
RULES = ("dual-propagation", "backprop", "sign-concordant")
"""Rules of the recipes that the prediction was calibrated on."""
CHANCE = 0.1
"""Accuracy of a chip of ten classes that has learned nothing."""
WIDTH, RIDGE = 0.7, 0.1
"""Width of the Gaussian, in standard deviations of a feature, and ridge: near the least error in cross-validation, which is flat there."""
CLIPPED = 0.02, 0.995
"""Accuracies that logits are taken of."""


class Prediction(NamedTuple):
    """An accuracy after `EPOCHS` of training.

    Attributes
    ----------
    accuracy : float
        Of the test set.
    low, high : float
        As far as 95 % of the held-out recipes that had such a prediction were from it.
    """

    accuracy: float
    low: float
    high: float


def predict(recipes: Sequence[Recipe], seed: int = 101) -> list[Prediction]:
    """Predict each recipe's accuracy.

    Parameters
    ----------
    recipes : sequence of Recipe
        Of `digits` with other numbers, rule, formats and effects of the chip.
    seed : int
        Of the chips that are looked at.

    Raises
    ------
    ValueError
        For a recipe that the prediction was not calibrated for.
    """
    for r in recipes:
        check(r)
    found = accuracies(coefficients(), observed(recipes, [seed] * len(recipes)))
    errors = coefficients()["held_out"]
    made = []
    for p in found:
        near = np.argsort(np.abs(errors[:, 0] - p), kind="stable")[:50]
        low, high = np.quantile(errors[near, 1] - errors[near, 0], [0.025, 0.975])
        made.append(Prediction(float(p), float(max(0, p + low)), float(min(1, p + high))))
    return made


def check(recipe: Recipe) -> None:
    """ValueError if the prediction was not calibrated for a recipe."""
    if recipe.sizes != (64, 32, 10) or recipe.data.file:
        raise ValueError(f"{recipe.name}: sizes: predictions are calibrated on digits, 64-32-10; allowed is a recipe of these")
    if recipe.rule not in RULES:
        raise ValueError(f"{recipe.name}: rule: predictions are calibrated on {', '.join(RULES)}; allowed is one of these")
    if recipe.emulated or device_of(recipe.devices):
        raise ValueError(
            f"{recipe.name}: devices: predictions are calibrated on the chip's own effects (read noise, levels, stuck cells); "
            "allowed is a recipe without cells and arrays"
        )


def critical_noise(recipe: Recipe, noises: Sequence[float] | None = None, seeds: Sequence[int] = (101, 102, 103, 104, 105)) -> float | None:
    """Predict the read noise at which a rule stops learning: where the accuracy is midway between chance and the one without noise.

    Parameters
    ----------
    recipe : Recipe
    noises : sequence of float, optional
        Ascending; by default from 1/16 to 4, twice as much every fourth step.
    seeds : sequence of int
        Of the chips that are looked at.

    Returns
    -------
    float or None
        In units of the drive, between the two noises next to it linear in its logarithm. None if it learns at all of them.
    """
    noises = [2.0 ** (k / 4) for k in range(-16, 9)] if noises is None else list(noises)
    chips = [recipe.model_copy(update={"devices": recipe.devices.model_copy(update={"read_noise": float(v)})}) for v in (0.0, *noises)]
    for chip in chips:
        check(chip)
    seen = np.mean([accuracies(coefficients(), observed(chips, [s] * len(chips))) for s in seeds], axis=0)
    return crossing(noises, seen[1:], seen[0])


def crossing(noises: ArrayLike, accuracy: ArrayLike, quiet: float) -> float | None:
    """Return where accuracies at ascending noises fall to midway between chance and that without noise; None where they do not."""
    limit = (CHANCE + quiet) / 2
    for i, a in enumerate(accuracy):
        if a < limit:
            before, log = (quiet, None) if i == 0 else (accuracy[i - 1], np.log(noises[i] / noises[i - 1]))
            return float(noises[i] if log is None else noises[i - 1] * np.exp(log * (before - limit) / (before - a)))
    return None


def mended(recipe: Recipe) -> dict[str, Recipe]:
    """Return the recipe with one cause mended each: an effect left out, or a format four bits wider."""
    found = {}
    for name, words in (("read_noise", "read noise"), ("levels", "levels"), ("stuck", "stuck cells")):
        if getattr(recipe.devices, name):
            found[words] = _changed(recipe, devices=recipe.devices.model_dump() | {name: 0})
    for place in ("weight", "state", "delta"):
        formats = recipe.formats.model_dump()
        for q in formats[place] if isinstance(formats[place], tuple | list) else [formats[place]]:
            q["width"] += 4
            q["frac"] += 4
        try:
            found[f"{place} bits"] = _changed(recipe, formats=formats)
        except ValueError:  # no such format fits the others
            continue
    return found


def _changed(recipe: Recipe, **parts) -> Recipe:
    return Recipe.model_validate(recipe.model_dump() | parts)


def observed(recipes: Sequence[Recipe], seeds: Sequence[int]) -> np.ndarray:
    """Return what is seen of chips at `POINTS`, by their training samples alone: (recipes, features)."""
    jobs, found = [Job(r, s) for r, s in zip(recipes, seeds, strict=True)], {}
    for batch in batches(list(dict.fromkeys(jobs)), WIDEST):
        filled = [*batch.jobs, *[batch.jobs[-1]] * (batch.width - len(batch.jobs))]
        many, dataset = Many([j.recipe for j in filled], [j.seed for j in filled], batch.shared), data.of(filled[0].recipe)
        held = np.arange(len(dataset.x_train))[-HELD:]
        x, y, rows = dataset.x_train[held], dataset.y_train[held], [[] for _ in batch.jobs]
        at = order(filled[0].recipe, 0, len(dataset.x_train), many.seeds)
        at = np.stack([one[~np.isin(one, held)] for one in at])
        for begin, end in zip((0, *POINTS), POINTS, strict=False):
            if end:
                many.train(dataset.x_train, dataset.y_train, at[:, begin:end])
            for row, q in zip(rows, _judged(batch.jobs, many.weights, x[:JUDGED], y[:JUDGED]), strict=True):
                row += [float(np.nan_to_num(q[m])) for m in QUALITY]
            if end:
                outputs = many.infer(x)
                for i, row in enumerate(rows):
                    row.append(float(score(batch.jobs[i].recipe, outputs[i], y)))
        for job, row in zip(batch.jobs, rows, strict=True):
            found[job] = [*row, np.log2(job.recipe.learning_rate), *(float(job.recipe.rule == rule) for rule in RULES[1:])]
    return np.array([found[job] for job in jobs])


# The regression ---------------------------------------------------------------------------------------------


def logit(accuracy: ArrayLike) -> np.ndarray:
    """Return the logit of accuracies within `CLIPPED`."""
    p = np.clip(accuracy, *CLIPPED)
    return np.log(p / (1 - p))


def _terms(seen) -> np.ndarray:
    """Features as the regression takes them: deviations as logarithms, accuracies as logits."""
    seen, per = np.array(seen, dtype=float), len(QUALITY)
    deviations, learned = [1, per + 1, 2 * per + 2], [2 * per, 3 * per + 1]
    seen[:, deviations] = np.log1p(seen[:, deviations])
    seen[:, learned] = logit(seen[:, learned])
    return seen


def _alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how alike standardised features are: (n, features) and (m, features) to (n, m)."""
    apart = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return np.exp(-apart / (2 * WIDTH**2 * one.shape[1])) + one @ other.T / one.shape[1]


def fit(seen: ArrayLike, accuracy: ArrayLike) -> dict:
    """Calibrate on features (recipes, features) and accuracies after training (recipes,)."""
    terms, wanted = _terms(seen), logit(accuracy)
    model = {"mean": terms.mean(0), "deviation": terms.std(0) + 1e-9, "level": wanted.mean()}
    known = (terms - model["mean"]) / model["deviation"]
    return model | {"known": known, "factors": np.linalg.solve(_alike(known, known) + RIDGE * np.eye(len(known)), wanted - model["level"])}


def accuracies(model: dict, seen: ArrayLike) -> np.ndarray:
    """Predicted accuracies of features (recipes, features)."""
    alike = _alike((_terms(seen) - model["mean"]) / model["deviation"], model["known"])
    return 1 / (1 + np.exp(-(alike @ model["factors"] + model["level"])))


@functools.cache
def coefficients() -> dict:
    """Return the calibration: `fit`'s arrays, ``held_out`` of recipes that it has not seen, predicted and trained accuracy (recipes, 2),
    and ``held_out_rules``.
    """
    with resources.as_file(resources.files(__package__) / "predict.npz") as file:
        return dict(np.load(file))
