"""How well the chip learns: test accuracy over seeds, float backprop of the same net beside it.

    python benchmarks/learning.py [--data DIR] [--seeds 5] [--output FILE] [PRESET ...]

Backprop is the exact gradient in float64 with the same net, the same order of samples, updates after every sample, the
same learning rates and initial weights: only the arithmetic and the rule differ. MNIST needs its files (--data).
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import time
from pathlib import Path

import jax
import numpy as np
from jax import numpy as jnp

from crossdyad import data, emulator, models, recipe
from crossdyad.emulator.training import order
from crossdyad.sim import gradient

PRESETS = ("xor", "xor-spsa", "digits", "digits8", "digits-deep", "mnist")
SETS = {3: "xor", 64: "digits", 784: "mnist"}


@models.float64()
def backprop(r: recipe.Recipe, d: data.Dataset, seed: int, learning_rate: float) -> list[float]:
    """Test accuracy after each epoch of stochastic gradient descent with the exact gradient."""
    net = models.Feedforward(r.sizes, gradient.circuit(r).activation, models.identity)
    targets = gradient.targets(r, d.y_train)

    @functools.partial(jax.jit, donate_argnums=0)
    def epoch(weights, x, y, rate):
        def step(w, sample):
            g = models.exact_gradient(net, models.squared_error, w, *sample)
            return tuple(a - rate * b for a, b in zip(w, g, strict=True)), None

        return jax.lax.scan(step, weights, (x, y))[0]

    @jax.jit
    def right(weights):
        out = jax.vmap(lambda x: net.forward(weights, x)[-1])(jnp.asarray(d.x_test))
        return jnp.mean(jnp.argmax(out, -1) == jnp.asarray(d.y_test))

    r = r.model_copy(update={"seed": seed})
    weights = tuple(jnp.asarray(r.formats.weight.decode(w)) for w in emulator.initial_weights(r))
    accuracy = []
    for e in range(r.training.epochs):
        at = order(r, e, len(d.x_train))
        rate = learning_rate * 2.0 ** -min(e // r.training.halve_every, r.rate)
        weights = epoch(weights, d.x_train[at], targets[at], rate)
        accuracy.append(float(right(weights)))
    return accuracy


def measure(name: str, folder, seeds: int, with_backprop: bool = True) -> dict:
    r = recipe.load(name)
    d = data.load(SETS[r.sizes[0]], folder)
    start = time.perf_counter()
    history = emulator.train(r, *d, seeds=list(range(1, seeds + 1)))
    last = np.asarray(history.epochs[-1]["accuracy"])
    result = {
        "preset": name,
        "epochs": len(history.epochs),
        "seconds": time.perf_counter() - start,
        "seeds": seeds,
        "accuracy": last.tolist(),
        "mean": float(last.mean()),
        "spread": _spread(last),
        "saturations": {k: int(np.sum(v)) for k, v in history.saturations.items()},
    }
    if with_backprop and r.rule == "dual-propagation":
        exact = np.array([backprop(r, d, s, r.learning_rate)[-1] for s in range(1, seeds + 1)])
        result["backprop"] = {"accuracy": exact.tolist(), "mean": float(exact.mean()), "spread": _spread(exact)}
    return result


def _spread(values) -> float:
    """Standard deviation over the seeds."""
    return float(values.std(ddof=1)) if len(values) > 1 else 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", default=PRESETS[:-1])
    parser.add_argument("--data", help="folder of the MNIST files")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("build/learning.json"))
    given = parser.parse_args()
    results = []
    for name in given.presets:
        results.append(m := measure(name, given.data, given.seeds))
        beside = f"   backprop {100 * m['backprop']['mean']:.2f} +- {100 * m['backprop']['spread']:.2f}" if "backprop" in m else ""
        print(
            f"{name:12} {100 * m['mean']:6.2f} +- {100 * m['spread']:.2f} % after {m['epochs']} epochs, {m['seeds']} seeds, "
            f"{m['seconds']:.0f} s{beside}",
            flush=True,
        )
    write(given.output, results)


def write(path: Path, results) -> None:
    """As JSON, beside then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(results, indent=1))
    os.replace(draft, path)
    print(f"written: {path}")


if __name__ == "__main__":
    main()
