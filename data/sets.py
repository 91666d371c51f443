"""Data sets: those with a name, and one's own by file or folder.

``digits``: *Optical Recognition of Handwritten Digits*, E. Alpaydin and C. Kaynak (1998), UCI Machine
Learning Repository, doi:10.24432/C50P49, licence CC BY 4.0. ``digits.npz`` holds the repository's test part,
1797 images of 8 x 8 pixels from 0 to 16 with their classes, unchanged but for their order: 1437 for training
first, then 360 for testing, 36 of each class.
"""

from __future__ import annotations

import functools
import hashlib
import os
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .arrays import read_folder, read_npz
from .idx import DataError, read
from .images import read_images
from .prepared import About, prepared
from .raw import Raw
from .table import read_csv, read_parquet

INPUTS = {"digits": 64, "mnist": 784, "xor": 3}
"""Name of a data set to the elements of a sample."""
FOLDER = "CROSSDYAD_DATA"
"""The environment variable that names the folder of the files that do not ship with the package."""

DIGITS_TRAIN = 1437


class _Parts(NamedTuple):
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


class Dataset(_Parts):
    """Inputs (float64, one sample per row) and class numbers (int64), to train and to test: a tuple of four arrays.

    Attributes
    ----------
    about : About or None
        How one's own data were made: names, scaling, what should be known. None: a set with a name, whose inputs are in [0, 1].
    """

    about: About | None = None


def load(
    name: str | Path,
    folder: str | Path | None = None,
    *,
    label: str = "",
    leave_out: tuple[str, ...] = (),
    missing: str = "refuse",
    labels: str = "auto",
    scale: str = "auto",
    one: bool = False,
    test: float | str | Path = 0.2,
    seed: int = 1,
    single: str = "refuse",
    resize: tuple[int, int] | tuple[()] = (),
    bins: int | None = None,
) -> Dataset:
    """A data set.

    Parameters
    ----------
    name : str or path
        ``digits`` (8 x 8 pixels, ten classes, ships with the package), ``mnist`` (28 x 28 pixels, ten
        classes, four IDX files, gzipped or not) or ``xor`` (two bits and a constant one, two classes; tested
        on what it is trained on). Or a file: CSV (separator and header are found), Parquet, .npz. Or a folder: of IDX files or arrays,
        of CIFAR-10's binary records, or of a folder of images per class.
    folder : path, optional
        Where the files of ``mnist`` are, named and placed as its sources do (`idx.find`); by default what the environment variable
        ``CROSSDYAD_DATA`` says. ``~`` is the home folder.
    label : str
        Name of the label's column; the last by default.
    leave_out : tuple of str
        Columns that are not read.
    missing : str
        What becomes of missing values: ``refuse``, ``drop`` (leave out the line), ``mean`` (of the column's training part).
    test : float or path
        Share of each class that is tested on, or a file of samples to test on.
    resize : (int, int)
        Width and height that images are brought to.
    labels, scale, one, seed, single, bins
        As for `prepared.prepared`.

    Raises
    ------
    DataError
        If the name is unknown, or a file is missing, truncated or not what it should be: all mistakes that a pass finds.
    """
    if name == "digits":
        return _digits()
    if name == "mnist":
        return _mnist(folder)
    if name == "xor":
        x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=np.float64)
        y = np.array([0, 1, 1, 0])
        return Dataset(x, y, x.copy(), y.copy())
    path, reading = Path(name).expanduser(), (label, tuple(leave_out), missing, tuple(resize))
    if not path.exists():
        known = "" if path.suffix or path.parent.name else f"; known by name are {', '.join(INPUTS)}"
        raise DataError(f"{name}: no such file or folder{known}")
    tested = Path(test).expanduser() if isinstance(test, str | Path) else None
    return _own(path, _stamp(path), tested, _stamp(tested), reading, labels, scale, one, 0.0 if tested else float(test), seed, single, bins)


