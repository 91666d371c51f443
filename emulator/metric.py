"""Metrics in accuracy's place: the share of right classes, or a function of one's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..recipe import Recipe, imported


def score(recipe: Recipe, outputs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the recipe's metric of outputs (*batch, n, outputs; state integers) for labels (n,) or (*batch, n): one number per chip.

    Raises
    ------
    ValueError
        If a metric of one's own raises, or returns no finite number.
    """
    name = recipe.training.metric
    if name == "accuracy":
        return (np.argmax(outputs, axis=-1) == labels).mean(axis=-1)
    values, metric = recipe.formats.state.decode(outputs), imported(name, {})
    batch, each = values.shape[:-2], np.broadcast_to(labels, values.shape[:-1]).reshape(-1, values.shape[-2])
    return np.array([_one(name, metric, *one) for one in zip(values.reshape(-1, *values.shape[-2:]), each, strict=True)]).reshape(batch)


def _one(name: str, metric: Callable[..., Any], outputs: np.ndarray, labels: np.ndarray) -> float:
    try:
        found = metric(outputs, labels)
    except Exception as error:  # of somebody's function, whatever it does
        raise ValueError(
            f"training.metric: {name!r} raised {type(error).__name__}: {error}; it is given outputs {outputs.shape} and class "
            f"numbers {labels.shape}"
        ) from error
    try:
        value = float(found)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"training.metric: {name!r} returned {found!r}; it must return a finite number")
    return value
