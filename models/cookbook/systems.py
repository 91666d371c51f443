"""Systems: the small circuits, with weights, an input and a target, on which rows are checked."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
from jax import numpy as jnp

from ..circuits import Equilibrium, Feedforward, Hopfield, identity, relu
from ..objectives import squared_error


class System(NamedTuple):
    """A circuit and one sample for it."""

    circuit: Any
    objective: Any
    parameters: Any
    x: Any
    y: Any


def _system(circuit, inputs: int, outputs: int, seed: int, bound: float = 0.8) -> System:
    w, x, y = jax.random.split(jax.random.key(seed), 3)
    return System(circuit, squared_error, circuit.random_parameters(w), jax.random.normal(x, (inputs,)),
                  jax.random.uniform(y, (outputs,), minval=-bound, maxval=bound))


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
