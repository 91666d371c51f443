"""Dyads: every unit in two compartments, whose difference is the error signal (Eq. 10 and 13; rows 56, 57, 87, 88)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from ..functions import add
from ..kinds import Circuit, Objective, Solver, Tree
from ..nudges import output_force
from ..operators import inner, silent
from ..own import Own, from_residual
from ..precision import in_float64
from ..solvers import Problem, relaxation
from .estimator import needing


class Dyads(NamedTuple):
    """Both compartments of every unit: lists of K arrays, and the input.

    Attributes
    ----------
    x : array
    mean, difference : list of arrays
        ``alpha s+ + (1 - alpha) s-`` and ``s+ - s-``; the difference is beta times the error signal.
    """

    x: jax.Array
    mean: list
    difference: list


def up_and_down(layers: int) -> tuple:
    """Sweeps up from the input and back down; the output's dyad belongs to the upward sweep."""
    return range(layers), tuple(reversed(range(layers - 1)))


def odd_and_even(layers: int) -> tuple:
    """Layers 1, 3, .. at once, then 2, 4, ..: no layer waits for another (row 87)."""
    return range(0, layers, 2), range(1, layers, 2)


@in_float64
@needing(57, "dyads", "chain")
def dyads(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    alpha: float = 0.0,
    beta: ArrayLike = 1.0,
    sweeps: int = 2,
    weighted: bool = True,
    adversarial: bool = False,
    order: Callable = up_and_down,
) -> Dyads:
    """Solve dual propagation's fixed point, by default in the Lagrangian form DP^T (Eq. 10 and 13; rows 57 and 87).

    ``s+ = f(W mean_below + (1 - alpha) V)``, ``s- = f(W mean_below - alpha V)`` with
    ``V = W_above^T difference_above`` in hidden layers and ``-beta dO/ds`` at the output's inference state.

    Parameters
    ----------
    alpha : float
        0 to 1.
    beta : float
        Nudging strength.
    sweeps : int
        Sweeps of `order`: 2 is one forward and one backward sweep, as on the chip; for alpha 0 and 1 that is the fixed
        point, since the mean then equals the inference state.
    weighted : bool
        False leaves out the factors ``1 - alpha`` and ``alpha`` of the hidden layers' feedback, as the paper's
        text after Eq. 13 prints (erratum E9): wrong, kept to show it.
    adversarial : bool
        The relaxed-adversarial form of 2023, which swaps these factors (row 56, erratum E12). The mean then is the
        inference state for alpha 1/2 alone.
    order : callable
        Number of layers to a pair of sweeps, each the layers in turn.
    """
    joined, last = circuit.maps, circuit.layers - 1
    shares = (alpha, 1 - alpha) if adversarial else (1 - alpha, alpha)

    def solve(k, mean, difference):
        a, f = joined[k](parameters[k], mean[k - 1] if k else x), circuit.neuron(k)
        plus, minus = shares if weighted or k == last else (1.0, 1.0)
        v = -beta * jax.grad(objective)(f(a), y) if k == last else joined[k + 1].transposed(parameters[k + 1], difference[k + 1])
        up, down = f(a + plus * v), f(a - minus * v)
        mean[k], difference[k] = alpha * up + (1 - alpha) * down, up - down

    def run(sweeps, state):
        mean, difference = map(list, state)
        for layers in sweeps:
            for k in layers:
                solve(k, mean, difference)
        return mean, difference

    pair = order(circuit.layers)
    zeros = list(silent(joined, (), jnp.zeros(0)))
    state = run(pair[:sweeps], (zeros, zeros))
    if sweeps > 3:
        state = jax.lax.fori_loop(1, sweeps // 2, lambda _, state: run(pair, state), state)
    if sweeps > 2:
        state = run(pair[: sweeps % 2], state)
    return Dyads(x, *state)


@in_float64
def dual_propagation(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    alpha: float = 0.0,
    beta: ArrayLike = 1.0,
    sweeps: int = 2,
    weighted: bool = True,
    adversarial: bool = False,
    order: Callable = up_and_down,
) -> Tree:
    """The gradient of the dyads: ``-difference outer mean_below / beta`` (rows 56, 57 and 87); arguments of `dyads`."""
    return jax.grad(dual_surrogate, 2)(circuit, objective, parameters, x, y, alpha, beta, sweeps, weighted, adversarial, order)


@in_float64
def dual_surrogate(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    alpha: float = 0.0,
    beta: ArrayLike = 1.0,
    sweeps: int = 2,
    weighted: bool = True,
    adversarial: bool = False,
    order: Callable = up_and_down,
) -> Array:
    """The scalar ``-sum difference W mean_below / beta``, whose derivative by W alone is `dual_propagation`."""
    held = jax.lax.stop_gradient(parameters)
    d = jax.lax.stop_gradient(dyads(circuit, objective, held, x, y, alpha, beta, sweeps, weighted, adversarial, order))
    below = [d.x, *d.mean[:-1]]
    return -sum(inner(e, a) for e, a in zip(d.difference, circuit.drives(parameters, below), strict=True)) / beta


@in_float64
def stored_propagation(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, beta: ArrayLike = 1.0) -> Tree:
    """Dual propagation with the forward states kept: Eq. 13 as it stands, before the mean takes their place (row 87).

    ``s+- = f(W s_below +- 1/2 W_above^T difference_above)``: one sweep down, which has to follow the one up.
    """
    states = circuit.forward(parameters, x)
    v, g = -beta * jax.grad(objective)(states[-1], y), []
    for k in reversed(range(circuit.layers)):
        a, f = circuit.maps[k](parameters[k], states[k]), circuit.neuron(k)
        difference = f(a + v / 2) - f(a - v / 2)
        g.append(jax.tree.map(lambda c: -c / beta, circuit.maps[k].correlated(parameters[k], states[k], difference)))
        v = circuit.maps[k].transposed(parameters[k], difference)
    return tuple(reversed(g))


@needing(88, "dyads anywhere", "neurons")
def dyad_circuit(circuit: Circuit, objective: Objective, y: ArrayLike, alpha: float = 0.5, beta: ArrayLike = 0.1) -> Own:
    """The dyads of any circuit of neurons as a circuit of their own, for any solver (row 88).

    States are the pair (mean, difference), each like the circuit's:
    ``s+- = fire(drive(mean) + (1 - alpha or -alpha) V)`` with ``V = drive'^T difference - beta dO/ds`` at
    ``fire(drive(mean))``. `drive` is linear in the states, so that its transpose is the transposed weights.
    """

    def relax(parameters, s, x, force):
        mean, difference = s
        a, transposed = jax.vjp(lambda m: circuit.drive(parameters, m, x), mean)
        v = add(transposed(difference)[0], output_force(circuit, objective, y, -beta)(circuit.fire(a)))
        up, down = circuit.fire(add(a, v, 1 - alpha)), circuit.fire(add(a, v, -alpha))
        return add((add(down, add(up, down, -1.0), alpha), add(up, down, -1.0)), force, -1.0)

    def residual(parameters, s, x):
        return add(s, relax(parameters, s, x, jax.tree.map(jnp.zeros_like, s)), -1.0)

    def start(parameters, x):
        s = circuit.start(parameters, x)
        return s, jax.tree.map(jnp.zeros_like, s)

    def output(s):
        return circuit.output(s[0])

    def with_output(s, o):
        return circuit.with_output(s[0], o), s[1]

    return from_residual(residual, start, relax, output=output, with_output=with_output)


@in_float64
def dyads_anywhere(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    alpha: float = 0.5,
    beta: ArrayLike = 0.1,
    solver: Solver | None = None,
) -> Tree:
    """The gradient of the dyads of any connectivity, weights need not be symmetric: ``-drive_parameters^T difference / beta``.

    No derivative of an activation enters. Row 88, section 3.3 (outlook); on a chain the fixed point of row 57.

    Parameters
    ----------
    solver : callable
        Of `solvers`; `relaxation()` if none.
    """
    problem = Problem(dyad_circuit(circuit, objective, y, alpha, beta), parameters, x)
    mean, difference = (solver or relaxation())(problem).states
    _, transposed = jax.vjp(lambda p: circuit.drive(p, mean, x), parameters)
    return jax.tree.map(lambda g: -g / beta, transposed(difference)[0])
