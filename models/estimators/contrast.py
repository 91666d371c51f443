"""Contrast of nudged states: a quadrature rule over nudges (section 3.1 to 3.3; rows 51 to 54, 58, 59, 61, 67)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from ..functions import gradient
from ..kinds import Circuit, Nudge, Objective, Solver, Tree
from ..nudges import weak
from ..precision import in_float64
from ..solvers import REST, Problem, newton
from .estimator import needing


class Stencil(NamedTuple):
    """Points and weights with ``f'(0) ~ sum_i weights_i f(points_i)``."""

    points: np.ndarray
    weights: np.ndarray


def one_sided(beta: ArrayLike) -> Stencil:
    """Two points, 0 and `beta` of any sign; error of order 1 (Eq. 8; row 51)."""
    return Stencil(np.array([0.0, 1.0]) * beta, np.array([-1.0, 1.0]) / beta)


def centered(beta: ArrayLike) -> Stencil:
    """Two points, ``+-beta``; error of order 2 (row 52)."""
    return Stencil(np.array([1.0, -1.0]) * beta, np.array([1.0, -1.0]) / (2 * beta))


def extrapolated(beta: ArrayLike) -> Stencil:
    """Four points, ``+-beta`` and ``+-beta/2``; error of order 4 (row 53)."""
    outer, inner = centered(beta), centered(beta / 2)
    return Stencil(np.concatenate([inner.points, outer.points]), np.concatenate([4 * inner.weights, -outer.weights]) / 3)


def fornberg(points: ArrayLike) -> Stencil:
    """Points of any place, real or complex, no two alike, with the weights that are exact for polynomials through them (row 53).

    Error of order ``len(points) - 1``, or one more where they lie symmetrically around 0. The other stencils here are such ones.

    Raises
    ------
    ValueError
        For fewer than two points, or two that are alike.
    """
    p = np.asarray(points)
    if p.ndim != 1 or len(np.unique(p)) < max(2, p.size):
        raise ValueError(f"points: {np.array2string(p, separator=', ')}; give two or more numbers, no two alike")
    weights = []
    for i, x in enumerate(p):
        others = np.delete(p, i)
        # the slope at 0 of the polynomial that is 1 at this point and 0 at the others
        slope = sum(np.prod(-np.delete(others, j)) for j in range(len(others)))
        weights.append(slope / np.prod(x - others))
    return Stencil(p, np.array(weights))


def roots_of_unity(beta: ArrayLike, points: int) -> Stencil:
    """`points` on a circle in the complex plane; error of order `points`, inside the radius of analyticity.

    The weights have the sign of erratum E5: with the paper's the integral vanishes (row 54).
    """
    turn = np.exp(2j * np.pi * np.arange(points) / points)
    return Stencil(beta * turn, 1 / (turn * points * beta))


@in_float64
def contrast(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    stencil: Stencil,
    nudge: Nudge = weak,
    solver: Solver | None = None,
) -> Tree:
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
    nudged, states = nudged_states(circuit, objective, parameters, x, y, stencil, nudge, solver)
    return jax.grad(weighted_energy)(parameters, nudged, stencil, inside_radius(circuit, stencil, states))


@in_float64
def contrast_surrogate(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    stencil: Stencil,
    nudge: Nudge = weak,
    solver: Solver | None = None,
) -> Array:
    """The scalar ``sum_i w_i E(s_(beta_i))``, whose derivative by the parameters, the states held, is `contrast`."""
    held = jax.lax.stop_gradient(parameters)
    nudged, states = nudged_states(circuit, objective, held, x, y, stencil, nudge, solver)
    return weighted_energy(parameters, nudged, stencil, jax.lax.stop_gradient(states))


@in_float64
@needing(51, "contrast of nudged states", "energy")
def nudged_states(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    stencil: Stencil,
    nudge: Nudge = weak,
    solver: Solver | None = None,
) -> tuple[Callable[[ArrayLike], Problem], Tree]:
    """A point of the stencil to its problem, and the solutions of all, stacked along a leading axis."""
    solver = solver or newton()
    problem = Problem(circuit, parameters, x)
    free = solver(problem).states

    def nudged(beta):
        return nudge(problem, free, objective, y, beta)

    return nudged, jax.lax.map(lambda beta: solver(nudged(beta)).states, jnp.asarray(stencil.points))


