"""Jobs: chips to evaluate, their measures, and those that run at once."""

from __future__ import annotations

import collections
import hashlib
import json
import math
from collections.abc import Iterable
from typing import NamedTuple

from .. import data
from ..emulator.many import Common, common, structure
from ..recipe import Recipe
from ..recipe.rules import RULES, rule
from . import cost, energy

VERSION = 7
"""Raised by hand when a figure of the same recipe, seed and settings would come out otherwise: then old rows are not taken for new."""


class Under(NamedTuple):
    """Conditions of a measurement, beside what the recipes say.

    Attributes
    ----------
    draws : tuple of int
        Seeds of other devices that trained weights are tested on; none: the chip's own.
    subsets : int
        Parts of the test set.
    nominal : str
        JSON of {field: value}: what the design itself has of the fields that conditions set. Its cost is told of that.
    """

    draws: tuple[int, ...] = ()
    subsets: int = 1
    nominal: str = "{}"


class Settings(NamedTuple):
    """Measures and their settings.

    Attributes
    ----------
    epochs : int or None
        None: do not train; compute the cost only.
    samples : int
    cost : str
        As in `Spec`, or ``none``.
    energy : str
        As in `Spec`.
    under : Under
    """

    epochs: int | None
    samples: int
    cost: str
    energy: str = "digital"
    under: Under = Under()


class Job(NamedTuple):
    """A recipe and a seed to train, and the board whose cost model is used."""

    recipe: Recipe
    seed: int
    board: str = "ulx3s"


def key(job: Job, settings: Settings) -> str:
    """Return what identifies a result: everything that it depends on, and nothing else."""
    plain = job.recipe.training.metric == "accuracy"
    unsaid = {"name": True, "data": True, "training": {"epochs", "metric"} if plain else {"epochs"}}
    table = job.recipe.model_dump(mode="json", exclude=unsaid)
    told = [
        VERSION,
        table,
        job.seed,
        settings.epochs,
        settings.samples,
        settings.cost,
        job.board,
        cost.VERSION,
        energy.identity(settings.energy),
    ]
    if own := data.fingerprint(job.recipe):
        told.append(own)
    if settings.under != Under():
        told.append(list(settings.under))
    if job.recipe.rule not in RULES:  # one's own: what it does now, as its name says nothing of that
        found = rule(job.recipe.rule)
        told += [list(map(str, part(job.recipe))) for part in (found.matrices, found.train, found.infer)]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


class Batch(NamedTuple):
    """Chips that run at once.

    Attributes
    ----------
    jobs : tuple of Job
    width : int
        Chips of the compiled program, at least as many as jobs.
    shared : Common or None
        Of all batches of one structure: they share one compiled program. None for chips whose reads or pulses no hardware has: those of
        one recipe are a batch, and no program is compiled for many.
    """

    jobs: tuple[Job, ...]
    width: int
    shared: Common | None


def batches(jobs: Iterable[Job], most: int) -> list[Batch]:
    """Jobs in batches of one structure, at most so many each, as even as they go."""
    found: dict = {}
    for job in jobs:
        found.setdefault(job.recipe if job.recipe.emulated else structure(job.recipe), []).append(job)
    made = []
    for same in found.values():
        if same[0].recipe.emulated:
            made += [Batch(tuple(same[i : i + most]), len(same[i : i + most]), None) for i in range(0, len(same), most)]
            continue
        shared, width = common([j.recipe for j in same]), math.ceil(len(same) / math.ceil(len(same) / most))
        made += [Batch(tuple(same[i : i + width]), width, shared) for i in range(0, len(same), width)]
    return made


def evaluate(batch: Batch, settings: Settings) -> list[dict]:
    """Call `evaluate.evaluate`; import it here, so that the coordinator does not load JAX."""
    from .evaluate import evaluate

    return evaluate(batch, settings)


def halves(batch: Batch) -> list[Batch]:
    """Two batches of one."""
    half = len(batch.jobs) // 2
    return [batch._replace(jobs=part, width=len(part)) for part in (batch.jobs[:half], batch.jobs[half:])]


def in_turn(made: list[Batch]) -> list[Batch]:
    """One batch of each structure, then another of each."""
    turns = collections.Counter()
    placed = []
    for batch in made:
        placed.append((turns[batch.shared], batch))
        turns[batch.shared] += 1
    return [batch for _, batch in sorted(placed, key=lambda p: p[0])]
