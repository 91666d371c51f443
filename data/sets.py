"""The data sets by name.

``digits``: *Optical Recognition of Handwritten Digits*, E. Alpaydin and C. Kaynak (1998), UCI Machine
Learning Repository, doi:10.24432/C50P49, licence CC BY 4.0. ``digits.npz`` holds the repository's test part,
1797 images of 8 x 8 pixels from 0 to 16 with their classes, unchanged but for their order: 1437 for training
first, then 360 for testing, 36 of each class.
"""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .idx import DataError, read

INPUTS = {"digits": 64, "mnist": 784, "xor": 3}
"""Name of a data set to the elements of a sample."""
FOLDER = "CROSSDYAD_DATA"
"""The environment variable that names the folder of the files that do not ship with the package."""

DIGITS_TRAIN = 1437


class Dataset(NamedTuple):
    """Inputs in [0, 1] (float64, one sample per row) and class numbers (int64), to train and to test."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def load(name: str, folder: str | Path | None = None) -> Dataset:
    """A data set.

    Parameters
    ----------
    name : str
        ``digits`` (8 x 8 pixels, ten classes, ships with the package), ``mnist`` (28 x 28 pixels, ten
        classes, four IDX files, gzipped or not) or ``xor`` (two bits and a constant one, two classes; tested
        on what it is trained on).
    folder : path, optional
        Where the files of ``mnist`` are, named and placed as its sources do (`idx.find`); by default what the environment variable
        ``CROSSDYAD_DATA`` says. ``~`` is the home folder.

    Raises
    ------
    DataError
        If the name is unknown, or a file is missing, truncated or not what it should be.
    """
    if name == "digits":
        return _digits()
    if name == "mnist":
        return _mnist(folder)
    if name == "xor":
        x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=np.float64)
        y = np.array([0, 1, 1, 0])
        return Dataset(x, y, x.copy(), y.copy())
    raise DataError(f"data {name!r}: unknown; allowed are {', '.join(INPUTS)}")


def name_for(inputs: int) -> str:
    """The data set whose samples have so many elements.

    Raises
    ------
    DataError
        If there is none.
    """
    for name, size in INPUTS.items():
        if size == inputs:
            return name
    raise DataError(f"sizes: no data set has {inputs} inputs; there are {', '.join(f'{n} ({name})' for name, n in INPUTS.items())}")


def _digits() -> Dataset:
    with resources.as_file(resources.files(__package__) / "digits.npz") as path, np.load(path) as file:
        x, y = file["images"] / 16.0, file["labels"].astype(np.int64)
    n = DIGITS_TRAIN
    return Dataset(x[:n], y[:n], x[n:], y[n:])


def _mnist(folder) -> Dataset:
    folder = folder or os.environ.get(FOLDER)
    remedy = f"give its folder (--data DIR, or the environment variable {FOLDER})"
    if not folder:
        raise DataError(f"mnist: its files do not ship with the package; {remedy}")
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; {remedy}")
    parts = []
    for prefix in ("train", "t10k"):
        images = read(folder, f"{prefix}-images-idx3-ubyte", dimensions=3)
        labels = read(folder, f"{prefix}-labels-idx1-ubyte", dimensions=1)
        if images.shape[1:] != (28, 28):
            raise DataError(f"{folder}: {prefix} images of shape {images.shape[1:]}; MNIST's are 28 x 28")
        if len(images) != len(labels):
            raise DataError(f"{folder}: {len(images)} {prefix} images but {len(labels)} labels; "
                            "get both files from one source")
        if labels.size and labels.max() > 9:
            raise DataError(f"{folder}: {prefix} label {labels.max()}; MNIST's are 0 to 9")
        parts += [images.reshape(len(images), -1) / 255.0, labels.astype(np.int64)]
    return Dataset(*parts)
