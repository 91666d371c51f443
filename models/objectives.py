"""Objectives: scalars of the output state and its target. The nudge is their negative derivative. The nudge is its negative derivative.

An objective is any differentiable ``cost(s, y)``; ``s`` and ``y`` have the output's shape.
"""

from __future__ import annotations

import jax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike


def squared_error(s: ArrayLike, y: ArrayLike) -> Array:
    """``1/2 sum (s - y)**2`` (contract section 5)."""
    return jnp.sum((s - y) ** 2) / 2


def squared_hinge(s: ArrayLike, y: ArrayLike) -> Array:
    """Squared error where an output is on the wrong side of its target: below the largest of `y`, above the others (contract section 5)."""
    return squared_error(jnp.where(y == jnp.max(y), jnp.minimum(s, y), jnp.maximum(s, y)), y)


def cross_entropy(s: ArrayLike, y: ArrayLike) -> Array:
    """Softmax cross-entropy; `s` are logits, `y` a distribution (a one-hot label)."""
    return -jnp.sum(y * jax.nn.log_softmax(s))
