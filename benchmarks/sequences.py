"""A task in time: a recurrent cell says at every step what it was shown five steps ago, by rules beside backprop through time.

    python benchmarks/sequences.py

Inputs are random signs, twelve steps of one; the cell has 8 tanh units and a linear output, squared error at every step but the first five.
The sequence is one circuit of neurons whose states are those of all steps (docs/reference.md), so that its exact gradient is
backprop through time. 1,500 updates of 16 fresh sequences, Adam at 0.01; judged on 256 others by the share of signs that are right.
Backprop that is cut after a step finds what the first weights hardly keep. Three seeds; three minutes of a core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import jax
import numpy as np
import optax
from jax import numpy as jnp

from crossdyad import models
from crossdyad.models.cookbook import ROWS
from crossdyad.models.prospective import free_voltages, least_action_gradient

STEPS, CELLS, BACK, UPDATES, BATCH, SEEDS = 12, 8, 5, 1500, 16, (1, 2, 3)


def drive(parameters, s, x):
    """Every step's, from the cells of the step before."""
    (w, u, v), (h, _) = parameters, s
    before = jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])
    return before @ w.T + x @ u.T, h @ v.T


CELL = models.from_neurons(drive, lambda a: (jnp.tanh(a[0]), a[1]), lambda p, x: (jnp.zeros((STEPS, CELLS)), jnp.zeros((STEPS, 1))))


def error(o, y):
    """Half the squared error over all steps that can be right."""
    return jnp.sum((o[BACK:] - y[BACK:]) ** 2) / 2


def drawn(key, n):
    """Sequences and what is to be said."""
    x = jnp.where(jax.random.bernoulli(key, shape=(n, STEPS, 1)), 1.0, -1.0)
    return x, jnp.concatenate([jnp.zeros((n, BACK, 1)), x[:, :-BACK]], 1)


def through_time(parameters, x, y, cut=False):
    """Backprop through time by a loop over steps; `cut`: no error is sent to the step before."""

    def loss(parameters):
        w, u, v = parameters

        def step(h, x):
            h = jnp.tanh(w @ (jax.lax.stop_gradient(h) if cut else h) + u @ x)
            return h, v @ h

        return error(jax.lax.scan(step, jnp.zeros(CELLS), x)[1], y)

    return jax.grad(loss)(parameters)


def of_row(row: int, **settings) -> Callable:
    """A row's estimate of the cell as a circuit."""
    return lambda p, x, y: ROWS[row].estimator.estimate(CELL, error, p, x, y, **settings)


def least_action(parameters, x, y):
    """Row 84 from the free states of all steps, nudged weakly: from zeros, or by a nudge of .1, it ends at other stationary points."""
    free = free_voltages(CELL, parameters, x, STEPS)
    return least_action_gradient(CELL, error, parameters, x, y, beta=0.01, duration=1.0, step=0.5, start=free)


RULES = {
    "backprop through time": through_time,
    "cut after a step": lambda p, x, y: through_time(p, x, y, True),
    "predictive coding (68), beta 0.1": of_row(68, beta=0.1),
    "least action (84), beta 0.01": least_action,
    "dyads (88), beta 0.1": of_row(88, beta=0.1),
}


def trained(rule: Callable, seed: int) -> float:
    """The share of signs that are right in the end."""
    k = jax.random.split(jax.random.key(seed), 5)
    shapes = (CELLS, CELLS), (CELLS, 1), (1, CELLS)
    parameters = tuple(jax.random.normal(a, n) / np.sqrt(n[1]) for a, n in zip(k, shapes, strict=False))
    descent = optax.adam(0.01)

    @jax.jit
    def update(carry, key):
        p, state = carry
        x, y = drawn(key, BATCH)
        g = jax.tree.map(lambda v: jnp.nanmean(v, 0), jax.vmap(lambda x, y: rule(p, x, y))(x, y))  # nan: did not settle
        moved, state = descent.update(g, state)
        return (optax.apply_updates(p, moved), state), None

    (parameters, _), _ = jax.lax.scan(update, (parameters, descent.init(parameters)), jax.random.split(k[3], UPDATES))
    x, y = drawn(k[4], 256)

    def said(x):
        w, u, v = parameters
        return jax.lax.scan(lambda h, x: ((n := jnp.tanh(w @ h + u @ x)), v @ n), jnp.zeros(CELLS), x)[1]

    return float(jnp.mean(jnp.sign(jax.vmap(said)(x)[:, BACK:]) == y[:, BACK:]))


@models.float64()
def main() -> None:
    """Print a line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="rules that have this word in their name")
    for name, rule in RULES.items():
        if parser.parse_args().only in name:
            right = [100 * trained(rule, seed) for seed in SEEDS]
            print(f"{name}: {np.mean(right):.1f} +- {np.std(right):.1f} %", flush=True)


if __name__ == "__main__":
    main()
