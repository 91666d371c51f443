"""Row 31 on a net that was trained before: digits that lie a pixel aside, learned by probes in place (ten forward passes a sample).

    python benchmarks/tuning.py

A net 64-32-10 learns the 8x8 digits by backprop for 20 epochs. Then the images move by a pixel, and the net is tuned for ten epochs by
row 31, beside it by backprop, and as many epochs of row 31 from first weights. Each rate is the best of three on the last fifth of the
training samples (seed 0). Test samples are seen once by each tuned net. Three seeds; three minutes of a core.
"""

from __future__ import annotations

import numpy as np
import optax

from crossdyad import data, models
from crossdyad.models.cookbook.standard import standard

SIZES, HELD, SEEDS, RATES = (64, 32, 10), 287, (1, 2, 3), (3e-4, 1e-3, 3e-3)


def moved(x: np.ndarray) -> np.ndarray:
    """Images a pixel to the right."""
    return np.pad(x.reshape(-1, 8, 8), ((0, 0), (0, 0), (1, 0)))[..., :-1].reshape(len(x), 64)


def learned(row, samples, epochs, seed, rate, parameters=None):
    """A run of a row's standard net."""
    s = standard(row, SIZES, seed)
    begin = s.parameters if parameters is None else parameters
    given = {"parameters": begin, "settings": s.settings, "project": s.project}
    return models.train(s.rule, s.circuit, s.objective, samples, epochs=epochs, seed=seed, optimizer=optax.adam(rate), **given)


def main() -> None:
    """Print a line for each way."""
    x, y, x_test, y_test = data.load("digits")
    aside = moved(x), y, moved(x_test), y_test
    choice = aside[0][:-HELD], y[:-HELD], aside[0][-HELD:], y[-HELD:]
    before = {seed: learned(20, (x, y, *aside[2:]), 20, seed, 3e-3) for seed in SEEDS}
    held = learned(20, (x[:-HELD], y[:-HELD], *choice[2:]), 20, 0, 3e-3)
    print(f"trained before, images moved: {said([r.epochs[-1]['accuracy'] for r in before.values()])}", flush=True)
    for name, row, fresh in (("tuned by row 31", 31, False), ("tuned by backprop", 20, False), ("row 31 from first weights", 31, True)):
        scores = {r: learned(row, choice, 10, 0, r, None if fresh else held.parameters).epochs[-1]["accuracy"] for r in RATES}
        rate = max(scores, key=scores.get)
        runs = [learned(row, aside, 10, seed, rate, None if fresh else before[seed].parameters) for seed in SEEDS]
        two, ten = (said([r.epochs[n]["accuracy"] for r in runs]) for n in (1, -1))
        print(f"{name}, rate {rate:g}: {two} after two epochs, {ten} after ten", flush=True)


def said(accuracies: list) -> str:
    """Mean and standard deviation in per cent."""
    return f"{100 * np.mean(accuracies):.1f} +- {100 * np.std(accuracies):.1f} %"


if __name__ == "__main__":
    main()
