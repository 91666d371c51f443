"""Every learning rule on digits: test accuracy over seeds with its preset, and what its program asks of hardware.

    python benchmarks/rules.py [--epochs 30] [--seeds 5] [--output FILE] [RULE ...]

Baselines stand beside them: hidden layers frozen at random, and a net without one. The presets' settings come from
trials in integers that looked at the test images; the rates of four rules were chosen on held-out training samples. The last epoch counts.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np

from crossdyad import data, emulator
from crossdyad.explore.cards import card, presets_of_rules
from crossdyad.recipe import Operation, Recipe, allow, load
from crossdyad.recipe.rules import parts
from crossdyad.sim import gradient


def frozen(recipe: Recipe) -> Iterator[Operation]:
    """Only the last layer learns."""
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe)
    yield parts.update(recipe.layers - 1)


BASELINES = {
    "frozen": {"rule": "benchmarks_rules:frozen", "initial": 0.5, "rate_floor": 2.0**-9},
    "linear": {"sizes": (64, 10), "lanes": (16,), "initial": 0.5, "rate_floor": 2.0**-9, "learning_rate": 2.0**-6},
}
"""Baseline to what its recipe has beside the preset `digits`."""


def recipe_of(name: str) -> Recipe:
    """Return the preset of a rule, or the recipe of a baseline."""
    if name in BASELINES:
        return Recipe.model_validate(load("digits").model_dump() | {"name": name} | BASELINES[name])
    return load(presets_of_rules()[name])


def measure(name: str, epochs: int, seeds: list[int]) -> dict:
    """Train one chip a seed; return accuracies, cosines with the first weights and the rule's card."""
    recipe, digits, began = recipe_of(name), data.load("digits"), time.perf_counter()
    history = emulator.train(recipe, *digits, epochs=epochs, seeds=seeds, engine="jax")
    right = 100 * np.asarray(history.epochs[-1]["accuracy"])
    found = {"name": name, "accuracies": right.tolist(), "mean": float(right.mean()), "deviation": float(right.std(ddof=1)),
             "card": card(recipe)._asdict(), "seconds": time.perf_counter() - began}
    if not recipe.signed:
        chip = recipe.model_copy(update={"seed": seeds[0]})
        made = gradient.compare(chip, emulator.initial_weights(chip), digits.x_train[:60], digits.y_train[:60])
        found["cosine"] = {k: made[k]["cosine"] for k in gradient.COMPARISONS}
    return found


def main():
    import sys

    parser = argparse.ArgumentParser()
    parser.add_argument("rules", nargs="*", default=[*presets_of_rules(), *BASELINES])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output")
    given = parser.parse_args()
    sys.modules["benchmarks_rules"] = sys.modules[__name__]
    frozen.__module__ = "benchmarks_rules"
    allow("benchmarks_rules")
    found = []
    for name in given.rules:
        made = measure(name, given.epochs, list(range(1, given.seeds + 1)))
        cosine = made.get("cosine", {})
        said = "   ".join(f"{k} {v:.3f}" for k, v in cosine.items() if v is not None)
        print(f"{name:<24}{made['mean']:7.2f} +- {made['deviation']:.2f}   worst {min(made['accuracies']):.1f}   "
              f"{made['card']['cycles']} cycles   {said}   ({made['seconds']:.0f} s)", flush=True)
        found.append(made)
        if given.output:
            with open(given.output, "w") as file:
                json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
