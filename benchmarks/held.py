"""What a preset of digits reaches on training samples that are held out, without and with other settings: for choosing them.

    python benchmarks/held.py digits-predictive-coding objective=squared-hinge activation=leaky_relu

Each setting alone, then all together; its field as a spec's axis names it, its value as TOML, or a word. Ten seeds that the tables of
results do not have; the last quarter of the training samples is held out, the test set is not looked at.
"""

from __future__ import annotations

import argparse
import tomllib
from typing import Any

import numpy as np

from crossdyad import data, emulator
from crossdyad.explore import spec
from crossdyad.recipe import Recipe, load

HELD, SEEDS = 360, tuple(range(11, 21))


def accuracies(recipe: Recipe) -> np.ndarray:
    """Return the accuracy in % of each seed, held out, after the recipe's epochs."""
    whole = data.load("digits")
    x, y, held, classes = whole.x_train[:-HELD], whole.y_train[:-HELD], whole.x_train[-HELD:], whole.y_train[-HELD:]
    history = emulator.train(recipe, x, y, held, classes, epochs=recipe.training.epochs, seeds=list(SEEDS), engine="jax")
    return 100 * np.asarray(history.epochs[-1]["accuracy"])


def value(text: str) -> Any:
    """Return a setting's value: TOML, else the word itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def main() -> None:
    """Print a line for the preset and for each of the settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("settings", nargs="*", metavar="FIELD=VALUE")
    given = parser.parse_args()
    changes = {field: value(text) for field, _, text in (word.partition("=") for word in given.settings)}
    trials = [{}, *({field: changes[field]} for field in changes), *([changes] if len(changes) > 1 else [])]
    for trial in trials:
        point = spec.apply(load(given.preset), trial)
        if point.recipe is None:
            print(f"{trial}: {point.error}")
            continue
        right = accuracies(point.recipe)
        told = ", ".join(f"{field} {made}" for field, made in trial.items()) or given.preset
        print(f"{right.mean():.2f} +- {right.std(ddof=1):.2f}  worst {right.min():.2f}  {told}", flush=True)


if __name__ == "__main__":
    main()