@in_float64
def inside_radius(circuit: Circuit, stencil: Stencil, states: Tree) -> Tree:
    """The states of `roots_of_unity`, or nan if the response is not analytic inside their circle (row 54).

    There its Fourier coefficients fall with their index, and those of negative index vanish: the one of index -1 must not reach that of
    index 1, which is the gradient's. Of three points and more; fewer cannot tell.
    """
    points = len(stencil.points)
    if not jnp.iscomplexobj(stencil.points) or points < 3:
        return states
    outputs = jax.vmap(circuit.output)(states).reshape(points, -1)
    seen = jnp.abs(jnp.fft.fft(outputs, axis=0)).max(1) / points
    outside = (seen[-1] >= seen[1]) & (seen[-1] > REST * (1 + seen[0]))
    return jax.tree.map(lambda v: jnp.where(outside, jnp.nan, v), states)


@in_float64
def weighted_energy(
    parameters: Tree, nudged: Callable[[ArrayLike], Problem], stencil: Stencil, states: Tree, mismatch: Tree = None
) -> Array:
    """``sum_i w_i E(parameters + mismatch_i, s_i)``, the real part.

    Parameters
    ----------
    nudged : callable
        A point of the stencil to its problem.
    states, mismatch : pytrees
        Stacked along a leading axis, one entry per point.
    """

    def term(beta, weight, s, mismatch):
        p = parameters if mismatch is None else jax.tree.map(jnp.add, parameters, mismatch)
        problem = nudged(beta)
        return (weight * problem.circuit.energy(parameters_like(s, p), s, problem.x)).real

    return jnp.sum(jax.vmap(term)(jnp.asarray(stencil.points), jnp.asarray(stencil.weights), states, mismatch))


@in_float64
@needing(67, "twin circuits", "energy")
def twin(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    stencil: Stencil,
    nudge: Nudge = weak,
    sweeps: int = 200,
    copies: Sequence[Tree] | None = None,
) -> Tree:
    """`contrast` by as many copies of the circuit as there are nudges, all at once: one phase, nothing stored (row 67).

    Parameters
    ----------
    nudge : callable
        Of `nudges`; the free circuit that some of them follow runs along.
    sweeps : int
        Of `relax`, the same for all copies.
    copies : sequence of pytrees, optional
        The parameters of each copy, to see what mismatch does; shared if none.
    """
    free = Problem(circuit, parameters, x)
    own = copies is not None
    copies = [free._replace(parameters=p) for p in (copies if own else [parameters] * len(stencil.points))]

    def nudged(reference):
        return [nudge(p, reference, objective, y, beta) for p, beta in zip(copies, stencil.points, strict=True)]

    def sweep(_, carry):
        reference, states = carry
        return free.sweep(reference), [p.sweep(s) for p, s in zip(nudged(reference), states, strict=True)]

    start = free.start()
    reference, states = jax.lax.fori_loop(0, sweeps, sweep, (start, [p.start() for p in nudged(start)]))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    mismatch = jax.tree.map(lambda p, *each: jnp.stack(each) - p, parameters, *[p.parameters for p in copies]) if own else None
    return jax.grad(weighted_energy)(parameters, lambda beta: nudge(free, reference, objective, y, beta), stencil, stacked, mismatch)


@in_float64
def coincidences(problem: Problem, s: Tree) -> Tree:
    """``grad_parameters E`` at the states `s`."""
    return gradient(lambda p: problem.circuit.energy(p, s, problem.x), parameters_like(s, problem.parameters))


def parameters_like(s: Tree, parameters: Tree) -> Tree:
    """Parameters in the number type of the states."""
    complex_states = any(jnp.iscomplexobj(v) for v in jax.tree.leaves(s))
    return jax.tree.map(lambda p: p + 0j, parameters) if complex_states else parameters
