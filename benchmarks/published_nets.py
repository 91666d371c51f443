"""Circuits and estimators of the published experiments that are no rows of the cookbook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
import optax
from jax import numpy as jnp

from crossdyad import models
from crossdyad.models.circuits import uniform_weights
from crossdyad.models.cookbook import ROWS
from crossdyad.models.cookbook.extended import Goodness
from crossdyad.models.energies import Resistive
from crossdyad.models.estimators.contrast import roots_of_unity, weighted_energy
from crossdyad.models.estimators.control import deep_feedback_control
from crossdyad.models.estimators.estimator import Estimator
from crossdyad.models.estimators.greedy import forward_forward, layers, local_objectives, normalised, normalising
from crossdyad.models.nudges import weak
from crossdyad.models.solvers import Problem, Solution, relaxation, size

# Circuits ---------------------------------------------------------------------------------------------------


def sigmoid(a):
    """``1 / (1 + exp(2 - 4 a))``, also of complex `a`."""
    return 1 / (1 + jnp.exp(2 - 4 * a))


def sigmoid_primitive(s):
    """``G`` with ``G'`` the inverse of `sigmoid`."""
    return (s * jnp.log(s) + (1 - s) * jnp.log(1 - s) + 2 * s) / 4


class Sigmoids(models.Hopfield):
    """A Hopfield net of real weights, also where its states are complex: their two parts are two columns of one real product."""

    def energy(self, parameters, s, x):
        """As `models.Hopfield`."""
        layers = zip(parameters, s, (x, *s[:-1]), strict=True)
        return sum(jnp.sum(self.primitive(v)) - jnp.sum(v * product(w.real, below)) for w, v, below in layers)

    def relax(self, parameters, s, x, force):
        """As `models.Hopfield`."""
        s = list(s)
        for first in (len(s) % 2, (len(s) + 1) % 2):
            for k in range(first, len(s), 2):
                drive = product(parameters[k], s[k - 1] if k else x) - force[k]
                if k + 1 < len(s):
                    drive = drive + product(parameters[k + 1].T, s[k + 1])
                s[k] = self.activation(drive)
        return tuple(s)


def product(w, v):
    """``w @ v`` of a real matrix."""
    if not jnp.iscomplexobj(v):
        return w @ v
    both = w @ jnp.stack([v.real, v.imag], 1)
    return jax.lax.complex(both[:, 0], both[:, 1])


class Driven(Resistive):
    """A resistive net with a current source at every node; parameters are its conductances and currents, a tuple each.

    The squares of the energy are multiplied out: products of matrices in place of a difference per conductance.
    """

    def random_parameters(self, key):
        """Conductances of which one half is zero, and no currents."""
        sizes = (2 * self.sizes[0], *self.sizes[1:])
        return tuple(jnp.maximum(g, 0) for g in uniform_weights(key, sizes, 1.0)), tuple(jnp.zeros(n) for n in self.sizes[1:])

    def start(self, parameters, x):
        """Zeros."""
        return super().start(parameters[0], x)

    def energy(self, parameters, s, x):
        """As `Resistive`, less what the sources deliver."""
        below = (self.sources(x), *s[:-1])
        return sum(
            (v * v) @ g.sum(1) / 2 + g.sum(0) @ (u * u) / 2 - v @ (g @ u) - i @ v for g, i, v, u in zip(*parameters, s, below, strict=True)
        )

    def relax(self, parameters, s, x, force):
        """As `Resistive`, the currents as forces."""
        conductances, currents = parameters
        return super().relax(conductances, s, x, jax.tree.map(jnp.subtract, tuple(force), tuple(currents)))


def passive(parameters):
    """No conductance below zero."""
    conductances, currents = parameters
    return tuple(jnp.maximum(g, 0) for g in conductances), currents


@dataclass(frozen=True)
class Upper(Goodness):
    """Forward-Forward's net with the label in the first ten pixels, known by the goodness of all layers but the first.

    Parameters
    ----------
    gain : float
        Of the initial weights: about the root of the threshold.
    """

    gain: float = 1.0

    def random_parameters(self, key):
        """The net's, times `gain`."""
        return tuple(self.gain * w for w in super().random_parameters(key))

    def labelled(self, x, y):
        """The image and the label, of length 1."""
        return normalised(jnp.concatenate([y * jnp.max(x), x[self.classes :]]))

    def goodness(self, parameters, s):
        """Of all layers but the first."""
        return super().goodness(parameters, s)[1:]


# Estimators -------------------------------------------------------------------------------------------------


def by_surrogate(row: int, surrogate: Callable, *requires: str) -> Estimator:
    """The estimator whose estimate is the derivative of a scalar."""
    return Estimator(row, ROWS[row].title, jax.grad(surrogate, 2), frozenset(requires), surrogate=surrogate)


