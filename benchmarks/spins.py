"""Row 10 by sampling: a Boltzmann machine of spins that turn at random, as p-bits do, learns the 8x8 digits, or MNIST.

    python benchmarks/spins.py [--data DIR]

64 pixels, ten label spins and 128 hidden ones, coupled to both. Pixels are held, as fields of 17 levels from -1 to 1 or as spins of one
bit. Held, the hidden spins see an image and its label; freed, the labels turn as well, for 20 sweeps. The contrast of one chain of a
sample each is what is learned from: no statistics are enumerated, nothing is averaged but the batch. What a machine answers is the label
whose spin is up most in 100 sweeps after 20. Accuracy on the test set, per cent, of three seeds; rate, batch, epochs and sweeps were
chosen among a few on the last fifth of the training samples, of one seed. Two minutes of a core.

DIR holds MNIST's files: the first 10,000 training images, pixels of one bit as p-bits have them, and all test images, 40 epochs at a rate
of 1e-3 (on the last 2,000 of these images 86.0 % of seed 1, 79.8 at 2e-3); some minutes of a core for each seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import numpy as np
import optax
from jax import numpy as jnp

from crossdyad import data, models
from crossdyad.models.sampling import gibbs, sampled_contrast

LABELS, HIDDEN = 10, 128
FREE, SETTLING, READING = 20, 20, 100
EPOCHS, BATCH, RATE, SEEDS = 100, 128, 3e-3, (1, 2, 3)
MNIST_IMAGES, MNIST_EPOCHS, MNIST_RATE = 10_000, 40, 1e-3


LABEL, INNER = np.arange(LABELS), np.arange(LABELS, LABELS + HIDDEN)


def coupled(units):
    """Where there are couplings: between hidden spins and all others."""
    hidden = np.arange(units) >= units - HIDDEN
    return 1.0 * (hidden[:, None] != hidden)


def drawn(key, labels):
    """Labels' spins and hidden ones at random."""
    return jnp.concatenate([labels, jax.random.rademacher(key, (len(labels), HIDDEN), float)], 1)


def turned(parameters, x, spins, key, groups, sweeps=1):
    """Sweeps of label and hidden spins: pixels, which are held, are a field of each sample's own."""
    (w, b), n = parameters, x.shape[1]

    def chain(field, spins, key):
        return gibbs((w[n:, n:], field), spins, key, groups, sweeps)

    return jax.vmap(chain)(b[n:] + x @ w[:n, n:], spins, jax.random.split(key, len(x)))


def estimate(parameters, x, labels, key):
    """The contrast of a batch: one chain a sample, held and then freed."""
    start, held, free = jax.random.split(key, 3)
    spins, _ = turned(parameters, x, drawn(start, labels), held, (INNER,))
    freed, _ = turned(parameters, x, spins, free, (LABEL, INNER), FREE)
    couplings, fields = sampled_contrast(*(jnp.concatenate([x, s], 1) for s in (spins, freed)))
    return couplings * coupled(len(fields)), fields


@jax.jit
def answers(parameters, x, key):
    """The label whose spin is up most."""
    start, label, settle, read = jax.random.split(key, 4)
    spins = drawn(start, jax.random.rademacher(label, (len(x), LABELS), float))
    spins, _ = turned(parameters, x, spins, settle, (LABEL, INNER), SETTLING)
    return jnp.argmax(turned(parameters, x, spins, read, (LABEL, INNER), READING)[1][:, LABEL], 1)


def learned(x, classes, seed, epochs=EPOCHS, rate=RATE):
    """Train a machine: couplings and fields."""
    units = x.shape[1] + LABELS + HIDDEN
    update = optax.adam(rate)
    targets = 2 * jnp.eye(LABELS)[classes] - 1
    begin, order, draws = jax.random.split(jax.random.key(seed), 3)
    w = jax.random.normal(begin, (units, units)) * coupled(units) / np.sqrt(units)
    parameters = (w + w.T) / 2, jnp.zeros(units)

    @jax.jit
    def epoch(parameters, state, places, keys):
        def step(carry, given):
            (parameters, state), (at, key) = carry, given
            moves, state = update.update(estimate(parameters, x[at], targets[at], key), state)
            return (optax.apply_updates(parameters, moves), state), None

        return jax.lax.scan(step, (parameters, state), (places, keys))[0]

    state, steps = update.init(parameters), len(x) // BATCH
    for n in range(epochs):
        mixed = jax.random.permutation(jax.random.fold_in(order, n), len(x))[: steps * BATCH].reshape(steps, BATCH)
        parameters, state = epoch(parameters, state, mixed, jax.random.split(jax.random.fold_in(draws, n), steps))
    return parameters


def levels(x):
    """Pixels from -1 to 1."""
    return 2 * jnp.asarray(x) - 1


def bits(x):
    """Pixels of -1 and 1."""
    return jnp.where(jnp.asarray(x) > 0.5, 1.0, -1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of MNIST's files")
    folder = parser.parse_args().data
    images, settings = data.load(folder or "digits"), (MNIST_EPOCHS, MNIST_RATE) if folder else ()
    some = slice(MNIST_IMAGES if folder else None)
    for name, seen in ({"one bit": bits} if folder else {"17 levels": levels, "one bit": bits}).items():
        x, x_test = seen(images.x_train[some]), seen(images.x_test)
        found = []
        for seed in SEEDS:
            told = np.asarray(answers(learned(x, images.y_train[some], seed, *settings), x_test, jax.random.key(seed)))
            found.append(100 * np.mean(told == images.y_test))
        print(
            f"pixels of {name}: {np.mean(found):.2f} +- {np.std(found, ddof=1):.2f}, seeds {', '.join(f'{a:.2f}' for a in found)}",
            flush=True,
        )


if __name__ == "__main__":
    with models.float64():
        main()
