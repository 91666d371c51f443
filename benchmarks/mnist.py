"""Learning rules on MNIST, 784-256-10: test accuracy over seeds on the emulated chip.

    python benchmarks/mnist.py --data DIR [--seeds 3] [--output explore/mnist.json] [RULE ...]
    python benchmarks/mnist.py --data DIR --held 5000 --samples 12000 --epochs 2 --seeds 1 [RULE ...]

Net, lanes, formats and rate are the preset's `mnist`, all else the rule's preset on digits, and what `SETTINGS` changes. Those were chosen
from a few candidates on held-out training samples (the last 5000) after two epochs of 12,000 others and seed 11; `--held` judges what is
chosen in that way, with seed 1. The last epoch counts.
What stops goes on from its last epoch (`build/mnist`); what `--output` has of a rule with these settings is not measured again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from crossdyad import data, emulator
from crossdyad.explore.cards import card, presets_of_rules
from crossdyad.explore.rules import accuracy, fingerprint
from crossdyad.recipe import Recipe, load

BELOW_2, BELOW_1 = ({"state": {"width": 8, "frac": frac}} for frac in (6, 7))
SETTINGS: dict[str, dict] = {
    "dual-propagation": {"initial": 0.5, "formats": BELOW_2},
    "sign-concordant": {"initial": 0.5, "feedback": 2.0**-5, "formats": BELOW_2},
    "backprop": {"formats": BELOW_2},
    "feedback-alignment": {"learning_rate": 2.0**-6, "feedback": 2.0**-4},
    "kolen-pollack": {},
    "local-heads": {},
    "contrastive": {"formats": BELOW_1},
    "equilibrium": {},
}
"""Rule to what its recipe has beside the two presets."""
TRAINING = {"epochs": 3, "halve_every": 1}
"""Epochs, and how many of them have one rate: more of them go on from those that were played."""


def recipe_of(name: str, epochs: int | None = None) -> Recipe:
    """Return the recipe of a rule on MNIST."""
    net, rule, own = load("mnist").model_dump(), load(presets_of_rules()[name]).model_dump(), SETTINGS[name]
    kept = {key: net[key] for key in ("sizes", "lanes", "learning_rate", "rate_floor")}
    formats = net["formats"] | {"state": rule["formats"]["state"]} | own.get("formats", {})
    training = net["training"] | TRAINING | ({"epochs": epochs} if epochs else {})
    return Recipe.model_validate(rule | kept | own | {"name": f"mnist-{name}", "formats": formats, "training": training})


def measure(recipe: Recipe, sets: tuple, seeds: list[int], kept: Path | None) -> dict:
    """Train one chip a seed; return accuracies and what they were measured with."""
    history = emulator.train(recipe, *sets, seeds=seeds, checkpoint=kept)
    right = 100 * np.asarray(history.epochs[-1]["accuracy"])
    return {"recipe": fingerprint(recipe), "epochs": recipe.training.epochs, "cycles": card(recipe).cycles,
            "accuracies": [round(a, 4) for a in right.tolist()]}


def written(file: Path, name: str, found: dict, seeds: list[int]):
    """Put the figures of a rule into the file of results, in the order of the page."""
    held = json.loads(file.read_text()) if file.exists() else {}
    rules = (held["rules"] if held.get("seeds") == seeds else {}) | {name: found}
    command = f"python benchmarks/mnist.py --data DIR --seeds {len(seeds)} --output {file}"
    table = {"command": command, "seeds": seeds, "rules": {n: rules[n] for n in SETTINGS if n in rules}}
    part = file.with_suffix(".part")
    part.write_text(json.dumps(table, indent=1) + "\n")
    part.replace(file)


def known(file: Path | None, name: str, recipe: Recipe, seeds: list[int]) -> dict | None:
    """Return what the file of results has of exactly this, or None."""
    held = json.loads(file.read_text()) if file and file.exists() else {}
    found = held["rules"].get(name) if held.get("seeds") == seeds else None
    return found if found and found["recipe"] == fingerprint(recipe) else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rules", nargs="*", default=list(SETTINGS))
    parser.add_argument("--data", help="folder of the MNIST files")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help=f"{TRAINING['epochs']} by default")
    parser.add_argument("--samples", type=int, help="training samples, the first of the set")
    parser.add_argument("--held", type=int, default=0, help="judge on so many training samples, the last of the set, not on the test set")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    x, y, *test = data.load("mnist", given.data)
    end = len(x) - given.held
    judged = (x[end:], y[end:]) if given.held else test
    first = slice(min(given.samples or end, end))
    whole, seeds = not given.held and not given.samples, list(range(1, given.seeds + 1))
    for name in given.rules:
        recipe = recipe_of(name, given.epochs)
        kept = Path("build/mnist") / f"{name}-{fingerprint(recipe_of(name, 1))}-{given.seeds}.npz" if whole else None
        found = known(given.output, name, recipe, seeds) or measure(recipe, (x[first], y[first], *judged), seeds, kept)
        print(f"{name:<24}{accuracy(found['accuracies'])}   worst {min(found['accuracies']):.2f}   {found['epochs']} epochs", flush=True)
        if given.output and whole:
            written(given.output, name, found, seeds)


if __name__ == "__main__":
    main()
