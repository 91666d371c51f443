"""Nudges: how the objective enters the circuit.

A nudge is a function ``nudge(problem, free, objective, y, beta) -> Problem``: the free problem and its solution to the
nudged problem, which starts from that solution: a net with several equilibria stays near its own.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax import numpy as jnp
from jax.typing import ArrayLike

from .circuits import forced
from .functions import add, gradient
from .kinds import Circuit, Objective, Tree
from .own import from_residual
from .precision import in_float64
from .solvers import Problem


def output_force(circuit: Circuit, objective: Objective, y: ArrayLike, beta: ArrayLike) -> Callable[[Tree], Tree]:
    """The force ``beta * grad_s objective``: a function of the states."""

    def force(s):
        zeros = jax.tree.map(lambda v: jnp.zeros_like(v, jnp.result_type(v, beta)), s)
        return circuit.with_output(zeros, beta * gradient(lambda o: objective(o, y), circuit.output(s)))

    return force


def weak(problem: Problem, free: Tree, objective: Objective, y: ArrayLike, beta: ArrayLike) -> Problem:
    """``C + beta grad objective = 0``: the derivative of the states by beta is the error signal (Eq. 9; row 62)."""
    return problem._replace(force=output_force(problem.circuit, objective, y, beta), begin=free)


@in_float64
def clamped(problem: Problem, free: Tree, objective: Objective, y: ArrayLike, beta: ArrayLike) -> Problem:
    """The output held at ``(1 - beta) free + beta y`` (rows 58 and 59); `beta` 1 is contrastive Hebbian learning."""
    return problem._replace(clamp=(1 - beta) * problem.circuit.output(free) + beta * y, begin=free)


def strong(problem: Problem, free: Tree, objective: Objective, y: ArrayLike, beta: ArrayLike) -> Problem:
    """``grad objective + beta C = 0``: objective and constraint swapped, beta now weighs the energy (row 63).

    Relaxation diverges for small `beta`; start `newton(limit=0)` from the clamped solution.
    """
    return weak(problem, free, objective, y, 1 / beta)


def controller(leak: float = 1.0, rate: float = 0.1) -> Callable:
    """A nudge by a controller of the output: ``tau du/dt = -leak u - beta grad objective``, u the force on the output (row 61).

    With a leak its steady state is weak nudging at ``beta / leak``; without one, ``grad objective = 0`` at finite u.

    Parameters
    ----------
    leak : float
        1 for the paper's low-pass form, 0 for the pure integral.
    rate : float
        ``dt / tau``: the controller's step for every sweep of the circuit.

    Returns
    -------
    callable
        A nudge. States of its problem are the pair (circuit's states, u).
    """

    def nudge(problem: Problem, free, objective, y, beta) -> Problem:
        circuit = problem.circuit

        def push(s, u):
            return circuit.with_output(jax.tree.map(jnp.zeros_like, s), -u)

        def relax(parameters, states, x, force):
            s, u = states
            s = circuit.relax(parameters, s, x, add(force[0], push(s, u)))
            return s, u - rate * (decay(s, u) + force[1])

        def decay(s, u):
            return leak * u + beta * gradient(lambda o: objective(o, y), circuit.output(s))

        def residual(parameters, states, x):
            s, u = states
            return forced(circuit, parameters, s, x, push(s, u)), decay(s, u)

        def start(parameters, x):
            s = circuit.start(parameters, x)
            return s, jnp.zeros_like(circuit.output(s))

        # the energy reads the parameters' derivative; the pair has no energy of its own
        lifted = from_residual(
            residual,
            start,
            relax,
            output=lambda states: circuit.output(states[0]),
            with_output=lambda states, o: (circuit.with_output(states[0], o), states[1]),
            energy=lambda parameters, states, x: circuit.energy(parameters, states[0], x),
        )
        return problem._replace(circuit=lifted)

    return nudge
