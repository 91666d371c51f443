"""A folder of images per class: ``CLASS/FILE``, or ``train/CLASS/FILE`` and ``test/CLASS/FILE``."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .idx import DataError
from .raw import Raw
from .table import TOLD

if TYPE_CHECKING:
    from .sets import Dataset

KINDS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".webp")
COLOURS = 1, 3, 4
"""Channels that an image may have."""


def read_images(folder: Path, resize: tuple[int, int] | None = None) -> Raw | None:
    """Read images, grey where all of them are, else red, green and blue; pixels row by row.

    Parameters
    ----------
    folder : Path
    resize : (int, int), optional
        Width and height that all are brought to.

    Returns
    -------
    Raw or None
        None: there are no images.

    Raises
    ------
    DataError
        All files that cannot be used, at once.
    """
    below = {p.name.lower(): p for p in folder.iterdir() if p.is_dir()}
    if "train" in below:
        train = read_images(below["train"], resize)
        test = next((read_images(below[n], resize) for n in ("test", "t10k", "val", "validation") if n in below), None)
        if train and test and train.x.shape[1] != test.x.shape[1]:
            raise DataError(
                f"{folder}: images to train on have {train.x.shape[1]} values, those to test on {test.x.shape[1]}; "
                "write resize = [width, height], and use images of one kind"
            )
        return train and train._replace(test=test)
    files = [
        (name, path)
        for name, group in sorted((p.name, p) for p in below.values())
        for path in sorted(group.iterdir())
        if path.suffix.lower() in KINDS
    ]
    if not files:
        return None
    from PIL import Image

    read, wrong = [], []
    for _, path in files:
        try:
            with Image.open(path) as image:
                read.append((image.convert("L" if image.mode in ("1", "L", "LA", "I", "I;16", "F") else "RGB"), path))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            wrong.append(f"{path}: no image that can be read ({error}); take it out, or save it again")
    sizes = Counter(image.size for image, _ in read)
    if resize is None and len(sizes) > 1:
        common = sizes.most_common(1)[0][0]
        others = [(p, i.size) for i, p in read if i.size != common]
        wrong += [f"{p}: {w} x {h} pixels where most have {common[0]} x {common[1]}" for p, (w, h) in others[:TOLD]]
        wrong.append(f"{folder}: {len(others)} images of other sizes; write resize = [{common[0]}, {common[1]}] to bring all to one")
    if wrong:
        raise DataError("\n".join(wrong), **({"resize": list(sizes.most_common(1)[0][0])} if sizes else {}))
    grey = all(image.mode == "L" for image, _ in read)
    rows: list[np.ndarray] = []
    shape: tuple[int, ...] = ()
    for image, _ in read:
        image = image if grey else image.convert("RGB")
        pixels = np.asarray(image if resize is None or image.size == resize else image.resize(resize))
        rows.append(pixels.reshape(-1))
        shape = pixels.shape
    return Raw(
        np.array(rows, dtype=np.float64), [name for name, _ in files], [str(p) for _, p in files], full=255.0, label="class", shape=shape
    )


def as_images(dataset: Dataset) -> Dataset:
    """A data set with its samples as images, (n, rows, columns, channels).

    Raises
    ------
    DataError
        Where samples are no images; of sets without a record of it, those with a square number of inputs are.
    """
    inputs, about = dataset.x_train.shape[1], dataset.about
    side = math.isqrt(inputs)
    shape = about.shape if about else (side, side) if side * side == inputs else ()
    if len(shape) not in (2, 3) or math.prod(shape) != inputs:
        raise DataError(
            f"{about.name if about else 'data'}: a sample of {inputs} numbers is no image; give images (IDX, CIFAR's records, "
            "files or arrays of rows and columns), without a further input of one"
        )
    first = len(shape) == 3 and shape[0] in COLOURS and shape[2] not in COLOURS  # one colour after another

    def turned(x: np.ndarray) -> np.ndarray:
        images = x.reshape(len(x), *shape)
        return np.moveaxis(images, 1, -1) if first else images.reshape(*images.shape[:3], -1)

    found = type(dataset)(turned(dataset.x_train), dataset.y_train, turned(dataset.x_test), dataset.y_test)
    found.about = about
    return found
