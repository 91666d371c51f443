"""Row 10 by sampling: a Boltzmann machine of spins that turn at random, as p-bits do, learns the 8x8 digits.

    python benchmarks/spins.py

64 pixels, ten label spins and 128 hidden ones, coupled to both. Pixels are held, as fields of 17 levels from -1 to 1 or as spins of one
bit. Held, the hidden spins see an image and its label; freed, the labels turn as well, for 20 sweeps. The contrast of one chain of a
sample each is what is learned from: no statistics are enumerated, nothing is averaged but the batch. What a machine answers is the label
whose spin is up most in 100 sweeps after 20. Accuracy on the test set, per cent, of three seeds; rate, batch, epochs and sweeps were
chosen among a few on the last fifth of the training samples, of one seed. Two minutes of a core.
"""

from __future__ import annotations

import jax
import numpy as np
import optax
from jax import numpy as jnp

from crossdyad import data, models
from crossdyad.models.sampling import gibbs, sampled_contrast

PIXELS, LABELS, HIDDEN = 64, 10, 128
LABEL, INNER = np.arange(PIXELS, PIXELS + LABELS), np.arange(PIXELS + LABELS, PIXELS + LABELS + HIDDEN)
UNITS = PIXELS + LABELS + HIDDEN
FREE, SETTLING, READING = 20, 20, 100
EPOCHS, BATCH, RATE, SEEDS = 100, 128, 3e-3, (1, 2, 3)


def shown(x, labels, key):
    """Images with these labels' spins and hidden ones at random."""
    hidden = jax.random.rademacher(key, (len(x), HIDDEN), float)
    return jnp.concatenate([x, labels, hidden], 1)


def coupled():
    """Where there are couplings: between hidden spins and all others."""
    there = np.zeros((UNITS, UNITS))
    there[INNER[:, None], : INNER[0]] = 1
    return there + there.T


def estimate(parameters, x, labels, key):
    """The contrast of a batch: one chain a sample, held and then freed."""
    start, held, free = jax.random.split(key, 3)
    spins, _ = gibbs(parameters, shown(x, labels, start), held, (INNER,))
    freed, _ = gibbs(parameters, spins, free, (LABEL, INNER), FREE)
    couplings, fields = sampled_contrast(spins, freed)
    return couplings * coupled(), fields


@jax.jit
def answers(parameters, x, key):
    """The label whose spin is up most."""
    start, label, settle, read = jax.random.split(key, 4)
    spins = shown(x, jax.random.rademacher(label, (len(x), LABELS), float), start)
    spins, _ = gibbs(parameters, spins, settle, (LABEL, INNER), SETTLING)
    return jnp.argmax(gibbs(parameters, spins, read, (LABEL, INNER), READING)[1][:, LABEL], 1)


def learned(x, classes, seed):
    """Train a machine: couplings and fields."""
    update = optax.adam(RATE)
    targets = 2 * jnp.eye(LABELS)[classes] - 1
    begin, order, draws = jax.random.split(jax.random.key(seed), 3)
    w = jax.random.normal(begin, (UNITS, UNITS)) * coupled() / np.sqrt(UNITS)
    parameters = (w + w.T) / 2, jnp.zeros(UNITS)

    @jax.jit
    def epoch(parameters, state, places, keys):
        def step(carry, given):
            (parameters, state), (at, key) = carry, given
            moves, state = update.update(estimate(parameters, x[at], targets[at], key), state)
            return (optax.apply_updates(parameters, moves), state), None

        return jax.lax.scan(step, (parameters, state), (places, keys))[0]

    state, steps = update.init(parameters), len(x) // BATCH
    for n in range(EPOCHS):
        mixed = jax.random.permutation(jax.random.fold_in(order, n), len(x))[: steps * BATCH].reshape(steps, BATCH)
        parameters, state = epoch(parameters, state, mixed, jax.random.split(jax.random.fold_in(draws, n), steps))
    return parameters


def main():
    digits = data.load("digits")
    for name, seen in (("17 levels", lambda x: 2 * jnp.asarray(x) - 1), ("one bit", lambda x: jnp.where(jnp.asarray(x) > 0.5, 1.0, -1.0))):
        x, x_test = seen(digits.x_train), seen(digits.x_test)
        found = []
        for seed in SEEDS:
            told = np.asarray(answers(learned(x, digits.y_train, seed), x_test, jax.random.key(seed)))
            found.append(100 * np.mean(told == digits.y_test))
        print(
            f"pixels of {name}: {np.mean(found):.2f} +- {np.std(found, ddof=1):.2f}, seeds {', '.join(f'{a:.2f}' for a in found)}",
            flush=True,
        )


if __name__ == "__main__":
    with models.float64():
        main()
