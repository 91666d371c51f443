"""A small conv net on CIFAR-10 by rows of the cookbook, each beside backprop of the same net from the same weights.

``taskset -c 0 python benchmarks/cifar.py --data DIR``; DIR holds CIFAR-10's binary records. Of the first 10,000 training images the last
fifth is held out and decides each rule's rate; the test images are seen once by each trained net. What is done is kept in
``build/cifar.jsonl``, whence the same command goes on; ``--table`` draws the table of what is there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from jax import numpy as jnp  # noqa: E402

from crossdyad import data, models  # noqa: E402
from crossdyad.models.cookbook import ROWS, extended  # noqa: E402
from crossdyad.models.cookbook.reference import convolved  # noqa: E402
from crossdyad.models.solvers import relaxation  # noqa: E402
from crossdyad.models.training import SHARE, predict  # noqa: E402

SEEN, CHANNELS, HIDDEN = 10_000, (8, 16, 32), ()
"""Training images, of which a fifth is held out; the net."""
EPOCHS, BATCH, RATES, TRIED = 8, 32, (2e-3, 4e-3), 3
"""Of every run; Adam's rates at the begin, from which a cosine leads to 0; epochs of a trial of seed 0."""
FREE, NUDGED, BETA = 8, 4, 0.2
"""Sweeps of the free phase and of each nudged one, which starts from it; the nudge of equilibrium propagation."""
KEPT = Path("build/cifar.jsonl")


class Case(NamedTuple):
    """A rule on a net.

    Attributes
    ----------
    rule, circuit, objective, settings, solver
        Of `models.train`.
    beside : str
        The case that it is compared with.
    """

    rule: models.Estimator
    circuit: Any
    objective: Callable
    beside: str = ""
    settings: dict = {}
    solver: Callable | None = None


# Rules and nets -----------------------------------------------------------------------------------------------------


def unrolled(circuit, objective, parameters, x, y):
    """The objective after the free phase's sweeps: its derivative is backprop through time."""
    s = circuit.start(parameters, x)
    silence = jax.tree.map(jnp.zeros_like, s)
    s, _ = jax.lax.scan(lambda s, _: (circuit.relax(parameters, s, x, silence), None), s, length=FREE)
    return objective(circuit.output(s), y)


def phases(problem, start=None):
    """So many sweeps of the free phase, so many of a nudged one."""
    return relaxation(FREE if problem.force is None else NUDGED)(problem, start)


def cases(layers: tuple) -> dict[str, Case]:
    """Return all that is compared, by name."""
    relus, tanhs, loops = models.Feedforward(layers), models.Feedforward(layers, jnp.tanh, jnp.tanh), models.Hopfield(layers)
    backprop, dual = ROWS[21].estimator, ROWS[57].estimator
    through = models.Estimator(None, "backprop", jax.grad(unrolled, 2), surrogate=unrolled)
    heads, local, _ = extended.local(relus)
    entropy = partial(Case, objective=models.cross_entropy, beside="backprop")
    squared = partial(Case, objective=models.squared_error, beside="backprop through the sweeps")
    with models.float64():
        random = extended.normal(extended.downwards(relus), jax.random.key(0))
    return {
        "backprop": Case(backprop, relus, models.cross_entropy),
        "dual propagation, beta 1": entropy(dual, relus, settings={"alpha": 0.5, "beta": 1.0, "sweeps": 2}),
        "dual propagation, beta 1/8": entropy(dual, relus, settings={"alpha": 0.5, "beta": 0.125, "sweeps": 2}),
        "local losses": entropy(models.Estimator(35, "local losses", local), heads),
        "feedback alignment": entropy(ROWS[23].estimator, relus, settings={"matrices": random}),
        "backprop through the sweeps": Case(through, loops, models.squared_error, solver=relaxation(FREE)),
        "equilibrium propagation": squared(ROWS[52].estimator, loops, settings={"beta": BETA, "solver": phases}, solver=relaxation(FREE)),
        "backprop without loops": squared(backprop, tanhs),
    }


def begun(case: Case, seed: int) -> Any:
    """Weights to start from: the same of a seed for all cases that are compared, since they are drawn for one net."""
    a, b = jax.random.split(jax.random.key(seed))
    loops = case.objective is models.squared_error
    net = getattr(case.circuit, "chain", case.circuit)
    weights = (models.Hopfield(net.sizes) if loops else net).random_parameters(a)
    return (weights, case.circuit.others(b)) if net is not case.circuit else weights


# Runs ---------------------------------------------------------------------------------------------------------------


def parts(folder: Path) -> tuple[data.Dataset, data.Dataset]:
    """Return training images with the held-out ones in place of tests, and with the tests; each colour has mean 0 and variance 1."""
    d = data.as_images(data.load(folder))
    x, y = d.x_train[:SEEN], d.y_train[:SEEN]
    n = 4 * len(x) // 5
    mean, spread = x[:n].mean((0, 1, 2)), x[:n].std((0, 1, 2))
    x, x_test = (x - mean) / spread, (d.x_test - mean) / spread
    return data.Dataset(x[:n], y[:n], x[n:], y[n:]), data.Dataset(x[:n], y[:n], x_test, d.y_test)


