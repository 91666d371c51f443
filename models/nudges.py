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


def controller(leak: float = 1.0, rate: float = 0.1, proportional: float = 0.0, delay: int = 0) -> Callable:
    """A nudge by a controller of the output: ``tau du/dt = -leak u - beta grad objective``, u a current into the output (row 61).

    The output gets ``u - proportional beta grad objective``. With a leak the steady state is weak nudging at
    ``beta (1 / leak + proportional)``; without one, ``grad objective = 0`` at finite u. A delay leaves it where it is, but bounds the
    rate: an integrator of an output that follows its current at once oscillates from ``2 sin(pi / (4 delay + 2))`` on.

    Parameters
    ----------
    leak : float
        1 for the paper's low-pass form, 0 for the pure integral.
    rate : float
        ``dt / tau``: the controller's step for every sweep of the circuit.
    proportional : float
        The share that follows the gradient at once.
    delay : int
        Sweeps until the controller's current is at the output.

    Returns
    -------
    callable
        A nudge. States of its problem are (circuit's states, u), with a delay (circuit's states, u, currents under way).
    """
    if delay < 0:
        raise ValueError(f"delay: {delay}; allowed are whole numbers of sweeps from 0")

    def nudge(problem: Problem, free, objective, y, beta) -> Problem:
        circuit = problem.circuit

        def slope(s):
            return beta * gradient(lambda o: objective(o, y), circuit.output(s))

        def push(s, current):
            return circuit.with_output(jax.tree.map(jnp.zeros_like, s), -current)

        def current(s, u):
            return u - proportional * slope(s) if proportional else u

        def relax(parameters, states, x, force):
            s, u, *way = states
            given = current(s, u)
            new = circuit.relax(parameters, s, x, add(force[0], push(s, way[0][0] if delay else given)))
            turned = u - rate * (decay(new, u) + force[1])
            return (new, turned, jnp.concatenate([way[0][1:], given[None]])) if delay else (new, turned)

        def decay(s, u):
            return leak * u + slope(s)

        def residual(parameters, states, x):
            s, u, *way = states
            left = forced(circuit, parameters, s, x, push(s, way[0][0] if delay else current(s, u))), decay(s, u)
            return (*left, way[0] - jnp.concatenate([way[0][1:], current(s, u)[None]])) if delay else left

        def start(parameters, x):
            s = circuit.start(parameters, x)
            o = circuit.output(s)
            return (s, jnp.zeros_like(o), jnp.zeros((delay, *o.shape), o.dtype)) if delay else (s, jnp.zeros_like(o))

        # the energy reads the parameters' derivative; the pair has no energy of its own
        lifted = from_residual(
            residual,
            start,
            relax,
            output=lambda states: circuit.output(states[0]),
            with_output=lambda states, o: (circuit.with_output(states[0], o), *states[1:]),
            energy=lambda parameters, states, x: circuit.energy(parameters, states[0], x),
        )
        return problem._replace(circuit=lifted)

    return nudge
