"""Implicit differentiation: the error signal from the second circuit of Eq. 2."""

from __future__ import annotations

import jax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from .. import soundness
from ..functions import add
from ..kinds import Circuit, Objective, Solver, Tree
from ..linear import solve
from ..nudges import output_force
from ..precision import in_float64
from ..solvers import Problem, newton


@in_float64
def triangular_multipliers(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike) -> list[Array]:
    """Backprop: the error signal of a chain, solved block by block from the output down (row 20).

    ``lambda = -(dC/ds)^-T dO/ds``: the paper's sentence on backprop (section 2.2) prints O for its derivative (erratum E1).
    The transposed system of Eq. 2 is triangular there. Its Jacobians are JAX's, of the circuit's own `residual`.

    Returns
    -------
    list of arrays
        One vector per layer.
    """
    states = circuit.forward(parameters, x)[1:]
    _, transposed = jax.vjp(lambda *s: circuit.residual(parameters, s, x), *states)
    nudge = [jnp.zeros_like(s) for s in states[:-1]] + [-jax.grad(objective)(states[-1], y)]
    multipliers = [jnp.zeros_like(s) for s in states]
    for k in reversed(range(len(states))):
        # dC_k/ds_k = 1 in a feedforward circuit: what is missing from row k is lambda_k itself
        multipliers[k] = nudge[k] - transposed(tuple(multipliers))[k]
    return multipliers


@in_float64
def multipliers(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, states: Tree) -> Tree:
    """The error signal of Eq. 2 for any circuit, the solution of ``(dC/ds)^T lambda + dO/ds = 0``, like `states` (row 21)."""
    return _solved(circuit, parameters, x, states, output_force(circuit, objective, y, -1.0)(states), transposed=True)


@in_float64
def neumann_multipliers(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, states: Tree, terms: int, rate: float = 1.0
) -> Tree:
    """The error signal by a series: ``lambda <- lambda - rate ((dC/ds)^T lambda + dO/ds)`` from zero, `terms` times (row 22).

    Recurrent backprop; with ``C = s - f(s)`` and rate 1 the terms are powers of the transposed Jacobian of f, with a smaller rate it is
    the phantom gradient. Also Euler's steps of the second circuit's own dynamics (row 2).
    """
    _, transposed = jax.vjp(lambda s: circuit.residual(parameters, s, x), states)
    force = output_force(circuit, objective, y, 1.0)(states)

    def step(_, error):
        return add(error, add(transposed(error)[0], force), -rate)

    return jax.lax.fori_loop(0, terms, step, jax.tree.map(jnp.zeros_like, states))


@in_float64
def response(circuit: Circuit, parameters: Tree, x: ArrayLike, states: Tree, direction: Tree) -> Tree:
    """Return how the solution moves with the parameters: ``-(dC/ds)^-1 dC/dparameters direction``, like `states` (row 5)."""
    _, moved = jax.jvp(lambda p: circuit.residual(p, states, x), (parameters,), (direction,))
    return jax.tree.map(jnp.negative, _solved(circuit, parameters, x, states, moved))


def _solved(circuit, parameters, x, states, right, transposed: bool = False):
    """``(dC/ds)^-1 right``, or of the transposed Jacobian."""
    import lineax  # slow to import, and what is triangular does without

    jacobian = lineax.JacobianLinearOperator(lambda s, _: circuit.residual(parameters, s, x), states)
    return solve(jacobian.T if transposed else jacobian, right)


@in_float64
def read_out(circuit: Circuit, parameters: Tree, x: ArrayLike, states: Tree, error: Tree) -> Tree:
    """``(dC/dparameters)^T lambda``: what an error signal means for the parameters."""
    _, transposed = jax.vjp(lambda p: circuit.residual(p, states, x), parameters)
    return transposed(error)[0]


@in_float64
def exact_gradient(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, solver: Solver | None = None
) -> Tree:
    """The exact implicit gradient of ``objective(output at the solution, y)``, the oracle of the cookbook (rows 20, 21).

    Parameters
    ----------
    solver : callable
        Of `solvers`, for the solution of circuits that are not triangular; `newton()` if none.

    Raises
    ------
    ValueError
        For a circuit of one's own that contradicts itself (`check_circuit`).
    """
    soundness.once("exact_gradient", circuit, parameters, x)
    return read_out(circuit, parameters, x, *signal(circuit, objective, parameters, x, y, solver))


@in_float64
def exact_surrogate(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, solver: Solver | None = None
) -> Array:
    """The scalar ``lambda . C``, whose derivative by the parameters, states and error signal held, is `exact_gradient`."""
    held = jax.lax.stop_gradient(parameters)
    states, error = jax.lax.stop_gradient(signal(circuit, objective, held, x, y, solver))
    found = circuit.residual(parameters, states, x)
    return sum(jnp.sum(e * c) for e, c in zip(jax.tree.leaves(error), jax.tree.leaves(found), strict=True))


@in_float64
def signal(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, solver: Solver | None = None
) -> tuple[Tree, Tree]:
    """The solution and its error signal."""
    if "triangular" in circuit.capabilities:
        states = tuple(circuit.forward(parameters, x)[1:])
        error = tuple(triangular_multipliers(circuit, objective, parameters, x, y))
    else:
        states = (solver or newton())(Problem(circuit, parameters, x)).states
        error = multipliers(circuit, objective, parameters, x, y, states)
    return states, error


@in_float64
def clamp_gradient(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, solver: Solver | None = None
) -> Tree:
    """Return what clamped outputs estimate: the adjoint gradient with the cost's gradient replaced by ``H_eff (o - y)`` (row 59).

    ``H_eff`` is the Schur complement of the energy's Hessian on the outputs: the stiffness that the clamp feels.
    """
    states = (solver or newton())(Problem(circuit, parameters, x)).states

    def clamped_force(target):
        """The energy's derivative by a clamped output, the inner states at equilibrium."""
        s = (solver or newton())(Problem(circuit, parameters, x, clamp=target)).states
        return circuit.output(circuit.residual(parameters, s, x))

    o = circuit.output(states)
    stiffness = jax.jacfwd(lambda o: clamped_force(o))(o)
    return exact_gradient(circuit, lambda v, _: (stiffness @ (o - y)) @ v, parameters, x, y, solver)


@in_float64
def cost(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, solver: Solver | None = None) -> Array:
    """The objective at the circuit's solution: what the gradients are of (row 1)."""
    if "triangular" in circuit.capabilities:
        return objective(circuit.forward(parameters, x)[-1], y)
    return objective(circuit.output((solver or newton())(Problem(circuit, parameters, x)).states), y)
