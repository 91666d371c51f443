"""Target propagation: every layer of a chain gets a state to reach, by maps back from the output (section 3.4; rows 69 to 71).

Feedback is a sequence of functions, one per hidden layer k, from the layer above (or the output, `direct`) to layer k.
Learners of the feedback are losses of one layer, to be minimised over what parametrises the feedback.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import jax
from jax import Array
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from ..kinds import Circuit, Objective, Tree
from ..operators import Dense, inner
from ..precision import in_float64
from .estimator import needing
from .implicit import read_out


def forward_map(circuit: Circuit, parameters: Tree, k: int) -> Callable:
    """The function of a chain from the states of hidden layer `k`, 0 .. K-2, to the layer above."""
    return lambda s: circuit.layer(k + 1, parameters[k + 1], s)


def path(circuit: Circuit, parameters: Tree, k: int) -> Callable:
    """The function of a chain from the states of hidden layer `k` to the output."""

    def run(s):
        for j in range(k, circuit.layers - 1):
            s = forward_map(circuit, parameters, j)(s)
        return s

    return run


@in_float64
def difference(function: Callable, s: Array, change: Array) -> Array:
    """``function(s + change) - function(s)``: what makes target propagation exact when there is nothing to change."""
    return function(s + change) - function(s)


@in_float64
def target_changes(states: Sequence[Array], change: Array, feedback: Sequence[Callable], direct: bool = False) -> tuple:
    """Targets less states: ``t_k - s_k = g_k(t_above) - g_k(s_above)``, from the output down.

    Parameters
    ----------
    states : sequence of arrays
        Layers 1 .. K.
    change : array
        Of the output, ``-beta dO/ds``.
    feedback : sequence of callables
        g_k of the hidden layers.
    direct : bool
        True takes every target from the output at once (row 70), False from the layer above (row 69).

    Returns
    -------
    tuple of arrays
        Like `states`.
    """
    changes = [change]
    for k in reversed(range(len(states) - 1)):
        above = (states[-1], change) if direct else (states[k + 1], changes[0])
        changes.insert(0, difference(feedback[k], *above))
    return tuple(changes)


@in_float64
@needing(69, "target propagation", "chain")
def target_propagation(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    feedback: Sequence[Callable],
    beta: ArrayLike = 0.1,
    direct: bool = False,
) -> Tree:
    """Difference target propagation: ``-(df/dparameters)^T (t - s) / beta`` (row 69; direct: row 70).

    With feedback that inverts each layer it is a Gauss-Newton step, with the transposed derivative it is backprop.

    Parameters
    ----------
    feedback, direct
        Of `target_changes`.
    beta : float
        Step of the output's target, ``s - beta dO/ds``.
    """
    states = tuple(circuit.forward(parameters, x)[1:])
    changes = target_changes(states, -beta * jax.grad(objective)(states[-1], y), feedback, direct)
    return read_out(circuit, parameters, x, states, tuple(c / beta for c in changes))


@in_float64
def reconstruction(forward: Callable, feedback: Callable, s: Array, noise: Array) -> Array:
    """``|g(f(s + noise)) - (s + noise)|**2``: minimal where the feedback inverts (row 69)."""
    return jnp.sum((feedback(forward(s + noise)) - s - noise) ** 2)


@in_float64
def difference_reconstruction(forward: Callable, feedback: Callable, s: Array, noise: Array) -> Array:
    """DRL: ``|g(f(s + noise)) - g(f(s)) - noise|**2``, f the path to the output (row 70).

    With `decay` times the squared feedback weights and noise of unit covariance times small sigma**2, linear feedback is
    the damped pseudo-inverse ``J^T (J J^T + decay / sigma**2)^-1`` of the path's Jacobian J.
    """
    o = forward(s)
    return jnp.sum((difference(feedback, o, forward(s + noise) - o) - noise) ** 2)


@in_float64
def local_difference_reconstruction(forward: Callable, feedback: Callable, s: Array, noise: Array, noise_above: Array) -> Array:
    """L-DRL: ``-2 noise . [g(f(s + noise)) - g(f(s))] + |g(f(s) + noise_above) - g(f(s))|**2`` (row 71).

    Both noises of the same variance: minimal where the derivative of the feedback is the transpose of the layer's.
    """
    o = forward(s)
    return -2 * inner(noise, difference(feedback, o, forward(s + noise) - o)) + jnp.sum(difference(feedback, o, noise_above) ** 2)


def deviations(like: Tree, sigma: float) -> Array:
    """Noise of mean 0 and covariance ``sigma**2`` exactly: ``+-sigma sqrt(units)`` in each unit, on a leading axis of twice the units."""
    steps = sigma * jnp.sqrt(like.size) * jnp.eye(like.size)
    return jnp.concatenate([steps, -steps]).reshape(-1, *like.shape)


def minimiser(loss: Callable, start: Tree) -> Tree:
    """Return the minimiser of a loss that is quadratic in a pytree, as those of linear feedback are: one Newton step."""
    point, shape = ravel_pytree(start)

    def flat_loss(v):
        return loss(shape(v))

    return shape(point - jnp.linalg.solve(jax.hessian(flat_loss)(point), jax.grad(flat_loss)(point)))


@in_float64
def learnt_transposes(circuit: Circuit, parameters: Tree, states: Tree, noise: float) -> list[Array]:
    """Linear feedback that minimises L-DRL at `states` for noise of that standard deviation: matrices (below, above)."""
    matrices = []
    for k, (s, above) in enumerate(zip(states[:-1], states[1:], strict=True)):
        f, below, over = forward_map(circuit, parameters, k), deviations(s, noise), deviations(above, noise)

        def loss(matrix, f=f, s=s, above=above, below=below, over=over):
            g = partial(Dense(above.shape, s.shape), matrix)

            silent = jnp.zeros_like(s), jnp.zeros_like(over[0])
            first = jax.vmap(lambda d: local_difference_reconstruction(f, g, s, d, silent[1]))(below)
            second = jax.vmap(lambda d: local_difference_reconstruction(f, g, s, silent[0], d))(over)
            return first.mean() + second.mean()

        matrices.append(minimiser(loss, jnp.zeros((s.size, above.size))))
    return matrices


@in_float64
def learnt_target_propagation(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, noise: float = 0.1, beta: ArrayLike = 0.1
) -> Tree:
    """Target propagation whose feedback minimises L-DRL, which makes it backprop (row 71); error of order 2 in the noise."""
    states = tuple(circuit.forward(parameters, x)[1:])
    matrices = learnt_transposes(circuit, parameters, states, noise)
    feedback = [partial(Dense(above.shape, s.shape), m) for m, s, above in zip(matrices, states[:-1], states[1:], strict=True)]
    return target_propagation(circuit, objective, parameters, x, y, feedback, beta)
