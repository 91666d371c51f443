"""Rows 19, 83, 84: velocity in the energy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import jax
import numpy as np
from jax import numpy as jnp

from ..circuits import Feedforward
from ..estimators.estimator import Estimator
from ..functions import identity
from ..prospective import augmented_energy, latent_equilibrium, least_action, least_action_gradient, prospective_energy, velocity
from . import systems
from .findings import Finding, above, below, equal, flat, relative_error, within
from .row import row

LEAST_ACTION = Estimator(
    84, "least action, static input", jax.jit(least_action_gradient, static_argnums=(0, 1)), frozenset({"neurons"}), order=1, largest=0.02
)
_latent = jax.jit(latent_equilibrium, static_argnums=0, static_argnames=("sweeps",))


@row(19, "Velocity-augmented energy", "4", circuit="of neurons, their velocity a variable", solver="minimum over the velocity")
def velocity_law(seed: int) -> Iterator[Finding]:
    """For any voltages the energy's minimum over the velocity is row 83's law of motion, not the leaky one."""
    s = systems.tanh_net(seed)
    tau, u = 10.0, tuple(jax.random.normal(jax.random.key(seed + k), (n,)) for k, n in enumerate(s.circuit.sizes[1:]))
    move = jax.jit(partial(velocity, s.circuit, sweeps=s.circuit.layers))
    ahead, leaky = (move(s.parameters, u, s.x, tau, s.circuit.fire(u), lookahead)[0] for lookahead in (tau, 0.0))
    energy = jax.jit(jax.value_and_grad(partial(augmented_energy, s.circuit), (1, 2)))
    value, (by_voltage, by_velocity) = energy(s.parameters, u, ahead, s.x, tau)
    yield below("energy at row 83's velocity", value, 1e-24)
    yield below("its derivative by the velocity there", np.abs(flat(by_velocity)).max(), 1e-12)
    value, (by_voltage, by_velocity) = energy(s.parameters, u, leaky, s.x, tau)
    yield above("energy at a leaky unit's velocity", value, 0.1)
    yield equal("derivative by the velocity: tau times that by the voltage", by_velocity, jax.tree.map(lambda g: tau * g, by_voltage))


@row(
    83,
    "Latent equilibrium (prospective units)",
    "4",
    circuit="of neurons",
    solver="voltages in time, rates ahead of them",
    estimator="forward pass",
)
def latent_law(seed: int) -> Iterator[Finding]:
    """The output is the forward pass of the moving input from the first step on; leaky units lag by Erlang's law."""
    s = systems.tanh_net(seed)
    turns = jnp.sin(0.05 * jnp.arange(200)[:, None] * jnp.arange(1, 7) + s.x)
    rates = _latent(s.circuit, s.parameters, turns, sweeps=s.circuit.layers)
    wanted = jax.vmap(lambda x: s.circuit.forward(s.parameters, x)[-1])(turns)
    yield below("first step: error of the output", relative_error(rates[-1][0], wanted[0]), 1e-12)
    yield below("all steps, input moving: error of the output", relative_error(rates[-1], wanted), 1e-12)
    chain = Feedforward(s.circuit.sizes, identity)
    held = jnp.broadcast_to(s.x, (1001, 6))
    lag = _latent(chain, s.parameters, held, tau=10.0, step=0.01, lookahead=0.0, sweeps=1)[-1][-1]
    erlang = sum(1 / math.factorial(k) for k in range(chain.layers)) / math.e
    yield within("leaky linear units, input held for tau: error", relative_error(lag, chain.forward(s.parameters, s.x)[-1]), erlang, 2e-3)


@row(
    84,
    "Neuronal least action",
    "4",
    estimator=LEAST_ACTION,
    systems=[systems.tanh_net, systems.equilibrium],
    circuit="of neurons",
    nudge="weak",
    solver="voltages in time",
    schedule="single phase",
)
def least_action_law(seed: int) -> Iterator[Finding]:
    """The energy's slope decays as exp(-t / tau) whatever input and target do; without a nudge the rates are row 83's."""
    s = systems.tanh_net(seed)
    tau, times = 2.0, jnp.linspace(0.0, 4.0, 5)
    start = tuple(0.1 * jax.random.normal(jax.random.key(seed + k), (n,)) for k, n in enumerate(s.circuit.sizes[1:]))

    def x(t):
        return s.x * jnp.cos(t)

    def y(t):
        return s.y * jnp.sin(2 * t)

    @jax.jit
    def slopes(beta, start):
        z = least_action(s.circuit, s.objective, s.parameters, x, y, times, beta, tau, 0.01, start)
        gradient = jax.grad(lambda z, t: prospective_energy(s.circuit, s.objective, s.parameters, z, x(t), y(t), beta))
        return z, jax.vmap(gradient)(z, times)

    left = slopes(0.1, start)[1]
    forgotten = jax.tree.map(lambda v: v[0] * jnp.exp(-times / tau)[:, None], left)
    yield equal("the slope against exp(-t / tau) of its start, input and target moving", left, forgotten, 1e-3)
    still = s.circuit.drive(s.parameters, s.circuit.forward(s.parameters, x(0.0))[1:], x(0.0))
    z, kept = slopes(0.0, still)
    rates = s.circuit.fire(jax.tree.map(lambda v: v[-1], z))
    prospective = _latent(s.circuit, s.parameters, x(times[-1])[None], sweeps=s.circuit.layers)
    yield equal("no nudge: rates of row 83", rates, jax.tree.map(lambda v: v[0], prospective), 1e-3)
    yield above("rates of the start are others", relative_error(s.circuit.fire(still), rates), 0.1)
    yield below("no nudge: the slope, from a stationary start", np.abs(flat(kept)).max(), 1e-3)
