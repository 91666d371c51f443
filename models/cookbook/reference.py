"""A float64 net that learns a data set by a row of the cookbook, once for each seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...data import Dataset
from ..training import Run
from .row import ROWS
from .standard import learn


class Learned(NamedTuple):
    """What a row's runs came to.

    Attributes
    ----------
    row : int
    title, data : str
        Of the row; name of the data.
    sizes : list of int
        Inputs, hidden units, outputs.
    epochs, seeds : int
    accuracy, accuracy_spread : float
        On the test set after the last epoch: mean over seeds, and their standard deviation.
    best : float
        Of all seeds and epochs.
    history : list of lists of float
        Accuracy by seed and epoch.
    files : list of str
        A checkpoint for each seed.
    """

    row: int
    title: str
    data: str
    sizes: list[int]
    epochs: int
    seeds: int
    accuracy: float
    accuracy_spread: float
    best: float
    history: list[list[float]]
    files: list[str]


def sizes_of(dataset: Dataset, hidden: tuple[int, ...] = (64,)) -> tuple[int, ...]:
    """Return the sizes of a net for a data set, with these hidden layers."""
    return (dataset.x_train.shape[1], *hidden, int(dataset.y_train.max()) + 1)


def reference(row: int, dataset: Dataset, hidden: tuple[int, ...] = (64,), epochs: int = 10, seeds: int = 1, rate: float = 3e-3,
              output: Path = Path("build"), name: str = "digits", progress: Callable[[str, int, int], None] | None = None) -> Learned:
    """Train a row's net on a data set, once for each seed; a run that was interrupted goes on from its checkpoint.

    Parameters
    ----------
    row : int
    dataset : Dataset
    hidden : tuple of int
        Units of the hidden layers.
    epochs, seeds : int
    rate : float
        Of Adam, or of what the row has in its place.
    output : path
        Folder for the checkpoints.
    name : str
        Of the data, in the checkpoints' names.
    progress : callable, optional
        Called as ``progress(step, done, of)``.

    Returns
    -------
    Learned

    Raises
    ------
    Unsuitable
        For a row that is not trained this way.
    """
    sizes, files = sizes_of(dataset, hidden), []
    tell, histories = progress or (lambda *_: None), []
    output.mkdir(parents=True, exist_ok=True)
    for seed in range(1, seeds + 1):
        files.append(output / f"row{row}-{name}-{'-'.join(map(str, sizes))}-seed{seed}.npz")

        def told(step: str, done: int, of: int, seed: int = seed) -> None:
            tell(step if seeds == 1 else f"seed {seed}, {step}", (seed - 1) * of + done, seeds * of)

        done: Run = learn(row, sizes, dataset, epochs, seed, rate, checkpoint=files[-1], progress=told)
        histories.append([e["accuracy"] for e in done.epochs])
    last = np.array([h[-1] for h in histories])
    return Learned(row, ROWS[row].title, name, list(sizes), epochs, seeds, float(last.mean()),
                   float(last.std(ddof=1)) if seeds > 1 else 0.0, float(np.max(histories)), histories, [str(f) for f in files])
