"""What is minimised: a scalar of the output state and its target. The nudge is its negative derivative.

An objective is any differentiable ``cost(s, y)``; ``s`` and ``y`` have the output's shape.
"""

import jax
from jax import numpy as jnp


def squared_error(s, y):
    """``1/2 sum (s - y)**2`` (contract section 5)."""
    return jnp.sum((s - y) ** 2) / 2


def squared_hinge(s, y):
    """Squared error where an output is on the wrong side of its target: below the largest of `y`, above the others (contract section 5)."""
    return squared_error(jnp.where(y == jnp.max(y), jnp.minimum(s, y), jnp.maximum(s, y)), y)


def cross_entropy(s, y):
    """Softmax cross-entropy; `s` are logits, `y` a distribution (a one-hot label)."""
    return -jnp.sum(y * jax.nn.log_softmax(s))