def of(recipe: Any) -> Dataset:
    """The data that a recipe's chip learns: what `recipe.data` names, or the set with a name that has as many inputs.

    Raises
    ------
    DataError
        If it cannot be read, or the chip has not as many inputs or too few outputs.
    """
    told = recipe.data.model_dump()
    file = told.pop("file")
    if not file or file in INPUTS:
        named, file = bool(file), file or name_for(recipe.sizes[0] - told["one"])
        found = load(file)
        if told["one"]:
            found = Dataset(*(np.pad(v, ((0, 0), (0, 1)), constant_values=1.0) if v.ndim == 2 else v for v in found))
        classes = int(found.y_train.max()) + 1 if named else 0  # of a set that its inputs find, some classes do
    else:
        found = load(file, **told, bins=recipe.sizes[-1])
        classes = len(found.about.classes)
    inputs, wrong = found.x_train.shape[1], []
    if inputs != recipe.sizes[0]:
        wrong.append(
            f"{file}: {inputs} inputs{' (with the one)' if told['one'] else ''}, but {recipe.name} has sizes[0] = "
            f"{recipe.sizes[0]}; write sizes = [{inputs}, ...]"
        )
    if classes > recipe.sizes[-1]:
        wrong.append(f"{file}: {classes} classes, but {recipe.name} has {recipe.sizes[-1]} outputs; write sizes = [..., {classes}]")
    if wrong:
        raise DataError("\n".join(wrong))
    return found


def fingerprint(recipe: Any) -> str:
    """Return a hash of a recipe's own data; empty for sets with a name."""
    if recipe.data.file in ("", *INPUTS):
        return ""
    parts = of(recipe)
    return hashlib.sha256(b"".join(f"{a.dtype}{a.shape}".encode() + np.ascontiguousarray(a).tobytes() for a in parts)).hexdigest()


def _stamp(path: Path | None) -> tuple:
    """Return what changes when a file or a folder does."""
    if path is None or not path.exists():
        return ()
    at = [path] if path.is_file() else sorted(path.rglob("*"))
    return tuple((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in at)


@functools.lru_cache(maxsize=8)
def _own(
    path: Path,
    _now: tuple,
    tested: Path | None,
    _then: tuple,
    reading: tuple,
    labels: str,
    scale: str,
    one: bool,
    test: float,
    seed: int,
    single: str,
    bins: int | None,
) -> Dataset:
    raw = _read(path, *reading)
    if tested is not None:
        other = _read(tested, *reading)
        if raw.columns and other.columns and raw.columns != other.columns and set(raw.columns) == set(other.columns):
            at = [other.columns.index(c) for c in raw.columns]
            other = other._replace(x=other.x[:, at], columns=raw.columns)
        if other.x.shape[1] != raw.x.shape[1] or other.columns != raw.columns:
            raise DataError(
                f"{tested}: columns {', '.join(other.columns) or other.x.shape[1]}, but {path} has "
                f"{', '.join(raw.columns) or raw.x.shape[1]}; both files need the same"
            )
        raw = raw._replace(test=other)
    arrays, about = prepared(raw, str(path), labels=labels, scale=scale, one=one, test=test, seed=seed, single=single, bins=bins)
    for array in arrays:
        array.setflags(write=False)  # the same arrays are given to all who ask
    found = Dataset(*arrays)
    found.about = about
    return found


def _read(path: Path, label: str, leave_out: tuple[str, ...], missing: str, resize: tuple) -> Raw:
    if path.is_dir():
        found = read_folder(path) or read_images(path, resize or None)
        if found is None:
            raise DataError(
                f"{path}: no IDX files, arrays, CIFAR-10's binary records or folders of images by class; put them here, or name a file"
            )
        return found
    kind = path.suffix.lower()
    if kind == ".npz":
        return read_npz(path)
    if kind in (".parquet", ".pq"):
        return read_parquet(path, (label,) if label else (), leave_out, missing)
    if kind in (".csv", ".tsv", ".txt", ".data", ".dat"):
        return read_csv(path, (label,) if label else (), leave_out, missing)
    raise DataError(f"{path}: unknown kind of file {kind!r}; allowed are .csv (or .tsv, .txt, .data), .parquet, .npz, and folders")


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
            raise DataError(f"{folder}: {len(images)} {prefix} images but {len(labels)} labels; get both files from one source")
        if labels.size and labels.max() > 9:
            raise DataError(f"{folder}: {prefix} label {labels.max()}; MNIST's are 0 to 9")
        parts += [images.reshape(len(images), -1) / 255.0, labels.astype(np.int64)]
    return Dataset(*parts)
