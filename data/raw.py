"""Samples and labels as readers found them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Raw(NamedTuple):
    """Samples and labels of one source.

    Attributes
    ----------
    x : float64 array (n, inputs)
        NaN where a value is missing and is to be filled in.
    labels : sequence of str or float (n,)
        As they were written.
    places : sequence of str (n,)
        Where each sample was found, as ``line 7``.
    columns : tuple of str
        Names of the inputs; empty where they have none.
    full : float
        The value of full scale, 255 for bytes; 0 where there is none.
    notes : tuple of str
        What should be known of the reading.
    label : str
        Name of the labels.
    test : Raw or None
        The samples to test on, where the source has a part of its own for them.
    shape : tuple of int
        Of a sample, where that is more than a row of numbers.
    """

    x: np.ndarray
    labels: Sequence[Any]
    places: Sequence[str]
    columns: tuple[str, ...] = ()
    full: float = 0.0
    notes: tuple[str, ...] = ()
    label: str = "label"
    test: Any = None
    shape: tuple[int, ...] = ()
