"""Circuits that can be run backwards: reversible two-stream blocks and feedback that inverts (rows 17, 18)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from .circuits import LayeredStates
from .kinds import Tree
from .precision import in_float64


def tanh_layer(w: Array, s: Array) -> Array:
    """``tanh(W s)``."""
    return jnp.tanh(w @ s)


@in_float64
class Coupling(NamedTuple):
    """A reversible block of two streams: ``a' = a + first(W_a, b)``, ``b' = b + second(W_b, a')`` (Eq. 7, erratum E4; row 17).

    Attributes
    ----------
    grid : float
        If any, a multiple of it is added, so that no sum is rounded: fixed point.
    printed : bool
        The second half reads the old a, as the paper prints: then the inverse is none.
    first, second : callable
        ``f(parameters, stream)``, like the other stream; neither needs an inverse.
    """

    grid: float = 0.0
    printed: bool = False
    first: Callable = tanh_layer
    second: Callable = tanh_layer

    def added(self, function: Callable, w: Tree, s: Array) -> Array:
        """Return what a stream gains from the other."""
        v = function(w, s)
        return v + jax.lax.stop_gradient(jnp.round(v / self.grid) * self.grid - v) if self.grid else v

    def forward(self, parameters: Tree, u: Array) -> Array:
        """Both streams on."""
        a, b = jnp.split(u, 2)
        new = a + self.added(self.first, parameters[0], b)
        return jnp.concatenate([new, b + self.added(self.second, parameters[1], a if self.printed else new)])

    def inverse(self, parameters: Tree, o: Array) -> Array:
        """Both streams back, in reverse order."""
        a, b = jnp.split(o, 2)
        b = b - self.added(self.second, parameters[1], a)
        return jnp.concatenate([a - self.added(self.first, parameters[0], b), b])

    def backward(self, parameters: Tree, u: Array, force: Array, key: Array | None = None) -> tuple[Tree, Array]:
        """Return the gradients by transposed derivatives."""
        return jax.vjp(self.forward, parameters, u)[1](force)


@in_float64
@dataclass(frozen=True)
class Reversible(LayeredStates):
    """Reversible blocks in a row as a circuit: ``s_k = F_k(s_(k-1))``, both streams side by side, the input too (row 17).

    One sweep solves it, so that estimators which ask for nothing else take it; the states below follow from the output (`inverse`).

    Parameters
    ----------
    blocks : tuple of Coupling
    """

    blocks: tuple

    capabilities = frozenset({"triangular"})

    def forward(self, parameters: Tree, x: ArrayLike) -> tuple:
        """The input and what every block makes of it."""
        s = [jnp.asarray(x)]
        for block, p in zip(self.blocks, parameters, strict=True):
            s.append(block.forward(p, s[-1]))
        return tuple(s)

    def inverse(self, parameters: Tree, o: ArrayLike) -> tuple:
        """The same states from the output alone."""
        s = [jnp.asarray(o)]
        for block, p in zip(self.blocks[::-1], parameters[::-1], strict=True):
            s.insert(0, block.inverse(p, s[0]))
        return tuple(s)

    def start(self, parameters: Tree, x: ArrayLike) -> tuple:
        """Zeros."""
        return (jnp.zeros_like(x),) * len(self.blocks)

    def residual(self, parameters: Tree, s: Tree, x: ArrayLike) -> tuple:
        """Every block's states less what the block below gives."""
        made = (b.forward(p, v) for b, p, v in zip(self.blocks, parameters, (x, *s[:-1]), strict=True))
        return tuple(v - w for v, w in zip(s, made, strict=True))

    def relax(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> tuple:
        """One sweep up."""
        new = [x]
        for block, p, f in zip(self.blocks, parameters, force, strict=True):
            new.append(block.forward(p, new[-1]) - f)
        return tuple(new[1:])


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
