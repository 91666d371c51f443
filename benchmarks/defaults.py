"""What a recipe's defaults are chosen by: the rule's own error, the chip's, and accuracy, over alpha, beta and learning rate.

    python benchmarks/defaults.py [--epochs 5] [--seeds 5] [--hidden 32] [--noisy]

Digits; everything is judged on the last 300 training samples, which training does not see. The test set is not touched.
"""

from __future__ import annotations

import argparse

import numpy as np

from crossdyad import data, emulator
from crossdyad.recipe import Recipe
from crossdyad.sim import gradient

HELD, JUDGED = 300, 60
NOISY = {"devices": {"read_noise": 0.05, "levels": 64, "stuck": 0.02}, "pulses": {"law": "soft-bounds", "step": 2.0**-9}}
"""The README's noisy chip."""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--hidden", type=int, nargs="*", default=[32])
    parser.add_argument("--alpha", type=float, nargs="*", default=[0.0, 0.5, 1.0])
    parser.add_argument("--beta", type=float, nargs="*", default=[4.0, 1.0, 0.5, 0.25])
    parser.add_argument("--rate", type=float, nargs="*", default=[2.0**-6, 2.0**-5, 2.0**-4, 2.0**-3])
    parser.add_argument("--noisy", action="store_true", help="on the README's noisy cells")
    given = parser.parse_args()
    cells = NOISY if given.noisy else {}
    whole, seeds = data.load("digits"), range(1, given.seeds + 1)
    x, y, held, classes = whole.x_train[:-HELD], whole.y_train[:-HELD], whole.x_train[-HELD:], whole.y_train[-HELD:]
    sizes = (64, *given.hidden, 10)
    print(f"{'-'.join(map(str, sizes))} on digits, {given.epochs} epochs, {given.seeds} seeds, judged on {HELD} held-out training samples")
    print(f"{'alpha':>6}{'beta':>7}{'rate':>9}{'cosine: rule':>14}{'chip':>8}{'accuracy':>10}{'spread':>8}{'worst':>8}", flush=True)
    for alpha in given.alpha:
        for beta in given.beta:
            cosines = []
            for seed in seeds:
                r = Recipe(name="first", sizes=sizes, lanes=(8,) * (len(sizes) - 1), alpha=alpha, beta=beta, seed=seed, **cells)
                made = gradient.compare(r, emulator.initial_weights(r), held[:JUDGED], classes[:JUDGED])
                cosines.append((made["rule_exact"]["cosine"], made["exact"]["cosine"]))
            rule, chip = np.mean(cosines, axis=0)
            for rate in given.rate:
                told = r.model_dump() | {"seed": 1, "learning_rate": rate}
                run = emulator.train(Recipe.model_validate(told), x, y, held, classes, epochs=given.epochs, seeds=list(seeds))
                right = 100 * run.epochs[-1]["accuracy"]
                print(
                    f"{alpha:6g}{beta:7g}{rate:9g}{rule:14.4f}{chip:8.4f}{right.mean():10.2f}{right.std(ddof=1):8.2f}{right.min():8.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
