"""Nudges: how the objective enters the circuit.

A nudge is a function ``nudge(problem, free, objective, y, beta) -> Problem``: the free problem and its solution to the
nudged problem.
"""

from __future__ import annotations

import jax
from jax import numpy as jnp

from .circuits import gradient
from .solvers import Problem


def output_force(circuit, objective, y, beta):
    """The force ``beta * grad_s objective``: a function of the states."""
    def force(s):
        zeros = jax.tree.map(lambda v: jnp.zeros_like(v, jnp.result_type(v, beta)), s)
        return circuit.with_output(zeros, beta * gradient(lambda o: objective(o, y), circuit.output(s)))

    return force


def weak(problem: Problem, free, objective, y, beta) -> Problem:
    """``C + beta grad objective = 0``: the derivative of the states by beta is the error signal (Eq. 9; row 62)."""
    return problem._replace(force=output_force(problem.circuit, objective, y, beta))


def clamped(problem: Problem, free, objective, y, beta) -> Problem:
    """The output held at ``(1 - beta) free + beta y`` (rows 58 and 59); `beta` 1 is contrastive Hebbian learning."""
    return problem._replace(clamp=(1 - beta) * problem.circuit.output(free) + beta * y)
