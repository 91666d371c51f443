"""Nets of operators that tests take: convolutions, pooling, functions of one's own."""

import functools

import jax
from jax import numpy as jnp

from crossdyad import models
from crossdyad.models.cookbook.systems import System
from crossdyad.models.images import Convolution, Pooling

LAYERS = Convolution((6, 6, 1), 2), Convolution((4, 4, 2), 2, padding=1), Pooling((4, 4, 2)), 3
NET = models.Feedforward(LAYERS, jnp.tanh)


def mean_of_pairs(w, s):
    return w @ (s[:-1] + s[1:]) / 2


def largest_of_pairs(w, s):
    return jnp.maximum(s[::2], s[1::2])


def squared_weights(w, s):
    return w**2 @ s


def one_more(w, s):
    return s + 1


@functools.cache
@models.float64()
def system(circuit=NET, seed=0, scale=1.0):
    k = jax.random.split(jax.random.key(seed), 3)
    w = jax.tree.map(lambda v: v * scale, circuit.random_parameters(k[0]))
    y = jax.random.uniform(k[2], (3,), minval=-0.5, maxval=0.5)
    return System(circuit, models.squared_error, w, jax.random.normal(k[1], (6, 6, 1)), y)


def fast(estimate):
    """Compiled as a whole, anew for every call."""

    def run(circuit, objective, *rest):
        with models.float64():
            return jax.jit(lambda *given: estimate(*given), static_argnums=(0, 1, *range(5, 2 + len(rest))))(circuit, objective, *rest)

    return run
