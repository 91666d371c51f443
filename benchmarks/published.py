"""Published results on MNIST beside ours, shortened to what two cores can do; the set-up of both is in docs/published.md.

    python benchmarks/published.py --data DIR [--epochs N] [--seeds 3] [--output FILE] [NAME ...]

Long: minutes per seed. A run that is stopped goes on from its last epoch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optax
from jax import numpy as jnp
from published_nets import (
    Driven,
    Sigmoids,
    Upper,
    a_tenth_less,
    by_stencil,
    by_surrogate,
    half_circle,
    loss,
    passive,
    sigmoid,
    sigmoid_primitive,
    steered,
    surprises,
)

from crossdyad import data, models
from crossdyad.models.circuits import square_primitive
from crossdyad.models.cookbook import ROWS
from crossdyad.models.estimators.contrast import one_sided
from crossdyad.models.estimators.estimator import Estimator
from crossdyad.models.solvers import relaxation

NOISE = 0.04
"""Standard deviation of the noise on the drives of states that are read."""


@dataclass(frozen=True)
class Case:
    """A training run and what it is to reproduce.

    Attributes
    ----------
    rule : Estimator
    rate : float
        The optimizer's, at the start.
    optimizer : callable
        An optax transformation of the rate.
    solver : callable, optional
        For the test set.
    project : callable, optional
        As of `models.train`.
    schedule : callable
        Of the rate and the number of updates, to an optax schedule.
    constant : bool
        An input of 1 beside the pixels, for biases of the first layer.
    """

    rule: Estimator
    circuit: Any
    objective: Callable
    rate: float
    published: str
    settings: dict = field(default_factory=dict)
    optimizer: Callable = optax.adam
    batch: int = 64
    epochs: int = 10
    solver: Callable | None = None
    project: Callable | None = None
    schedule: Callable = optax.cosine_decay_schedule
    constant: bool = False


# Runs -------------------------------------------------------------------------------------------------------


def cases() -> dict[str, Case]:
    """Every run by its name."""
    wide, small = models.Feedforward((784, 1024, 10)), models.Feedforward((784, 500, 500, 10))
    unlabelled = Upper(models.Feedforward(small.sizes[:-1], output_activation=models.relu), 10, 2**0.5)
    tanh = models.Feedforward((785, 256, 256, 256, 10), jnp.tanh)
    backprop = partial(Case, by_surrogate(1, loss, "chain"), rate=5e-4)
    bounds = models.clip(0.0, 1.0), square_primitive, frozenset({"energy", "block-exact"})
    clipped = models.Hopfield((785, 1024, 10), *bounds, output_activation=models.identity, output_primitive=square_primitive)
    sigmoids = partial(
        Case,
        circuit=Sigmoids((785, 256, 256, 10), sigmoid, sigmoid_primitive),
        objective=models.squared_error,
        rate=0.1,
        optimizer=optax.sgd,
        batch=20,
        epochs=15,
        solver=relaxation(30),
        constant=True,
    )
    wide_nudge, narrow_nudge = ({"beta": beta, "free": 20, "nudged": 5} for beta in (0.4, 0.1))
    return {
        "dual propagation": Case(
            ROWS[57].estimator,
            wide,
            models.cross_entropy,
            5e-4,
            "stated equal to backprop",
            {"alpha": 0.5, "beta": 1.0, "sweeps": 2},
            epochs=5,
        ),
        "backprop": backprop(wide, models.cross_entropy, published="the same net, for dual propagation", epochs=5),
        "holomorphic EP": sigmoids(by_stencil(54, half_circle), settings=wide_nudge, published="50 epochs: 2.33 +- 0.26 % error"),
        "one-sided EP": sigmoids(by_stencil(51, one_sided), settings=narrow_nudge, published="50 epochs: 1.97 +- 0.08 % error"),
        "holomorphic EP, noise": sigmoids(
            by_stencil(54, half_circle, NOISE), settings=wide_nudge, published="50 epochs: 2.2 +- 0.2 % error", epochs=10
        ),
        "one-sided EP, noise": sigmoids(
            by_stencil(51, one_sided, NOISE), settings=narrow_nudge, published="50 epochs: 89.5 % error", epochs=2
        ),
        "resistive net, centered EP": Case(
            ROWS[52].estimator,
            Driven((784, 100, 10), 100.0),
            models.squared_error,
            0.006,
            "10 epochs: 3.46 % error",
            {"beta": 1.0, "solver": relaxation(4)},
            optax.sgd,
            batch=4,
            solver=relaxation(6),
            project=passive,
            schedule=a_tenth_less,
        ),
        "deep Hopfield net, centered EP": Case(
            ROWS[52].estimator,
            clipped,
            models.squared_error,
            1e-3,
            "100 epochs: 1.79 % error",
            {"beta": 0.2, "solver": relaxation(4)},
            epochs=12,
            solver=relaxation(15),
            constant=True,
        ),
        "deep feedback control": Case(
            by_surrogate(74, steered, "chain", "triangular", "neurons"),
            tanh,
            models.squared_error,
            5e-4,
            "40 epochs: 2.20 % error",
            {"beta": 0.01},
            batch=128,
            epochs=15,
            constant=True,
        ),
        "backprop, 3 x 256 tanh": backprop(
            tanh, models.squared_error, published="40 epochs: 1.83 % error", batch=128, epochs=15, constant=True
        ),
        "Forward-Forward": Case(
            by_surrogate(42, surprises),
            unlabelled,
            models.cross_entropy,
            3e-3,
            "3 x 1000, 100 epochs: 1.45 % error",
            {"threshold": 2.0},
            epochs=20,
        ),
        "backprop, 784-500-500-10": backprop(
            small, models.cross_entropy, published="the same hidden layers, for Forward-Forward", epochs=20
        ),
    }


def measure(name: str, case: Case, folder, epochs: int | None, seeds: int, kept: Path) -> dict:
    """Train with every seed; errors in per cent of the test set."""
    d, epochs = data.load("mnist", folder), epochs or case.epochs
    if case.constant:
        d = tuple(np.hstack([v, np.ones((len(v), 1))]) if v.ndim == 2 else v for v in d)
    each = len(d[0]) // case.batch
    errors = []
    for seed in range(1, seeds + 1):
        run = models.train(
            case.rule,
            case.circuit,
            case.objective,
            d,
            epochs=epochs,
            batch=case.batch,
            seed=seed,
            settings=case.settings,
            optimizer=case.optimizer(case.schedule(case.rate, each * epochs)),
            solver=case.solver,
            project=case.project,
            checkpoint=kept / f"{name.replace(' ', '-').replace(',', '')}-{epochs}-{seed}.npz",
        )
        errors.append(100 * (1 - run.epochs[-1]["accuracy"]))
        curve = " ".join(f"{100 * (1 - e['accuracy']):.2f}" for e in run.epochs)
        print(f"  {name}, seed {seed}: {errors[-1]:.2f} % error after {epochs} epochs ({curve})", flush=True)
    return {
        "name": name,
        "row": case.rule.row,
        "epochs": epochs,
        "batch": case.batch,
        "errors": errors,
        "mean": float(np.mean(errors)),
        "spread": float(np.std(errors, ddof=1)) if seeds > 1 else 0.0,
        "published": case.published,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(cases()), metavar="NAME", help="; ".join(cases()))
    parser.add_argument("--data", required=True, help="folder of the MNIST files")
    parser.add_argument("--epochs", type=int, help="each run's own otherwise")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("build/published.json"))
    given = parser.parse_args()
    results = []
    given.output.parent.mkdir(parents=True, exist_ok=True)
    for name in given.names:
        results.append(m := measure(name, cases()[name], given.data, given.epochs, given.seeds, given.output.parent / "published"))
        print(
            f"{name:32} {m['mean']:5.2f} +- {m['spread']:.2f} % error, batch {m['batch']}, {m['epochs']} epochs, "
            f"{len(m['errors'])} seeds   published: {m['published']}",
            flush=True,
        )
        given.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
