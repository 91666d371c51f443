"""A small conv net on CIFAR-10 by rows of the cookbook, beside backprop of the same net, in minutes of one core.

``taskset -c 0 python benchmarks/cifar.py --data DIR``; DIR holds CIFAR-10's binary records. Of the first 10,000 training images the last
fifth is held out and decides each row's rate; the test images are seen once by each trained net.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import numpy as np  # noqa: E402

from crossdyad import data, models  # noqa: E402
from crossdyad.models.cookbook.reference import convolved  # noqa: E402
from crossdyad.models.cookbook.row import ROWS  # noqa: E402
from crossdyad.models.cookbook.standard import learn, standard  # noqa: E402
from crossdyad.models.training import predict  # noqa: E402

SEEN = 10_000
"""Training images, of which a fifth is held out."""
CHANNELS, HIDDEN = (8, 16), (64,)
RATES, TRIED, EPOCHS, SEEDS = (1e-3, 3e-3), 2, 12, (1, 2)
"""Adam's, of which the best after `TRIED` epochs is taken; epochs of a run; seeds."""


def parts(folder: Path) -> tuple[data.Dataset, data.Dataset]:
    """Return training images with the held-out ones in place of tests, and with the tests: the mean image is taken off."""
    d = data.as_images(data.load(folder))
    x, y = d.x_train[:SEEN], d.y_train[:SEEN]
    n = 4 * len(x) // 5
    mean = x[:n].mean(0)
    x, x_test = x - mean, d.x_test - mean
    return data.Dataset(x[:n], y[:n], x[n:], y[n:]), data.Dataset(x[:n], y[:n], x_test, d.y_test)


def accuracy(row: int, layers: tuple, parameters, dataset: data.Dataset) -> float:
    """Return the share of test images that a trained net knows."""
    circuit = standard(row, layers).circuit
    with models.float64():
        outputs = jax.jit(jax.vmap(lambda x: predict(circuit, parameters, x)))(dataset.x_test)
    return float(np.mean(np.argmax(outputs, -1) == dataset.y_test))


def main() -> None:
    """Print the table as it comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="+", default=[20, 57, 23])
    given = parser.parse_args()
    held, tested = parts(given.data)
    layers = convolved(held, CHANNELS, HIDDEN)
    print("| row | rule | rate | held out | test | seconds of a core |\n|---:|---|---:|---|---|---:|", flush=True)
    for row in given.rows:
        begun = time.process_time()
        tried = {rate: learn(row, layers, held, TRIED, SEEDS[0], rate).epochs[-1]["accuracy"] for rate in RATES}
        rate = max(tried, key=tried.get)
        runs = [learn(row, layers, held, EPOCHS, seed, rate) for seed in SEEDS]
        scores = [[100 * r.epochs[-1]["accuracy"] for r in runs], [100 * accuracy(row, layers, r.parameters, tested) for r in runs]]
        said = [", ".join(f"{v:.1f}" for v in values) for values in scores]
        print(f"| {row} | {ROWS[row].title} | {rate:g} | {said[0]} | {said[1]} | {time.process_time() - begun:.0f} |", flush=True)


if __name__ == "__main__":
    main()
