"""Prospective units: circuits in time whose energy sees the velocity of the states (section 4; rows 19, 83, 84).

A unit has a voltage ``u`` with ``tau du/dt = -u + drive(r)`` and the rate ``r = fire(u + tau du/dt)``: what the voltage
will be, not what it is. The circuits have the capability ``neurons``; voltages and rates are like their states.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
from jax import Array
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.typing import ArrayLike

from .estimators.estimator import needing
from .flow import flow
from .functions import add
from .kinds import Circuit, Objective, Tree
from .precision import in_float64


@in_float64
@needing(83, "prospective units", "neurons")
def velocity(
    circuit: Circuit, parameters: Tree, u: Tree, x: ArrayLike, tau: float, rates: Tree, lookahead: float | None = None, sweeps: int = 1
) -> tuple[Tree, Tree]:
    """The voltages' velocity and the rates that go with it: ``r = fire(u + lookahead du/dt)``, each in terms of the other.

    Parameters
    ----------
    rates : pytree
        To start from.
    lookahead : float, optional
        `tau` if none, so that rates are ahead by what the voltages lag; 0 for leaky units.
    sweeps : int
        As many as layers are exact in a chain.
    """
    lookahead = tau if lookahead is None else lookahead

    def of(rates):
        return jax.tree.map(lambda a, b: (a - b) / tau, circuit.drive(parameters, rates, x), u)

    rates = jax.lax.fori_loop(0, sweeps, lambda _, r: circuit.fire(add(u, of(r), lookahead)), rates)
    return of(rates), rates


@in_float64
def latent_equilibrium(
    circuit: Circuit, parameters: Tree, inputs: Array, tau: float = 10.0, step: float = 0.1, lookahead: float | None = None, sweeps: int = 1
) -> Tree:
    """Rates in time: latent equilibrium, by Euler steps of the voltages from 0 (row 83).

    The rate at a time is that of the circuit without any delay, for any `tau`.

    Parameters
    ----------
    inputs : array
        The input at every step, on a leading axis.
    lookahead, sweeps
        Of `velocity`; between steps the rates go on from the last ones.

    Returns
    -------
    pytree
        Rates at every step, on a leading axis.
    """

    def advance(carry, x):
        u, rates = carry
        v, rates = velocity(circuit, parameters, u, x, tau, rates, lookahead, sweeps)
        return (add(u, v, step), rates), rates

    start = circuit.start(parameters, inputs[0])
    return jax.lax.scan(advance, (start, start), inputs)[1]


@in_float64
@needing(19, "velocity-augmented energy", "neurons")
def mismatch_energy(circuit: Circuit, parameters: Tree, u: Tree, x: ArrayLike) -> Array:
    """``1/2 sum |u - drive(fire(u))|**2``: zero where every voltage is what its input asks for."""
    errors = add(u, circuit.drive(parameters, circuit.fire(u), x), -1.0)
    return sum(jnp.sum(e**2) for e in jax.tree.leaves(errors)) / 2


@in_float64
def augmented_energy(circuit: Circuit, parameters: Tree, u: Tree, v: Tree, x: ArrayLike, tau: float) -> Array:
    """The mismatch energy at ``u + tau v``: the velocity is a variable of its own (row 19).

    For given voltages its minimum over the velocity is row 83's law of motion.
    """
    return mismatch_energy(circuit, parameters, add(u, v, tau), x)


@in_float64
def least_action(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: Callable,
    y: Callable,
    times: ArrayLike,
    beta: ArrayLike = 0.0,
    tau: float = 1.0,
    step: float = 0.01,
    start: Tree | None = None,
) -> Tree:
    """Neuronal least action: ``(1 + tau d/dt) grad F = 0`` along the motion, F the mismatch energy plus ``beta objective`` (row 84).

    F is taken at the prospective voltages ``z = u + tau du/dt``, that is, z is the discounted future of u. So it stays
    stationary while input and target move, and any deviation is forgotten as ``exp(-t / tau)``: its units obey row 83
    with the error ``fire' W^T (z_above - drive_above)`` on top.

    Parameters
    ----------
    x, y : callable
        Input and target at a time.
    times : array
        When to report.
    start : pytree, optional
        z at time 0; the circuit's start if none.

    Returns
    -------
    pytree
        z at `times`, on a leading axis.
    """
    start = circuit.start(parameters, x(0.0)) if start is None else start
    flat, shape = ravel_pytree(start)

    def slope(z, t):
        return jax.grad(lambda z: prospective_energy(circuit, objective, parameters, shape(z), x(t), y(t), beta))(z)

    def field(t, z, _):
        _, drift = jax.jvp(lambda t: slope(z, t), (t,), (jnp.ones_like(t),))
        return -jnp.linalg.solve(jax.jacfwd(slope)(z, t), slope(z, t) / tau + drift)

    return jax.vmap(shape)(flow(field, flat, times[-1], step, times=times))


@in_float64
def prospective_energy(
    circuit: Circuit, objective: Objective, parameters: Tree, z: Tree, x: ArrayLike, y: ArrayLike, beta: ArrayLike
) -> Array:
    """The mismatch energy plus ``beta objective`` of the rates."""
    return mismatch_energy(circuit, parameters, z, x) + beta * objective(circuit.output(circuit.fire(z)), y)


@in_float64
def least_action_gradient(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: ArrayLike,
    y: ArrayLike,
    beta: ArrayLike = 0.05,
    duration: float = 30.0,
    step: float = 0.25,
    start: Tree | None = None,
) -> Tree:
    """Return ``grad_parameters`` of the mismatch energy over beta, for a static input, where the motion ends (row 84).

    The gradient of predictive coding (row 68) in terms of voltages: error of order 1 in beta. What the start is off is left over to
    ``exp(-duration)``, and divided by beta; the motion ends where F is stationary, and far from the free voltages that may be elsewhere.

    Parameters
    ----------
    duration, step : float
        Of the motion, in units of tau.
    start : pytree, optional
        z at time 0, as `free_voltages` are; the circuit's start if none.
    """
    z = least_action(circuit, objective, parameters, lambda t: x, lambda t: y, jnp.array([duration]), beta, 1.0, step, start)
    z = jax.tree.map(lambda v: v[0], z)
    return jax.tree.map(lambda g: g / beta, jax.grad(lambda p: mismatch_energy(circuit, p, z, x))(parameters))


@in_float64
def free_voltages(circuit: Circuit, parameters: Tree, x: ArrayLike, sweeps: int = 100) -> Tree:
    """Return the drives of a circuit of neurons without a target, after so many sweeps: enough where it is triangular or contracts."""
    rates = jax.lax.fori_loop(0, sweeps, lambda _, r: circuit.fire(circuit.drive(parameters, r, x)), circuit.start(parameters, x))
    return circuit.drive(parameters, rates, x)


@in_float64
def gradient_in_time(
    circuit: Circuit,
    objective: Objective,
    parameters: Tree,
    x: Callable,
    y: Callable,
    times: Array,
    beta: ArrayLike = 0.01,
    step: float = 0.01,
) -> Tree:
    """Mean over `times` of ``grad_parameters`` of the mismatch energy over beta, input and target moving (rows 19, 83, 84).

    Of the mean loss along the motion, what `latent_equilibrium`'s output is worth at these times, without a phase and without going back
    in time; error of order 1 in beta, and ``exp(-t / tau)`` of what the start was off.
    """

    def at_rest(z, _):
        def slope(z):
            return jax.grad(lambda z: prospective_energy(circuit, objective, parameters, shape(z), x(0.0), y(0.0), beta))(z)

        return z - jnp.linalg.solve(jax.jacfwd(slope)(z), slope(z)), None

    free, shape = ravel_pytree(free_voltages(circuit, parameters, x(0.0)))
    start = shape(jax.lax.scan(at_rest, free, length=6)[0])
    z = least_action(circuit, objective, parameters, x, y, times, beta, 1.0, step, start)

    def along(p):
        return jax.vmap(lambda z, t: mismatch_energy(circuit, p, z, x(t)))(z, times).mean() / beta

    return jax.grad(along)(parameters)
