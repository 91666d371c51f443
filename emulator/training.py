"""Training runs on the emulated chip: epochs, seeded order, rate halving, checkpoints that resume bit for bit."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from ..recipe import QFormat, Recipe, in_memory, require_recipe
from . import rng
from .arrays import Integers
from .chip import Chip, TrainResult, initial_weights
from .devices import ArrayChip, Device, asymmetry, device_of, programmed
from .metric import score
from .signals import played

ORDER = 0xFF
"""Stream of the sample order; the chip itself does not use it (contract section 2)."""
PIECES = 10
"""Progress reports per epoch."""
LEAST = 64
"""Samples per report, at least: small sets go to the chip as a whole."""
SHOWN = 64
"""Training samples that output ranges of arrays are calibrated on."""
SEEN = 200
"""Samples whose inner signals' ranges are reported."""


class Learner(Protocol):
    """A chip as `train` uses it: emulated, or on a board."""

    recipe: Recipe

    @property
    def weights(self) -> list[np.ndarray]:
        """See `Chip.weights`."""

    @weights.setter
    def weights(self, weights: list[np.ndarray]) -> None: ...

    @property
    def rate(self) -> int | np.ndarray:
        """See `Chip.rate`."""

    @rate.setter
    def rate(self, rate: int) -> None: ...

    @property
    def cycles(self) -> int:
        """See `Chip.cycles`."""

    @property
    def saturations(self) -> dict[str, np.ndarray]:
        """See `Chip.saturations`."""

    def infer(self, x: ArrayLike) -> np.ndarray:
        """See `Chip.infer`."""

    def train(self, x: ArrayLike, y: ArrayLike) -> TrainResult:
        """See `Chip.train`."""

    def state(self) -> dict[str, np.ndarray]:
        """See `Chip.state`."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """See `Chip.restore`."""


@runtime_checkable
class Keeper(Protocol):
    """Store of samples beside a chip, as a `board.Chip` has."""

    @property
    def room(self) -> int:
        """Samples that fit."""

    def store(self, x: ArrayLike, y: ArrayLike) -> None:
        """Keep samples and labels."""

    def train_stored(self, order: ArrayLike) -> None:
        """Train on those of these numbers."""


@dataclass
class History:
    """Epochs and results of a training run.

    Attributes
    ----------
    epochs : list of dict
        Per epoch: ``epoch`` (from 1), ``rate`` (register), ``loss`` (mean cost), ``train_accuracy`` (of the outputs while training)
        and ``accuracy`` (test set, after the epoch; `Training.metric`), the last three with one number per chip where several were trained.
        ``loss`` and ``train_accuracy`` are NaN where samples lay beside the chip, which gives no outputs then.
    weights : list of int32 arrays
        At the end.
    ranges : dict
        Place to {low, high, smallest, largest}: the format's limits and the values seen at the end, in weights, inputs and
        outputs of the test set, and errors and drives of its first samples (of the first chip, where several were trained).
    cycles : int
        Busy cycles of all training and test programs.
    saturations : dict
        Range events by format.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    weights: list[np.ndarray] = field(default_factory=list)
    ranges: dict[str, dict[str, float]] = field(default_factory=dict)
    cycles: int = 0
    saturations: dict[str, Any] = field(default_factory=dict)


def standing_still(recipe: Recipe) -> str:
    """Return why training may have changed no weight, and what to do about it."""
    return (
        f"at learning_rate {recipe.learning_rate:g} every update is rounded away; take a larger one, more fraction bits of weights or "
        "deltas, or stochastic rounding"
    )


def order(recipe: Recipe, epoch: int, samples: int, seeds: ArrayLike | None = None) -> np.ndarray:
    """Return the seeded order of an epoch's samples: the same on every machine and NumPy.

    Parameters
    ----------
    recipe : Recipe
    epoch, samples : int
    seeds : array_like of int, optional
        One per chip, each of which has an order of its own; the recipe's seed by default.

    Returns
    -------
    integer array (*shape of seeds, samples)
    """
    key = rng.behind(rng.keys(recipe.seed if seeds is None else seeds), 1)
    x, y = rng.pair(key, ORDER, np.uint32(epoch), np.arange(samples, dtype=np.uint32))
    return np.lexsort((y, x))


def accuracy(chip: Learner, x: ArrayLike, y: ArrayLike) -> float | np.ndarray:
    """The recipe's metric, by default the share of samples whose greatest output is their class; one number per chip."""
    return score(chip.recipe, chip.infer(x), np.asarray(y))


