"""Synthetic gradients: error signals predicted from the states below them (section 2.3; row 43)."""

from __future__ import annotations

from collections.abc import Sequence

import jax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from ..functions import add
from ..kinds import Circuit, Objective, Tree
from ..nudges import output_force
from ..precision import in_float64
from .implicit import read_out


@in_float64
def features(state: Array, y: ArrayLike | None = None) -> Array:
    """Return what a predictor sees: its states, the label if there is one, and a constant."""
    return jnp.concatenate([state.reshape(-1), *([] if y is None else [y]), jnp.ones(1)])


@in_float64
def predictors(states: Sequence[Array], y: Array | None = None) -> tuple:
    """Linear predictors of the error signals of all layers, zero to begin with: (units, features) each."""
    return tuple(jnp.zeros((s.size, features(s, y).size)) for s in states)


@in_float64
def predict(predictors: Sequence[Array], states: Sequence[Array], y: Array | None = None) -> tuple:
    """The error signals that the predictors expect, like `states`."""
    return tuple((m @ features(s, y)).reshape(s.shape) for m, s in zip(predictors, states, strict=True))


@in_float64
def bootstrapped(circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, states: Tree, error: Tree) -> Tree:
    """Return what predicted error signals should have been: the nudge, and the prediction for the layers above sent down once.

    ``(1 - dC/ds)^T error - dO/ds``, whose only fixed point is Eq. 2: also for circuits with loops.
    """
    _, transposed = jax.vjp(lambda s: circuit.residual(parameters, s, x), states)
    sent = add(error, transposed(error)[0], -1.0)
    return add(sent, output_force(circuit, objective, y, -1.0)(states))


@in_float64
def synthetic_gradient(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, predictors: Sequence[Array], label: bool = True
) -> Tree:
    """The gradient from predicted error signals: each layer learns as soon as it is reached, nothing is sent back (row 43).

    Parameters
    ----------
    circuit
        A chain.
    predictors : tuple of matrices
        See `predictors`.
    label : bool
        Whether they see y.
    """
    states = tuple(circuit.forward(parameters, x)[1:])
    return read_out(circuit, parameters, x, states, predict(predictors, states, y if label else None))


@in_float64
def taught(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    predictors: Sequence[Array],
    rate: float,
    label: bool = True,
) -> tuple:
    """The predictors after a step on ``|prediction - bootstrapped target|^2 / 2``, by least mean squares normalised by the features."""
    states = tuple(circuit.forward(parameters, x)[1:])
    seen = y if label else None
    guess = predict(predictors, states, seen)
    target = bootstrapped(circuit, objective, parameters, x, y, states, guess)
    inputs = (features(s, seen) for s in states)
    learning = zip(predictors, target, guess, inputs, strict=True)
    return tuple(m + rate * jnp.outer((t - g).reshape(-1), f) / (f @ f) for m, t, g, f in learning)
