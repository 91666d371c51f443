"""Systems: the small circuits, with weights, an input and a target, on which rows are checked."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from ..circuits import Equilibrium, Feedforward, Hopfield
from ..energies import Resistive, behind
from ..functions import identity, relu
from ..kinds import Tree
from ..objectives import squared_error
from ..precision import in_float64


class System(NamedTuple):
    """A circuit and one sample for it."""

    circuit: Any
    objective: Any
    parameters: Any
    x: Any
    y: Any


@in_float64
def _system(circuit, inputs: int, outputs: int, seed: int, bound: float = 0.8) -> System:
    w, x, y = jax.random.split(jax.random.key(seed), 3)
    return System(
        circuit,
        squared_error,
        circuit.random_parameters(w),
        jax.random.normal(x, (inputs,)),
        jax.random.uniform(y, (outputs,), minval=-bound, maxval=bound),
    )


def tanh_net(seed: int) -> System:
    """A feedforward net 6-8-7-6-3 of tanh units."""
    return _system(Feedforward((6, 8, 7, 6, 3), jnp.tanh, identity), 6, 3, seed)


def relu_net(seed: int) -> System:
    """A feedforward net 6-8-7-6-3 of ReLUs with linear outputs."""
    return _system(Feedforward((6, 8, 7, 6, 3), relu, identity), 6, 3, seed)


def hopfield(seed: int) -> System:
    """A layered Hopfield net 4-5-4-3 of tanh units."""
    return _system(Hopfield((4, 5, 4, 3)), 4, 3, seed)


def equilibrium(seed: int) -> System:
    """A deep equilibrium model of 6 tanh units, its weights not symmetric."""
    return _system(Equilibrium(4, 6, 2), 4, 2, seed)


def bounded_net(seed: int) -> System:
    """A feedforward net 5-6-5-3 of tanh units, its outputs too."""
    return _system(Feedforward((5, 6, 5, 3), jnp.tanh, jnp.tanh), 5, 3, seed)


def resistive(seed: int) -> System:
    """A resistive network of 6 inputs, 8 nodes with diodes and 2 outputs."""
    return _system(Resistive((6, 8, 2)), 6, 2, seed, 0.3)


def features(parameters: Tree, x: ArrayLike) -> Array:
    """``tanh(V x)``, the front of `tied`."""
    return jnp.tanh(parameters @ x)


@in_float64
def tied(seed: int) -> System:
    """The Hopfield net behind four tanh features of five inputs; parameters are the pair (V, W)."""
    inner = hopfield(seed)
    v, x = jax.random.split(jax.random.key(seed + 1))
    return System(TIED, squared_error, (jax.random.normal(v, (4, 5)) / 2, inner.parameters), jax.random.normal(x, (5,)), inner.y)


TIED = behind(features, Hopfield((4, 5, 4, 3)))
