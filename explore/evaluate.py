"""From recipes and seeds to metrics: many chips at once, each to the same figures as alone."""

from __future__ import annotations

import hashlib
import json
import math
import time
from typing import NamedTuple

import numpy as np

from .. import data
from ..emulator.chip import TrainResult
from ..emulator.devices import device_of, programmed
from ..emulator.many import Common, Many, common, structure
from ..emulator.training import costs, order
from ..recipe import Recipe, programs
from ..sim import budget, gradient
from . import cost

VERSION = 2
"""Raised by hand when a figure of the same recipe, seed and settings would come out otherwise: then old rows are not taken for new."""

DRAWS = 4
"""Chips that a noisy gradient is measured with: as many reads of each sample."""


class Settings(NamedTuple):
    """What is measured, and how.

    Attributes
    ----------
    epochs, samples, cost, board
        As in `Spec`.
    folder : str or None
        Of data sets that do not ship with the package.
    """

    epochs: int
    samples: int
    cost: str
    board: str
    folder: str | None = None


class Job(NamedTuple):
    """A chip to evaluate."""

    recipe: Recipe
    seed: int


def key(job: Job, settings: Settings) -> str:
    """What identifies a result: everything that it depends on, and nothing else."""
    table = job.recipe.model_dump(mode="json", exclude={"name": True, "training": {"epochs"}})
    told = [VERSION, table, job.seed, settings.epochs, settings.samples, settings.cost, settings.board, cost.VERSION]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


class Batch(NamedTuple):
    """Chips that run at once.

    Attributes
    ----------
    jobs : tuple of Job
    width : int
        Chips of the compiled program, at least as many as jobs.
    shared : Common
        Of all batches of one structure: they share one compiled program.
    """

    jobs: tuple[Job, ...]
    width: int
    shared: Common


def batches(jobs, most: int) -> list[Batch]:
    """Jobs in batches of one structure, at most so many each, as even as they go."""
    found: dict = {}
    for job in jobs:
        found.setdefault(structure(job.recipe), []).append(job)
    made = []
    for same in found.values():
        shared, width = common([j.recipe for j in same]), math.ceil(len(same) / math.ceil(len(same) / most))
        made += [Batch(tuple(same[i:i + width]), width, shared) for i in range(0, len(same), width)]
    return made


def evaluate(batch: Batch, settings: Settings) -> list[dict]:
    """Train and measure the chips of a batch.

    Parameters
    ----------
    batch : Batch
    settings : Settings

    Returns
    -------
    list of dict
        Per job: the metrics of `spec.METRICS`, None where one has no meaning; ``accuracy_by_epoch`` (from epoch 1, or before
        training if there is none), ``cosine_by_epoch`` (from epoch 0, before training); and ``seconds``, the job's share of the time.
    """
    start, jobs = time.perf_counter(), batch.jobs
    recipes = [job.recipe for job in jobs]
    dataset = data.load(data.name_for(recipes[0].sizes[0]), settings.folder)
    filled = [*jobs, *[jobs[-1]] * (batch.width - len(jobs))]          # what is added is computed, and dropped
    many, learns = Many([j.recipe for j in filled], [j.seed for j in filled], batch.shared), recipes[0].rule != "inference"
    judged = recipes[0].rule == "dual-propagation" and settings.samples > 0
    sample = dataset.x_test[: settings.samples], dataset.y_test[: settings.samples]
    accuracies, qualities, losses, cells = [], [], np.full(len(jobs), np.nan), any(device_of(r.devices) for r in recipes)
    qualities.append(_qualities(many, jobs, *sample) if judged else None)
    for epoch in range(settings.epochs if learns else 0):
        many.rate = [max(0, r.rate - epoch // r.training.halve_every) for r in many.recipes]
        at = order(recipes[0], epoch, len(dataset.x_train))
        if cells:
            many.weights = _written(many, epoch)
        result = many.train(dataset.x_train[at], dataset.y_train[at])
        losses = [costs(r, TrainResult(result.outputs[i], result.loss[i]), dataset.y_train[at]).mean() for i, r in enumerate(recipes)]
        learned = many.weights
        if cells:
            many.weights = _written(many, epoch + 1, aged=True)
        accuracies.append(_accuracy(many, dataset))
        if cells:
            many.weights = learned
        qualities.append(_qualities(many, jobs, *sample) if judged else None)
    if not accuracies:            # a chip's reads are noisy by their number: no test before training, as in `emulator.train`
        if cells:
            many.weights = _written(many, 0, aged=True)
        accuracies.append(_accuracy(many, dataset))
    steps = max(1, settings.epochs * len(dataset.x_train))
    events = sum(v.astype(np.int64) for v in many.saturations.values())
    resources = {r: cost.estimate(r, settings.board) if settings.cost == "model" else cost.build(r, settings.board) for r in set(recipes)}
    found = []
    for i, recipe in enumerate(recipes):
        quality = {name: None for name in ("cosine", "bias", "deviation", "sign")} | (qualities[-1][i] if judged else {})
        cycles = programs(recipe)[learns].length
        value = {"accuracy": float(accuracies[-1][i]), "loss": None if np.isnan(losses[i]) else float(losses[i]), **quality,
                 "saturations": float(events[i]) / steps, "cycles": cycles, **resources[recipe]}
        value["samples_per_second"] = value["fmax"] * 1e6 / cycles if value["fmax"] else None
        value["accuracy_by_epoch"] = [float(a[i]) for a in accuracies]
        value["cosine_by_epoch"] = [q[i]["cosine"] for q in qualities] if judged else None
        found.append(value)
    share = (time.perf_counter() - start) / len(jobs)
    return [value | {"seconds": share} for value in found]


def _written(many: Many, write: int, aged: bool = False) -> list[np.ndarray]:
    """What each chip's cells hold of its weights, as in `emulator.train`."""
    weights = many.weights
    each = [programmed(r, [w[i] for w in weights], write, (aged and r.devices.age) or None, seed)
            for i, (r, seed) in enumerate(zip(many.recipes, many.seeds, strict=True))]
    return [np.stack(w) for w in zip(*each, strict=True)]


def _accuracy(many: Many, dataset) -> np.ndarray:
    return (np.argmax(many.infer(dataset.x_test), axis=-1) == dataset.y_test).mean(axis=-1)


def _qualities(many: Many, jobs, x, y) -> list[dict]:
    """Of each chip's gradient with its weights as they are; chip by chip, so that no figure depends on its neighbours."""
    weights, found = many.weights, []
    for i, (recipe, seed) in enumerate(jobs):
        own, w = budget.Variant(recipe.model_copy(update={"seed": seed}), device_of(recipe.devices)), [v[i] for v in weights]
        exact = budget.flat(gradient.exact(own.recipe, w, x, y))
        found.append(budget.quality(own.recipe, w, x, y, exact, DRAWS if own.noisy else 1, own.device))
    return found
