"""Predictive coding: the nudged minimum of half the squared residual (section 3.4, Eq. 11; row 68)."""

from __future__ import annotations

import jax
from jax import numpy as jnp
from jax.typing import ArrayLike

from ..kinds import Circuit, Objective, Solver, Tree
from ..nudges import weak
from ..own import Own, from_energy
from ..precision import in_float64
from ..solvers import Problem, newton
from .contrast import coincidences
from .estimator import needing


def residual_energy(circuit: Circuit, rate: float = 0.1) -> Own:
    """The circuit whose energy is ``1/2 |C|**2`` of another: any circuit becomes one with an energy, zero when free.

    Parameters
    ----------
    rate : float
        Step of its relaxation, gradient descent.
    """

    def energy(parameters, s, x):
        return sum(jnp.sum(c**2) for c in jax.tree.leaves(circuit.residual(parameters, s, x))) / 2

    def start(parameters, x):
        s = circuit.start(parameters, x)
        return circuit.relax(parameters, s, x, jax.tree.map(jnp.zeros_like, s))  # a chain starts at its solution

    return from_energy(
        energy, start, rate=rate, output=circuit.output, with_output=circuit.with_output, capabilities=circuit.capabilities & {"analytic"}
    )


@in_float64
def predictive_coding(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    beta: ArrayLike = 0.1,
    solver: Solver | None = None,
) -> Tree:
    """One nudged state of the residual's energy: ``(dC/dparameters)^T C / beta`` there, C the prediction errors.

    In a circuit ``C = s - f(s)`` that is ``-(df/dparameters)^T (s - f) / beta``: the paper's Eq. 11 lacks the sign
    (erratum E7). Row 68; error of order 1.

    Parameters
    ----------
    beta : float
        Nudging strength.
    solver : callable
        Of `solvers`, from the free states on; Newton steps if none.
    """
    free = newton()(Problem(circuit, parameters, x)).states
    problem = weak(Problem(residual_energy(circuit), parameters, x), free, objective, y, beta)
    s = (solver or newton(limit=0, steps=8))(problem).states
    return jax.tree.map(lambda g: g / beta, coincidences(problem, s))


@in_float64
@needing(68, "predictive coding that is backprop", "chain")
def zero_divergence(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, beta: ArrayLike = 1.0) -> Tree:
    """Predictive coding that equals backprop: from the forward states, with unit steps, and every layer of a chain
    read in the very sweep in which its error first appears, when nothing below it has moved yet (row 68).

    Any `beta` gives the same gradient.
    """
    start = tuple(circuit.forward(parameters, x)[1:])
    problem = weak(Problem(residual_energy(circuit, rate=1.0), parameters, x), None, objective, y, beta)

    def sweep(s, _):
        s = problem.sweep(s)
        return s, coincidences(problem, s)

    _, read = jax.lax.scan(sweep, start, length=len(start))
    return tuple(g[-1 - k] / beta for k, g in enumerate(read))
