"""Circuits: what constrains the states."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
from jax import numpy as jnp


def identity(a):
    """``a``."""
    return a


def relu(a, high: float = jnp.inf):
    """Clip to ``[0, high]``."""
    return jnp.clip(a, 0.0, high)


def clip(low: float, high: float) -> Callable:
    """The activation that limits to ``[low, high]``, as every one of the chip does (contract section 4)."""
    return functools.partial(jnp.clip, min=low, max=high)


@dataclass(frozen=True)
class Feedforward:
    """Layers in a chain: ``s_k = f_k(W_k s_(k-1))``, k = 1 .. K, without biases.

    Hashable, so that it can be a static argument of a jitted function.

    Parameters
    ----------
    sizes : tuple of int
        Units per layer, inputs first.
    activation, output : callable
        Elementwise neuron functions of the hidden layers and of the last layer.
    """

    sizes: tuple[int, ...]
    activation: Callable = relu
    output: Callable = identity

    @property
    def layers(self) -> int:
        """K, the number of layers of weights."""
        return len(self.sizes) - 1

    def neuron(self, k: int) -> Callable:
        """The neuron function of layer of weights `k`, 0 .. K-1."""
        return self.output if k == self.layers - 1 else self.activation

    def random_parameters(self, key) -> tuple:
        """Uniform weights of variance ``2 / inputs``: a tuple of float64 arrays (outputs, inputs)."""
        keys = jax.random.split(key, self.layers)
        shapes = zip(self.sizes[1:], self.sizes[:-1], strict=True)
        return tuple(jax.random.uniform(q, (m, n), jnp.float64, -1, 1) * jnp.sqrt(6 / n)
                     for q, (m, n) in zip(keys, shapes, strict=True))

    def forward(self, parameters, x) -> list:
        """States from the input on: K + 1 vectors, the first is `x`. The solution of ``residual == 0``."""
        states = [x]
        for k, w in enumerate(parameters):
            states.append(self.neuron(k)(w @ states[-1]))
        return states

    def residual(self, parameters, states, x) -> list:
        """The constraint ``C(s, W) = s - f(W s_below)`` of Eq. 1, a vector per layer; `states` without the input."""
        layers = zip(parameters, states, [x, *states[:-1]], strict=True)
        return [s - self.neuron(k)(w @ below) for k, (w, s, below) in enumerate(layers)]
