"""Preparation from what was read to what a chip learns: classes, a stratified split, scaling fitted on the training part."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from .idx import DataError
from .raw import Raw

SPAN = 3.96875
"""Standard deviations beyond which standardised values are cut: what a state of the default format holds."""
MOST = 4096
"""Outputs of a chip, at most."""
MANY = 20
"""Whole numbers of more different values than this, and than a tenth of the samples, are taken for numbers and not for classes."""


class About(NamedTuple):
    """Record of how a data set was made, as it is kept with the weights that learned it.

    Attributes
    ----------
    name : str
        File or folder.
    columns : tuple of str
        Of the inputs, if they have names.
    classes : tuple of str
        Name of each class number; the middle of each bin where targets are numbers.
    offset, factor : float64 array (inputs,)
        An input x enters the chip as ``(x - offset) * factor``.
    levels : float64 array (classes,) or None
        Where targets are numbers: the value that each class number, a bin, stands for.
    targets : (array, array) or None
        The numbers themselves, to train and to test.
    scale : str
        How it was scaled.
    drawn : bool
        Whether samples to test on were drawn from the whole.
    notes : tuple of str
    shape : tuple of int
        Of a sample as its source has it, where that is more than a row of numbers (`images.as_images`).
    """

    name: str
    columns: tuple[str, ...]
    classes: tuple[str, ...]
    offset: np.ndarray
    factor: np.ndarray
    levels: np.ndarray | None = None
    targets: tuple[np.ndarray, np.ndarray] | None = None
    scale: str = "none"
    drawn: bool = True
    notes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()


def prepared(
    raw: Raw,
    name: str,
    *,
    labels: str = "auto",
    scale: str = "auto",
    one: bool = False,
    test: float = 0.2,
    seed: int = 1,
    single: str = "refuse",
    bins: int | None = None,
) -> tuple[tuple[np.ndarray, ...], About]:
    """Make the parts of a data set.

    Parameters
    ----------
    raw : Raw
    name : str
        For errors.
    labels : str
        ``classes``, ``numbers`` (real targets, in `bins` bins of equal width over the training part), or ``auto``.
    scale : str
        ``standard`` (mean 0 and deviation 1, cut at 3.97), ``range`` (least to largest is -1 to 1), ``unit`` (0 to 1), ``none`` (what
        has a full scale, as bytes have, is divided by it), or ``auto``: ``none`` where there is a full scale, else ``standard``.
    one : bool
        Add an input that is always one.
    test : float
        Share of each class that is tested on, where the source has no part of its own for it.
    seed : int
        Of the split.
    single : str
        What becomes of classes with one sample: ``refuse``, ``train`` (never tested) or ``drop``.
    bins : int, optional
        For numbers; 10 by default.

    Returns
    -------
    (x_train, y_train, x_test, y_test), About

    Raises
    ------
    DataError
    """
    notes, levels, targets = list(raw.notes), None, None
    numbers = _numbers(raw, name, labels, notes)
    if numbers is None and raw.test is None:
        raw = _without_singles(raw, name, single, notes)
    if numbers is not None:
        train, tested = _parts(raw, numbers, test, seed, None)
        y, y_test = np.asarray(train.labels, float), np.asarray(tested.labels, float)
        targets, count = (y, y_test), bins or 10
        if y.min() == y.max():
            raise DataError(f"{name}: {raw.label} is {y.min():g} in every sample; there is nothing to learn")
        width = (y.max() - y.min()) / count
        levels = y.min() + width * (np.arange(count) + 0.5)
        y, y_test = (np.clip(((v - y.min()) / width).astype(np.int64), 0, count - 1) for v in (y, y_test))
        classes = tuple(f"{v:g}" for v in levels)
        notes.append(
            f"{raw.label} is a number: a chip's label is a class, so it learns {count} bins of {width:.4g} each, and its answer "
            "is the mean of the bins by their outputs"
        )
    else:
        classes = _classes(raw, name)
        train, tested = _parts(raw, raw.labels, test, seed, classes)
        index = {c: i for i, c in enumerate(classes)}
        y, y_test = (np.array([index[_word(v)] for v in part.labels], np.int64) for part in (train, tested))
    scale = scale if scale != "auto" else "none" if raw.full else "standard"
    x, x_test, offset, factor = _scaled(train.x, tested.x, raw.full, scale)
    if one:
        x, x_test = (np.hstack([v, np.ones((len(v), 1))]) for v in (x, x_test))
        offset, factor = np.append(offset, 0.0), np.append(factor, 1.0)
    about = About(name, raw.columns, classes, offset, factor, levels, targets, scale, raw.test is None, tuple(notes), raw.shape)
    return (x, y, x_test, y_test), about


def _word(label: Any) -> str:
    """A label as text, a whole number without its point."""
    try:
        number = float(label)
    except (TypeError, ValueError):
        return str(label)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else str(label)


def _numbers(raw: Raw, name: str, labels: str, notes: list[str]) -> np.ndarray | None:
    """Return the labels as numbers where they are targets, else None."""
    if labels == "classes":
        return None
    try:
        values = np.array([float(v) for v in [*raw.labels, *(raw.test.labels if raw.test else ())]])
    except ValueError:
        if labels == "numbers":
            at = next(i for i, v in enumerate(raw.labels) if not _is_number(v))
            raise DataError(
                f'{name}: {raw.places[at]}, {raw.label}: {raw.labels[at]!r} is no number; correct it, or write labels = "classes"'
            ) from None
        return None
    if not np.isfinite(values).all():
        raise DataError(f"{name}: {raw.label} holds NaN or infinity; every target must be finite")
    different = len(np.unique(values))
    if labels == "numbers" or (values % 1).any() or different > max(MANY, len(values) // 10):
        return values[: len(raw.labels)]
    return None


def _is_number(value: Any) -> bool:
    try:
        float(value)
        return True
    except ValueError:
        return False


def _without_singles(raw: Raw, name: str, single: str, notes: list[str]) -> Raw:
    words = [_word(v) for v in raw.labels]
    count = Counter(words)
    alone = [c for c in count if count[c] == 1]
    if not alone or single == "train":
        return raw
    where = ", ".join(f"{c!r} ({raw.places[words.index(c)]})" for c in alone[:8]) + (", ..." if alone[8:] else "")
    if single == "refuse":
        raise DataError(
            f"{name}: {'classes' if alone[1:] else 'class'} {where} with one sample, which cannot be both learned and tested; "
            'add samples, or write single = "drop" (leave it out) or "train" (learn it, never test it)',
            single="drop",
        )
    notes.append(f"left out, with one sample: {where}")
    kept = [i for i, w in enumerate(words) if count[w] > 1]
    return _some(raw, kept)


def _some(raw: Raw, at: list[int]) -> Raw:
    return raw._replace(x=raw.x[at], labels=[raw.labels[i] for i in at], places=[raw.places[i] for i in at])


def _classes(raw: Raw, name: str) -> tuple[str, ...]:
    """Return the names of the classes: numbers in their order, then words in theirs. Numbers from arrays stay what they are."""
    if all(type(v) is int and 0 <= v < MOST for v in raw.labels) and len(set(raw.labels)) > 1:
        return tuple(map(str, range(1 + max(*raw.labels, *(raw.test.labels if raw.test else ())))))
    seen = list(dict.fromkeys(_word(v) for v in raw.labels))
    if len(seen) < 2:
        raise DataError(
            f"{name}: {raw.label} is {seen[0]!r} in every sample; at least two classes are needed"
            if seen
            else f"{name}: no class has more than one sample"
        )
    if raw.test:
        strange = [(v, p) for v, p in zip(raw.test.labels, raw.test.places, strict=True) if _word(v) not in seen]
        if strange:
            raise DataError(
                f"{name}: {strange[0][1]} to test on: class {_word(strange[0][0])!r}, which no training sample has; "
                f"the classes are {', '.join(seen[:20])}"
            )
    return tuple(sorted(seen, key=lambda c: (not _is_number(c), float(c) if _is_number(c) else 0.0, c)))


def _parts(raw: Raw, labels, share: float, seed: int, classes) -> tuple[Raw, Raw]:
    """Return the samples to train and to test on: the source's own, or a share of every class drawn by a seed.

    The draw is a hash of seed and position, so that it is the same on every machine.
    """
    if raw.test:
        return raw, raw.test
    drawn = sorted(range(len(labels)), key=lambda i: hashlib.sha256(f"{seed} {i}".encode()).digest())
    words = [_word(v) for v in labels] if classes else [""] * len(labels)
    count, taken, tested = Counter(words), Counter(), set()
    for i in drawn:
        c = words[i]
        if taken[c] < min(max(1, round(share * count[c])), count[c] - 1):
            taken[c] += 1
            tested.add(i)
    if not tested:
        raise DataError('test: no class has a sample to spare for testing; add samples, or give test = "FILE"')
    return _some(raw, [i for i in range(len(labels)) if i not in tested]), _some(raw, sorted(tested))


def _scaled(x: np.ndarray, x_test: np.ndarray, full: float, scale: str) -> tuple[np.ndarray, ...]:
    """Return both parts scaled, and offset and factor, all from the training part alone; NaN becomes its column's mean."""
    filled = np.isnan(x)
    if filled.any() or np.isnan(x_test).any():
        mean = np.nan_to_num([np.mean(c[~np.isnan(c)]) if (~np.isnan(c)).any() else 0.0 for c in x.T])
        x, x_test = (np.where(np.isnan(v), mean, v) for v in (x, x_test))
    inputs = x.shape[1]
    if scale == "none":
        return x / (full or 1.0), x_test / (full or 1.0), np.zeros(inputs), np.full(inputs, 1 / (full or 1.0))
    if scale == "standard":
        offset, spread, low, high = x.mean(0), x.std(0), -SPAN, SPAN
    else:
        low, high = (0.0 if scale == "unit" else -1.0), 1.0
        spread = (x.max(0) - x.min(0)) / (high - low)
        offset = x.min(0) - low * spread
    factor = np.where(spread > 1e-12 * np.maximum(1, np.abs(offset)), 1 / np.where(spread > 0, spread, 1), 0.0)
    # of a column that never changes nothing is left
    x, x_test = (np.clip((v - offset) * factor, low, high) for v in (x, x_test))
    return x, x_test, offset, factor
