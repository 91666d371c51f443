"""Linear systems in the Jacobian of a circuit: dense where it is small, from products alone where it is not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax

from .kinds import Tree

if TYPE_CHECKING:
    from lineax import AbstractLinearOperator

DENSE = 1024
"""States up to which a Jacobian is built; beyond, Krylov's method sees only its products with vectors."""
ACCURACY = 1e-12
"""Residual of a solution without a Jacobian, over the right-hand side."""
SPAN, ROUNDS = 40, 50
"""Vectors that such a solution is made of before it begins anew, and how often it does."""


def is_small(like: Tree) -> bool:
    """Return whether the Jacobian of states like these is built."""
    return sum(math.prod(v.shape) for v in jax.tree.leaves(like)) <= DENSE


def solve(operator: AbstractLinearOperator, right: Tree) -> Tree:
    """``operator^-1 right`` of a lineax operator, nan where there is no solution."""
    import lineax  # slow to import, and what is triangular does without

    if is_small(right):
        return lineax.linear_solve(operator, right, lineax.LU(), throw=False).value
    return from_products(operator.mv, right)


def from_products(product: Callable[[Tree], Tree], right: Tree) -> Tree:
    """``v`` with ``product(v) = right`` by restarted GMRES: `product` is linear, of pytrees."""
    return jax.scipy.sparse.linalg.gmres(product, right, tol=ACCURACY, restart=SPAN, maxiter=ROUNDS, solve_method="incremental")[0]
