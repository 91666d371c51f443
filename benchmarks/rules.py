"""Every learning rule on digits: test accuracy over seeds with its preset, and what its program asks of hardware.

    python benchmarks/rules.py [--epochs 30] [--seeds 5] [--output explore/rules.json] [RULE ...]

Baselines stand beside them: hidden layers frozen at random, and a net without one. The presets' settings come from
trials in integers that looked at the test images; some were chosen on held-out training samples (docs/rules.md). The last epoch counts.
What `--output` has of other rules stays there; `crossdyad rules` and the page take their figures from it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from crossdyad import data, emulator
from crossdyad.explore.cards import card, presets_of_rules
from crossdyad.explore.rules import accuracy, fingerprint
from crossdyad.recipe import Operation, Recipe, allow, load
from crossdyad.recipe.rules import parts
from crossdyad.sim import gradient, quality, real, real_training


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
TITLES = {"frozen": "hidden layer frozen at random", "linear": "linear net, 64-10"}
"""What the page calls a baseline."""


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
    size = "" if recipe.sizes == (64, 32, 10) or name in TITLES else ", " + "-".join(map(str, recipe.sizes))
    found = {
        "title": TITLES.get(name, name) + size,
        "recipe": fingerprint(recipe),
        "cycles": card(recipe).cycles,
        "accuracies": [round(a, 4) for a in right.tolist()],
        "seconds": round(time.perf_counter() - began, 1),
    }
    real_numbers = real_training.train(recipe, *digits, epochs=epochs, seeds=seeds)[1]
    found["float64"] = [round(100 * a, 4) for a in real_numbers.tolist()]
    return found | {"cosine": cosines(recipe.model_copy(update={"seed": seeds[0]}))}


def cosines(recipe: Recipe) -> dict[str, float]:
    """Return the cosines of a chip with its first weights, on 60 training samples."""
    digits = data.load("digits")
    weights, x, y = emulator.initial_weights(recipe), digits.x_train[:60], digits.y_train[:60]
    if recipe.signed:  # slopes along signs, against the exact ones along the same
        return {"exact": quality.quality(recipe, weights, x, y, real.exact(recipe, weights, x, y), 1)["cosine"]}
    made = gradient.compare(recipe, weights, x, y)
    return {k: made[k]["cosine"] for k in gradient.COMPARISONS}


def written(path: str, given, name: str, found: dict):
    """Put the figures of a rule into the file of results, in the order of the page; those of other epochs or seeds are dropped."""
    file, seeds = Path(path), list(range(1, given.seeds + 1))
    command = f"python benchmarks/rules.py --epochs {given.epochs} --seeds {given.seeds} --output {path}"
    held = json.loads(file.read_text()) if file.exists() else {}
    same = (held.get("epochs"), held.get("seeds")) == (given.epochs, seeds)
    rules = (held["rules"] if same else {}) | {name: found}
    order = [n for n in (*presets_of_rules(), *BASELINES) if n in rules]
    table = {"command": command, "epochs": given.epochs, "seeds": seeds, "rules": {n: rules[n] for n in order}}
    part = file.with_suffix(".part")
    part.write_text(json.dumps(table, indent=1) + "\n")
    part.replace(file)


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
    for name in given.rules:
        made = measure(name, given.epochs, list(range(1, given.seeds + 1)))
        said = "   ".join(f"{k} {v:.3f}" for k, v in made["cosine"].items() if v is not None)
        print(
            f"{name:<24}{accuracy(made['accuracies'])}   worst {min(made['accuracies']):.1f}   {made['cycles']} cycles   {said}   "
            f"({made['seconds']:.0f} s)",
            flush=True,
        )
        if given.output:
            written(given.output, given, name, made)


if __name__ == "__main__":
    main()
