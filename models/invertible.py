"""Circuits that can be run backwards: reversible two-stream blocks and feedback that inverts (rows 17, 18)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import Array
from jax import numpy as jnp

from .kinds import Tree
from .precision import in_float64


@in_float64
class Coupling(NamedTuple):
    """A reversible block of two streams: ``a' = a + tanh(W_a b)``, ``b' = b + tanh(W_b a')`` (Eq. 7, erratum E4; row 17).

    Attributes
    ----------
    grid : float
        If any, a multiple of it is added, so that no sum is rounded: fixed point.
    printed : bool
        The second half reads the old a, as the paper prints: then the inverse is none.
    """

    grid: float = 0.0
    printed: bool = False

    def added(self, w: Array, s: Array) -> Array:
        """Return what a stream gains from the other."""
        v = jnp.tanh(w @ s)
        return v + jax.lax.stop_gradient(jnp.round(v / self.grid) * self.grid - v) if self.grid else v

    def forward(self, parameters: Tree, u: Array) -> Array:
        """Both streams on."""
        a, b = jnp.split(u, 2)
        new = a + self.added(parameters[0], b)
        return jnp.concatenate([new, b + self.added(parameters[1], a if self.printed else new)])

    def inverse(self, parameters: Tree, o: Array) -> Array:
        """Both streams back, in reverse order."""
        a, b = jnp.split(o, 2)
        b = b - self.added(parameters[1], a)
        return jnp.concatenate([a - self.added(parameters[0], b), b])

    def backward(self, parameters: Tree, u: Array, force: Array, key: Array | None = None) -> tuple[Tree, Array]:
        """Return the gradients by transposed derivatives."""
        return jax.vjp(self.forward, parameters, u)[1](force)


def inverting_feedback(weights: Array, inverse_activation: Callable[[Array], Array], damping: float = 0.0) -> Callable[[Array], Array]:
    """Feedback that takes a layer ``s = f(W u)`` back to `u`: ``g(s) = W^+ f^-1(s)``, on the row space of W (row 18).

    Parameters
    ----------
    weights : array (outputs, inputs)
    inverse_activation : callable
    damping : float
        0: the pseudo-inverse; else ``W^T (W W^T + damping)^-1``, which tends to it at first order.

    Returns
    -------
    callable
        Outputs to inputs.
    """
    back = pseudo_inverse(weights, damping)
    return lambda s: back @ inverse_activation(s)


@in_float64
def pseudo_inverse(w: Array, damping: float = 0.0) -> Array:
    """Moore and Penrose's inverse, or with damping Tikhonov's (rows 18 and 70)."""
    if not damping:
        return jnp.linalg.pinv(w)
    return w.T @ jnp.linalg.inv(w @ w.T + damping * jnp.eye(len(w)))
