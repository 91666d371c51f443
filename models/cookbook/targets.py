"""Rows 69 to 71: target propagation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np
from jax import numpy as jnp

from ..circuits import Feedforward
from ..estimators.estimator import Estimator
from ..estimators.implicit import exact_gradient, triangular_multipliers
from ..estimators.targets import (
    deviations,
    difference_reconstruction,
    learnt_target_propagation,
    local_difference_reconstruction,
    minimiser,
    path,
    reconstruction,
    target_changes,
    target_propagation,
)
from ..functions import identity
from . import systems
from .findings import Finding, above, equal, law, relative_error, slope
from .row import row

LEARNT = Estimator(
    71,
    "DTP, feedback by L-DRL",
    jax.jit(learnt_target_propagation, static_argnums=(0, 1)),
    frozenset({"chain", "triangular"}),
    order=2,
    small="noise",
    largest=0.02,
)


def square_net(seed: int, activation: Callable = identity) -> systems.System:
    """Three layers of five units each, their weights orthogonal but for factors from 1/2 to 2: all can be inverted."""
    circuit = Feedforward((5, 5, 5, 5), activation, identity)
    factors = jnp.geomspace(0.5, 2, 5)
    weights = (jnp.linalg.svd(w) for w in circuit.random_parameters(jax.random.key(seed)))
    x, y = jax.random.normal(jax.random.key(seed + 1), (2, 5)) / 2
    return systems.System(circuit, systems.squared_error, tuple(u * factors @ v for u, _, v in weights), x, y)


def _start(s):
    """States of the layers, and a change of the output: -0.05 dO/ds."""
    states = s.circuit.forward(s.parameters, s.x)[1:]
    return states, -0.05 * jax.grad(s.objective)(states[-1], s.y)


def _jacobian(s, k, states):
    return jax.jacfwd(path(s.circuit, s.parameters, k))(states[k])


@row(
    69,
    "Difference target propagation",
    "3.4",
    estimator="targets by the inverse of every layer",
    circuit="chain",
    schedule="forward, then targets down",
    update="feedback: reconstruction of noisy states",
)
def difference_law(seed: int) -> Iterator[Finding]:
    """With inverses targets are preimages of the output's, a Gauss-Newton step; with transposes it is backprop."""
    s = square_net(seed)
    states, change = _start(s)
    back = s.parameters[1:]
    changes = target_changes(states, change, [partial(jnp.linalg.solve, w) for w in back])
    steps = [jnp.linalg.pinv(_jacobian(s, k, states)) @ change for k in range(2)]
    yield equal("linear net, inverses: -beta J^+ (s - y)", list(changes[:-1]), steps)
    transposed = target_propagation(*s, [w.T.__matmul__ for w in back], beta=0.3)
    yield equal("linear net, transposes: backprop at any beta", transposed, exact_gradient(*s))
    backprop = [0.05 * e for e in triangular_multipliers(*s)[:-1]]
    yield above("linear net, inverses: relative distance to backprop", relative_error(list(changes[:-1]), backprop), 0.1)

    curved = square_net(seed, jnp.tanh)
    states, change = _start(curved)

    def reached(first):
        changes = target_changes(states, change, [first, partial(jnp.linalg.solve, back[1])])
        return path(curved.circuit, curved.parameters, 0)(states[0] + changes[0])

    yield equal(
        "tanh net, inverses: the first layer's target leads to the output's",
        reached(lambda v: jnp.linalg.solve(back[0], jnp.arctanh(v))),
        states[-1] + change,
    )
    missed = jnp.linalg.norm(reached(back[0].T.__matmul__) - states[-1] - change) / jnp.linalg.norm(change)
    yield above("with a transpose: distance of the output to its target, over its way", missed, 0.1)

    @jax.jit
    def learnt(w):
        """Return the feedback learnt from noise about zero, where this loss is the plain autoencoder's."""
        noise = deviations(jnp.zeros(5), 0.1)
        return minimiser(lambda m: jax.vmap(lambda d: reconstruction(w.__matmul__, m.__matmul__, jnp.zeros(5), d))(noise).mean(), w)

    yield equal("feedback of least reconstruction loss: the inverses", list(map(learnt, back)), list(map(jnp.linalg.inv, back)), 1e-10)


