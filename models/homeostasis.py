"""Parameters that a controller keeps in place (row 66)."""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax.typing import ArrayLike

from .estimators.contrast import coincidences
from .functions import add
from .kinds import Tree
from .precision import in_float64
from .solvers import Problem


@in_float64
def homeostatic(nudged: Callable[[Tree], Problem], parameters: Tree, states: Tree, epsilon: ArrayLike, gain: float, sweeps: int) -> Tree:
    """The control that keeps parameters in place, by feedback: it rises as long as they are too low (row 66).

    ``control += gain (wanted - parameters)`` after every sweep, in which parameters come to rest between their springs and the states'
    pull. What is missing falls by ``1 - gain`` in a sweep.

    Parameters
    ----------
    nudged : callable
        Parameters to the problem whose states pull at them.
    parameters, states : pytrees
        Parameters as wanted, and the states to begin with.
    """

    def step(_, carry):
        s, p, control = carry
        problem = nudged(p)
        s = problem.sweep(s)
        p = add(control, coincidences(problem, s), -epsilon)
        return s, p, add(control, add(parameters, p, -1.0), gain)

    return jax.lax.fori_loop(0, sweeps, step, (states, parameters, parameters))[2]
