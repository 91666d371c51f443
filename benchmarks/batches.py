"""What batches on a chip would bring: updates summed beside the weights, in words of their own, and written once for several samples.

    python benchmarks/batches.py

A chip of the batch is simulated by as many emulated chips as it has samples: all start from the same weights, each learns from one
sample on a finer grid, and the sum of what they changed is rounded to the weights' format (contract section 6), its rest dropped.
Net and rule are the preset's `digits`; accuracy is that on held-out training samples, at the best of four rates.
"""

from __future__ import annotations

import numpy as np

from crossdyad import data, emulator
from crossdyad.recipe import Recipe, load

EPOCHS, SEEDS, HELD_OUT = 5, 5, 237
FINER = 8
"""Bits below the weights' last one in which updates are summed."""
RATES = tuple(2.0**-n for n in range(3, 9))


def recipe(width: int, rate: float) -> Recipe:
    """Return `digits` with weights of `width` bits in the preset's range."""
    base = load("digits").model_dump()
    whole = base["formats"]["weight"]["width"] - base["formats"]["weight"]["frac"]
    formats = base["formats"] | {"weight": {"width": width, "frac": width - whole}}
    return Recipe.model_validate(base | {"formats": formats, "learning_rate": rate, "rate_floor": min(rate, base["rate_floor"])})


def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return training samples without, and those that are held out: the last ones."""
    d = data.load("digits")
    return d.x_train[:-HELD_OUT], d.y_train[:-HELD_OUT], d.x_train[-HELD_OUT:], d.y_train[-HELD_OUT:]


def batched(width: int, batch: int, rate: float) -> np.ndarray:
    """Accuracies of SEEDS chips that write once for `batch` samples."""
    x, y, held_x, held_y = split()
    coarse, fine = recipe(width, rate), recipe(width + FINER, rate)
    chips = emulator.Chip(fine, "jax", (SEEDS, batch), np.arange(SEEDS * batch).reshape(SEEDS, batch))
    weights = [w[:, None] for w in emulator.initial_weights(coarse, np.arange(1, SEEDS + 1))]
    limits, draw = coarse.formats.weight, np.random.default_rng(0)
    for epoch in range(EPOCHS):
        order = np.random.default_rng(epoch).permutation(len(x))[: len(x) // batch * batch]
        for group in order.reshape(-1, batch):
            before = [np.broadcast_to(w << FINER, (SEEDS, batch, *w.shape[2:])) for w in weights]
            chips.weights = before
            shared = np.broadcast_to(x[group][None, :, None], (SEEDS, batch, 1, x.shape[1]))
            chips.train(shared, np.broadcast_to(y[group][None, :, None], (SEEDS, batch, 1)))
            moved = [(after - w).sum(1, keepdims=True) for after, w in zip(chips.weights, before, strict=True)]
            weights = [
                np.clip(w + (m + draw.integers(0, 1 << FINER, m.shape) >> FINER), limits.min, limits.max)
                for w, m in zip(weights, moved, strict=True)
            ]
    judged = emulator.Chip(coarse, "jax", SEEDS)
    judged.weights = [w[:, 0] for w in weights]
    return (judged.infer(held_x).argmax(-1) == held_y).mean(-1)


def single(width: int, rate: float) -> np.ndarray:
    """Accuracies of SEEDS chips that write after every sample."""
    history = emulator.train(recipe(width, rate), *split(), seeds=list(range(1, SEEDS + 1)), epochs=EPOCHS)
    return np.asarray(history.epochs[-1]["accuracy"])


def best(what: str, bits: int, run) -> None:
    """Print the rate with the highest mean."""
    found = {rate: 100 * run(rate) for rate in RATES}
    rate = max(found, key=lambda r: found[r].mean())
    print(
        f"{what:28} {bits:2} bits of memory a weight: {found[rate].mean():6.2f} +- {found[rate].std(ddof=1):5.2f} %, "
        f"rate 2**{np.log2(rate):.0f}",
        flush=True,
    )


def main() -> None:
    """Print a line for each way to spend memory."""
    for width in (6, 8, 12, 16):
        best(f"{width} bits, each sample", width, lambda rate, w=width: single(w, rate))
    for width in (6, 8):
        for batch in (4, 16):
            # a sum of `batch` updates needs log2(batch) bits more than the grid of one
            bits = 2 * width + FINER + batch.bit_length() - 1
            best(f"{width} bits, batches of {batch}", bits, lambda rate, w=width, b=batch: batched(w, b, rate))


if __name__ == "__main__":
    main()
