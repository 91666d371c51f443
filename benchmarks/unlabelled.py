"""Rows 39 to 41 on the 8x8 digits without their labels, judged by a linear probe of what each block has learned.

    python benchmarks/unlabelled.py

Two blocks of tanh units, 64-32-16 (row 39: patches of two lines, 16-32-16 each, whose mean is judged), learn by losses of their own;
then a linear classifier by least squares is fitted to their states on the training samples, its damping chosen on the last fifth of
these. Beside it the same probe of the first weights. Test samples are seen once, by the last probe. Three seeds; two minutes of a core.
"""

from __future__ import annotations

import argparse
from functools import partial

import jax
import numpy as np
import optax
from jax import numpy as jnp

from crossdyad import data, models
from crossdyad.models.estimators.greedy import barlow_twins, contrastive, greedy_gradient, info_nce, layers, overlapping

EPOCHS, BATCH, RATE, SEEDS = 150, 96, 3e-3, (1, 2, 3)
HELD = 287


def patches(x):
    """Four patches of an image, two lines each."""
    return x.reshape(-1, 4, 16)


def views(key, x):
    """Two views of each image: moved by at most a pixel each way, and noisy."""

    def view(key):
        a, b, c = jax.random.split(key, 3)
        images = jnp.pad(x.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
        rows, columns = (jax.random.randint(k, (len(x),), 0, 3) for k in (a, b))
        cut = jax.vmap(lambda image, r, c: jax.lax.dynamic_slice(image, (r, c), (8, 8)))(images, rows, columns)
        return cut.reshape(len(x), 64) + 0.1 * jax.random.normal(c, (len(x), 64))

    return jnp.stack([view(k) for k in jax.random.split(key)])


def net(inputs):
    """Two blocks."""
    return models.Feedforward((inputs, 32, 16), jnp.tanh, jnp.tanh)


ROWS = {
    39: (net(16), info_nce, lambda key, x: patches(x), None, lambda key, n: jax.random.normal(key, (2, n, n)) / n),
    40: (net(64), contrastive(0.2), views, overlapping(2), lambda key, n: jax.random.normal(key, (16, n)) / np.sqrt(n)),
    41: (net(64), barlow_twins(5e-2), views, None, lambda key, n: jax.random.normal(key, (32, n)) / np.sqrt(n)),
}
"""By row: net, loss of each block, what is shown, who learns from which loss, heads."""


def states(circuit, weights, x):
    """The states of both blocks, of patches their mean."""
    shown = x if circuit.sizes[0] == 64 else patches(x)
    whole = jnp.vectorize(lambda v: tuple(circuit.forward(weights, v)[1:]), signature="(n)->(h),(o)")(shown)
    return [np.asarray(s if s.ndim == 2 else s.mean(1)) for s in whole]


def probe(features, y, held, classes):
    """Per cent right on `held` of a linear classifier by least squares."""

    def fitted(a, y, damping):
        mean = a.mean(0)
        one = np.hstack([a - mean, np.ones((len(a), 1))])
        w = np.linalg.solve(one.T @ one + damping * np.eye(one.shape[1]), one.T @ np.eye(10)[y])
        return lambda b: (np.hstack([b - mean, np.ones((len(b), 1))]) @ w).argmax(1)

    first, last = slice(None, -HELD), slice(-HELD, None)
    scores = {d: np.mean(fitted(features[first], y[first], d)(features[last]) == y[last]) for d in (1e-3, 1e-1, 1e1)}
    best = max(scores, key=scores.get)
    return 100 * np.mean(fitted(features, y, best)(held) == classes)


def learned(row, seed, x):
    """First and last weights of a run."""
    circuit, loss, shown, windows, head = ROWS[row]
    # over samples and patches, or views and samples
    blocks, losses = [jax.vmap(jax.vmap(b, (None, 0)), (None, 0)) for b in layers(circuit)], (loss,) * 2
    a, b, c = jax.random.split(jax.random.key(seed), 3)
    weights = circuit.random_parameters(a)
    heads = tuple(head(k, n) for k, n in zip(jax.random.split(b), circuit.sizes[1:], strict=True))
    descent = optax.adam(RATE)

    @jax.jit
    def step(given, state, key, x):
        g = greedy_gradient(blocks, losses, *given, shown(key, x), None, windows)
        moved, state = descent.update(g, state)
        return optax.apply_updates(given, moved), state

    given, state, order = (weights, heads), descent.init((weights, heads)), np.random.default_rng(seed)
    for epoch in range(EPOCHS):
        for n, at in enumerate(np.split(order.permutation(len(x))[: len(x) // BATCH * BATCH], len(x) // BATCH)):
            given, state = step(given, state, jax.random.fold_in(c, epoch * 1000 + n), x[at])
    return weights, given[0]


@models.float64()
def main() -> None:
    """Print a line for each row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", type=int, default=sorted(ROWS))
    digits = data.load("digits")
    judged = partial(probe, y=digits.y_train, classes=digits.y_test)
    for row in parser.parse_args().rows:
        circuit, found = ROWS[row][0], []
        for seed in SEEDS:
            runs = [states(circuit, w, np.concatenate([digits.x_train, digits.x_test])) for w in learned(row, seed, digits.x_train)]
            found.append([[judged(s[: len(digits.x_train)], held=s[len(digits.x_train) :]) for s in run] for run in runs])
        mean, spread = np.mean(found, 0), np.std(found, 0)
        said = [
            f"block {k + 1} {mean[1][k]:.1f} +- {spread[1][k]:.1f} % (first weights {mean[0][k]:.1f} +- {spread[0][k]:.1f})" for k in (0, 1)
        ]
        print(f"row {row}: " + ", ".join(said), flush=True)


if __name__ == "__main__":
    main()
