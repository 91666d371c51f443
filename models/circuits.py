"""Circuits: what constrains the states.

A circuit is any object with these members; states and parameters are pytrees, of one sample:

==================================== ============================================================================
``capabilities``                     frozenset of words below
``start(parameters, x)``             states to start from
``residual(parameters, s, x)``       the constraint C of Eq. 1, like `s`; zero at a solution
``relax(parameters, s, x, force)``   one sweep that keeps the states in their domain; its fixed points solve C + force = 0.
                                     Block by block the output comes last: a clamp is set after the sweep
``output(s)``, ``with_output(s, o)`` the states that the objective sees, and `s` with others in their place
``energy(parameters, s, x)``         with the capability ``energy``: a scalar whose derivative by `s` is the residual
``forced(parameters, s, x, force)``  of circuits with bounded states, what vanishes under a force: not C + force but
                                     ``s - project(s - dE/ds - force)``, whose value without a force is the residual
==================================== ============================================================================

Capabilities: ``energy`` (the Jacobian of C is symmetric), ``chain`` (layers in a sequence, each constrained by the one
below alone), ``triangular`` (one sweep solves it), ``analytic`` (holomorphic in states and parameters), ``block-exact``
(`relax` finds the exact minimum over each leaf of the states), ``neurons`` (``C = s - fire(drive(parameters, s, x))``: two members
more, `drive` affine in the states and `fire` elementwise), ``blocks`` (circuits in a row, in its member `blocks`).

A circuit of one's own is one function or two: `from_energy`, `from_neurons` and `from_residual` (of `own`) make the rest by
differentiation, and `check_circuit` says whether members and words agree, as every estimator asks once per circuit of one's own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from .functions import add, gradient, identity, relu, zeros
from .images import Convolution
from .kinds import Circuit, Tree
from .operators import Biased, Dense, Operator, dimensions, inner, maps, silent, uniform
from .precision import in_float64

CAPABILITIES = frozenset({"energy", "chain", "triangular", "analytic", "block-exact", "neurons", "blocks"})


def clip(low: float, high: float) -> Callable:
    """The activation that limits to ``[low, high]``, as every one of the chip does (contract section 4)."""
    return functools.partial(jnp.clip, min=low, max=high)


def last_layer(s: tuple) -> Array:
    """The output of a tuple of layers."""
    return s[-1]


def with_last_layer(s: tuple, o: Array) -> tuple:
    """A tuple of layers with another output."""
    return (*s[:-1], o)


@in_float64
def forced(circuit: Circuit, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
    """Return what vanishes at a circuit's solution under a force, like `s`: its own ``forced``, ``C + force`` where it has none."""
    own = getattr(circuit, "forced", None)
    return own(parameters, s, x, force) if own else add(circuit.residual(parameters, s, x), force)


class LayeredStates:
    """States are a tuple of layers, the last one is the output."""

    output, with_output = staticmethod(last_layer), staticmethod(with_last_layer)


def uniform_weights(key: Array, sizes: tuple[int, ...], scale: float = 6.0) -> tuple:
    """Uniform weights of variance ``scale / 3 / inputs``: a tuple of float64 arrays (outputs, inputs)."""
    return uniform(key, maps(tuple(sizes)), scale)


@in_float64
class Layered(LayeredStates):
    """Layers in a row, joined by linear operators."""

    sizes: tuple

    def __post_init__(self):
        if not isinstance(self.sizes, tuple):
            raise ValueError(f"sizes: {self.sizes}; give a tuple, as a circuit has to be hashable")
        maps(self.sizes)  # refuses layers that do not fit

    @property
    def maps(self) -> tuple[Operator, ...]:
        """The operator below each layer."""
        return maps(self.sizes)

    @property
    def layers(self) -> int:
        """K, the number of operators."""
        return len(self.maps)

    def start(self, parameters: Tree, x: ArrayLike) -> Tree:
        """Zeros."""
        self.agrees(parameters)
        return silent(self.maps, parameters, x)

    def drives(self, parameters: Tree, below: Tree) -> tuple:
        """Every layer's operator on what is below it."""
        self.agrees(parameters)
        return tuple(a(w, s) for a, w, s in zip(self.maps, parameters, below, strict=True))

    def agrees(self, parameters: Tree) -> None:
        """Refuse parameters that are not an entry per operator."""
        if (found := len(parameters)) != self.layers:
            raise ValueError(f"{found} entries of parameters, {self.layers} operators; give one each, or ()")