def train(
    recipe: Recipe,
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    *,
    epochs: int | None = None,
    engine: str = "jax",
    seeds: Sequence[int] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    checkpoint: str | Path | None = None,
    device: Device | None = None,
    chip: Learner | None = None,
    weights: Sequence[np.ndarray] | None = None,
) -> History:
    """Train a recipe's chip, or one chip per seed, sample by sample: to the same bits as a recipe with that seed.

    Where the recipe names a device, the weights are written to such cells at the start of every epoch and before every test
    (`devices.programmed`): an epoch goes on from what the cells hold when they have been written, the test is of what they hold when
    they are as old as the recipe says. The weights at the end are those of the last test.

    Parameters
    ----------
    recipe : Recipe
    x_train : array (n, inputs)
        Real values or state integers, as `Chip.train` takes them. Each chip has an order of its own (`order`).
    y_train : integer array (n,)
    x_test : array (m, inputs)
    y_test : integer array (m,)
    epochs : int, optional
        The recipe's by default.
    engine : str
        ``jax`` or ``numpy``: the same bits. Arrays (`recipe.arrays`) are played in NumPy.
    seeds : sequence of int, optional
        Train one chip per seed at once.
    progress : callable, optional
        Called with (step, done, of).
    checkpoint : path, optional
        Written after each epoch; if it is there, the run goes on from it, to the same bits as one that was not interrupted.
    device : Device, optional
        Instead of the recipe's: a device of your own.
    chip : Chip, optional
        Train this one, of the same recipe, instead of one that is made: anything with its methods, such as a `board.Chip`. One with `room`
        for all training samples is given them once, and trains from there.
    weights : list of int32 arrays (R, C), optional
        Of each matrix in memory, to go on from, of every chip; `initial_weights` by default.

    Returns
    -------
    History

    Raises
    ------
    ValueError
        If there are no epochs, samples or seeds; if the checkpoint is of another recipe, other seeds or other data.
    """
    require_recipe(recipe)
    epochs = recipe.training.epochs if epochs is None else epochs
    if isinstance(epochs, bool) or epochs < 1:
        raise ValueError(f"epochs: {epochs}; allowed is 1 or more")
    for name, given in (("x_train", x_train), ("x_test", x_test), ("seeds", (None,) if seeds is None else seeds)):
        if len(given) == 0:
            raise ValueError(f"{name}: empty; at least one is needed")
    batch = () if seeds is None else (len(seeds),)
    device = device or device_of(recipe.devices)
    age, warm = recipe.devices.age or None, recipe.devices.temperature or None
    if device:
        device.check(age, warm)
    arrays: ArrayChip | None = None
    first = initial_weights(recipe, seeds)
    if weights is not None:
        first = [np.broadcast_to(w, v.shape) for w, v in zip(weights, first, strict=True)]
    if chip is not None:
        if recipe.emulated or device or seeds is not None:
            raise ValueError(
                "chip: trained as it is; arrays, devices that are programmed and several seeds are for emulated chips, so leave them out"
            )
        learner, start = chip, {f"weights{k}": w for k, w in enumerate(first)}
    else:
        arrays = ArrayChip(recipe, batch, seeds, device) if recipe.emulated else None
        learner, start = arrays or Chip(recipe.as_built, engine, batch, seeds), {}
        learner.weights = first

    def cells(write: int, time: float | None = None, temperature: float | None = None) -> list[np.ndarray]:
        if arrays:
            arrays.turned = asymmetry(recipe, learner.weights, write, time, seeds, device, temperature)
        return programmed(recipe, learner.weights, write, time, seeds, device, temperature=temperature)

    y_train = np.asarray(y_train)
    # a device of the user's has no name to go by: it is known by what it makes of the first weights
    history, label = History(), _label(recipe, (x_train, y_train, x_test, y_test, *(cells(0) if device else ()), *(weights or ())), seeds)
    if checkpoint and Path(checkpoint).exists():
        _resume(Path(checkpoint), label, learner, history)
    elif start:
        learner.restore(Chip(recipe.as_built).state() | start)
    report = progress or (lambda step, done, of: None)
    n = len(x_train)
    keeper = learner if isinstance(learner, Keeper) and learner.room >= n else None
    x_train, x_test = recipe.formats.state.samples(x_train, "x_train"), recipe.formats.state.samples(x_test, "x_test")
    if keeper and len(history.epochs) < epochs:
        report("samples are stored beside the chip", 0, epochs * PIECES)
        keeper.store(x_train, y_train)
    for epoch in range(len(history.epochs), epochs):
        learner.rate = max(0, recipe.rate - epoch // recipe.training.halve_every)
        mixed = order(recipe, epoch, n, seeds)
        losses: list[np.ndarray] = []
        shown: list[np.ndarray] = []
        if device:
            learner.weights = cells(epoch)
        if arrays:
            arrays.calibrate(x_train[:SHOWN], y_train[:SHOWN])
        for piece, part in enumerate(np.array_split(mixed, max(1, min(PIECES, n // LEAST)), axis=-1)):
            done = epoch * PIECES + piece
            report(f"epoch {epoch + 1}" + (f", {_percent(history)}" if history.epochs else ""), done, epochs * PIECES)
            if keeper:
                keeper.train_stored(part)
                continue
            result = learner.train(x_train[part], y_train[part])
            losses.append(costs(recipe, result, y_train[part]))
            shown.append(result.outputs)
        if device:
            learned, learner.weights = learner.weights, cells(epoch + 1, age, warm)
        history.epochs.append(
            {
                "epoch": epoch + 1,
                "rate": int(np.max(learner.rate)),
                "loss": np.nan if keeper else np.concatenate(losses, -1).mean(-1),
                "train_accuracy": np.nan if keeper else score(recipe, np.concatenate(shown, -2), y_train[mixed]),
                "accuracy": accuracy(learner, x_test, y_test),
            }
        )
        if device:
            learner.weights = learned
        if arrays:
            arrays.watch()
        if checkpoint:
            _keep(Path(checkpoint), label, learner, history)
    report("trained", epochs * PIECES, epochs * PIECES)
    if device:
        learner.weights = cells(len(history.epochs), age, warm)
    history.weights, history.cycles = learner.weights, learner.cycles
    history.saturations = {name: count.tolist() for name, count in learner.saturations.items()}
    history.ranges = _ranges(recipe, learner, x_test, y_test)
    return history


def costs(recipe: Recipe, result: TrainResult, labels: np.ndarray) -> np.ndarray:
    """Cost of each sample: the loss register, or from the outputs where the register holds a difference of two."""
    shown = [step.loss for step in recipe.steps if step.loss != "keep"]
    if shown and shown[-1] == "set":
        return result.loss * 2.0 ** (-2 * recipe.formats.accumulator.frac) / 2
    on = np.asarray(labels)[..., None] == np.arange(recipe.sizes[-1])
    error = np.where(on, recipe.target_on, recipe.target_off) - recipe.formats.state.decode(result.outputs)
    if recipe.objective == "squared-hinge":
        error = np.where(on, np.maximum(error, 0), np.minimum(error, 0))
    return (error**2).sum(-1) / 2


def _percent(history: History) -> str:
    return f"{100 * np.mean(history.epochs[-1]['accuracy']):.1f} %"


def _ranges(recipe: Recipe, chip: Learner, x: np.ndarray, y: np.ndarray) -> dict[str, dict[str, float]]:
    f = recipe.formats
    seen: dict[str, tuple[QFormat, Integers]] = {
        f"weights {k}": (g.recipe.formats.weight, w) for k, (g, w) in enumerate(zip(in_memory(recipe), chip.weights, strict=True))
    }
    seen["outputs"] = (f.state, chip.infer(x))
    seen["inputs"] = (f.state, f.state.samples(x))
    if recipe.learns and not recipe.signed:
        one = [w[(0,) * (w.ndim - 2)] for w in chip.weights]
        machine, _ = played(recipe, one, x[:SEEN], y[:SEEN])
        for name, v in machine.stores.items():
            if name not in recipe.states:
                seen[name.replace("error", "errors ")] = (f.delta, v)
        for k, v in machine.drive.items():
            seen[f"drives {k}"] = (f.accumulator, v)
    return {
        place: {"low": q.low, "high": q.high, "smallest": float(q.decode(np.min(v))), "largest": float(q.decode(np.max(v)))}
        for place, (q, v) in seen.items()
    }


# Checkpoints ------------------------------------------------------------------------------------------------


def _label(recipe: Recipe, given: Iterable[ArrayLike], seeds: Sequence[int] | None) -> str:
    import hashlib

    arrays = [np.ascontiguousarray(g) for g in given]
    data = hashlib.sha256(b"".join(f"{a.dtype}{a.shape}".encode() + a.tobytes() for a in arrays)).hexdigest()
    chip = recipe.model_copy(update={"training": recipe.training.model_copy(update={"epochs": 1})})
    told = chip.model_dump_json(exclude={"data": True, "training": {"metric"} if recipe.training.metric == "accuracy" else set()})
    return f"{told} seeds and orders {None if seeds is None else list(map(int, seeds))} data {data}"


def _keep(path: Path, label: str, chip: Learner, history: History) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {f"history_{name}": np.array([e[name] for e in history.epochs]) for name in history.epochs[0]}
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "wb") as file:
            kept: dict[str, Any] = {"label": np.array(label), **chip.state(), **columns}
            np.savez(file, **kept)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _resume(path: Path, label: str, chip: Learner, history: History) -> None:
    try:
        with np.load(path) as kept:
            kept = dict(kept)
    except PermissionError:
        raise
    except Exception as error:  # NumPy raises a different kind for each way a file can be broken
        raise ValueError(f"{path}: not a checkpoint ({error}); delete it or name another") from None
    if str(kept.get("label")) != label:
        raise ValueError(f"{path}: a checkpoint of another recipe, other seeds or other data; delete it or name another")
    chip.restore(kept)
    columns = {name.removeprefix("history_"): v for name, v in kept.items() if name.startswith("history_")}
    for i in range(len(columns["epoch"])):
        entry = {name: v[i] for name, v in columns.items()}
        history.epochs.append(entry | {"epoch": int(entry["epoch"]), "rate": int(entry["rate"])})
