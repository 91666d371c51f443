"""A float64 net that learns a data set by a row of the cookbook, once for each seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...data import Dataset, as_images
from ..images import Pooled
from ..operators import Operator
from ..training import Run
from .row import ROWS
from .standard import learn


class Learned(NamedTuple):
    """Results of a row's runs.

    Attributes
    ----------
    row : int
    title, data : str
        Of the row; name of the data.
    sizes : list of int
        Inputs, hidden units, outputs.
    channels : list of int
        Of the convolutions below the hidden units.
    update : str or None
        Its name, None for the row's own.
    epochs, seeds : int
    accuracy, accuracy_spread : float
        On the test set after the last epoch: mean over seeds, and their standard deviation.
    best : float
        Of all seeds and epochs.
    history : list of lists of float
        Accuracy by seed and epoch.
    left_out, unanswered : int
        Samples that did not settle: most of any epoch that were trained without; most of any test, where they count as wrong.
    files : list of str
        A checkpoint for each seed.
    """

    row: int
    title: str
    data: str
    sizes: list[int]
    channels: list[int]
    update: str | None
    epochs: int
    seeds: int
    accuracy: float
    accuracy_spread: float
    best: float
    history: list[list[float]]
    left_out: int
    unanswered: int
    files: list[str]


def sizes_of(dataset: Dataset, hidden: tuple[int, ...] = (64,)) -> tuple[int, ...]:
    """Return the sizes of a net for a data set, with these hidden layers."""
    return (dataset.x_train.shape[1], *hidden, int(dataset.y_train.max()) + 1)


def convolved(dataset: Dataset, channels: tuple[int, ...], hidden: tuple[int, ...] = (64,)) -> tuple[int | Operator, ...]:
    """Return layers for a data set of images: 3 x 3 convolutions of so many channels, each with the mean of 2 x 2 units, then hidden units.

    Raises
    ------
    ValueError
        Where an image cannot be halved so often.
    """
    shape, layers = dataset.x_train.shape[1:], []
    for k, c in enumerate(channels):
        if any(n % 2 for n in shape[:2]):
            raise ValueError(
                f"channels: images of {shape[0]} x {shape[1]} below convolution {k + 1} cannot be halved; at most {k} here, "
                "or images of another size"
            )
        layers.append(Pooled(shape, c, padding=1))
        shape = layers[-1].outputs
    return (*layers, *hidden, int(dataset.y_train.max()) + 1)


def reference(
    row: int,
    dataset: Dataset,
    hidden: tuple[int, ...] = (64,),
    epochs: int = 10,
    seeds: int = 1,
    rate: float = 3e-3,
    output: Path = Path("build"),
    name: str = "digits",
    progress: Callable[[str, int, int], None] | None = None,
    channels: tuple[int, ...] = (),
    update: Callable[[float], Any] | None = None,
) -> Learned:
    """Train a row's net on a data set, once for each seed; a run that was interrupted goes on from its checkpoint.

    Parameters
    ----------
    row : int
    dataset : Dataset
    hidden : tuple of int
        Units of the hidden layers.
    epochs, seeds : int
    rate : float
        Of the update.
    output : path
        Folder for the checkpoints.
    name : str
        Of the data, in the checkpoints' names.
    progress : callable, optional
        Called as ``progress(step, done, of)``.
    channels : tuple of int
        Of convolutions below the hidden layers, for images (`convolved`).
    update : callable, optional
        A rate to an update or an optax transformation; Adam by default, or what the row has in its place.

    Returns
    -------
    Learned

    Raises
    ------
    Unsuitable
        For a row that is not trained this way.
    """
    sizes, files = sizes_of(dataset, hidden), []
    dataset = as_images(dataset) if channels else dataset
    layers = convolved(dataset, channels, hidden) if channels else sizes
    named = "-".join(map(str, (sizes[0], *(f"c{c}" for c in channels), *sizes[1:])))
    tell, runs = progress or (lambda *_: None), []
    moved = update and getattr(update, "__name__", type(update).__name__)
    output.mkdir(parents=True, exist_ok=True)
    for seed in range(1, seeds + 1):
        files.append(output / f"row{row}-{name}-{named}{f'-{moved}' if moved else ''}-seed{seed}.npz")

        def told(step: str, done: int, of: int, seed: int = seed) -> None:
            tell(step if seeds == 1 else f"seed {seed}, {step}", (seed - 1) * of + done, seeds * of)

        done: Run = learn(row, layers, dataset, epochs, seed, rate, update, checkpoint=files[-1], progress=told)
        runs.append(done.epochs)
    histories = [[e["accuracy"] for e in epochs] for epochs in runs]
    left_out, unanswered = (max(e[k] for epochs in runs for e in epochs) for k in ("left_out", "unanswered"))
    last = np.array([h[-1] for h in histories])
    return Learned(
        row,
        ROWS[row].title,
        name,
        list(sizes),
        list(channels),
        moved,
        epochs,
        seeds,
        float(last.mean()),
        float(last.std(ddof=1)) if seeds > 1 else 0.0,
        float(np.max(histories)),
        histories,
        left_out,
        unanswered,
        [str(f) for f in files],
    )
