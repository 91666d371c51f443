"""Arrays: .npz and .npy, IDX under whatever names, CIFAR's records; samples in arrays of any shape become rows."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from pathlib import Path

import numpy as np

from .idx import PACKED, DataError
from .raw import Raw

INPUTS = ("x", "data", "images", "features", "inputs")
LABELS = ("y", "labels", "label", "target", "targets", "classes")
"""Names of arrays in .npz files, in lower case; ``_train`` or ``train_`` and ``_test`` or ``test_`` say the part."""
TEST = ("t10k", "test")
"""Part of the names of files to test on."""
RECORD = 1 + 3 * 32 * 32
"""Bytes of CIFAR-10's records: a class and an image of 32 x 32 pixels, one colour after another."""
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_npz(path: Path) -> Raw:
    """Read a file with arrays of samples and labels, for both parts (``x_train``, ``y_test``, ...) or as a whole (``x``, ``y``).

    Raises
    ------
    DataError
    """
    held = _loaded(path)
    found = {name.lower().replace("-", "_"): name for name in held}

    def part(which: str) -> Raw | None:
        spelt = [
            {form: found[form] for form in ((n, f"x_{n}", f"all_{n}") if not which else (f"{n}_{which}", f"{which}_{n}")) if form in found}
            for n in (*INPUTS, *LABELS)
        ]
        x = [name for forms in spelt[: len(INPUTS)] for name in forms.values()]
        y = [name for forms in spelt[len(INPUTS) :] for name in forms.values()]
        if not x or not y:
            return None
        return _raw(f"{path}: {x[0]}", held[x[0]], f"{path}: {y[0]}", held[y[0]])

    train, test = part("train") or part(""), part("test")
    if train is None:
        raise DataError(
            f"{path}: holds {', '.join(held) or 'nothing'}; allowed are x and y, or x_train, y_train, x_test and y_test "
            "(and the like: images, labels, data, target)"
        )
    return train._replace(test=test)


def read_folder(folder: Path) -> Raw | None:
    """Read IDX files, or .npy and .npz files of one array each, by what they hold: of images and labels, to train and to test.

    Files may be packed by gzip, have any names in which ``t10k`` or ``test`` says the part, and lie in folders below.

    Returns
    -------
    Raw or None
        None: there are no such files.

    Raises
    ------
    DataError
    """
    found: dict[tuple[bool, bool], tuple[Path, np.ndarray]] = {}
    batches: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and len(p.relative_to(folder).parts) <= 4):
        test = any(word in path.name.lower() for word in TEST)
        records = _records(path)
        if records is not None:
            batches[test].append(records)
            continue
        array = _array(path)
        if array is None:
            continue
        place = test, array.ndim == 1
        if place in found:
            raise DataError(
                f"{folder}: {found[place][0].name} and {path.name} both hold {'labels' if place[1] else 'samples'} to "
                f"{'test' if test else 'train'}; give the folder of one data set"
            )
        found[place] = path, array
    if batches[False]:
        train, test = (np.concatenate(b) if b else None for b in batches.values())
        raw = [b if b is None else _raw(str(folder), b[:, 1:].reshape(-1, 3, 32, 32), str(folder), b[:, 0]) for b in (train, test)]
        return raw[0]._replace(test=raw[1])
    if not found:
        return None
    parts = []
    for test in (False, True):
        have = [found.get((test, labels)) for labels in (False, True)]
        if have == [None, None] and test:
            parts.append(None)
            continue
        for what, file in zip(("samples", "labels"), have, strict=True):
            if file is None:
                raise DataError(
                    f"{folder}: no file of {what} to {'test' if test else 'train'}; there are "
                    f"{', '.join(p.name for p, _ in found.values())}"
                )
        parts.append(_raw(str(have[0][0]), have[0][1], str(have[1][0]), have[1][1]))
    return parts[0]._replace(test=parts[1])


def _records(path: Path) -> np.ndarray | None:
    """Return CIFAR-10's records, gzipped or not; None of another file."""
    named = re.fullmatch(r"(data|test)_batch.*\.bin(\.gz)?", path.name)
    if not path.name.endswith((".bin", ".bin.gz")) or not (named or path.suffix == ".bin" and path.stat().st_size % RECORD == 0):
        return None
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(PACKED) else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: {error}; the file is damaged, get it again") from None
    if named and (not content or len(content) % RECORD):
        raise DataError(f"{path}: {len(content)} bytes, no whole number of records of {RECORD}; the file is damaged, get it again")
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    if named and (strange := np.flatnonzero(records[:, 0] > 9)).size:
        raise DataError(
            f"{path}: class {records[strange[0], 0]} in record {strange[0] + 1}; CIFAR-10 has 0 to 9, so it is damaged or another"
        )
    return records if len(records) else None


def _array(path: Path) -> np.ndarray | None:
    """Return the array of an IDX, .npy or one-array .npz file; None of another file."""
    if path.suffix in (".npy", ".npz"):
        held = _loaded(path)
        return next(iter(held.values())) if len(held) == 1 else None
    try:
        with open(path, "rb") as file:
            start = file.read(2)
        if start == PACKED:
            with gzip.open(path) as file:
                start = file.read(4)
        elif start == b"\0\0":
            start = path.open("rb").read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in IDX_TYPES or not start[3]:
            return None
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(PACKED) else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: {error}; the file is damaged, get it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    head, kind = 4 + 4 * content[3], np.dtype(IDX_TYPES[content[2]])
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, head, 4)]
    if len(content) - head != math.prod(shape) * kind.itemsize or not math.prod(shape):
        raise DataError(
            f"{path}: {len(content) - head} bytes where the head says {' x '.join(map(str, shape))}; the file is damaged, get it again"
        )
    return np.frombuffer(content, kind, offset=head).reshape(shape)


def _loaded(path: Path) -> dict[str, np.ndarray]:
    try:
        found = np.load(path, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return {path.stem: found}
        with found:
            return dict(found)
    except OSError as error:
        if error.strerror:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from None
        raise DataError(f"{path}: not a file of NumPy arrays ({error})") from None
    except Exception:  # NumPy raises a different kind for each way a file can be broken, and advises to run what it holds
        raise DataError(f"{path}: not a file of NumPy arrays, or damaged; write it with numpy.savez") from None


def _raw(where: str, x: np.ndarray, labels_where: str, y: np.ndarray) -> Raw:
    wrong = []
    if x.dtype.kind not in "fiub" or x.ndim < 2:
        wrong.append(f"{where}: {x.dtype} of shape {x.shape}; allowed are numbers, a sample to each first index")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "fiubUS":
        wrong.append(f"{labels_where}: {y.dtype} of shape {y.shape}; allowed is one label to a sample: a number or text")
    elif len(x) != len(y):
        wrong.append(f"{where}: {len(x)} samples, but {labels_where} has {len(y)} labels")
    if not wrong and not len(x):
        wrong.append(f"{where}: no samples")
    if not wrong and x.dtype.kind == "f" and not np.isfinite(x).all():
        at = int(np.argmin(np.isfinite(x).reshape(len(x), -1).all(-1)))
        wrong.append(f"{where}: sample {at} holds NaN or infinity; every value must be finite")
    if wrong:
        raise DataError("\n".join(wrong))
    labels = [v.decode() if isinstance(v, bytes) else v for v in y.tolist()]
    return Raw(
        x.reshape(len(x), -1).astype(np.float64),
        labels,
        [f"sample {i}" for i in range(len(x))],
        full=255.0 if x.dtype == np.uint8 else 0.0,
        shape=x.shape[1:] if x.ndim > 2 else (),
    )
