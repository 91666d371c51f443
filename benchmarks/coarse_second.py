"""Why a fine first layer below a coarse second one learns badly: `digits`, three epochs, first weights of the first layer times a factor.

    python benchmarks/coarse_second.py

Prints the accuracy of each seed on the fifth of the training samples that is held out.
"""

from __future__ import annotations

import numpy as np

from crossdyad import data, emulator
from crossdyad.recipe import Recipe, load

EPOCHS, SEEDS = 3, (1, 2, 3)


def accuracy(bits: list[int], factor: float, seed: int) -> float:
    """Train with first weights ``factor`` times the usual ones in layer 0, and return the accuracy held out."""
    changed = load("digits").model_dump() | {"seed": seed}
    changed["formats"]["weight"] = bits
    recipe = Recipe.model_validate(changed)
    x, y, *_ = data.load("digits")
    held = np.arange(len(x)) % 5 == 0
    first = emulator.initial_weights(recipe)
    limits = recipe.weight_formats[0]
    first[0] = np.clip(np.rint(first[0] * factor), limits.min, limits.max).astype(np.int32)
    history = emulator.train(recipe, x[~held], y[~held], x[held], y[held], epochs=EPOCHS, weights=first)
    return float(history.epochs[-1]["accuracy"])


def main() -> None:
    for bits in ([8, 6], [10, 6], [16, 6]):
        for factor in (1, 1.5, 2, 3):
            reached = [100 * accuracy(bits, factor, seed) for seed in SEEDS]
            each = ", ".join(f"{a:.1f}" for a in reached)
            print(f"{bits[0]:2} and {bits[1]} bits, times {factor:3}: {np.mean(reached):5.1f} % ({each})", flush=True)


if __name__ == "__main__":
    main()
