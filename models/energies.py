"""Energies of the paper's other systems: resistive networks, Boltzmann machines, lifted and auxiliary-coordinate nets.

Rows 9, 10 and 13 to 16.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from .circuits import Layered, forced, square_primitive, tanh_primitive
from .estimators.estimator import Unsuitable
from .functions import add, gradient, identity, zeros
from .kinds import Circuit, Objective, Tree
from .operators import Operator, inner, maps, uniform
from .own import Own, from_energy, from_residual
from .precision import in_float64
from .solvers import newton_direction


@in_float64
@dataclass(frozen=True)
class Resistive(Layered):
    """A nonlinear resistive network: ``E = 1/2 sum g_ij (v_i - v_j)**2``, half the dissipated power (row 9).

    Layers of nodes; every node of one is joined to nodes of the next by conductances, not negative: all to all between numbers of
    nodes, or as an operator's weights join them, which a convolution shares between places. Inputs are voltage sources, ``gain``
    times x and -x. The first half of each hidden layer (of an image's channels) has ideal diodes that keep it at or above 0, the
    second half below. Relaxation sets every node of a layer to its exact minimum, the mean of its neighbours weighed by the conductances.

    Parameters
    ----------
    sizes : tuple
        Inputs (each makes two nodes), hidden nodes, outputs; or operators, of which the first takes both voltages of an input (of
        an image, as twice the channels).
    gain : float
    """

    sizes: tuple
    gain: float = 1.0
    capabilities: frozenset = frozenset({"energy", "block-exact"})

    @property
    def maps(self) -> tuple[Operator, ...]:
        """The operator below each layer."""
        first, *rest = self.sizes
        return maps((2 * first if isinstance(first, int) else first, *rest))

    def random_parameters(self, key: Array) -> tuple:
        """Conductances, uniform from 0: a tuple of float64 arrays, of numbers of nodes (nodes, nodes below)."""
        return jax.tree.map(abs, uniform(key, self.maps, 3.0))

    def _limited(self, k: int, v):
        """The voltages of layer k as its diodes allow them."""
        if k == self.layers - 1:
            return v
        up = jnp.arange(v.shape[-1]) < (v.shape[-1] + 1) // 2
        return jnp.where(up, jnp.maximum(v, 0), jnp.minimum(v, 0))

    def sources(self, x: ArrayLike) -> Array:
        """Voltages of the input nodes."""
        return self.gain * jnp.concatenate([x, -x], -1)

    def energy(self, parameters: Tree, s: Tree, x: ArrayLike) -> Array:
        """Half the dissipated power."""

        def layer(a, g, v, u):
            ones = jnp.ones_like(u)
            return inner(v * v, a(g, ones)) + jnp.sum(a(g, u * u)) - 2 * inner(v, a(g, u))

        return sum(map(layer, self.maps, parameters, s, (self.sources(x), *s[:-1]))) / 2

    def currents(self, parameters: Tree, s: Tree, x: ArrayLike) -> Tree:
        """Return what flows into each node's diode: the energy's derivative, Kirchhoff's current law where it vanishes."""
        return gradient(lambda s: self.energy(parameters, s, x), s)

    def residual(self, parameters: Tree, s: Tree, x: ArrayLike) -> Tree:
        """``v - diode(v - current)``: zero where no current flows, or where a diode conducts and carries it."""
        return self.forced(parameters, s, x, zeros(s))

    def forced(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
        """The same where every node is fed a current, minus the force."""
        currents = add(self.currents(parameters, s, x), tuple(force))
        return tuple(v - self._limited(k, v - i) for k, (v, i) in enumerate(zip(s, currents, strict=True)))

    def relax(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
        """Layers in turn, the output last so that a clamp is heard; every node to its minimum."""
        s, joined = list(s), self.maps
        for k in [*range(0, len(s) - 1, 2), *range(1, len(s) - 1, 2), len(s) - 1]:
            a, g, below = joined[k], parameters[k], s[k - 1] if k else self.sources(x)
            total, conductance = a(g, below) - force[k], a(g, jnp.ones_like(below))
            if k + 1 < len(s):
                a, g = joined[k + 1], parameters[k + 1]
                total, conductance = total + a.transposed(g, s[k + 1]), conductance + a.transposed(g, jnp.ones_like(s[k + 1]))
            s[k] = self._limited(k, total / conductance)
        return tuple(s)


# Boltzmann machines -----------------------------------------------------------------------------------------


def spins(n: int) -> np.ndarray:
    """All states of `n` spins, -1 and 1: float64 (2**n, n)."""
    return np.array(list(itertools.product((-1.0, 1.0), repeat=n)))


@in_float64
def spin_energy(parameters: Tree, s: Array) -> Array:
    """``-1/2 s W s - b s`` of a Boltzmann machine, without the diagonal of W (row 10): of W it sees the symmetric part alone."""
    w, b = parameters
    return -(s @ (w - jnp.diag(jnp.diag(w))) @ s) / 2 - b @ s


@in_float64
def surprise(parameters: Tree, visible: Array) -> Array:
    """``-log p(visible)`` by enumeration; `visible` are the first spins (row 10)."""
    n, v = len(parameters[1]), len(visible)
    free = -jax.vmap(lambda s: spin_energy(parameters, s))(jnp.asarray(spins(n)))
    held = -jax.vmap(lambda h: spin_energy(parameters, jnp.concatenate([visible, h])))(jnp.asarray(spins(n - v)))
    return jax.nn.logsumexp(free) - jax.nn.logsumexp(held)


@in_float64
def boltzmann_contrast(parameters: Tree, visible: Array) -> Tree:
    """Mean derivative of the energy with the visible spins held, less that of the free machine: the gradient of `surprise` (row 10)."""

    def mean(states):
        states = jnp.asarray(states)
        weights = jax.nn.softmax(-jax.vmap(lambda s: spin_energy(parameters, s))(states))
        each = jax.vmap(lambda s: jax.grad(spin_energy)(parameters, s))(states)
        return jax.tree.map(lambda g: jnp.tensordot(weights, g, 1), each)

    hidden = spins(len(parameters[1]) - len(visible))
    held = np.concatenate([np.tile(visible, (len(hidden), 1)), hidden], 1)
    return jax.tree.map(lambda a, b: a - b, mean(held), mean(spins(len(parameters[1]))))


# Nets as energies -------------------------------------------------------------------------------------------


def log_cosh(a: ArrayLike) -> Array:
    """The primitive of tanh: the convex conjugate of `tanh_primitive`."""
    return jnp.logaddexp(a, -a) - jnp.log(2.0)


class Primitives(NamedTuple):
    """Primitives of an activation and of its inverse."""

    own: Callable
    inverse: Callable


PRIMITIVES = {jnp.tanh: Primitives(log_cosh, tanh_primitive), identity: Primitives(square_primitive, square_primitive)}
"""Primitives by activation."""


def hierarchical(circuit: Circuit) -> Own:
    """A net of tanh units as a hierarchy of energies ``E_k = G(s_k) - s_k W_k s_(k-1)``: ``C_k = grad_(s_k) E_k`` (Eq. 12, row 13).

    The same states as the net, another constraint: artanh of the states instead of the activation of the drive.
    """

    def residual(parameters, s, x):
        drives = circuit.drives(parameters, (x, *s[:-1]))
        return tuple(gradient(lambda v, a=a: jnp.sum(tanh_primitive(v)) - inner(v, a), v) for v, a in zip(s, drives, strict=True))

    def relax(parameters, s, x, force):
        states = [x]
        for a, w, f in zip(circuit.maps, parameters, force, strict=True):
            states.append(jnp.tanh(a(w, states[-1]) - f))  # the minimum of E_k over s_k
        return tuple(states[1:])

    return from_residual(residual, circuit.start, relax)


def lifted(circuit: Circuit) -> Own:
    """The Fenchel-lifted net: ``sum_k G(s_k) + G*(W_k s_(k-1)) - s_k W_k s_(k-1)``, not negative, zero in the forward states (row 15).

    G is a primitive of the inverse activation and G* one of the activation itself (`PRIMITIVES`).

    Raises
    ------
    Unsuitable
        For activations whose primitives are not there.
    """
    neurons, joined = [circuit.neuron(k) for k in range(circuit.layers)], circuit.maps
    if not all(f in PRIMITIVES for f in neurons):
        raise Unsuitable(f"row 15 (lifted) knows no primitive of one of {circuit}'s activations; use tanh or identity, or dyads (row 57)")

    def energy(parameters, s, x):
        layers = zip(neurons, s, circuit.drives(parameters, (x, *s[:-1])), strict=True)
        return sum(jnp.sum(PRIMITIVES[f].inverse(v) + PRIMITIVES[f].own(a)) - inner(v, a) for f, v, a in layers)

    def relax(parameters, s, x, force):
        s = list(s)
        for k in range(len(s)):  # the output last, so that a clamp is heard
            drive = joined[k](parameters[k], s[k - 1] if k else x) - force[k]
            if k + 1 < len(s):
                above, w = joined[k + 1], parameters[k + 1]
                drive = drive + above.transposed(w, s[k + 1] - neurons[k + 1](above(w, s[k])))
            s[k] = neurons[k](drive)
        return tuple(s)

    def start(parameters, x):
        return tuple(circuit.forward(parameters, x)[1:])

    return from_energy(energy, start, relax, capabilities={"analytic"})


@in_float64
def auxiliary_coordinates(
    circuit: Circuit, objective: Objective, parameters: Tree, x: ArrayLike, y: ArrayLike, mu: float, steps: int = 20
) -> Tree:
    """The states of MAC: ``min over s of objective + mu / 2 sum |s_k - f(W_k s_(k-1))|**2``, by Newton from the forward states (row 14)."""
    from jax.flatten_util import ravel_pytree

    flat, shape = ravel_pytree(tuple(circuit.forward(parameters, x)[1:]))

    def penalised(v):
        s = shape(v)
        return objective(circuit.output(s), y) + mu / 2 * sum(jnp.sum(c**2) for c in circuit.residual(parameters, s, x))

    def step(_, v):
        return v - newton_direction(jax.grad(penalised), v)

    return shape(jax.lax.fori_loop(0, steps, step, flat))


def behind(features: Callable, circuit: Circuit) -> Own:
    """A feedforward front and an energy behind it: states minimise ``E(s; W, u)`` at ``u = features(V, x)`` (ff-EBM block, row 16).

    Parameters are the pair (V, W). `features` and `circuit` are any; the block has an energy as the circuit has.
    """

    def energy(parameters, s, x):
        return circuit.energy(parameters[1], s, features(parameters[0], x))

    def residual(parameters, s, x):
        return circuit.residual(parameters[1], s, features(parameters[0], x))

    def pulled(parameters, s, x, force):
        return forced(circuit, parameters[1], s, features(parameters[0], x), force)

    def relax(parameters, s, x, force):
        return circuit.relax(parameters[1], s, features(parameters[0], x), force)

    def start(parameters, x):
        return circuit.start(parameters[1], features(parameters[0], x))

    return from_residual(
        residual,
        start,
        relax,
        output=circuit.output,
        with_output=circuit.with_output,
        capabilities=circuit.capabilities - {"neurons"},
        energy=energy,
        forced=pulled,
    )