def half_circle(beta: float, points: int = 10):
    """The upper half of `roots_of_unity`: states of the lower are the conjugates, and the real part is taken (row 54)."""
    whole, half = roots_of_unity(beta, points), points // 2
    return whole._replace(points=whole.points[: half + 1], weights=whole.weights[: half + 1] * np.array([1, *[2] * (half - 1), 1]))


def by_stencil(row: int, stencil: Callable, noise: float = 0.0) -> Estimator:
    """Weak nudging at all points of a stencil at once; with `noise` on every drive of the sweep that is read, of each point its own."""

    def surrogate(circuit, objective, parameters, x, y, key, beta, free, nudged):
        problem = Problem(circuit, jax.lax.stop_gradient(parameters), x)
        start, rule = relaxation(free)(problem).states, stencil(beta)

        def at(point):
            return weak(problem, start, objective, y, point)

        def read(point, key):
            if not noise:
                return relaxation(nudged)(at(point)).states
            s = relaxation(nudged - 1)(at(point)).states
            keys = jax.random.split(key, len(s))
            force = [f - noise * jax.random.normal(k, f.shape, f.real.dtype) for k, f in zip(keys, at(point).force(s), strict=True)]
            return circuit.relax(problem.parameters, s, x, force)

        states = jax.vmap(read)(jnp.asarray(rule.points), jax.random.split(key, len(rule.points)))
        return weighted_energy(parameters, at, rule, jax.lax.stop_gradient(states))

    return by_surrogate(row, surrogate, *ROWS[row].estimator.requires)


def output_responses(circuit, parameters, x):
    """``J^T`` of a chain by the chain rule: how the output's drive moves with every drive (row 74)."""

    def output(psi):
        s = x
        for k, (w, p) in enumerate(zip(parameters, psi, strict=True)):
            drive = w @ s + p
            s = circuit.neuron(k)(drive)
        return drive

    return jax.tree.map(jnp.transpose, jax.jacrev(output)(circuit.start(parameters, x)))


def chords(steps: int, sweeps: int) -> Callable:
    """Newton steps of the controller alone, with the Jacobian of the first: `sweeps` bring the chain to rest under it (row 74)."""

    def solve(problem: Problem, start) -> Solution:
        states, u = start
        circuit, parameters, x = problem.circuit, problem.parameters, problem.x
        still = jax.tree.map(jnp.zeros_like, start)

        def rest(u):
            s = states
            for _ in range(sweeps):
                s, _ = circuit.relax(parameters, (s, u), x, still)
            return s

        def decline(u):
            return circuit.residual(parameters, (rest(u), u), x)[1]

        inverse = jnp.linalg.inv(jax.jacfwd(decline)(u))
        for _ in range(steps):
            u = u - inverse @ decline(u)
        found = rest(u), u
        return Solution(found, steps, size(problem.residual(found)))

    return solve


def steered(circuit, objective, parameters, x, y, beta, steps=2):
    """Row 74 with ``J^T`` as its feedback, solved by `chords`: a scalar whose derivative is its gradient."""
    held, found = jax.lax.stop_gradient(parameters), []

    def solver(problem, start):
        found.append(chords(steps, circuit.layers)(problem, start))
        return found[0]

    deep_feedback_control(circuit, objective, held, x, y, beta, output_responses(circuit, held, x), solver=solver)
    rates = circuit.fire(found[0].states[0])
    drive = circuit.drive(parameters, rates, x)
    error = jax.lax.stop_gradient(jax.tree.map(jnp.subtract, rates, circuit.fire(drive)))
    return -sum(e @ d for e, d in zip(error, drive, strict=True)) / beta


def surprises(circuit, objective, parameters, x, y, key, threshold):
    """What Forward-Forward's layers minimise, on the image with its label and with a wrong one that the net itself suggests (row 42)."""
    scores = circuit.forward(jax.lax.stop_gradient(parameters), x)[0]
    wrong = jax.nn.one_hot(jax.random.categorical(key, jnp.where(y > 0, -jnp.inf, scores)), circuit.classes, dtype=y.dtype)
    blocks, losses = normalising(layers(circuit.net)), (forward_forward(threshold),) * circuit.net.layers
    return sum(
        local_objectives(blocks, losses, parameters, ((),) * len(blocks), circuit.labelled(x, label), sign).sum()
        for label, sign in ((y, 1.0), (wrong, -1.0))
    )


def loss(circuit, objective, parameters, x, y):
    """Of a chain: its derivative is backprop (row 1)."""
    return objective(circuit.forward(parameters, x)[-1], y)


def a_tenth_less(rate: float, updates: int):
    """A rate that ends at 0.9 of its start."""
    return optax.exponential_decay(rate, updates, 0.9)
