"""What a gradient costs: dual propagation and equilibrium propagation against JAX's backprop, and the whole cookbook's check.

    python benchmarks/cookbook.py [--batch 128] [--repeats 15] [--sizes 784 1024 10]

Mean gradients of a batch, float64, compiled; the rules alternate with backprop of the same net, and the ratio is of medians of
one run. Equilibrium propagation is centered, its states relaxed by exact coordinate descent on clipped units.
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import partial

import jax
from jax import numpy as jnp

from crossdyad import models
from crossdyad.models.circuits import square_primitive
from crossdyad.models.cookbook import ROWS
from crossdyad.models.solvers import relaxation

SWEEPS = 5
"""Of coordinate descent per phase, as published for one hidden layer."""


def rules(sizes):
    """Name to (circuit, mean gradient of a batch)."""
    net = models.Feedforward(sizes)
    clipped = models.Hopfield(sizes, models.clip(0.0, 1.0), square_primitive, frozenset({"energy", "block-exact"}))

    def backprop(parameters, x, y):
        def mean(parameters):
            return jnp.mean(jax.vmap(lambda x, y: models.squared_error(net.forward(parameters, x)[-1], y))(x, y))

        return jax.grad(mean)(parameters)

    dual, centered = ROWS[57].estimator, ROWS[52].estimator
    return {
        "backprop (JAX)": (net, backprop),
        "dual propagation, alpha 0": (net, partial(dual.batch, net, models.squared_error, alpha=0.0, beta=1.0, sweeps=2)),
        "dual propagation, alpha 1/2": (net, partial(dual.batch, net, models.squared_error, alpha=0.5, beta=1.0, sweeps=2)),
        f"centered EP, {SWEEPS} sweeps": (
            clipped,
            partial(centered.batch, clipped, models.squared_error, beta=0.5, solver=relaxation(SWEEPS)),
        ),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--sizes", type=int, nargs="+", default=[784, 1024, 10])
    given = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    sizes, key = tuple(given.sizes), jax.random.key(0)
    x = jax.random.uniform(key, (given.batch, sizes[0]))
    y = jax.nn.one_hot(jnp.arange(given.batch) % sizes[-1], sizes[-1], dtype=jnp.float64)
    ready = {}
    for name, (circuit, gradient) in rules(sizes).items():
        compiled, parameters = jax.jit(gradient), circuit.random_parameters(key)
        jax.block_until_ready(compiled(parameters, x, y))
        ready[name] = partial(compiled, parameters, x, y)
    times = {name: [] for name in ready}
    for _ in range(given.repeats):
        for name, call in ready.items():
            begin = time.perf_counter()
            jax.block_until_ready(call())
            times[name].append(time.perf_counter() - begin)
    base = statistics.median(times["backprop (JAX)"])
    for name, seen in times.items():
        middle = statistics.median(seen)
        print(f"{name:30}{1e3 * middle:9.2f} ms{middle / base:8.2f} x backprop")


if __name__ == "__main__":
    main()
