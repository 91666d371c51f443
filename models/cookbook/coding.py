"""Rows 68, 72, 73: predictive coding, microcircuits and the feedback they learn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import jax
import numpy as np
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from ..circuits import Feedforward
from ..estimators.coding import predictive_coding, residual_energy, zero_divergence
from ..estimators.contrast import coincidences
from ..estimators.estimator import Estimator
from ..estimators.implicit import exact_gradient
from ..estimators.microcircuits import apical, dendritic_error, microcircuit, phaseless_alignment, predict_self
from ..functions import identity
from ..nudges import weak
from ..solvers import Problem, newton, relaxation
from . import systems
from .findings import Finding, above, angle, below, equal, flat, law, slope, within
from .row import row

CODING = Estimator(
    68, "predictive coding", jax.jit(predictive_coding, static_argnums=(0, 1), static_argnames="solver"), order=1, largest=0.002
)
DENDRITIC = Estimator(
    72,
    "dendritic error",
    jax.jit(dendritic_error, static_argnums=(0, 1), static_argnames="solver"),
    frozenset({"neurons"}),
    order=1,
    largest=0.002,
)


@row(
    68,
    "Predictive coding",
    "3.4, Eq. 11, erratum E7",
    estimator=CODING,
    systems=[systems.tanh_net, systems.equilibrium],
    circuit="any, as energy 1/2 |C|^2",
    nudge="weak",
    solver="gradient descent, Newton",
    schedule="a single nudged phase",
)
def coding_law(seed: int) -> Iterator[Finding]:
    """One nudged state suffices, as there is no energy without a nudge; read in the sweep that errors arrive it is backprop."""
    s = systems.tanh_net(seed)
    exact = exact_gradient(*s)
    loop = systems.equilibrium(seed)
    energetic = residual_energy(loop.circuit)

    @jax.jit
    def readings(beta):
        problem = weak(Problem(energetic, loop.parameters, loop.x), None, loop.objective, loop.y, beta)
        states = newton()(problem).states
        error = loop.circuit.residual(loop.parameters, states, loop.x)
        _, transposed = jax.vjp(lambda p: loop.circuit.fire(loop.circuit.drive(p, states, loop.x)), loop.parameters)
        return coincidences(problem, states), transposed(error)[0]

    yield below("the energy's derivative without a nudge", np.linalg.norm(flat(readings(0.0)[0])), 1e-14)
    degrees = angle(readings(1e-4)[1], exact_gradient(*loop))
    yield within("the printed sign (erratum E7): angle to the gradient, degrees", degrees, 180, 1)
    read = partial(jax.jit(zero_divergence, static_argnums=(0, 1)), *s)
    yield equal("every layer read as its error arrives, unit step: backprop", read(beta=1.0), exact)
    yield equal("the same with beta = 5", read(beta=5.0), exact)


def _conditioned(seed: int) -> systems.System:
    """A net of orthonormal weights, so that interneurons see every direction of the rates that they learn from."""
    circuit = Feedforward((6, 5, 4, 3), jnp.tanh, identity)
    s = systems.tanh_net(seed)
    weights = (jnp.linalg.svd(w, full_matrices=False) for w in circuit.random_parameters(jax.random.key(seed)))
    return s._replace(circuit=circuit, parameters=tuple(u @ v for u, _, v in weights))


@row(
    72,
    "Dendritic microcircuit",
    "3.4, after Eq. 11",
    estimator=DENDRITIC,
    systems=[systems.tanh_net, systems.equilibrium],
    circuit="of neurons, with interneurons",
    nudge="weak",
    solver="fixed-point sweeps",
    schedule="a single nudged phase",
)
def microcircuit_law(seed: int) -> Iterator[Finding]:
    """Interneurons that learnt to predict leave no feedback without a nudge; with one, row 68's direction remains."""
    s = _conditioned(seed)
    start = jax.tree.map(lambda w: 0.2 * w, s.circuit.random_parameters(jax.random.key(seed + 100)))
    inputs = jax.random.normal(jax.random.key(seed + 200), (32, s.x.size))
    silent = microcircuit(s.circuit, s.objective, s.y)

    @jax.jit
    def strength(interneurons):
        weights = (s.parameters, s.parameters, interneurons)
        states = relaxation(60)(Problem(silent, weights, s.x)).states
        return jnp.linalg.norm(ravel_pytree(apical(s.circuit, weights, states, s.x))[0])

    learn = jax.jit(predict_self, static_argnums=0, static_argnames=("sweeps",))
    trained = learn(s.circuit, s.parameters, start, inputs, 10000, 0.4, 0.1, sweeps=5)
    yield below("apical potential without a nudge, after learning over before", strength(trained) / strength(start), 1e-9)
    degrees = [angle(DENDRITIC(*s, beta=0.001, interneurons=w), CODING(*s, beta=0.001)) for w in (start, trained)]
    yield above("before learning: angle to row 68 at beta = 0.001, degrees", degrees[0], 30)
    yield below("after learning", degrees[1], 0.1)

    s = systems.tanh_net(seed)

    def unscaled(gain):
        g = DENDRITIC(*s, beta=0.1, gain=gain)
        return [w / gain**k for k, w in enumerate(reversed(g))]

    yield slope("layers divided by their gain, in the coupling", unscaled, list(reversed(exact_gradient(*s))), 1, 0.005)


@row(
    73,
    "Phaseless alignment learning (PAL)",
    "3.4",
    estimator="feedback from the neurons' noise",
    circuit="of neurons",
    update="feedback: correlation of noise and high-passed rates",
)
def alignment_law(seed: int) -> Iterator[Finding]:
    """Feedback tends to the noise's variance times the transposed forward path, under a signal ten times the noise."""
    noise, copies, sweeps = 0.1, 8, 20000
    keys = jax.random.split(jax.random.key(seed), copies)
    periods = 2000 * np.sqrt([2, 3, 5, 7, 11, 13])
    signal = jnp.asarray(10 * noise * np.sqrt(2) * np.sin(2 * np.pi * np.arange(sweeps)[:, None] / periods + np.arange(6)))

    @partial(jax.jit, static_argnums=0)
    def learnt(circuit, parameters, filtered):
        def learn(key):
            return phaseless_alignment(circuit, parameters, signal, key, noise, filtered)

        return jax.tree.map(lambda w: w / noise**2, jax.vmap(learn)(keys))

    s = systems.tanh_net(seed)
    linear = replace(s.circuit, activation=identity)
    forward = flat(s.parameters[1:])
    feedback = np.asarray(jax.vmap(lambda w: ravel_pytree(w[1:])[0])(learnt(linear, s.parameters, 0.1)))
    yield law("linear net: feedback on forward weights, over the noise's variance", feedback @ forward / (forward @ forward), 1)
    filtered, unfiltered = (jax.tree.map(lambda w: w[0], learnt(linear, s.parameters, f)) for f in (0.1, 0.0))
    degrees = [angle(w[1:], s.parameters[1:]) for w in (filtered, unfiltered)]
    yield below("angle to the forward weights, degrees", degrees[0], 4)
    yield above("without the high-pass, over that", degrees[1] / degrees[0], 4)
    gradient = DENDRITIC(*s, beta=1e-3, feedback=filtered)
    yield below("a microcircuit's gradient by this feedback, degrees off", angle(gradient, exact_gradient(*s)), 10)
