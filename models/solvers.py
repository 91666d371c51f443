"""Solvers: how a stationary point is reached.

A solver is a function ``solve(problem, start) -> Solution``; the functions here make them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from .circuits import forced
from .functions import add
from .kinds import Tree
from .linear import from_products, is_small
from .precision import in_float64


class Problem(NamedTuple):
    """A problem ``C(s) + force(s) = 0``, the output held at `clamp` if there is one.

    Attributes
    ----------
    circuit, parameters, x
        Of the constraint C.
    force : callable
        States to what is added to C; the derivative of ``beta * objective``, say.
    clamp : array, optional
    begin : pytree, optional
        States to start from; the circuit's own start if none.
    """

    circuit: Any
    parameters: Any
    x: Any
    force: Callable | None = None
    clamp: Any = None
    begin: Any = None

    def residual(self, s: Tree) -> Tree:
        """Return what is to vanish, like `s`."""
        if self.force is None:
            c = self.circuit.residual(self.parameters, s, self.x)
        else:
            c = forced(self.circuit, self.parameters, s, self.x, self.force(s))
        return c if self.clamp is None else self.circuit.with_output(c, self.circuit.output(s) - self.clamp)

    def sweep(self, s: Tree) -> Tree:
        """`s` after one relaxation of the circuit."""
        force = jax.tree.map(jnp.zeros_like, s) if self.force is None else self.force(s)
        s = self.circuit.relax(self.parameters, s, self.x, force)
        return s if self.clamp is None else self.circuit.with_output(s, self.clamp)

    def start(self) -> Tree:
        """Return states to start from, in the number type of the problem, the output clamped."""
        s = self.circuit.start(self.parameters, self.x) if self.begin is None else self.begin
        s = s if self.clamp is None else self.circuit.with_output(s, self.clamp)
        return jax.tree.map(lambda v, w: v.astype(jnp.result_type(v, w)), s, jax.eval_shape(self.sweep, s))


class Solution(NamedTuple):
    """States, how many sweeps they took, and the largest entry of the residual there.

    A solver that works up to a tolerance gives nan for states that did not settle: nothing that is made of them can pass for a result.
    """

    states: Any
    sweeps: Any
    residual: Any


REST = 1e-6
"""Largest residual of states at rest, relative to their size where that is above 1."""


def size(tree: Tree) -> jax.Array:
    """Largest magnitude in a pytree."""
    return jnp.max(jnp.abs(ravel_pytree(tree)[0]))


def settled(states: Tree, residual: Array, still: ArrayLike = False) -> Tree:
    """States at rest, or nan in place of states that are not: of small residual, or `still`, as a solver found that moves them no more.

    The latter, for the residual of a saturated unit is rounding alone.
    """
    largest = size(states)
    rest = (still | (residual <= REST * jnp.maximum(1, largest))) & jnp.isfinite(largest)
    return jax.tree.map(lambda v: jnp.where(rest, v, jnp.nan), states)


def solution(problem: Problem, states: Tree, sweeps: ArrayLike, still: ArrayLike) -> Solution:
    """The states that a solver ended with, if they are at rest."""
    residual = size(problem.residual(states))
    return Solution(settled(states, residual, still), sweeps, residual)


def relaxation(sweeps: int | None = None, *, tolerance: float = 1e-13, limit: int = 5000) -> Callable:
    """Fixed-point sweeps of the circuit's own `relax`: `sweeps` of them, or until they change less than `tolerance`."""

    @in_float64
    def solve(problem: Problem, start=None) -> Solution:
        s = problem.start() if start is None else start
        if sweeps is not None:
            s = jax.lax.fori_loop(0, sweeps, lambda _, s: problem.sweep(s), s)
            return Solution(s, sweeps, size(problem.residual(s)))

        return solution(problem, *until_still(problem.sweep, s, tolerance, limit))

    return solve


def until_still(step: Callable, s: Tree, tolerance: float, limit: int) -> tuple[Tree, Array, Array]:
    """Steps until they change the states less than `tolerance`: the states, how many steps, and whether it came to that."""

    def go_on(carry):
        return (carry[1] < limit) & (carry[2] > tolerance)

    def once(carry):
        s, n, _ = carry
        new = step(s)
        return new, n + 1, size(add(new, s, -1.0))

    s, n, change = jax.lax.while_loop(go_on, once, (s, jnp.array(0), jnp.array(jnp.inf)))
    return s, n, change <= tolerance


def newton_direction(residual: Callable, v: Array) -> Array:
    """``J^-1 residual(v)`` with J its Jacobian at a vector `v`: dense for few states, else from products alone (`linear`)."""
    if is_small(v):
        return jnp.linalg.solve(jax.jacfwd(residual, holomorphic=jnp.iscomplexobj(v))(v), residual(v))
    return from_products(lambda d: jax.jvp(residual, (v,), (d,))[1], residual(v))


HALVINGS = 6
"""Halvings of a Newton step, at most."""


def newton(*, tolerance: float = 1e-6, limit: int = 2000, steps: int = 4) -> Callable:
    """Relax until sweeps change less than `tolerance`, then Newton steps: the reference's solver.

    Newton alone would leave the domain of an inverse activation. Of a step and its halves that one is taken which lowers the residual
    most; if none does, none.
    """

    @in_float64
    def solve(problem: Problem, start=None) -> Solution:
        states, n, still = until_still(problem.sweep, problem.start() if start is None else start, tolerance, limit)
        flat, shape = ravel_pytree(states)

        def residual(v):
            return ravel_pytree(problem.residual(shape(v)))[0]

        def step(_, v):
            direction = newton_direction(residual, v)
            tried = v - jnp.concatenate([jnp.zeros(1), 0.5 ** jnp.arange(HALVINGS + 1)])[:, None] * direction
            sizes = jnp.max(jnp.abs(jax.vmap(residual)(tried)), 1)
            return tried[jnp.argmin(jnp.where(jnp.isnan(sizes), jnp.inf, sizes))]

        return solution(problem, shape(jax.lax.fori_loop(0, steps, step, flat)), n, still)

    return solve
