"""Accuracy after training, told from the first thousand samples: gradient quality along them, and what has been learned by then.

What predicts was measured (`benchmarks/predict.py`, which also calibrates): what is right after 1024 samples most, then how far weights
have moved, gradient quality, and what a rule's program is made of, in place of its name. The logit of the accuracy is
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
from ..recipe.rules import matrices, rule
from .evaluate import _judged
from .jobs import Batch, Job, batches
from .sweep import WIDEST

JUDGED_AT, TESTED_AT = (0, 512, 1024), (256, 512, 1024)
"""Training samples after which a chip's gradient is judged, and its outputs are looked at."""
PIECE = 256
"""Samples that are trained at once: they divide those above, so that one program is compiled."""
LOOKED = (101, 102, 103)
"""Seeds of the chips that are looked at, whose features are averaged."""
JUDGED, HELD = 24, 360
"""Training samples that gradients are judged by, and that outputs are of: the last ones, which these chips never learn."""
QUALITY = ("cosine", "deviation", "sign")
EPOCHS = 3
"""Epochs after which the accuracy is predicted."""
NETS = (64, 32, 10), (64, 48, 32, 10)
"""Sizes of the recipes that the prediction was calibrated on."""
CHANCE = 0.1
"""Accuracy of a chip of ten classes that has learned nothing."""
WIDTH, RIDGE = 0.5, 0.1
"""Width of the Gaussian, in standard deviations of a feature, and ridge: near the least error in cross-validation, which is flat there."""
CLIPPED = 0.02, 0.995
"""Accuracies that logits are taken of."""
LARGEST, STILL = 100.0, 1e-4
"""Deviation beyond which no more is told; and share of its first weights by which a chip moves that does not learn."""


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


def predict(recipes: Sequence[Recipe], seeds: Sequence[int] = LOOKED) -> list[Prediction]:
    """Predict each recipe's accuracy.

    Parameters
    ----------
    recipes : sequence of Recipe
        Of `digits` with other numbers, rule, formats and effects of the chip.
    seeds : sequence of int
        Of the chips that are looked at.

    Raises
    ------
    ValueError
        For a recipe that the prediction was not calibrated for.
    """
    for r in recipes:
        check(r)
    found = accuracies(coefficients(), observed(recipes, seeds))
    errors = coefficients()["held_out"]
    made = []
    for p in found:
        near = np.argsort(np.abs(errors[:, 0] - p), kind="stable")[:50]
        low, high = np.quantile(errors[near, 1] - errors[near, 0], [0.025, 0.975])
        made.append(Prediction(float(p), float(max(0, p + low)), float(min(1, p + high))))
    return made


def check(recipe: Recipe) -> None:
    """ValueError if the prediction was not calibrated for a recipe."""
    if recipe.sizes not in NETS or recipe.data.file:
        raise ValueError(
            f"{recipe.name}: sizes: predictions are calibrated on digits, {' and '.join('-'.join(map(str, n)) for n in NETS)}; "
            "allowed is a recipe of these"
        )
    if not recipe.learns:
        raise ValueError(f"{recipe.name}: rule: {recipe.rule!r} does not learn; allowed is a rule that does")
    if recipe.emulated or device_of(recipe.devices):
        raise ValueError(
            f"{recipe.name}: devices: predictions are calibrated on the chip's own effects (read noise, levels, stuck cells); "
            "allowed is a recipe without cells and arrays"
        )


def critical_noise(recipe: Recipe, noises: Sequence[float] | None = None, seeds: Sequence[int] = LOOKED) -> float | None:
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
    seen = accuracies(coefficients(), observed(chips, seeds))
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


def observed(recipes: Sequence[Recipe], seeds: Sequence[int] = LOOKED) -> np.ndarray:
    """Return what is seen of recipes' chips in their first samples, by training samples alone, and of programs: (recipes, features)."""
    found: dict[Job, list[float]] = {}
    for batch in batches([Job(r, s) for r in dict.fromkeys(recipes) for s in seeds], WIDEST):
        found |= zip(batch.jobs, _looked_at(batch), strict=True)
    return np.array([[*np.mean([found[Job(r, s)] for s in seeds], axis=0), *_told(r)] for r in recipes])


