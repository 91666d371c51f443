"""Evaluation of recipes and seeds: many chips at once, each to the same figures as alone."""

from __future__ import annotations

import json
import tempfile
import time
import warnings

import numpy as np

from .. import data
from ..emulator.chip import TrainResult, initial_weights
from ..emulator.devices import DeviceWarning, device_of, programmed
from ..emulator.drawn import drawn
from ..emulator.many import Many
from ..emulator.metric import score
from ..emulator.training import SHOWN, costs, order, train
from ..recipe import Recipe, programs
from ..recipe.seeds import several
from ..sim import quality, real
from . import analog, cost
from .jobs import Batch, Job, Settings, Under
from .metrics import COST, GRADIENT, LEARNING
from .rate import rates
from .spec import apply

DRAWS = 4
"""Chips that a noisy gradient is measured with: as many reads of each sample."""


def evaluate(batch: Batch, settings: Settings) -> list[dict]:
    """Train and measure the chips of a batch.

    Parameters
    ----------
    batch : Batch
    settings : Settings

    Returns
    -------
    list of dict
        Per job: the metrics of `metrics.METRICS`, None where one has no meaning or was not measured; ``accuracy_by_epoch`` (from epoch 1,
        or before training if there is none), ``cosine_by_epoch`` and so on for all of `metrics.GRADIENT` (from epoch 0, before training);
        ``accuracy_cases``, where there are conditions that a chip meets after training, a list of one list per device, of each part
        of the test set; and ``seconds``, the job's share of the time.
    """
    start, jobs = time.perf_counter(), batch.jobs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeviceWarning)  # one a write and chip; what it costs is in the metrics
        warnings.simplefilter("ignore", RuntimeWarning)  # a gradient of nothing but zeros has no signs: None
        learn = _on_arrays if batch.shared is None else _learned
        learned = [dict.fromkeys(LEARNING)] * len(jobs) if settings.epochs is None else learn(batch, settings)
    spent = {(j.recipe, j.board): _spent(j, settings) for j in jobs}
    found = []
    for job, value in zip(jobs, learned, strict=True):
        cycles = programs(job.recipe)[job.recipe.learns].period
        found.append(value | spent[job.recipe, job.board] | {"cycles": cycles})
    share = (time.perf_counter() - start) / len(jobs)
    return [value | {"seconds": share} for value in found]


def _spent(job: Job, settings: Settings) -> dict:
    """Cost on a board."""
    if settings.cost == "none":
        return dict.fromkeys(COST)
    from ..hdl.boards import BOARDS

    recipe = apply(job.recipe, json.loads(settings.under.nominal), job.board).recipe or job.recipe
    value = (cost.estimate if settings.cost == "model" else cost.build)(recipe, job.board, settings.energy)
    holds, speed = BOARDS[job.board].holds, rates(recipe, job.board, value["fmax"])
    arrays = analog.estimate(recipe) if recipe.arrays.on and recipe.arrays.output_bits else None
    value |= {"array_area": arrays and arrays.area, "array_latency": arrays and arrays.microseconds}
    return value | {
        "fill": max(value[name] / holds[resource] for name, resource in cost.RESOURCES.items()),
        "samples_per_second": speed.both,
        "chip_rate": speed.chip,
        "line_rate": speed.line,
    }


