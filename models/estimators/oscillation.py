"""Nudges that oscillate: the error signal is the first harmonic of the states (section 3.2; rows 55, 60)."""

from __future__ import annotations

import jax
from jax import numpy as jnp
from jax.typing import ArrayLike

from ..flow import flow
from ..kinds import Circuit, Nudge, Objective, Solver, Tree
from ..nudges import weak
from ..precision import in_float64
from ..solvers import Problem, newton
from .contrast import coincidences
from .estimator import needing
from .implicit import read_out


@in_float64
@needing(55, "adiabatic oscillation", "energy", "analytic")
def adiabatic_oscillation(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    beta: ArrayLike = 0.1,
    speed: float = 0.01,
    step: float = 0.1,
    nudge: Nudge = weak,
) -> Tree:
    """Turn the nudge in the complex plane while the states follow ``ds/dt = -(C + force)``, and lock in (row 55).

    ``beta(t) = beta exp(2 pi i t / T)``; the gradient is ``1 / T beta`` times the integral of
    ``exp(-2 pi i t / T) grad_parameters E`` over the second period, the real part of it. The phase's sign is that of
    erratum E5: with the paper's the integral vanishes.

    Parameters
    ----------
    beta : float
        Inside the radius of analyticity of the response: there, a slow turn is exact at finite beta.
    speed : float
        Relaxation time over the period T; the error is of order 2 in it.
    step : float
        Of the integration, in relaxation times.
    """
    period = 1 / speed

    def field(t, state, _):
        s, _ = state
        turn = jnp.exp(2j * jnp.pi * t / period)
        problem = nudge(Problem(circuit, parameters, x), None, objective, y, beta * turn)
        slopes = coincidences(problem, s)
        return jax.tree.map(jnp.negative, problem.residual(s)), jax.tree.map(lambda g: g / (turn * period * beta), slopes)

    s = jax.tree.map(lambda v: v + 0j, newton()(Problem(circuit, parameters, x)).states)
    nothing = jax.tree.map(lambda p: jnp.zeros_like(p) + 0j, parameters)
    s, _ = flow(field, (s, nothing), period, step)
    return jax.tree.map(jnp.real, flow(field, (s, nothing), period, step)[1])


@in_float64
def frequency_propagation(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    beta: ArrayLike = 0.1,
    steps: int = 64,
    solver: Solver | None = None,
    nudge: Nudge = weak,
) -> Tree:
    """An alternating nudge ``beta sin(phase)``: mean and first harmonic of the states, element by element (row 60).

    ``s ~ a + b sin(phase)``; the gradient is ``(dC/dparameters)^T b / beta`` at a: products of an element's steady and
    its alternating signals. Quasi-static: at every phase the states are at equilibrium.

    Parameters
    ----------
    steps : int
        Phases of a turn, a multiple of 4; with 4 it is the centered difference.
    solver : callable
        Of `solvers`; `newton()` if none.
    """
    wave = jnp.sin(2 * jnp.pi * jnp.arange(steps) / steps)
    problem, solver = Problem(circuit, parameters, x), solver or newton()
    free = solver(problem).states
    states = jax.lax.map(lambda w: solver(nudge(problem, free, objective, y, beta * w)).states, wave)
    steady = jax.tree.map(lambda v: v.mean(0), states)
    alternating = jax.tree.map(lambda v: 2 / (steps * beta) * jnp.tensordot(wave, v, axes=1), states)
    return read_out(circuit, parameters, x, steady, alternating)