def _told(recipe: Recipe) -> list[float]:
    """Features of a recipe: its rate and the size of its first weights; of its program the reads and the updates, the reads that gate an
    error, those of an inference, and the rule's matrices."""
    reads = [step for step in recipe.steps if step.reads]
    inferring = sum(step.reads for step in rule(recipe.rule).infer(recipe))
    counts = [len(reads), len(recipe.steps) - len(reads), inferring, len(matrices(recipe)), 1 + sum(s.error == "gate" for s in reads)]
    return [float(v) for v in np.log2([recipe.learning_rate, recipe.initial, *counts])]


def _looked_at(batch: Batch) -> list[list[float]]:
    """Features of each chip: the quality of its gradient at all points, and what it does on samples that it has not learned at all but the
    first: the logit of its accuracy and of the share of outputs below the label's, and how far its weights are from the first ones."""
    filled = [*batch.jobs, *[batch.jobs[-1]] * (batch.width - len(batch.jobs))]
    many, dataset = Many([j.recipe for j in filled], [j.seed for j in filled], batch.shared), data.of(filled[0].recipe)
    held = np.arange(len(dataset.x_train))[-HELD:]
    x, y, rows = dataset.x_train[held], dataset.y_train[held], [[] for _ in batch.jobs]
    at = order(filled[0].recipe, 0, len(dataset.x_train), many.seeds)
    at, first = np.stack([one[~np.isin(one, held)] for one in at]), many.weights
    for done in range(0, TESTED_AT[-1] + 1, PIECE):
        if done:
            many.train(dataset.x_train, dataset.y_train, at[:, done - PIECE : done])
        weights = many.weights
        judged = _judged(batch.jobs, weights, x[:JUDGED], y[:JUDGED]) if done in JUDGED_AT else []
        for row, q in zip(rows, judged, strict=False):
            cosine, deviation, sign = (float(np.nan_to_num(q[m])) for m in QUALITY)
            row += [cosine, np.log1p(min(deviation, LARGEST)), sign]
        outputs = many.infer(x) if done in TESTED_AT else []
        for i, (row, out) in enumerate(zip(rows, outputs, strict=False)):
            own = out[np.arange(len(y)), y][:, None]
            below = np.mean((out < own).sum(1) + ((out == own).sum(1) - 1) / 2) / (out.shape[1] - 1)
            moved = [np.linalg.norm(w[i] - v[i].astype(float)) / (np.linalg.norm(v[i]) or 1) for w, v in zip(weights, first, strict=True)]
            row += [*logit([float(score(batch.jobs[i].recipe, out, y)), below]), np.log10(np.mean(moved) + STILL)]
    return rows


# The regression ---------------------------------------------------------------------------------------------


def logit(accuracy: ArrayLike) -> np.ndarray:
    """Return the logit of accuracies within `CLIPPED`."""
    p = np.clip(accuracy, *CLIPPED)
    return np.log(p / (1 - p))


def _alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return how alike standardised features are: (n, features) and (m, features) to (n, m)."""
    apart = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return np.exp(-apart / (2 * WIDTH**2 * one.shape[1])) + one @ other.T / one.shape[1]


def fit(seen: ArrayLike, accuracy: ArrayLike) -> dict:
    """Calibrate on features (recipes, features) and accuracies after training (recipes,)."""
    terms, wanted = np.asarray(seen, dtype=float), logit(accuracy)
    model = {"mean": terms.mean(0), "deviation": terms.std(0) + 1e-9, "level": wanted.mean()}
    known = (terms - model["mean"]) / model["deviation"]
    return model | {"known": known, "factors": np.linalg.solve(_alike(known, known) + RIDGE * np.eye(len(known)), wanted - model["level"])}


def accuracies(model: dict, seen: ArrayLike) -> np.ndarray:
    """Predicted accuracies of features (recipes, features)."""
    alike = _alike((np.asarray(seen) - model["mean"]) / model["deviation"], model["known"])
    return 1 / (1 + np.exp(-(alike @ model["factors"] + model["level"])))


@functools.cache
def coefficients() -> dict:
    """Return the calibration: `fit`'s arrays, ``held_out`` of recipes that it has not seen, predicted and trained accuracy (recipes, 2),
    ``held_out_seeds``, what each trained chip came to (recipes, seeds), and ``held_out_rules``.
    """
    with resources.as_file(resources.files(__package__) / "predict.npz") as file:
        return dict(np.load(file))
