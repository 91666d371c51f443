"""Dyads: every unit in two compartments, whose difference is the error signal (Eq. 10 and 13; rows 56, 57, 87)."""

from __future__ import annotations

from typing import NamedTuple

import jax
from jax import numpy as jnp


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
