"""Squared error, its hinge, and a softmax by table, on the chip's integers: accuracy on held-out training samples, each at its best rate.

    python benchmarks/objectives.py              # digits: weights of 8 and 16 bits, 5 epochs, 5 seeds
    python benchmarks/objectives.py --data DIR   # and mnist: 5 epochs, one seed, held out are the last 10,000 training samples; for the
                                                 # hinge also the scale of the first weights, and biases; for both fewer bits; then
                                                 # 10 epochs of all, with squared error and the hinge as chosen, 3 seeds: test samples

No chip has the softmax: the emulator's nudge is replaced by one. Of the outputs' drives it takes what each lies below the largest,
in eighths, finds its power in a table of 64 words of 8 bits, and divides by the sum of all.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from crossdyad import data, emulator
from crossdyad.emulator import chip, fixed, nudge
from crossdyad.emulator.arrays import namespace
from crossdyad.recipe import Recipe, load

TABLE = np.round(255 * np.exp(-np.arange(64) / 8)).astype(np.int32)
OWN = nudge.nudge
OBJECTIVES = ("squared-error", "squared-hinge", "softmax, steepness 1", "softmax, steepness 2")


def softmax(steepness: int) -> Callable:
    """Return a nudge to the label's class, away from each class by its share."""

    def pushed(recipe, a, target, random=0, negative=False):
        xp, f = namespace(a, target), recipe.formats.accumulator
        below = (a.max(-1, keepdims=True) - a) * steepness
        power = xp.asarray(TABLE)[xp.minimum(below >> (f.frac - 3), len(TABLE) - 1)]
        error = (xp.where(target, 1 << f.frac, 0) - (power << f.frac) // power.sum(-1, keepdims=True)).astype(a.dtype)
        return error, *fixed.requantize(
            -error if negative else error, recipe.nudge_shift, f.width, recipe.rounding.accumulator, recipe.overflow.accumulator, random
        )

    return pushed


def accuracy(fields: dict, samples: tuple[np.ndarray, ...], seeds: list[int], epochs: int) -> np.ndarray:
    """Return that of each seed, in percent."""
    own = not fields["objective"].startswith("softmax")
    nudge.nudge = OWN if own else softmax(int(fields["objective"][-1]))
    chip._compiled.cache_clear()  # programs are kept by recipe, which does not know of the softmax
    recipe = Recipe.model_validate(fields if own else fields | {"objective": "squared-error"})
    return 100 * np.asarray(emulator.train(recipe, *samples, seeds=seeds, epochs=epochs).epochs[-1]["accuracy"])


def accuracies(base: dict, choices: dict[str, dict], samples, seeds, epochs: int) -> str:
    """Print a line for each choice at once, each a change of fields, and return the name of the best."""
    means = {}
    for name, changes in choices.items():
        found = accuracy(base | changes, samples, seeds, epochs)
        spread = f" +- {found.std(ddof=1):.2f}" if len(found) > 1 else ""
        means[name] = found.mean()
        print(f"{name:45} {found.mean():6.2f}{spread} %", flush=True)
    return max(means, key=lambda n: means[n])


def choices(name: str, log2_rates) -> dict[str, dict]:
    """Every objective at every rate."""
    return {
        f"{name}, {objective}, rate 2**{n}": {"objective": objective, "learning_rate": 2.0**n, "rate_floor": 2.0 ** (n - 4)}
        for objective in OBJECTIVES
        for n in log2_rates
    }


def main() -> None:
    """Print each line as it is known."""
    folder = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder.add_argument("--data", help="folder with MNIST")
    folder = folder.parse_args().data
    d, base = data.load("digits"), load("digits").model_dump()
    samples = d.x_train[:1200], d.y_train[:1200], d.x_train[1200:], d.y_train[1200:]
    for width in (8, 16):
        formats = base["formats"] | {"weight": {"width": width, "frac": width - 3}}
        accuracies(base | {"formats": formats}, choices(f"digits, {width} bits", range(-7, -3)), samples, [1, 2, 3, 4, 5], 5)
    if folder:
        d, base = data.load("mnist", folder), load("mnist").model_dump()
        samples = d.x_train[:50000], d.y_train[:50000], d.x_train[50000:], d.y_train[50000:]
        short, hinge = base | {"training": {"epochs": 5, "halve_every": 1}}, {"objective": "squared-hinge"}
        accuracies(short, choices("mnist", (-6, -5)), samples, [1], 5)
        starts = {
            f"mnist, hinge, initial {scale}, bias {bias}": hinge | {"initial": scale, "bias": bias}
            for bias in (False, True)
            for scale in (0.25, 0.125, 0.0625)
        }
        best = accuracies(short, starts, samples, [1], 5)
        narrow = {
            f"mnist, {name}, weights of {width} bits": changes
            | {"formats": base["formats"] | {"weight": {"width": width, "frac": width - 1}}}
            for width in (8, 10, 12)
            for name, changes in (("squared-error", {}), ("hinge", starts[best]))
        }
        accuracies(short, narrow, samples, [1], 5)
        accuracies(base, {"test: mnist, squared-error": {}, f"test: {best}": starts[best]}, tuple(d), [1, 2, 3], 10)


if __name__ == "__main__":
    main()
