"""Other ways to a fixed point: mirror descent, gradient flow, Anderson's and Broyden's methods (rows 78 and 80).

Each makes a solver as those of `solvers`.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from .functions import add
from .precision import in_float64
from .solvers import Problem, Solution, solution, until_still


def gradient_flow(rate: float = 0.1, *, tolerance: float = 1e-13, limit: int = 20000) -> Callable:
    """Euler steps of ``ds/dt = -(C + force)``: of an energy, its steepest descent (row 80)."""
    return mirror_descent(rate, lambda s: s, lambda u: u, tolerance=tolerance, limit=limit)


def mirror_descent(rate: float, activation: Callable, inverse: Callable, *, tolerance: float = 1e-13, limit: int = 20000) -> Callable:
    """``u <- u - rate (C + force)``, ``s = f(u)``: states never leave the activation's range (row 78).

    Parameters
    ----------
    activation, inverse : callable
        ``f`` and its inverse, elementwise. With ``C = f^-1(s) - drive`` and rate 1 it is the fixed-point iteration.
    """

    @in_float64
    def solve(problem: Problem, start=None) -> Solution:
        s = problem.start() if start is None else start

        def step(u):
            return add(u, problem.residual(jax.tree.map(activation, u)), -rate)

        u, n, still = until_still(step, jax.tree.map(inverse, s), tolerance, limit)
        return solution(problem, jax.tree.map(activation, u), n, still)

    return solve


def anderson(memory: int = 5, *, damping: float = 1e-10, tolerance: float = 1e-13, limit: int = 500) -> Callable:
    """Anderson's acceleration: the next state is the combination of the last sweeps whose changes cancel best (row 80).

    Parameters
    ----------
    memory : int
        Sweeps that are combined.
    damping : float
        Tikhonov's, of the least-squares problem, relative to the changes' size.
    """

    @in_float64
    def solve(problem: Problem, start=None) -> Solution:
        flat, shape = ravel_pytree(problem.start() if start is None else start)

        def swept(v):
            return ravel_pytree(problem.sweep(shape(v)))[0]

        def go_on(carry):
            return (carry[3] < limit) & (carry[4] > tolerance)

        def step(carry):
            before, after, v, n, _ = carry
            new = swept(v)
            before, after = (jnp.roll(kept, 1, 0).at[0].set(one) for kept, one in ((before, v), (after, new)))
            changes = after - before
            there = jnp.arange(memory) <= n
            gram = jnp.where(there[:, None] & there, changes @ changes.T, 0) + jnp.diag(jnp.where(there, 0.0, 1.0))
            gram = gram + damping * jnp.trace(gram) * jnp.eye(memory)
            weights = jnp.where(there, jnp.linalg.solve(gram, there.astype(flat.dtype)), 0)
            combined = weights @ after / jnp.sum(weights)
            combined = jnp.where(jnp.all(jnp.isfinite(combined)), combined, new)
            return before, after, combined, n + 1, jnp.max(jnp.abs(new - v))

        empty = jnp.zeros((memory, flat.size), flat.dtype)
        _, after, _, n, change = jax.lax.while_loop(go_on, step, (empty, empty, flat, jnp.array(0), jnp.array(jnp.inf)))
        return solution(problem, shape(after[0]), n, change <= tolerance)

    return solve


def broyden(*, tolerance: float = 1e-13, limit: int = 500) -> Callable:
    """Broyden's method on ``sweep(s) - s``: an inverse Jacobian learned from the steps, started as the identity (row 80)."""

    @in_float64
    def solve(problem: Problem, start=None) -> Solution:
        flat, shape = ravel_pytree(problem.start() if start is None else start)

        def change(v):
            return ravel_pytree(problem.sweep(shape(v)))[0] - v

        def go_on(carry):
            return (carry[3] < limit) & (jnp.max(jnp.abs(carry[1])) > tolerance)

        def step(carry):
            v, r, inverse, n = carry
            moved = -inverse @ r
            new = v + moved
            after = change(new)
            learned = inverse @ (after - r)
            scale = moved @ learned
            rank_one = jnp.outer(moved - learned, moved @ inverse) / jnp.where(scale == 0, 1, scale)
            return new, after, inverse + rank_one * (scale != 0), n + 1

        v, r, _, n = jax.lax.while_loop(go_on, step, (flat, change(flat), -jnp.eye(flat.size), jnp.array(0)))
        return solution(problem, shape(v), n, jnp.max(jnp.abs(r)) <= tolerance)

    return solve
