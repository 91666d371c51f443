"""Contrast of nudged states: a quadrature rule over nudges (section 3.1 to 3.2 of the paper; rows 51 to 54, 58, 59)."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp

from ..circuits import gradient
from ..nudges import weak
from ..solvers import Problem, newton


class Stencil(NamedTuple):
    """Points and weights with ``f'(0) ~ sum_i weights_i f(points_i)``."""

    points: np.ndarray
    weights: np.ndarray


def one_sided(beta: float) -> Stencil:
    """Two points, 0 and `beta` of any sign; error of order 1 (Eq. 8; row 51)."""
    return Stencil(np.array([0.0, 1.0]) * beta, np.array([-1.0, 1.0]) / beta)


def centered(beta: float) -> Stencil:
    """Two points, ``+-beta``; error of order 2 (row 52)."""
    return Stencil(np.array([1.0, -1.0]) * beta, np.array([1.0, -1.0]) / (2 * beta))


def extrapolated(beta: float) -> Stencil:
    """Four points, ``+-beta`` and ``+-beta/2``; error of order 4 (row 53)."""
    outer, inner = centered(beta), centered(beta / 2)
    return Stencil(np.concatenate([inner.points, outer.points]), np.concatenate([4 * inner.weights, -outer.weights]) / 3)


def roots_of_unity(beta: float, points: int) -> Stencil:
    """`points` on a circle in the complex plane; error of order `points`, inside the radius of analyticity.

    The weights have the sign of erratum E5: with the paper's the integral vanishes (row 54).
    """
    turn = np.exp(2j * np.pi * np.arange(points) / points)
    return Stencil(beta * turn, 1 / (turn * points * beta))


def contrast(circuit, objective, parameters, x, y, stencil: Stencil, nudge=weak, solver=None):
    """``sum_i w_i grad_parameters F(beta_i, s_(beta_i))``, the derivative of the energy's response to the nudge.

    Parameters
    ----------
    stencil : Stencil
    nudge : callable
        Of `nudges`.
    solver : callable
        Of `solvers`; `newton()` if none.

    Returns
    -------
    pytree like the parameters
        The gradient; of a complex stencil the real part.
    """
    solver = solver or newton()
    problem = Problem(circuit, parameters, x)
    free = solver(problem).states

    def response(beta, weight):
        s = solver(nudge(problem, free, objective, y, beta)).states
        return jax.tree.map(lambda g: weight * g, gradient(lambda p: circuit.energy(p, s, x), parameters_like(s, parameters)))

    parts = jax.vmap(response)(stencil.points, stencil.weights)
    return jax.tree.map(lambda g: jnp.sum(g, 0).real, parts)


def parameters_like(s, parameters):
    """Parameters in the number type of the states."""
    complex_states = any(jnp.iscomplexobj(v) for v in jax.tree.leaves(s))
    return jax.tree.map(lambda p: p + 0j, parameters) if complex_states else parameters
