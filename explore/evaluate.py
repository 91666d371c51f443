"""From recipes and seeds to metrics: many chips at once, each to the same figures as alone."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
import warnings
from typing import NamedTuple

import numpy as np

from .. import data
from ..emulator.chip import TrainResult, initial_weights
from ..emulator.devices import DeviceWarning, device_of, programmed
from ..emulator.many import Common, Many, common, structure
from ..emulator.training import costs, order, train
from ..recipe import Recipe, programs
from ..sim import budget, gradient
from . import cost, energy
from .spec import COST, GRADIENT, LEARNING

VERSION = 3
"""Raised by hand when a figure of the same recipe, seed and settings would come out otherwise: then old rows are not taken for new."""

DRAWS = 4
"""Chips that a noisy gradient is measured with: as many reads of each sample."""


class Settings(NamedTuple):
    """What is measured, and how.

    Attributes
    ----------
    epochs : int or None
        None: no chip is made at all, only its cost is told.
    samples : int
    cost : str
        As in `Spec`, or ``none``.
    folder : str or None
        Of data sets that do not ship with the package.
    energy : str
        As in `Spec`.
    """

    epochs: int | None
    samples: int
    cost: str
    folder: str | None = None
    energy: str = "digital"


class Job(NamedTuple):
    """A chip to evaluate, and the board that its cost is told of."""

    recipe: Recipe
    seed: int
    board: str = "ulx3s"


def key(job: Job, settings: Settings) -> str:
    """What identifies a result: everything that it depends on, and nothing else."""
    table = job.recipe.model_dump(mode="json", exclude={"name": True, "training": {"epochs"}})
    told = [VERSION, table, job.seed, settings.epochs, settings.samples, settings.cost, job.board, cost.VERSION,
            energy.identity(settings.energy)]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


class Batch(NamedTuple):
    """Chips that run at once.

    Attributes
    ----------
    jobs : tuple of Job
    width : int
        Chips of the compiled program, at least as many as jobs.
    shared : Common or None
        Of all batches of one structure: they share one compiled program. None for chips whose reads are those of analog arrays: those of
        one recipe are a batch, and no program is compiled for many.
    """

    jobs: tuple[Job, ...]
    width: int
    shared: Common | None


def batches(jobs, most: int) -> list[Batch]:
    """Jobs in batches of one structure, at most so many each, as even as they go."""
    found: dict = {}
    for job in jobs:
        found.setdefault(job.recipe if job.recipe.arrays.on else structure(job.recipe), []).append(job)
    made = []
    for same in found.values():
        if same[0].recipe.arrays.on:
            made += [Batch(tuple(same[i:i + most]), len(same[i:i + most]), None) for i in range(0, len(same), most)]
            continue
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
        Per job: the metrics of `spec.METRICS`, None where one has no meaning or was not measured; ``accuracy_by_epoch`` (from epoch 1,
        or before training if there is none), ``cosine_by_epoch`` and so on for all of `spec.GRADIENT` (from epoch 0, before training);
        and ``seconds``, the job's share of the time.
    """
    start, jobs = time.perf_counter(), batch.jobs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeviceWarning)              # one a write and chip; what it costs is in the metrics
        warnings.simplefilter("ignore", RuntimeWarning)             # a gradient of nothing but zeros has no signs: None
        learn = _on_arrays if batch.shared is None else _learned
        learned = [dict.fromkeys(LEARNING)] * len(jobs) if settings.epochs is None else learn(batch, settings)
    spent = {(j.recipe, j.board): _spent(j, settings) for j in jobs}
    found = []
    for job, value in zip(jobs, learned, strict=True):
        cycles = programs(job.recipe)[job.recipe.rule != "inference"].length
        value = value | spent[job.recipe, job.board] | {"cycles": cycles}
        value["samples_per_second"] = value["fmax"] * 1e6 / cycles if value["fmax"] else None
        found.append(value)
    share = (time.perf_counter() - start) / len(jobs)
    return [value | {"seconds": share} for value in found]


def _spent(job: Job, settings: Settings) -> dict:
    """Cost on a board."""
    if settings.cost == "none":
        return dict.fromkeys(COST)
    from ..hdl.boards import BOARDS

    value = (cost.estimate if settings.cost == "model" else cost.build)(job.recipe, job.board, settings.energy)
    holds = BOARDS[job.board].holds
    return value | {"fill": max(value[name] / holds[resource] for name, resource in cost.RESOURCES.items())}


def _learned(batch: Batch, settings: Settings) -> list[dict]:
    """Train the chips and judge them."""
    jobs = batch.jobs
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
    return [_value(i, accuracies, losses[i], events[i] / steps, qualities if judged else None) for i in range(len(jobs))]


def _value(i: int, accuracies, loss: float, events: float, qualities) -> dict:
    """The metrics of a chip that was trained and judged epoch by epoch."""
    value = {"accuracy": float(accuracies[-1][i]), "loss": None if np.isnan(loss) else float(loss), "saturations": float(events),
             "accuracy_by_epoch": [float(a[i]) for a in accuracies]}
    for name in GRADIENT:
        along = [q[i][name] if np.isfinite(q[i][name]) else None for q in qualities] if qualities else None
        value |= {name: along[-1] if along else None, f"{name}_by_epoch": along}
    return value


def _on_arrays(batch: Batch, settings: Settings) -> list[dict]:
    """The same of chips of one recipe with arrays, which differ in their seeds: as `emulator.train` has them, an epoch at a time."""
    recipe, seeds = batch.jobs[0].recipe, [job.seed for job in batch.jobs]
    if not settings.epochs or recipe.rule == "inference":
        raise ValueError(f"arrays.on: chips with arrays are measured after training; allowed are 1 or more epochs and a rule that learns, "
                         f"not {settings.epochs} and {recipe.rule!r}")
    dataset = data.load(data.name_for(recipe.sizes[0]), settings.folder)
    judged = recipe.rule == "dual-propagation" and settings.samples > 0
    x, y, qualities = dataset.x_test[: settings.samples], dataset.y_test[: settings.samples], []
    with tempfile.TemporaryDirectory() as folder:
        for epoch in range(settings.epochs + 1):
            history = epoch and train(recipe, *dataset, epochs=epoch, seeds=seeds, checkpoint=f"{folder}/chips.npz")
            weights = history.weights if epoch else initial_weights(recipe, seeds)
            qualities.append([_quality(job, [w[i] for w in weights], x, y) for i, job in enumerate(batch.jobs)] if judged else None)
    events = np.sum([history.saturations[name] for name in history.saturations], axis=0) / (settings.epochs * len(dataset.x_train))
    return [_value(i, [e["accuracy"] for e in history.epochs], history.epochs[-1]["loss"][i], events[i], qualities if judged else None)
            for i in range(len(seeds))]


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
    weights = many.weights
    return [_quality(job, [v[i] for v in weights], x, y) for i, job in enumerate(jobs)]


def _quality(job: Job, weights, x, y) -> dict:
    own = budget.Variant(job.recipe.model_copy(update={"seed": job.seed}), device_of(job.recipe.devices))
    exact = budget.flat(gradient.exact(own.recipe, weights, x, y))
    return budget.quality(own.recipe, weights, x, y, exact, DRAWS if own.noisy else 1, own.device)