def trained(case: Case, held: data.Dataset, epochs: int, seed: int, rate: float) -> models.training.Run:
    """Train a case; the rate falls along a cosine to 0."""
    steps = epochs * (len(held.x_train) // BATCH)
    return models.train(
        case.rule,
        case.circuit,
        case.objective,
        held,
        parameters=begun(case, seed),
        epochs=epochs,
        batch=BATCH,
        optimizer=optax.adam(optax.cosine_decay_schedule(rate, steps)),
        seed=seed,
        solver=case.solver,
        settings=case.settings,
    )


def guesses(case: Case, parameters: Any, x: np.ndarray) -> np.ndarray:
    """Return the class that a trained net gives each image."""
    with models.float64():
        told = jax.jit(jax.vmap(lambda x: jnp.argmax(predict(case.circuit, parameters, x, case.solver))))
        return np.concatenate([told(x[i : i + SHARE]) for i in range(0, len(x), SHARE)])


def run(name: str, case: Case, held: data.Dataset, tested: data.Dataset, seed: int, rate: float) -> dict:
    """Train a case and see the images held out and the test images once: which of them it knows."""
    start = time.process_time()
    done = trained(case, held, EPOCHS, seed, rate)
    known = [guesses(case, done.parameters, d.x_test) == d.y_test for d in (held, tested)]
    right = ["".join("01"[int(k)] for k in ks) for ks in known]
    left = max(e["left_out"] for e in done.epochs)
    return {
        "case": name,
        "seed": seed,
        "rate": rate,
        "held": right[0],
        "test": right[1],
        "left_out": left,
        "s": time.process_time() - start,
    }


# Tables -------------------------------------------------------------------------------------------------------------


def shares(runs: dict, name: str, part: str) -> np.ndarray:
    """Per cent right of a case, a number for each seed."""
    return np.array([100 * np.mean([c == "1" for c in r[part]]) for _, r in sorted(runs[name].items())])


def behind(runs: dict, name: str, other: str) -> tuple[float, float, float]:
    """Return by how many points a case is ahead of another on all images, and the standard errors of that over seeds and over images."""
    seeds = sorted(set(runs[name]) & set(runs[other]))
    each = np.array([[[c == "1" for c in r["held"] + r["test"]] for r in (runs[name][s], runs[other][s])] for s in seeds], float)
    gap = 100 * (each[:, 0] - each[:, 1])
    over_seeds = gap.mean(1).std(ddof=1) / len(seeds) ** 0.5 if len(seeds) > 1 else float("nan")
    return gap.mean(), over_seeds, gap.mean(0).std(ddof=1) / gap.shape[1] ** 0.5


def table(lines: list[dict], named: dict[str, str]) -> str:
    """Draw what is kept; `named` is the cases and what each is compared with."""
    runs: dict[str, dict] = {}
    for line in lines:
        if "held" in line:
            runs.setdefault(line["case"], {})[line["seed"]] = line
    said = ["| rule | rate | seeds | held out | test | points ahead of backprop | seconds of a core |", "|---|---:|---:|---|---|---|---:|"]
    for name in (n for n in named if n in runs):
        one, other = list(runs[name].values()), named[name]
        right = [
            f"{v.mean():.1f} +- {v.std(ddof=1) if len(v) > 1 else np.nan:.1f}" for v in (shares(runs, name, p) for p in ("held", "test"))
        ]
        gap = "{:+.2f} +- {:.2f} (seeds), {:.2f} (images)".format(*behind(runs, name, other)) if other in runs else ""
        seconds = np.mean([r["s"] for r in one])
        said.append(f"| {name} | {one[0]['rate']:g} | {len(one)} | {right[0]} | {right[1]} | {gap} | {seconds:.0f} |")
    return "\n".join(said)


def main() -> None:
    """Run what is not kept yet, seed by seed, and draw the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cases", nargs="+", help="some of them alone")
    parser.add_argument("--table", action="store_true", help="draw what is kept, run nothing")
    given = parser.parse_args()
    KEPT.parent.mkdir(exist_ok=True)
    jax.config.update("jax_compilation_cache_dir", str(KEPT.parent / "cifar-compiled"))  # the same program for each seed
    held, tested = parts(given.data)
    every = cases(convolved(held, CHANNELS, HIDDEN))
    if unknown := set(given.cases or ()) - set(every):
        parser.error(f"cases: {', '.join(sorted(unknown))} unknown; there are {', '.join(every)}")
    lines = [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []
    settings = repr((CHANNELS, HIDDEN, EPOCHS, BATCH, RATES, TRIED, FREE, NUDGED, BETA)).encode()
    of = hashlib.sha256(settings + held.x_train.tobytes() + tested.x_test.tobytes()).hexdigest()[:16]
    lines = [line for line in lines if line["of"] == of]  # not those of other images or settings

    def keep(line: dict) -> dict:
        line["of"] = of
        lines.append(line)
        with KEPT.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line["case"], line["seed"], line["rate"], f"{line.get('tried', 0):.4f}", file=sys.stderr, flush=True)
        return line

    def best(name: str) -> float:
        """The rate whose trial knows most of the images held out."""
        tried = {t["rate"]: t["tried"] for t in lines if t["case"] == name and "tried" in t}
        for rate in (r for r in RATES if r not in tried):
            found = trained(every[name], held, TRIED, 0, rate).epochs[-1]["accuracy"]
            tried[rate] = keep({"case": name, "seed": 0, "rate": rate, "tried": found})["tried"]
        return max(tried, key=tried.get)

    there = {(r["case"], r["seed"]) for r in lines if "held" in r}
    for seed in range(1, 0 if given.table else given.seeds + 1):
        for name in given.cases or every:
            if (name, seed) not in there:
                keep(run(name, every[name], held, tested, seed, best(name)))
    print(table(lines, {name: case.beside for name, case in every.items()}))


if __name__ == "__main__":
    main()
