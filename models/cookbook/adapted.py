"""Estimators for training, of rows that the cookbook holds as functions."""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax import Array
from jax.typing import ArrayLike

from ..energies import auxiliary_coordinates
from ..estimators.contrast import centered, twin
from ..estimators.implicit import neumann_multipliers, read_out
from ..estimators.probes import averaged, in_place_slope, probes, scaled
from ..kinds import Circuit, Objective, Solver, Tree
from ..solvers import Problem, relaxation
from ..updates import pseudo_inverse_step

SWEEPS = 12
"""Sweeps of a relaxation, in training."""


def series(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    terms: int = SWEEPS,
    rate: float = 1.0,
    solver: Solver | None = None,
) -> Tree:
    """The error signal by so many terms of its series (rows 2 and 22)."""
    states = (solver or relaxation(SWEEPS))(Problem(circuit, parameters, x)).states
    return read_out(circuit, parameters, x, states, neumann_multipliers(circuit, objective, parameters, x, y, states, terms, rate))


def penalised(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, mu: float = 10.0, steps: int = 3
) -> Tree:
    """The errors of the states of MAC, times the penalty (row 14)."""
    held = auxiliary_coordinates(circuit, objective, parameters, x, y, mu, steps)
    errors = circuit.residual(parameters, held, x)
    return read_out(circuit, parameters, x, held, jax.tree.map(lambda e: mu * e, errors))


def in_place(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    key: Array,
    epsilon: ArrayLike = 1e-3,
    directions: int = 16,
) -> Tree:
    """Slopes along directions of which only the key is kept, times these (row 31)."""

    def one(key):
        return scaled(probes(key, parameters), in_place_slope(circuit, objective, parameters, x, y, key, epsilon)[0])

    return averaged(one, key, directions)


def twins(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, beta: ArrayLike = 0.5, sweeps: int = SWEEPS
) -> Tree:
    """Two copies at both nudges (row 67)."""
    return twin(circuit, objective, parameters, x, y, centered(beta), sweeps=sweeps)


def moved(update: Callable, over: float) -> Callable:
    """An update as an estimate: by how much it moves the parameters, over minus what a gradient is scaled with there."""

    def estimate(circuit, objective, parameters, x, y):
        return jax.tree.map(lambda a, b: (a - b) / over, parameters, update(circuit, objective, parameters, x, y))

    return estimate


def pseudo_inverted(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, damping: float = 0.1) -> Tree:
    """Minus the step of second order (row 81)."""
    return scaled(pseudo_inverse_step(circuit, objective, parameters, x, y, damping), -1.0)