@row(
    70,
    "Difference reconstruction loss, direct targets (DRL, DDTP)",
    "3.4",
    estimator="targets straight from the output",
    circuit="chain",
    schedule="forward, then all targets at once",
    update="feedback: reconstruction through the whole path",
)
def direct_law(seed: int) -> Iterator[Finding]:
    """Linear feedback of least loss is the damped pseudo-inverse of the path; without damping the step is of least norm."""
    s = systems.tanh_net(seed)
    states, change = _start(s)
    k = 1  # of seven units, three outputs

    @jax.jit
    def learnt(sigma, damping):
        f, noise = path(s.circuit, s.parameters, k), deviations(states[k], sigma)

        def loss(matrix):
            losses = jax.vmap(lambda d: difference_reconstruction(f, matrix.__matmul__, states[k], d))(noise)
            return losses.mean() / sigma**2 + damping * jnp.sum(matrix**2)

        return minimiser(loss, jnp.zeros((states[k].size, states[-1].size)))

    jacobian = _jacobian(s, k, states)

    def damped(c):
        return jacobian.T @ jnp.linalg.inv(jacobian @ jacobian.T + c * jnp.eye(len(jacobian)))

    yield slope("feedback against J^T (J J^T + c)^-1, in the noise", lambda sigma: learnt(sigma, 0.1), damped(0.1), 2, 0.05)
    yield above("feedback against J^T: relative distance", relative_error(learnt(1e-3, 0.1), jacobian.T), 0.1)
    rng = np.random.default_rng(seed)
    back = [rng.normal(size=(n, 3)) for n in s.circuit.sizes[1:-1]]
    all_states = [np.asarray(v) for v in s.circuit.forward(s.parameters, s.x)]
    miss = all_states[-1] - s.y
    own = [np.outer((1 - v * v) * (d @ miss), b) for d, v, b in zip(back, all_states[1:-1], all_states[:-2], strict=True)]
    found = target_propagation(*s, [jnp.asarray(d).__matmul__ for d in back], beta=0.3, direct=True)
    yield equal("any linear feedback from the output: gradients by hand", list(found), [*own, np.outer(miss, all_states[-2])])
    least = jnp.linalg.pinv(jacobian) @ change
    smallest = float(jnp.linalg.svd(jacobian)[1][-1] ** 2)

    def step(c):
        return target_changes((states[k], states[-1]), change, [learnt(1e-4, c).__matmul__], direct=True)[0]

    yield slope("the target's change against the minimum-norm step, in the damping", step, least, 1, smallest / 10)


@row(
    71,
    "Local difference reconstruction loss (L-DRL)",
    "3.4",
    estimator=LEARNT,
    systems=[systems.tanh_net],
    circuit="chain",
    schedule="forward, then targets down",
    update="feedback: local difference reconstruction of noise",
)
def local_law(seed: int) -> Iterator[Finding]:
    """The only minimum of the loss is the transposed derivative, whereupon target propagation is backprop."""
    s = square_net(seed)
    w = s.parameters[1]
    noise = deviations(jnp.zeros(5), 0.3)

    def loss(m, one, two):
        return local_difference_reconstruction(w.__matmul__, m.__matmul__, jnp.zeros(5), one, two)

    silent = jnp.zeros(5)

    @jax.jit
    def least(start):
        return minimiser(lambda m: jax.vmap(lambda d: loss(m, d, silent) + loss(m, silent, d))(noise).mean(), start)

    best = least(jnp.zeros((5, 5)))
    yield equal("linear layer: the transpose", best, w.T)
    yield above("the inverse is none: relative distance", relative_error(jnp.linalg.inv(w), best), 0.3)

    @jax.jit
    def learnt(key):
        def learn(m, noises):
            return m - 0.05 * jax.grad(loss)(m, *noises), m

        _, seen = jax.lax.scan(learn, jnp.zeros((5, 5)), 0.3 * jax.random.normal(key, (10000, 2, 5)))
        return jnp.sum(seen[2000:].mean(0) * w.T) / jnp.sum(w**2)

    yield law("learnt from noise: its share of the transpose", jax.vmap(learnt)(jax.random.split(jax.random.key(seed), 12)), 1)

    # a curved feedback with the right derivative everywhere: tanh' = 1 - s^2, the derivative of s - s^3 / 3
    t = systems.tanh_net(seed)
    feedback = [(lambda v, m=m: m.T @ (v - v**3 / 3)) for m in t.parameters[1:-1]] + [t.parameters[-1].T.__matmul__]
    yield slope(
        "tanh net, curved feedback of derivative df^T: in beta",
        jax.jit(lambda b: target_propagation(*t, feedback, beta=b)),
        exact_gradient(*t),
        1,
        0.01,
    )
