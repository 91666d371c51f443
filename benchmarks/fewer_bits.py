"""`digits` with weights of fewer bits: squared error and the hinge, each at several rates.

    python benchmarks/fewer_bits.py

Eight epochs, five seeds, judged on the fifth of the training samples that is held out: mean and standard deviation in per cent.
"""

from __future__ import annotations

import numpy as np

from crossdyad import data, emulator
from crossdyad.recipe import Recipe, load

BITS, RATES, EPOCHS, SEEDS = (8, 10, 12, 16), (4, 5), 8, range(1, 6)


def accuracies(bits: int, objective: str, rate: int) -> np.ndarray:
    """Return the accuracy of each seed, held out, with weights of some bits and a learning rate of ``2**-rate``."""
    base = load("digits").model_dump()
    changed = {"objective": objective, "learning_rate": 2.0**-rate, "rate_floor": 2.0 ** -(rate + 4)}
    recipe = Recipe.model_validate(base | changed | {"formats": base["formats"] | {"weight": bits}})
    x, y, *_ = data.load("digits")
    held = np.arange(len(x)) % 5 == 0
    history = emulator.train(recipe, x[~held], y[~held], x[held], y[held], epochs=EPOCHS, seeds=list(SEEDS))
    return 100 * np.asarray(history.epochs[-1]["accuracy"])


def main() -> None:
    """Print a line for each."""
    for bits in BITS:
        for objective in ("squared-error", "squared-hinge"):
            for rate in RATES:
                found = accuracies(bits, objective, rate)
                print(f"{bits:2} bits, {objective}, rate 2^-{rate}: {found.mean():.2f} +- {found.std(ddof=1):.2f}", flush=True)


if __name__ == "__main__":
    main()