def _learned(batch: Batch, settings: Settings) -> list[dict]:
    """Train the chips and judge them."""
    jobs = batch.jobs
    recipes = [job.recipe for job in jobs]
    dataset = data.of(recipes[0])
    filled = [*jobs, *[jobs[-1]] * (batch.width - len(jobs))]  # what is added is computed, and dropped
    many, learns = Many([j.recipe for j in filled], [j.seed for j in filled], batch.shared), recipes[0].learns
    judged = recipes[0].learns and settings.samples > 0
    sample = dataset.x_test[: settings.samples], dataset.y_test[: settings.samples]
    trained = None
    accuracies, qualities, losses, cells = [], [], np.full(len(jobs), np.nan), any(device_of(r.devices) for r in recipes)
    qualities.append(_judged(jobs, many.weights, *sample) if judged else None)
    for epoch in range(settings.epochs if learns else 0):
        many.rate = [max(0, r.rate - epoch // r.training.halve_every) for r in many.recipes]
        at = order(recipes[0], epoch, len(dataset.x_train), many.seeds)
        if cells:
            many.weights = _written(many, epoch)
        result = many.train(dataset.x_train, dataset.y_train, at)
        losses = [costs(r, TrainResult(result.outputs[i], result.loss[i]), dataset.y_train[at[i]]).mean() for i, r in enumerate(recipes)]
        learned = trained = many.weights
        if cells:
            many.weights = _written(many, epoch + 1, aged=True)
        outputs = many.infer(dataset.x_test)
        accuracies.append(_scores(many, outputs, dataset.y_test))
        if cells:
            many.weights = learned
        qualities.append(_judged(jobs, many.weights, *sample) if judged else None)
    if not accuracies:  # a chip's reads are noisy by their number: no test before training, as in `emulator.train`
        trained = many.weights
        if cells:
            many.weights = _written(many, 0, aged=True)
        outputs = many.infer(dataset.x_test)
        accuracies.append(_scores(many, outputs, dataset.y_test))
    steps = max(1, settings.epochs * len(dataset.x_train))
    events = sum(v.astype(np.int64) for v in many.saturations.values())
    found = [_value(i, accuracies, losses[i], events[i] / steps, qualities if judged else None) for i in range(len(jobs))]
    under = settings.under
    if not under.draws and under.subsets == 1:
        return found
    for i, value in enumerate(found):
        made = drawn(recipes[i], [w[i] for w in trained], dataset.x_test, under.draws, batch.shared) if under.draws else outputs[i][None]
        value |= _cases(recipes[i], made, dataset.y_test, under)
    return found


def _cases(recipe: Recipe, outputs, labels, under: Under) -> dict:
    """Accuracies of chips' outputs (chips, n, outputs) in each part of the test set, and their mean."""
    parts = np.array_split(np.arange(len(labels)), under.subsets)
    cases = [[float(score(recipe, o[part], labels[part])) for part in parts] for o in outputs]
    return {"accuracy": float(np.mean(cases)), "accuracy_cases": cases}


def _value(i: int, accuracies, loss: float, events: float, qualities) -> dict:
    """The metrics of a chip that was trained and judged epoch by epoch."""
    value = {
        "accuracy": float(accuracies[-1][i]),
        "loss": None if np.isnan(loss) else float(loss),
        "saturations": float(events),
        "accuracy_by_epoch": [float(a[i]) for a in accuracies],
    }
    for name, figure in GRADIENT.items():
        along = [q[i][figure] if np.isfinite(q[i][figure]) else None for q in qualities] if qualities else None
        value |= {name: along[-1] if along else None, f"{name}_by_epoch": along}
    return value


def _on_arrays(batch: Batch, settings: Settings) -> list[dict]:
    """The same of chips of one recipe with arrays, which differ in their seeds: as `emulator.train` has them, an epoch at a time."""
    recipe, seeds = batch.jobs[0].recipe, [job.seed for job in batch.jobs]
    if not settings.epochs or not recipe.learns:
        raise ValueError(
            f"{recipe.name}: chips whose arrays or pulses no hardware has are measured after training; allowed are 1 or more "
            f"epochs and a rule that learns, not {settings.epochs} and {recipe.rule!r}"
        )
    if settings.under.subsets > 1 and not settings.under.draws:
        raise ValueError(
            "conditions.subsets: of chips whose arrays or pulses no hardware has those of other devices are known only; "
            "give draws, or 1 subset"
        )
    dataset = data.of(recipe)
    judged = recipe.learns and settings.samples > 0
    x, y, qualities = dataset.x_test[: settings.samples], dataset.y_test[: settings.samples], []
    with tempfile.TemporaryDirectory() as folder:
        for epoch in range(settings.epochs + 1):
            history = epoch and train(recipe, *dataset, epochs=epoch, seeds=seeds, checkpoint=f"{folder}/chips.npz")
            weights = history.weights if epoch else initial_weights(recipe, seeds)
            qualities.append(_judged(batch.jobs, weights, x, y) if judged else None)
        with np.load(f"{folder}/chips.npz") as kept:  # before they were written for the last test
            trained = [kept[f"weights{k}"] for k in range(len(weights))]
    events = np.sum([history.saturations[name] for name in history.saturations], axis=0) / (settings.epochs * len(dataset.x_train))
    found = [
        _value(i, [e["accuracy"] for e in history.epochs], history.epochs[-1]["loss"][i], events[i], qualities if judged else None)
        for i in range(len(seeds))
    ]
    for i, value in enumerate(found if settings.under.draws else []):
        made = drawn(
            recipe, [w[i] for w in trained], dataset.x_test, settings.under.draws, shown=(dataset.x_train[:SHOWN], dataset.y_train[:SHOWN])
        )
        value |= _cases(recipe, made, dataset.y_test, settings.under)
    return found


def _written(many: Many, write: int, aged: bool = False) -> list[np.ndarray]:
    """Return what each chip's cells hold of its weights, as in `emulator.train`."""
    weights = many.weights
    each = [
        programmed(
            r, [w[i] for w in weights], write, (aged and r.devices.age) or None, seed, temperature=(aged and r.devices.temperature) or None
        )
        for i, (r, seed) in enumerate(zip(many.recipes, many.seeds, strict=True))
    ]
    return [np.stack(w) for w in zip(*each, strict=True)]


def _scores(many: Many, outputs, labels) -> np.ndarray:
    """Return how good each chip's outputs are."""
    return np.array([score(r, o, labels) for r, o in zip(many.recipes, outputs, strict=True)])


def _judged(jobs, weights, x, y) -> list[dict]:
    """The chips of a recipe run at once, as integers, so that no figure depends on its neighbours."""
    found, same = {}, {}
    for i, job in enumerate(jobs):
        same.setdefault(job.recipe, []).append(i)
    for recipe, chips in same.items():
        device = device_of(recipe.devices)
        draws = DRAWS if quality.varies(recipe, device) else 1
        made = quality.measured(
            recipe,
            [np.repeat(w[chips], draws, axis=0) for w in weights],
            x,
            y,
            [seed for i in chips for seed in several(jobs[i].seed, draws)],
            device,
        )
        for k, i in enumerate(chips):
            own = quality.some(made, slice(k * draws, (k + 1) * draws))
            found[i] = quality.figures(recipe, own, real.exact(recipe, [w[i] for w in weights], x, y))
    return [found[i] for i in range(len(jobs))]