@in_float64
@dataclass(frozen=True)
class Feedforward(Layered):
    """Layers in a chain: ``s_k = f_k(A_k s_(k-1))``, k = 1 .. K (row 6).

    Hashable, to be a static argument of a jitted function.

    Parameters
    ----------
    sizes : tuple
        Units per layer, inputs first, between which are matrices; or operators (`operators`), and units where a dense one follows.
    activation, output_activation : callable
        Elementwise neuron functions of the hidden layers and of the last layer.
    one : float
        What a further column of each layer's weights meets, so that it is a bias; 0: there is none.
    """

    sizes: tuple
    activation: Callable = relu
    output_activation: Callable = identity
    one: float = 0.0

    capabilities = frozenset({"chain", "triangular", "neurons"})

    @property
    def maps(self) -> tuple[Operator, ...]:
        """The operator below each layer, with the column of biases if there is one."""
        return tuple(Biased(a, self.one) for a in maps(self.sizes)) if self.one else maps(self.sizes)

    def neuron(self, k: int) -> Callable:
        """The neuron function of layer of weights `k`, 0 .. K-1."""
        return self.output_activation if k == self.layers - 1 else self.activation

    def random_parameters(self, key: Array) -> tuple:
        """Uniform weights of variance ``2 / inputs``: a tuple of float64 arrays, of dense layers (outputs, inputs), with biases of 0."""
        return uniform(key, self.maps)

    def layer(self, k: int, w: Tree, s: Tree) -> Tree:
        """Layer `k`, 0 .. K-1, of the states below."""
        return self.neuron(k)(self.maps[k](w, s))

    def forward(self, parameters: Tree, x: ArrayLike) -> list:
        """States from the input on: K + 1 arrays, the first is `x`. The solution of ``residual == 0``."""
        self.agrees(parameters)
        states = [x]
        for k, w in enumerate(parameters):
            states.append(self.layer(k, w, states[-1]))
        return states

    def residual(self, parameters: Tree, s: Tree, x: ArrayLike) -> Tree:
        """The constraint ``C(s, W) = s - f(W s_below)`` of Eq. 1, an array per layer; `s` without the input."""
        return tuple(v - f for v, f in zip(s, self.fire(self.drive(parameters, s, x)), strict=True))

    def drive(self, parameters: Tree, s: Tree, x: ArrayLike) -> Tree:
        """``W_k s_(k-1)`` of every layer."""
        return self.drives(parameters, (x, *s[:-1]))

    def fire(self, drive: Tree) -> Tree:
        """Every layer's activation."""
        return tuple(self.neuron(k)(a) for k, a in enumerate(drive))

    def relax(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
        """One sweep from the input up: without a force, or with one on the output alone, it is the solution."""
        states = [x]
        for k, (w, f) in enumerate(zip(parameters, force, strict=True)):
            states.append(self.layer(k, w, states[-1]) - f)
        return tuple(states[1:])


@in_float64
@dataclass(frozen=True)
class Hopfield(Layered):
    """A layered Hopfield net: ``E = sum_k G(s_k) - s_k A_k s_(k-1)``, with grad G the inverse of the activation (row 8).

    Relaxation is block coordinate descent: even layers, then odd ones, each to its exact minimum (rows 12 and 77).

    Parameters
    ----------
    sizes : tuple
        Units per layer or operators, as of `Feedforward`.
    activation : callable
        ``f``, strictly increasing, or clip.
    primitive : callable
        ``G``, elementwise on the range of `activation`; that of tanh if none.
    output_activation, output_primitive : callable
        The same of the last layer, as ``identity, square_primitive`` for outputs without bounds; those of the other layers if none.
    """

    sizes: tuple
    activation: Callable = jnp.tanh
    primitive: Callable | None = None
    capabilities: frozenset = frozenset({"energy", "analytic", "block-exact"})
    output_activation: Callable | None = None
    output_primitive: Callable | None = None

    def __post_init__(self):
        super().__post_init__()
        if (self.output_activation is None) != (self.output_primitive is None):
            raise ValueError("output_activation and output_primitive: one is given without the other; give both, or neither")

    def neuron(self, k: int) -> Callable:
        """The activation of layer of weights `k`, 0 .. K-1."""
        return (self.output_activation if k == self.layers - 1 else None) or self.activation

    def random_parameters(self, key: Array) -> tuple:
        """Uniform weights of variance ``1 / 2 inputs``: a tuple of float64 arrays, of dense layers (outputs, inputs)."""
        return uniform(key, self.maps, 1.5)

    def energy(self, parameters: Tree, s: Tree, x: ArrayLike) -> Array:
        """The energy, a scalar."""
        hidden = self.primitive or tanh_primitive
        primitives = (*[hidden] * (self.layers - 1), self.output_primitive or hidden)
        drives = self.drives(parameters, (x, *s[:-1]))
        return sum(jnp.sum(g(v)) - inner(v, a) for g, v, a in zip(primitives, s, drives, strict=True))

    def residual(self, parameters: Tree, s: Tree, x: ArrayLike) -> Tree:
        """``grad_s E``; of clipped units, whose minimum may lie at a bound, ``s - clip(s - grad_s E)``."""
        return self.forced(parameters, s, x, zeros(s))

    def forced(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
        """``grad_s E + force``; of clipped units ``s - clip(s - grad_s E - force)``."""
        slope = add(gradient(lambda s: self.energy(parameters, s, x), s), tuple(force))
        if "analytic" in self.capabilities:
            return slope
        return tuple(v - self.neuron(k)(v - g) for k, (v, g) in enumerate(zip(s, slope, strict=True)))

    def relax(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
        """Every other layer to its minimum, then the rest; the output with the latter, so that a clamp reaches the others."""
        s, joined = list(s), self.maps
        for first in (len(s) % 2, (len(s) + 1) % 2):
            for k in range(first, len(s), 2):
                drive = joined[k](parameters[k], s[k - 1] if k else x) - force[k]
                if k + 1 < len(s):
                    drive = drive + joined[k + 1].transposed(parameters[k + 1], s[k + 1])
                s[k] = self.neuron(k)(drive)
        return tuple(s)


def tanh_primitive(s: Tree) -> Array:
    """``G`` with ``G' = artanh``: the primitive that belongs to tanh."""
    return ((1 + s) * jnp.log1p(s) + (1 - s) * jnp.log1p(-s)) / 2  # no term of its derivative cancels another


def square_primitive(s: Tree) -> Array:
    """``s**2 / 2``: the primitive that belongs to the identity, and inside their range to clips."""
    return s * s / 2


@in_float64
@dataclass(frozen=True)
class Equilibrium(LayeredStates):
    """A deep equilibrium model: ``s = f(W s + U x)`` with any W; parameters are ``(W, U)`` (row 7).

    The states are a tuple of one vector, whose last `outputs` units the objective sees. Behind operators there are as many layers
    more, each with loops of its own; then W and U are tuples, an entry per layer.

    Parameters
    ----------
    inputs : int or tuple
        Of the units, or operators below them: an image's channels loop by a convolution of 3 x 3.
    units, outputs : int
    activation : callable
    """

    inputs: Any
    units: int
    outputs: int
    activation: Callable = jnp.tanh
    capabilities: frozenset = frozenset({"analytic", "neurons"})

    @property
    def maps(self) -> tuple[Operator, ...]:
        """The operator below each layer."""
        return maps((*(self.inputs if self._deep else (self.inputs,)), self.units))

    @property
    def loops(self) -> tuple[Operator, ...]:
        """The operator from each layer to itself."""
        shapes = [a.outputs for a in self.maps]
        return tuple(Dense(n, n) if len(dimensions(n)) == 1 else Convolution(n, n[-1], 3, 1) for n in shapes)

    @property
    def _deep(self) -> bool:
        return isinstance(self.inputs, tuple) and any(isinstance(a, Operator) for a in self.inputs)

    def random_parameters(self, key: Array, norm: float = 0.7) -> tuple:
        """``W`` of spectral norm `norm`, of convolutions at most that, ``U`` uniform."""
        a, b = jax.random.split(key)
        keys = jax.random.split(a, len(self.loops)) if self._deep else [a]
        drawn = [jax.random.normal(k, loop.shape) for k, loop in zip(keys, self.loops, strict=True)]
        w, u = tuple(v * norm / _largest(v) for v in drawn), uniform(b, self.maps, 1.5)
        return (w, u) if self._deep else (w[0], u[0])

    def contracting(self, parameters: Tree, norm: float = 0.9) -> tuple:
        """Parameters whose loops are scaled down to the spectral norm `norm`, so that sweeps of tanh units converge: for training."""
        w, u = parameters
        w = jax.tree.map(lambda v: v * jnp.minimum(1.0, norm / _largest(v)), w)
        return w, u

    def start(self, parameters: Tree, x: ArrayLike) -> Tree:
        """Zeros."""
        return silent(self.maps, parameters, x)

    def output(self, s: Tree) -> Array:
        """The last `outputs` units."""
        return s[-1][-self.outputs :]

    def with_output(self, s: Tree, o: Array) -> tuple:
        """`s` with `o` as its last units."""
        return (*s[:-1], jnp.concatenate([s[-1][: -self.outputs], o]))

    def drive(self, parameters: Tree, s: Tree, x: ArrayLike) -> tuple:
        """``W s + U x``, of every layer."""
        ws, us = parameters if self._deep else [(p,) for p in parameters]
        return tuple(b(w, v) + a(u, below) for a, b, w, u, v, below in zip(self.maps, self.loops, ws, us, s, (x, *s[:-1]), strict=True))

    def fire(self, drive: Tree) -> tuple:
        """The activation."""
        return tuple(map(self.activation, drive))

    def residual(self, parameters: Tree, s: Tree, x: ArrayLike) -> Tree:
        """``s - f(W s + U x)``."""
        return add(s, self.fire(self.drive(parameters, s, x)), -1.0)

    def relax(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
        """One evaluation of the right-hand side."""
        return add(self.fire(self.drive(parameters, s, x)), force, -1.0)


def _largest(w):
    """A bound on the norm of a loop with these weights, a matrix's own: the sum over a kernel's places."""
    kernel = jnp.moveaxis(w.reshape(len(w), -1, w.shape[-1]), 1, 0)
    return jnp.linalg.norm(kernel, 2, (1, 2)).sum()
