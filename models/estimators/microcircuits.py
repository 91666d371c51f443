"""Dendritic microcircuits: interneurons predict what the feedback brings, the rest is the error (section 3.4; rows 72, 73)."""

from __future__ import annotations

import jax
from jax import Array
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from ..functions import add
from ..kinds import Circuit, Objective, Solver, Tree
from ..nudges import output_force
from ..own import Own, from_residual
from ..precision import in_float64
from ..solvers import Problem, relaxation
from .estimator import needing


@needing(72, "microcircuit", "neurons")
def microcircuit(circuit: Circuit, objective: Objective, y: ArrayLike, beta: ArrayLike = 0.0, gain: float = 1.0) -> Own:
    """Pyramidal cells s with interneurons psi, of any circuit of neurons, as a circuit for any solver (row 72).

    ``s = fire(drive(s) + apical)``, ``psi = fire(drive_interneurons(s))`` and
    ``apical = gain (g(s) - g(psi)) - beta dO/ds``, where the feedback ``g`` is the transposed drive of parameters of its
    own. States are the pair (s, psi); parameters the triple (forward, feedback, interneurons), each like the circuit's.

    The paper adds the apical potential outside of `fire`; inside, as in the microcircuits themselves, rates carry the
    derivative of the activation that ``dg = df^T`` needs, and none is computed.
    """

    def relax(parameters, states, x, force):
        s, (forward, _, interneurons) = states[0], parameters
        a = circuit.drive(forward, s, x)
        top_down = apical(circuit, parameters, states, x, gain)
        top_down = add(top_down, output_force(circuit, objective, y, -beta)(circuit.fire(a)))
        return add((circuit.fire(add(a, top_down)), circuit.fire(circuit.drive(interneurons, s, x))), force, -1.0)

    def residual(parameters, states, x):
        return add(states, relax(parameters, states, x, jax.tree.map(jnp.zeros_like, states)), -1.0)

    def start(parameters, x):
        s = circuit.start(parameters[0], x)
        return s, s

    return from_residual(
        residual,
        start,
        relax,
        output=lambda states: circuit.output(states[0]),
        with_output=lambda states, o: (circuit.with_output(states[0], o), states[1]),
    )


@in_float64
def apical(circuit: Circuit, parameters: Tree, states: Tree, x: ArrayLike, gain: float = 1.0) -> Tree:
    """``gain (g(s) - g(psi))``: what the interneurons leave of the feedback, like the states."""
    s, psi = states
    _, transposed = jax.vjp(lambda v: circuit.drive(parameters[1], v, x), s)
    return jax.tree.map(lambda v: gain * v, transposed(add(s, psi, -1.0))[0])


@in_float64
def dendritic_error(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    beta: ArrayLike = 0.01,
    gain: float = 1.0,
    feedback: Tree | None = None,
    interneurons: Tree | None = None,
    solver: Solver | None = None,
) -> Tree:
    """The gradient of a microcircuit: ``-drive_parameters^T (s - psi) / beta``, local and without a derivative (row 72).

    Parameters
    ----------
    beta : float
        Nudging strength; error of order 1.
    gain : float
        Of the apical compartment. In a chain, layer k below the output learns ``gain**k`` times its gradient.
    feedback, interneurons : like the parameters, optional
        Those of the transposed drive and of the prediction; `parameters`, to which both are trained, if none.
    solver : callable
        Of `solvers`; `relaxation()` if none.
    """
    weights = (parameters, *(parameters if w is None else w for w in (feedback, interneurons)))
    s, psi = (solver or relaxation())(Problem(microcircuit(circuit, objective, y, beta, gain), weights, x)).states
    _, transposed = jax.vjp(lambda p: circuit.drive(p, s, x), parameters)
    return jax.tree.map(lambda g: -g / beta, transposed(add(s, psi, -1.0))[0])


@in_float64
def predict_self(
    circuit: Circuit,
    parameters: Tree,
    interneurons: Tree,
    inputs: Array,
    steps: int,
    rate: float = 0.1,
    gain: float = 1.0,
    sweeps: int = 30,
) -> Tree:
    """Train the interneurons without a nudge until they predict the cells: the self-predicting state (row 72).

    The rule is local, ``drive_parameters^T (s - psi)``, and the apical compartment stays connected meanwhile.

    Parameters
    ----------
    parameters, interneurons : pytrees
        Forward parameters, which are the feedback's as well, and the interneurons' to start from.
    inputs : array (samples, ...)
        All are seen in every step.
    steps : int
    rate : float
        Of learning.
    sweeps : int
        Of relaxation in every step.
    """
    silent = microcircuit(circuit, lambda o, y: jnp.sum(o) * 0, None, 0.0, gain)

    def change(interneurons, x):
        s, psi = relaxation(sweeps)(Problem(silent, (parameters, parameters, interneurons), x)).states
        _, transposed = jax.vjp(lambda p: circuit.drive(p, s, x), interneurons)
        return transposed(add(s, psi, -1.0))[0]

    def step(_, interneurons):
        changes = jax.vmap(change, (None, 0))(interneurons, inputs)
        return jax.tree.map(lambda w, c: w + rate * c.mean(0), interneurons, changes)

    return jax.lax.fori_loop(0, steps, step, interneurons)


@in_float64
def phaseless_alignment(circuit: Circuit, parameters: Tree, inputs: Array, key: Array, noise: float = 0.1, filtered: float = 0.1) -> Tree:
    """Learn feedback while the circuit works, from the noise of its own neurons (PAL; row 73).

    In every sweep each neuron adds noise xi to its rate; feedback correlates it with the rates that follow, cleared of
    the signal by a high-pass: ``dB = xi r^T - d B`` with ``d = 1 / sweeps so far``, so that B is the mean over all of them
    and tends to ``noise**2`` times the mean of ``(d fire/d s)^T``.

    Parameters
    ----------
    inputs : array (sweeps, ...)
        The signal, slow against the noise.
    noise : float
        Standard deviation of xi, white.
    filtered : float
        Of the high-pass, the inverse of its time constant in sweeps; 0 lets everything pass.

    Returns
    -------
    pytree
        Transposed feedback, like the parameters; those that no state drives stay zero.
    """
    s = circuit.start(parameters, inputs[0])
    flat, shape = ravel_pytree(s)
    silence = jnp.zeros_like(inputs[0])

    def sweep(carry, now):
        s, slow, before, feedback, n = carry
        x, xi = now
        xi = shape(xi)
        rates = circuit.fire(circuit.drive(parameters, s, x))
        fast = add(rates, slow, -1.0)
        _, transposed = jax.vjp(lambda p: circuit.drive(p, before, silence), parameters)
        feedback = jax.tree.map(lambda b, c: b + (c - b) / n, feedback, transposed(fast)[0])
        return (add(rates, xi), add(slow, fast, filtered), xi, feedback, n + 1), None

    zeros = jax.tree.map(jnp.zeros_like, s)
    carry = (s, zeros, zeros, jax.tree.map(jnp.zeros_like, parameters), 1.0)
    return jax.lax.scan(sweep, carry, (inputs, noise * jax.random.normal(key, (len(inputs), flat.size))))[0][3]
