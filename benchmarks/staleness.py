"""What stale weights give and what they cost: interval and multipliers of layouts, and their test accuracy beside the sequential chip's.

    python benchmarks/staleness.py [--seeds 5] [--epochs N] [--data DIR] [--samples N] [--held N] [--delta WIDTH FRAC] [PRESET ...]

Both learn with the same seeds, samples and rates; where accuracy is not asked for (`--seeds 0`) programs are compiled alone. Formats are
compared on held-out training samples (`--held`), with a format of differences other than the preset's (`--delta`).
"""

from __future__ import annotations

import argparse

import numpy as np

from crossdyad import data, emulator
from crossdyad.explore.fit import measured
from crossdyad.recipe import Recipe, load, programs

SETS = {64: "digits", 784: "mnist"}
BOARDS = {64: "ulx3s", 784: "ulx3s-85f"}
LAYOUTS = {
    "digits": [
        ({16: "W0 W1"}, 4, (1, 0)),
        ({22: "W0", 5: "W1"}, 4, (1, 0)),
        ({16: "W0", 4: "W1"}, 4, (2, 0)),
        ({22: "W0", 6: "W1"}, 4, (2, 0)),
    ],
    "digits-deep": [({16: "W0 W1 W2"}, 4, (2, 1, 0)), ({13: "W0", 12: "W1 W2"}, 8, (3, 1, 0)), ({16: "W0 W2", 12: "W1"}, 8, (3, 2, 0))],
    "mnist": [({28: "W0 W1"}, 4, (1, 0)), ({131: "W0", 3: "W1"}, 4, (1, 0)), ({131: "W0", 3: "W1"}, 4, (2, 0))],
}
"""By preset: lanes and the matrices on them, samples in flight, staleness of each layer."""


def laid(recipe: Recipe, engines: dict[int, str], flight: int, staleness: tuple[int, ...]) -> Recipe:
    """Return a recipe in a layout."""
    rows = [{"lanes": lanes, "matrices": names.split()} for lanes, names in engines.items()]
    changes = {"lanes": (), "engines": rows, "samples_in_flight": flight, "staleness": staleness}
    return Recipe.model_validate(recipe.model_dump() | changes)


def preset(name: str, delta: list[int] | None) -> Recipe:
    """Return a preset, with the format of differences that is given."""
    table = load(name).model_dump()
    if delta:
        table["formats"]["delta"] = dict(zip(("width", "frac"), delta, strict=True))
    return Recipe.model_validate(table)


def judged(whole: data.Dataset, samples: int | None, held: int) -> data.Dataset:
    """Return the first so many training samples, and beside them the last ones that are held out, or the test set if none are."""
    if not held:
        return whole._replace(x_train=whole.x_train[:samples], y_train=whole.y_train[:samples])
    kept = len(whole.x_train) - held
    first = slice(min(samples or kept, kept))
    return data.Dataset(whole.x_train[first], whole.y_train[first], whole.x_train[kept:], whole.y_train[kept:])


def accuracy(recipe: Recipe, dataset: data.Dataset, seeds: int, epochs: int | None) -> np.ndarray:
    """Return the test accuracy after the last epoch of each seed, in percent."""
    return 100 * np.asarray(emulator.train(recipe, *dataset, epochs=epochs, seeds=list(range(1, seeds + 1))).epochs[-1]["accuracy"])


def said(found: np.ndarray) -> str:
    """Return accuracies in words."""
    return f"{found.mean():.2f} ({', '.join(f'{v:.1f}' for v in found)})"


def main() -> None:
    """Print a line for each layout."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", default=("digits", "digits-deep"))
    parser.add_argument("--data", help="folder of the MNIST files")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--samples", type=int, help="training samples, the first of the set")
    parser.add_argument("--held", type=int, default=0, help="judge on so many training samples, the last of the set, not on the test set")
    parser.add_argument("--delta", type=int, nargs=2, metavar=("WIDTH", "FRAC"), help="format of differences")
    given = parser.parse_args()
    for name in given.presets:
        base = preset(name, given.delta)
        dataset = judged(data.load(SETS[base.sizes[0]], given.data), given.samples, given.held) if given.seeds else None
        if dataset:
            print(f"{name}: one sample after the other {said(accuracy(base, dataset, given.seeds, given.epochs))} %", flush=True)
        known = {}
        for layout in LAYOUTS[name]:
            recipe = laid(base, *layout)
            program, found = programs(recipe)[True], measured(recipe, BOARDS[recipe.sizes[0]])
            behind = ", ".join(f"{matrix} {lag}" for matrix, lag in program.staleness.items())
            print(
                f"{name}, {found.placed}: every {found.cycles} cycles, {program.in_flight} under way, busy {100 * found.busy:.1f} %; "
                f"updates behind: {behind}; {found.needs['multiplier']:.0f} multipliers, {found.needs['LUT']:.0f} LUT",
                flush=True,
            )
            lags = tuple(sorted((str(i.step), i.lag) for i in program.instructions))
            if dataset and lags not in known:  # accuracy follows from the lags alone
                known[lags] = accuracy(recipe, dataset, given.seeds, given.epochs)
            if dataset:
                print(f"    {said(known[lags])} %", flush=True)


if __name__ == "__main__":
    main()
