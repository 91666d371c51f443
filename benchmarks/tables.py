"""Tables of one's own: the recipe that `crossdyad new` proposes beside scikit-learn's MLP of the same size, on the same splits.

    python benchmarks/tables.py [--seeds 5] [--hidden 32]

Needs scikit-learn (`pip install scikit-learn`), whose iris and wine it writes as CSV beside a drawn table of 20 features and 3 classes.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from pathlib import Path

import numpy as np

from crossdyad import data, emulator, recipe
from crossdyad.cli.new import proposal


def tables() -> dict[str, tuple]:
    """Name to (columns, samples, labels)."""
    from sklearn import datasets

    found = {}
    for name in ("iris", "wine"):
        d = getattr(datasets, f"load_{name}")()
        found[name] = d.feature_names, d.data, d.target_names[d.target]
    x, y = datasets.make_classification(1000, 20, n_informative=8, n_classes=3, random_state=1)
    found["synthetic"] = [f"f{i}" for i in range(20)], x.round(6), y
    return found


def written(path: Path, columns, x, y) -> Path:
    """Write a table as CSV."""
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([[*columns, "class"], *([*row, label] for row, label in zip(x, y, strict=True))])
    return path


def compare(path: Path, seeds: int, hidden: int) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies of the chip and of scikit-learn's net, one per split."""
    from sklearn.neural_network import MLPClassifier

    chips, nets = [], []
    made = recipe.parse(proposal(path.stem, path, hidden=(hidden,))[0])
    for seed in range(1, seeds + 1):
        r = made.model_copy(update={"seed": seed, "data": made.data.model_copy(update={"seed": seed})})
        d = data.of(r)
        chips.append(float(emulator.train(r, *d).epochs[-1]["accuracy"]))
        net = MLPClassifier((hidden,), max_iter=1000, random_state=seed).fit(d.x_train[:, :-1], d.y_train)
        nets.append(net.score(d.x_test[:, :-1], d.y_test))
    return np.array(chips), np.array(nets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--hidden", type=int, default=32)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for name, table in tables().items():
            chip, net = compare(written(Path(f"{name}.csv"), *table), given.seeds, given.hidden)
            print(
                f"{name:<10} chip {100 * chip.mean():6.2f} %   scikit-learn {100 * net.mean():6.2f} %   difference of each split "
                f"{100 * (chip - net).mean():+.2f} +- {100 * (chip - net).std(ddof=1) / np.sqrt(len(chip)):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
