"""Angles: how far each row's estimate is from the gradient as its net begins to learn the digits, and how much its draws scatter it.

``python -m crossdyad.models.angles`` measures all rows anew and writes ``cookbook/angles.json``, which pages are made of.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import jax
import numpy as np
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from ..data import load
from .cards import UNCOUNTED
from .cookbook.extended import Extended
from .cookbook.findings import angle
from .cookbook.standard import standard, trainable
from .estimators.implicit import exact_gradient
from .precision import in_float64

FILE = Path(__file__).parent / "cookbook" / "angles.json"
SIZES = (64, 32, 10)
"""Sizes of the nets in docs/rows.md."""
SAMPLES, DRAWS = 16, 64
NONE = {42: "its layers have no outputs whose cost they descend", 43: "its predictors begin with no error to predict"}
"""Rows without an angle, and why."""


@in_float64
def measured(number: int) -> dict:
    """Return how a row's estimate compares with the gradient of its objective, in the mean over samples and draws.

    Returns
    -------
    dict
        ``angle``: of the mean estimate with the exact gradient by the weights, in degrees. ``scatter``: standard deviation of one
        estimate over its draws as a multiple of its mean's length, root mean square over samples; 0 where nothing is drawn.
        ``unsettled``: samples without an estimate, left out.
    """
    net = standard(number, SIZES)
    parameters = net.circuit.random_parameters(jax.random.key(0)) if net.parameters is None else net.parameters
    circuit, weights = (net.circuit.chain, parameters[0]) if isinstance(net.circuit, Extended) else (net.circuit, parameters)
    digits = load("digits")
    x, y = jnp.asarray(digits.x_train[:SAMPLES]), jnp.eye(SIZES[-1])[digits.y_train[:SAMPLES]]
    keyed = "key" in inspect.signature(net.rule.estimate).parameters
    keys = jax.random.split(jax.random.key(2), (SAMPLES, DRAWS if keyed else 1))

    def estimate(x, y, key):
        more = net.rule.settings | net.settings | ({"key": key} if keyed else {})
        found = net.rule.estimate(net.circuit, net.objective, parameters, x, y, **more)
        return ravel_pytree(found[0] if isinstance(net.circuit, Extended) else found)[0]

    found = np.asarray(jax.jit(jax.vmap(jax.vmap(estimate, (None, None, 0))))(x, y, keys))
    exact = np.asarray(jax.jit(jax.vmap(lambda x, y: ravel_pytree(exact_gradient(circuit, net.objective, weights, x, y))[0]))(x, y))
    there = np.isfinite(found).all((1, 2)) & np.isfinite(exact).all(1)
    found, exact = found[there], exact[there]
    mean = found.mean(1)
    scatter = np.sqrt(((found - mean[:, None]) ** 2).sum(2).mean(1)) / np.linalg.norm(mean, axis=1)
    return {
        "angle": round(angle(mean.mean(0), exact.mean(0)), 2),
        "scatter": round(float(np.sqrt((scatter**2).mean())), 2),
        "unsettled": int(SAMPLES - there.sum()),
    }


def main() -> None:
    """Write `FILE`."""
    rows = {}
    for number in trainable():
        if number not in UNCOUNTED | NONE:
            rows[number] = measured(number)
            print(number, rows[number], flush=True)
    FILE.write_text("{\n" + ",\n".join(f'"{n}": {json.dumps(r)}' for n, r in rows.items()) + "\n}\n")


if __name__ == "__main__":
    main()
