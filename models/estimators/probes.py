"""Probes: the gradient from the change of the cost along random directions (section 2.2; rows 29 to 34)."""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax import Array
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from ..functions import add
from ..kinds import Circuit, Objective, Solver, Tree
from ..precision import in_float64
from ..solvers import Problem, newton, relaxation
from .implicit import cost, read_out


def _draw(distribution, key, tree):
    flat, shape = ravel_pytree(jax.tree.map(lambda v: jnp.zeros(v.shape), tree))
    return shape(distribution(key, flat.shape, float))


@in_float64
def probes(key: Array, parameters: Tree) -> Tree:
    """A direction of independent signs, shaped like the parameters."""
    return _draw(jax.random.rademacher, key, parameters)


@in_float64
def gaussian(key: Array, parameters: Tree) -> Tree:
    """A direction of independent normal entries of unit variance, shaped like the parameters."""
    return _draw(jax.random.normal, key, parameters)


@in_float64
def inner(a: Tree, b: Tree) -> Array:
    """Inner product of two pytrees."""
    return jnp.vdot(ravel_pytree(a)[0], ravel_pytree(b)[0])


@in_float64
def scaled(u: Tree, factor: ArrayLike) -> Tree:
    """``factor * u``, leaf by leaf."""
    return jax.tree.map(lambda v: factor * v, u)


def averaged(one: Callable[[Array], Tree], key: Array, directions: int) -> Tree:
    """The mean of ``one(key)`` over so many keys."""
    return jax.tree.map(lambda g: g.mean(0), jax.vmap(one)(jax.random.split(key, directions)))


@in_float64
def spsa_slopes(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, directions: Tree, epsilon: ArrayLike
) -> Array:
    """``[J(W + epsilon u) - J(W - epsilon u)] / 2 epsilon`` for directions u stacked on a leading axis."""

    def moved(step, u):
        return cost(circuit, objective, add(parameters, u, step), x, y)

    return jax.vmap(lambda u: (moved(epsilon, u) - moved(-epsilon, u)) / (2 * epsilon))(directions)


@in_float64
def spsa(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    key: Array,
    epsilon: ArrayLike = 1e-3,
    directions: int = 1,
) -> Tree:
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
    return jax.tree.map(lambda d: jnp.tensordot(slopes, d, axes=1) / directions, u)


@in_float64
def directional_derivative(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, direction: Tree) -> Array:
    """``g . u``, the derivative of the cost along a direction, of one pass in forward mode: no probe size, no bias (row 30)."""
    return jax.jvp(lambda p: cost(circuit, objective, p, x, y), (parameters,), (direction,))[1]


@in_float64
def forward_gradient(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    key: Array,
    directions: int = 1,
    draw: Callable[[Array, Tree], Tree] = gaussian,
) -> Tree:
    """The mean of ``(g . u) u``, unbiased (section 2.2; row 30).

    Parameters
    ----------
    key : jax.random key
    directions : int
        How many are averaged; the relative variance is ``(P + 1) / directions`` for `gaussian`, ``P - 1`` for `probes`.
    draw : callable
        ``draw(key, parameters)``, a direction of unit variance (erratum E2: divide by another one).
    """

    def one(key):
        u = draw(key, parameters)
        return scaled(u, directional_derivative(circuit, objective, parameters, x, y, u))

    return averaged(one, key, directions)


@in_float64
def in_place_slope(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    key: Array,
    epsilon: ArrayLike = 1e-3,
    unit: float = 1.0,
) -> tuple[Array, Tree]:
    """SPSA that stores no direction: the parameters move by ``+e, -2e, +e`` along signs drawn anew from the key (row 31).

    Parameters
    ----------
    parameters : pytree of float or int arrays
        With integers the parameters return bit for bit, with floats to an ulp a step.
    key : jax.random key
        All that is kept of the direction: `probes` of it.
    epsilon : float or int
        In the parameters' own unit.
    unit : float
        What 1 in the parameters stands for: ``2**-fraction_bits``.

    Returns
    -------
    tuple
        The slope along the direction, and the parameters after their return.
    """

    def move(parameters, step):
        return jax.tree.map(lambda p, u: p + step * u.astype(p.dtype), parameters, probes(key, parameters))

    def seen(parameters):
        return cost(circuit, objective, scaled(parameters, unit), x, y)

    parameters = move(parameters, epsilon)
    up = seen(parameters)
    parameters = move(parameters, -2 * epsilon)
    down = seen(parameters)
    return (up - down) / (2 * epsilon * unit), move(parameters, epsilon)


@in_float64
def guided_gradient(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, direction: Tree) -> Tree:
    """``(g . u) u / |u|^2``: the gradient's projection on a learned or guessed direction (section 2.2; row 33).

    Parameters
    ----------
    direction : like `parameters`
        From a local loss, say (`greedy`), or a predictor. It costs one pass in forward mode.
    """
    return scaled(direction, directional_derivative(circuit, objective, parameters, x, y, direction) / inner(direction, direction))


@in_float64
def node_error(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    states: Tree,
    direction: Tree,
    epsilon: ArrayLike,
    solver: Solver,
) -> Tree:
    """``(v . error) v`` for a direction v of the states, like `states`: with ``C(s) + step v = 0``, ``dO/dstep`` is ``v . error``.

    Parameters
    ----------
    states : like the circuit's
        The solution without a perturbation, from where the perturbed ones are sought.
    epsilon : float
        The probe, seen with both signs: the bias is of order ``epsilon**2``.
    solver : callable
        Of `solvers`.
    """

    def moved(step):
        problem = Problem(circuit, parameters, x, lambda _: scaled(direction, step))
        return objective(circuit.output(solver(problem, states).states), y)

    return scaled(direction, (moved(epsilon) - moved(-epsilon)) / (2 * epsilon))


@in_float64
def node_perturbation(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    key: Array,
    epsilon: ArrayLike = 1e-3,
    directions: int = 1,
    draw: Callable[[Array, Tree], Tree] = gaussian,
    solver: Solver | None = None,
) -> Tree:
    """Node perturbation: the error signal estimated along directions of the states, then read out as ever (row 32).

    Parameters
    ----------
    key : jax.random key
    epsilon : float
        The probe of the states.
    directions : int
        How many are averaged; the error signal's relative variance is ``(n + 1) / directions`` with n states.
    draw : callable
        ``draw(key, states)``, a direction of unit variance (erratum E2: divide by another one).
    solver : callable
        Of `solvers`; if none, one sweep on a triangular circuit and `newton()` otherwise.
    """
    solver = solver or (relaxation(1) if "triangular" in circuit.capabilities else newton())
    states = solver(Problem(circuit, parameters, x)).states

    def one(key):
        return node_error(circuit, objective, parameters, x, y, states, draw(key, states), epsilon, solver)

    return read_out(circuit, parameters, x, states, averaged(one, key, directions))
