"""A training run kept in a folder: weights, checkpoint, plots, and what came of it as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .. import emulator
from ..recipe import Recipe
from ..recipe.seeds import several
from ..weights import write_integers
from . import plots
from .stages import Stages, silent

if TYPE_CHECKING:
    from ..data import Dataset
    from ..emulator import Chip, History


class Trained(NamedTuple):
    """Results of a training run.

    Attributes
    ----------
    recipe : str
    epochs : int
    accuracy, accuracy_spread, loss : float
        On the test set, after the last epoch: means over chips, and the standard deviation between them.
    cycles : int
        Of the chip, training and test.
    saturations : dict
        Range events by format.
    moved : int
        Weights that are not what they were.
    r2, rmse : float or None
        How well outputs stand for numbers, where targets are numbers.
    notes : list of str
        What should be known.
    history : list of dict
        By epoch, as `emulator.History` has it.
    files : list of str
    """

    recipe: str
    epochs: int
    accuracy: float
    accuracy_spread: float
    loss: float
    cycles: int
    saturations: dict[str, int]
    moved: int
    r2: float | None
    rmse: float | None
    notes: list[str]
    history: list[dict]
    files: list[str]


def train(
    recipe: Recipe,
    dataset: Dataset,
    output: Path = Path("build"),
    epochs: int | None = None,
    seeds: int = 1,
    engine: str = "jax",
    chip: Chip | None = None,
    weights: Sequence[np.ndarray] | None = None,
    compare: bool = False,
    stages: Stages = silent,
) -> Trained:
    """Train a chip, or one for each seed, and keep weights, checkpoint and plots in a folder.

    Parameters
    ----------
    recipe : Recipe
    dataset : Dataset
    output : path
        The folder; a checkpoint that is there is gone on from.
    epochs, engine, chip, weights
        As `emulator.train` takes them.
    seeds : int
        How many chips.
    compare : bool
        Train the emulator as well; it must end with the weights of `chip`, and as many cycles.
    stages : callable
        As `stages.Stages`.

    Returns
    -------
    Trained

    Raises
    ------
    RuntimeError
        If the emulator, to compare, comes to something else.
    """
    history, files = run(recipe, dataset, output, epochs, seeds, engine, chip, weights, stages)
    if compare:
        _compare(recipe, dataset, history, epochs, weights, stages)
    for draw in (plots.learning, plots.ranges):
        files.append(output / f"{recipe.name}-{draw.__name__}.svg")
        draw(history, files[-1])
    return summary(recipe, history, files, seeds, dataset, weights)


def run(
    recipe: Recipe,
    dataset: Dataset,
    output: Path,
    epochs: int | None = None,
    seeds: int = 1,
    engine: str = "jax",
    chip: Chip | None = None,
    weights: Sequence[np.ndarray] | None = None,
    stages: Stages = silent,
) -> tuple[History, list[Path]]:
    """Train with a checkpoint; returns the history and the files written."""
    output.mkdir(parents=True, exist_ok=True)
    checkpoint = output / f"{recipe.name}.checkpoint.npz"
    chips = None if seeds == 1 else several(recipe.seed, seeds)
    with stages("training") as report:
        history = emulator.train(
            recipe, *dataset, epochs=epochs, engine=engine, seeds=chips, progress=report, checkpoint=checkpoint, chip=chip, weights=weights
        )
    return history, [write_integers(output / f"{recipe.name}-weights.npz", recipe, history.weights, scaling(dataset)), checkpoint]


def summary(
    recipe: Recipe,
    history: History,
    files: Sequence[Path] = (),
    seeds: int = 1,
    dataset: Dataset | None = None,
    first: Sequence[np.ndarray] | None = None,
) -> Trained:
    """Return what a run of so many chips came to, from given weights or the recipe's."""
    last = history.epochs[-1]
    first = first or emulator.initial_weights(recipe, None if seeds == 1 else several(recipe.seed, seeds))
    moved = sum(int(np.count_nonzero(b != a)) for a, b in zip(first, history.weights, strict=True))
    about = getattr(dataset, "about", None)
    numbers = _numbers(recipe, history, dataset) if about is not None and about.levels is not None else (None, None)
    still = [] if moved or not recipe.learns else [f"no weight has changed: {emulator.training.standing_still(recipe)}"]
    return Trained(
        recipe.name,
        last["epoch"],
        float(np.mean(last["accuracy"])),
        float(np.std(last["accuracy"], ddof=1)) if seeds > 1 else 0.0,
        float(np.mean(last["loss"])),
        history.cycles,
        {k: int(np.sum(v)) for k, v in history.saturations.items()},
        moved,
        *numbers,
        [*(about.notes if about is not None else ()), *still],
        [{k: np.asarray(v).tolist() for k, v in e.items()} for e in history.epochs],
        [str(f) for f in files],
    )


def scaling(dataset: Dataset) -> dict:
    """Return the scaling of one's own data, as arrays: ``data_offset``, ``data_factor``, ``data_columns``, ``data_classes``."""
    if dataset.about is None:
        return {}
    a = dataset.about
    return {"data_offset": a.offset, "data_factor": a.factor, "data_columns": np.array(a.columns, str), "data_classes": np.array(a.classes)}


def _compare(recipe: Recipe, dataset: Dataset, history: History, epochs: int | None, weights, stages: Stages) -> None:
    with stages("the emulator, to compare") as report:
        fresh = recipe.model_copy(update={"staleness": ()})  # over the link samples come one after the other
        expected = emulator.train(fresh, *dataset, epochs=epochs, progress=report, weights=weights)
    differ = sum(int(np.count_nonzero(a != b)) for a, b in zip(history.weights, expected.weights, strict=True))
    more = history.cycles - expected.cycles if recipe.samples_in_flight == 1 else 0  # what overlaps depends on when samples come
    if differ or more:
        raise RuntimeError(f"{recipe.name}: {differ} weights and {more} cycles differ from the emulator's")


def _numbers(recipe: Recipe, history: History, dataset: Dataset) -> tuple[float, float]:
    """Return how well outputs stand for numbers, R2 and root mean square error: the mean of the bins by their outputs, where positive."""
    chip = emulator.Chip(recipe.as_built, "jax", history.weights[0].shape[:-2])
    chip.weights = history.weights
    shares = np.maximum(recipe.formats.state.decode(chip.infer(dataset.x_test)), 0)[..., : len(dataset.about.levels)]
    total, wanted = shares.sum(-1), dataset.about.targets[1]
    middle = np.mean(dataset.about.targets[0])
    answers = np.where(total > 0, shares @ dataset.about.levels / np.where(total > 0, total, 1), middle)
    error = np.mean((answers - wanted) ** 2)
    return float(1 - error / max(np.var(wanted), 1e-300)), float(np.sqrt(error))
