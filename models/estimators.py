"""Estimators: the gradient of an objective at a circuit's solution, by backward circuit, dyads, or probes.

Each returns a gradient, a tuple of arrays shaped like the parameters. All take one sample; `jax.vmap` makes
batches.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
from jax import numpy as jnp


def exact_multipliers(circuit, objective, parameters, x, y):
    """The error signal of Eq. 2: the solution of ``(dC/ds)^T lambda + dO/ds = 0``, one vector per layer.

    The constraint is a chain, so the transposed system is triangular: it is solved block by block from the
    output down. Its Jacobians are JAX's, of the circuit's own `residual`.
    """
    states = circuit.forward(parameters, x)[1:]

    def residual(*states):
        return circuit.residual(parameters, list(states), x)

    _, transposed = jax.vjp(residual, *states)
    nudge = [jnp.zeros_like(s) for s in states[:-1]] + [-jax.grad(objective)(states[-1], y)]
    multipliers = [jnp.zeros_like(s) for s in states]
    for k in reversed(range(len(states))):
        # dC_k/ds_k = 1 in a feedforward circuit: what is missing from row k is lambda_k itself
        multipliers[k] = nudge[k] - transposed(multipliers)[k]
    return multipliers


def exact_gradient(circuit, objective, parameters, x, y):
    """The exact implicit gradient, ``(dC/dW)^T lambda`` with lambda of Eq. 2 (row 21)."""
    states = circuit.forward(parameters, x)[1:]
    multipliers = exact_multipliers(circuit, objective, parameters, x, y)
    _, transposed = jax.vjp(lambda w: circuit.residual(w, states, x), parameters)
    return transposed(multipliers)[0]


class Dyads(NamedTuple):
    """Both compartments of every unit: lists of K vectors, and the input.

    Attributes
    ----------
    x : array
    mean, difference : list of arrays
        ``alpha s+ + (1 - alpha) s-`` and ``s+ - s-``; the difference is beta times the error signal.
    """

    x: jax.Array
    mean: list
    difference: list


def dyads(circuit, objective, parameters, x, y, alpha=0.0, beta=1.0, sweeps=2, weighted=True) -> Dyads:
    """Solve dual propagation's fixed point, Lagrangian form DP^T (Eq. 10 and 13; rows 57 and 87).

    ``s+ = f(W mean_below + (1 - alpha) V)``, ``s- = f(W mean_below - alpha V)`` with
    ``V = W_above^T difference_above`` in hidden layers and ``-beta dO/ds`` at the output's inference state.

    Parameters
    ----------
    alpha : float
        0 to 1.
    beta : float
        Nudging strength.
    sweeps : int
        The first goes up from the input, then they alternate: 2 is one forward and one backward sweep, as on
        the chip; for alpha 0 and 1 that is the fixed point, since the mean then equals the inference state.
    weighted : bool
        False leaves out the factors ``1 - alpha`` and ``alpha`` of the hidden layers' feedback, as the paper's
        text after Eq. 13 prints (erratum E9): wrong, kept to show it.
    """
    last = circuit.layers - 1
    mean = [jnp.zeros(w.shape[0]) for w in parameters]
    difference = [jnp.zeros(w.shape[0]) for w in parameters]

    def solve(k):
        a, f = parameters[k] @ (mean[k - 1] if k else x), circuit.neuron(k)
        plus, minus = (1 - alpha, alpha) if weighted or k == last else (1.0, 1.0)
        v = -beta * jax.grad(objective)(f(a), y) if k == last else parameters[k + 1].T @ difference[k + 1]
        up, down = f(a + plus * v), f(a - minus * v)
        mean[k], difference[k] = alpha * up + (1 - alpha) * down, up - down

    for sweep in range(sweeps):
        # the output's dyad belongs to the upward sweep; the downward one starts below it
        for k in range(last + 1) if sweep % 2 == 0 else reversed(range(last)):
            solve(k)
    return Dyads(x, mean, difference)


def dual_propagation(circuit, objective, parameters, x, y, alpha=0.0, beta=1.0, sweeps=2, weighted=True):
    """The gradient of the dyads: ``-difference outer mean_below / beta`` (rows 57 and 87); arguments of `dyads`."""
    d = dyads(circuit, objective, parameters, x, y, alpha, beta, sweeps, weighted)
    below = [d.x, *d.mean[:-1]]
    return tuple(-jnp.outer(e, s) / beta for e, s in zip(d.difference, below, strict=True))


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
