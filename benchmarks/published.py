"""Published results on MNIST beside ours, shortened to what two cores can do; the set-up of both is in the table.

    python benchmarks/published.py --data DIR [--epochs 20] [--seeds 3] [--output FILE] [NAME ...]

Long: minutes per seed. A run that is stopped goes on from its last epoch.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import optax

from crossdyad import data, models
from crossdyad.models.circuits import square_primitive
from crossdyad.models.cookbook import ROWS
from crossdyad.models.solvers import relaxation

BATCH = 64


def clipped(*sizes):
    """A deep Hopfield net of units clipped to [0, 1]."""
    return models.Hopfield(sizes, models.clip(0.0, 1.0), square_primitive, frozenset({"energy", "block-exact"}))


def runs() -> dict:
    """Name to (row, circuit, objective, settings, learning rate, published set-up and result)."""
    net = models.Feedforward((784, 1024, 10))
    return {
        "deep Hopfield net, centered EP": (
            52, clipped(784, 1024, 10), models.squared_error, {"beta": 0.5, "solver": relaxation(8)}, 5e-4,
            "784-1024-10, 100 epochs: 1.79 % error"),
        "dual propagation": (57, net, models.cross_entropy, {"alpha": 0.5, "beta": 1.0, "sweeps": 2}, 5e-4, "stated equal to backprop"),
        "backprop": (1, net, models.cross_entropy, {}, 5e-4, "the same net, for dual propagation"),
    }


def measure(name: str, folder, epochs: int, seeds: int, kept: Path) -> dict:
    row, circuit, objective, settings, rate, published = runs()[name]
    d = data.load("mnist", folder)
    steps = len(d.x_train) // BATCH * epochs
    errors, began = [], time.perf_counter()
    for seed in range(1, seeds + 1):
        run = models.train(
            ROWS[row].estimator, circuit, objective, d, epochs=epochs, batch=BATCH, seed=seed, settings=settings,
            optimizer=optax.adam(optax.cosine_decay_schedule(rate, steps)), solver=relaxation(15),
            checkpoint=kept / f"{name.replace(' ', '-').replace(',', '')}-{epochs}-{seed}.npz")
        errors.append(100 * (1 - run.epochs[-1]["accuracy"]))
        print(f"  {name}, seed {seed}: {errors[-1]:.2f} % error after {epochs} epochs", flush=True)
    return {"name": name, "row": row, "epochs": epochs, "batch": BATCH, "errors": errors, "mean": float(np.mean(errors)),
            "spread": float(np.std(errors, ddof=1)) if seeds > 1 else 0.0, "seconds": time.perf_counter() - began, "published": published}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(runs()), metavar="NAME", help="; ".join(runs()))
    parser.add_argument("--data", required=True, help="folder of the MNIST files")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("build/published.json"))
    given = parser.parse_args()
    results = []
    for name in given.names:
        results.append(m := measure(name, given.data, given.epochs, given.seeds, given.output.parent / "published"))
        print(f"{name:32} {m['mean']:5.2f} +- {m['spread']:.2f} % error, {m['epochs']} epochs, {len(m['errors'])} seeds, "
              f"{m['seconds']:.0f} s   published: {m['published']}", flush=True)
        given.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
