"""Small functions of states: activations, sums and derivatives of pytrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from .kinds import Tree


def identity(a: ArrayLike) -> ArrayLike:
    """``a``."""
    return a


def relu(a: ArrayLike, high: float = jnp.inf) -> Array:
    """Clip to ``[0, high]``."""
    return jnp.clip(a, 0.0, high)


def piecewise(knots: Sequence[float], slopes: Sequence[float], first: float) -> Callable:
    """The activation that is straight between knots and flat beyond them, as every one of the chip is (contract section 4).

    Parameters
    ----------
    knots : sequence of n + 1 floats
    slopes : sequence of n floats
    first : float
        Value up to the first knot.
    """

    def neuron(drive):
        return first + sum(slopes[n] * (jnp.clip(drive, knots[n], knots[n + 1]) - knots[n]) for n in range(len(slopes)))

    return neuron


def gradient(function: Callable, *primals: Tree, argument: int = 0) -> Tree:
    """Derivative of a scalar function of pytrees, also of complex ones: then `function` must be holomorphic."""
    holomorphic = any(jnp.iscomplexobj(v) for p in primals for v in jax.tree.leaves(p))
    if holomorphic:
        primals = tuple(jax.tree.map(lambda v: v + 0j, p) if i == argument else p for i, p in enumerate(primals))
    return jax.grad(function, argnums=argument, holomorphic=holomorphic)(*primals)


def add(a: Tree, b: Tree, scale: float = 1.0) -> Tree:
    """``a + scale * b``, leaf by leaf."""
    return jax.tree.map(lambda p, q: p + scale * q, a, b)


def zeros(s: Tree) -> Tree:
    """Return no force: zeros like the states."""
    return jax.tree.map(jnp.zeros_like, s)
