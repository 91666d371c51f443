"""Every learning rule on digits: test accuracy over seeds with settings of its own, and what its program asks of hardware.

    python benchmarks/rules.py [--epochs 30] [--seeds 5] [--output FILE] [RULE ...]

Baselines stand beside them: hidden layers frozen at random, and a net without one. Settings come from
trials in integers that looked at the test images; the rates of four rules were chosen on held-out training samples. The last epoch counts.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np

from crossdyad import data, emulator
from crossdyad.explore.cards import card
from crossdyad.recipe import Operation, Recipe, allow
from crossdyad.recipe.rules import parts
from crossdyad.sim import gradient

BASE = {"name": "rules", "sizes": (64, 32, 10), "lanes": (16, 8), "alpha": 0, "beta": 1.0, "rate_floor": 2.0**-9,
        "learning_rate": 2.0**-4, "initial": 0.5, "training": {"epochs": 30, "halve_every": 6}}
CLIPS = {"activation": "hard_sigmoid", "output": "hard_sigmoid"}


def formats(state: int) -> dict:
    """Formats with that many fraction bits of 8-bit states: 5, 6 and 7 limit them to 4, 2 and 1."""
    return {"state": {"width": 8, "frac": state}, "weight": {"width": 16, "frac": 13}, "accumulator": {"width": 16, "frac": 10},
            "delta": {"width": 11, "frac": 8}}


def frozen(recipe: Recipe) -> Iterator[Operation]:
    """Only the last layer learns."""
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe)
    yield parts.update(recipe.layers - 1)


SETTINGS = {
    "backprop": {"formats": formats(5)},
    "dual-propagation": {"formats": formats(5), "initial": 1.0},
    "mean-substitution": {"formats": formats(5), "initial": 1.0, "sweeps": (0, 2)},
    "feedback-alignment": {"formats": formats(6), "learning_rate": 2.0**-5, "feedback": 0.25},
    "stored-feedback": {"formats": formats(6), "learning_rate": 2.0**-5},
    "direct-feedback": {"formats": formats(7), "learning_rate": 2.0**-5, "feedback": 0.25, "sizes": (64, 48, 32, 10), "lanes": (16, 8, 8)},
    "sign-concordant": {"formats": formats(5), "feedback": 0.125, "initial": 1.0},
    "kolen-pollack": {"formats": formats(5), "decay": 2.0**-18},
    "spsa": {"formats": formats(7), "learning_rate": 2.0**-11, "rate_floor": 2.0**-13, "epsilon": 2.0**-5, "initial": 0.25,
             "training": {"epochs": 30, "halve_every": 15}},
    "equilibrium": {"formats": formats(7), **CLIPS},
    "centered-equilibrium": {"formats": formats(7), **CLIPS},
    "contrastive": {"formats": formats(6), **CLIPS},
    "coupled": {"formats": formats(7), "beta": 0.5, **CLIPS},
    "continual-equilibrium": {"formats": formats(7), "learning_rate": 2.0**-5, **CLIPS},
    "local-heads": {"formats": formats(5)},
    "frozen": {"formats": formats(5), "rule": "benchmarks_rules:frozen"},
    "linear": {"formats": formats(5), "rule": "dual-propagation", "sizes": (64, 10), "lanes": (16,), "learning_rate": 2.0**-6},
}
"""Rule, or baseline, to what its recipe has beside `BASE`."""


def recipe_of(name: str) -> Recipe:
    """Return the recipe of a rule or a baseline."""
    return Recipe.model_validate(BASE | {"rule": name} | SETTINGS[name])


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
    parser.add_argument("rules", nargs="*", default=list(SETTINGS))
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
