"""Feedback operators: the transposed weights of Eq. 2 replaced by something else, fixed or learned (section 2.2; rows 23 to 28)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import lineax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from ..functions import add
from ..kinds import Circuit, Objective, Solver, Tree
from ..linear import solve
from ..nudges import output_force
from ..operators import Dense, Operator
from ..precision import in_float64
from ..solvers import Problem, newton
from .estimator import needing
from .implicit import read_out


def layered(circuit: Circuit, matrices: Sequence[Tree]) -> Callable:
    """Every hidden layer of a chain hears the layer above: ``B_k (f' error)_(k+1)``, as in backprop, where B is W^T (row 23).

    Parameters
    ----------
    matrices : tuple
        Weights of the operators' twins, of all layers but the first: matrices (inputs, outputs), kernels like the layer's own.
    """

    _count(circuit, matrices)

    def feedback(error, driven):
        return (*(a.twin(b, d) for a, b, d in zip(circuit.maps[1:], matrices, driven[1:], strict=True)), jnp.zeros_like(error[-1]))

    return feedback


def direct(circuit: Circuit, matrices: Sequence[Tree]) -> Callable:
    """Every hidden layer of a chain hears the output: ``D_k error_K``; no layer waits for another (row 24).

    Parameters
    ----------
    matrices : tuple of matrices (units, outputs)
    """

    _count(circuit, matrices)

    def feedback(error, driven):
        hidden = zip(circuit.maps[:-1], matrices, strict=True)
        return (*(Dense(error[-1].size, a.outputs)(d, error[-1]) for a, d in hidden), jnp.zeros_like(error[-1]))

    return feedback


def _count(circuit: Circuit, matrices: Sequence[Tree]) -> None:
    """Refuse another number of matrices than of hidden layers."""
    hidden = len(circuit.maps) - 1
    if len(matrices) != hidden:
        raise ValueError(f"matrices: {len(matrices)}; a chain takes one for each hidden layer, {hidden}")


def carried_back(circuit: Circuit, parameters: Tree, states: Tree, x: ArrayLike) -> Callable:
    """Neurons hear each other by the transposed drive of other parameters, shaped like the circuit's (rows 23, 25 to 28)."""
    _, transposed = jax.vjp(lambda s: circuit.drive(parameters, s, x), states)

    def feedback(error, driven):
        return transposed(driven)[0]

    return feedback


def broadcast(circuit: Circuit, matrices: Tree) -> Callable:
    """Every state hears the output by `matrices`, like the states with a column per output, zero for the outputs (row 24)."""

    def feedback(error, driven):
        return jax.tree.map(lambda d: d @ circuit.output(error).reshape(-1), matrices)

    return feedback


def concordant_parameters(parameters: Tree) -> Tree:
    """Parameters of `carried_back` that follow the signs of the circuit's: `signs` of any matrices."""
    return jax.tree.map(lambda w: jnp.where(w < 0, -1.0, 1.0) / jnp.sqrt(w[0].size), parameters)


@in_float64
def transposes(circuit: Circuit, parameters: Tree) -> tuple:
    """The matrices of `layered` that make it backprop: ``W_(k+1)^T``."""
    return tuple(a.turned(w) for a, w in zip(circuit.maps[1:], parameters[1:], strict=True))


@in_float64
def signs(circuit: Circuit, parameters: Tree) -> tuple:
    """Sign-concordant matrices of `layered`: ``sign(W_(k+1))^T / sqrt(inputs)``, one bit per weight (row 27)."""
    return transposes(circuit, concordant_parameters(parameters))


@in_float64
def slopes(circuit: Circuit, parameters: Tree, states: Tree, x: ArrayLike) -> Tree:
    """``f'`` of a circuit of neurons, like `states`."""
    drive = circuit.drive(parameters, states, x)
    return jax.vjp(circuit.fire, drive)[1](jax.tree.map(jnp.ones_like, drive))[0]


@in_float64
@needing(23, "feedback operators", "neurons")
def feedback_multipliers(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, states: Tree, feedback: Callable
) -> Tree:
    """The error signal with the feedback replaced: ``error = -dO/ds + feedback(error, f' error)``, like `states`.

    Eq. 2 for a circuit of neurons, whose feedback is the transpose of `drive`; any chain, and any net with loops.

    Parameters
    ----------
    feedback : callable
        Linear: errors of the states, and the same behind the activations, to errors of the states.
    """
    slope = slopes(circuit, parameters, states, x)
    nudge = output_force(circuit, objective, y, -1.0)(states)

    def carried(error):
        return feedback(error, jax.tree.map(jnp.multiply, slope, error))

    if "chain" in circuit.capabilities:  # nothing circulates: after as many sweeps as layers it is solved
        error = nudge
        for _ in states:
            error = add(nudge, carried(error))
        return error
    loop = lineax.FunctionLinearOperator(lambda e: add(e, carried(e), -1.0), jax.eval_shape(lambda: nudge))
    return solve(loop, nudge)


@in_float64
def feedback_gradient(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, feedback: Callable, solver: Solver | None = None
) -> Tree:
    """The gradient read out of `feedback_multipliers`: feedback alignment and its relatives (rows 23 to 28).

    Parameters
    ----------
    feedback : callable
        `layered`, `direct`, or one's own; see `feedback_multipliers`.
    solver : callable
        Of `solvers`, for circuits that are not triangular; `newton()` if none.
    """
    if "triangular" in circuit.capabilities:
        states = tuple(circuit.forward(parameters, x)[1:])
    else:
        states = (solver or newton())(Problem(circuit, parameters, x)).states
    return read_out(circuit, parameters, x, states, feedback_multipliers(circuit, objective, parameters, x, y, states, feedback))


@in_float64
def mirror(layers: Sequence[Operator], feedback: Tree, weights: Tree, noise: Tree, rate: float = 1e-3, decay: float = 1e-3) -> tuple:
    """One step of a weight mirror: ``B <- (1 - decay) B + rate x (W x)^T`` with noise x of variance sigma^2 (row 25).

    Its fixed point in the mean is ``(rate / decay) sigma^2 W^T``; shared weights take the mean over the places that share them.

    Parameters
    ----------
    layers : sequence of operators
        Those that send an error down.
    feedback, weights, noise : sequences
        Of their twins, theirs, and of what they take: of dense ones (inputs, outputs), (outputs, inputs) and (inputs,).
    """

    def step(a, b, w, n):
        seen = a.twin.correlated(b, a(w, n), n)
        return jax.tree.map(lambda old, new: (1 - decay) * old + rate * new / a.places, b, seen)

    return tuple(map(step, layers, feedback, weights, noise))


@in_float64
def kolen_pollack(
    circuit: Circuit, parameters: Sequence[Array], feedback: Sequence[Array], gradient: Sequence[Array], rate: float, decay: float
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """One step of weights and feedback alike: the same delta and decay, so ``W - B^T`` shrinks by ``1 - decay`` (row 26).

    Parameters
    ----------
    circuit : chain of layers
    parameters : tuple
        The circuit's.
    feedback : tuple
        Of `layered`: of all layers but the first, which sends no error down.
    gradient : tuple
        Like `parameters`, as row 26 estimates it.
    rate, decay : float
        Of the step, and the share that weights and feedback lose.

    Returns
    -------
    tuple
        New parameters and new feedback.
    """

    def step(old, g):
        return (1 - decay) * old - rate * g

    return jax.tree.map(step, parameters, gradient), jax.tree.map(step, feedback, transposes(circuit, gradient))


@in_float64
@needing(28, "feedback learned by perturbation", "chain", "neurons")
def perturb(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    feedback: Sequence[Array],
    x: ArrayLike,
    y: ArrayLike,
    key: Array,
    sigma: float = 1e-2,
    rate: float = 1e-2,
) -> tuple[Array, ...]:
    """One step of feedback learned by perturbation: ``B <- B + rate (-noise change / sigma^2 - B error) error^T`` (row 28).

    ``noise change / sigma^2`` is in the mean the cost's gradient by the perturbed layer (erratum E2: divided by the
    variance), and minus that is what the feedback is to predict from the error of the layer above.

    Parameters
    ----------
    circuit
        A chain of neurons.
    feedback : tuple
        Of `layered`.
    key : jax.random key
    sigma : float
        Of the noise on the states of all hidden layers; seen with both signs, so that the change of the cost is odd in it.
    rate : float

    Returns
    -------
    tuple
        New feedback.
    """
    states = tuple(circuit.forward(parameters, x)[1:])
    keys = jax.random.split(key, len(feedback))
    noise = (*(sigma * jax.random.normal(k, s.shape) for k, s in zip(keys, states, strict=False)), jnp.zeros_like(states[-1]))

    def cost(sign):
        return objective(circuit.relax(parameters, states, x, jax.tree.map(lambda n: -sign * n, noise))[-1], y)

    change = (cost(1.0) - cost(-1.0)) / 2
    error = feedback_multipliers(circuit, objective, parameters, x, y, states, layered(circuit, feedback))
    driven = jax.tree.map(jnp.multiply, slopes(circuit, parameters, states, x), error)

    def step(a, b, n, d):
        missed = -n * change / sigma**2 - a.twin(b, d)
        return jax.tree.map(lambda old, new: old + rate * new, b, a.twin.correlated(b, d, missed))

    return tuple(map(step, circuit.maps[1:], feedback, noise, driven[1:]))
