"""Probes: the gradient from the change of the cost along random directions (section 2.2; rows 29 to 34)."""

from __future__ import annotations

import jax
from jax import numpy as jnp


def probes(key, parameters) -> tuple:
    """A direction of independent signs, shaped like the parameters."""
    keys = jax.random.split(key, len(parameters))
    return tuple(jax.random.rademacher(q, w.shape, float) for q, w in zip(keys, parameters, strict=True))


def spsa_slopes(circuit, objective, parameters, x, y, directions, epsilon):
    """``[J(W + epsilon u) - J(W - epsilon u)] / 2 epsilon`` for directions u stacked on a leading axis."""
    def cost(step, u):
        moved = tuple(w + step * d for w, d in zip(parameters, u, strict=True))
        return objective(circuit.forward(moved, x)[-1], y)

    return jax.vmap(lambda u: (cost(epsilon, u) - cost(-epsilon, u)) / (2 * epsilon))(directions)


def spsa(circuit, objective, parameters, x, y, key, epsilon=1e-3, directions=1):
    """Simultaneous perturbation: the mean of ``u [J(W + epsilon u) - J(W - epsilon u)] / 2 epsilon``, row 29.

    Parameters
    ----------
    key : jax.random key
    epsilon : float
        The probe; the bias is of order ``epsilon**2``.
    directions : int
        How many are averaged; the relative variance is ``(P - 1) / directions`` with P parameters.
    """
    u = jax.vmap(lambda q: probes(q, parameters))(jax.random.split(key, directions))
    slopes = spsa_slopes(circuit, objective, parameters, x, y, u, epsilon)
    return tuple(jnp.tensordot(slopes, d, axes=1) / directions for d in u)
