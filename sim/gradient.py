"""Does the circuit compute the gradient? The chip's integers against the float64 reference."""

from __future__ import annotations

import functools

import numpy as np

from .. import models
from ..emulator.signals import signals
from ..recipe import Recipe

COMPARISONS = ("dual_propagation", "exact", "exact_dual_propagation")
"""Chip against dual propagation in float64; chip against the exact gradient; float64 dual propagation against exact."""


@functools.cache
def circuit(recipe: Recipe) -> models.Feedforward:
    """The recipe's net in float64, with the chip's activations."""
    def neuron(layer):
        low, high = (limit * 2.0**-recipe.formats.accumulator.frac for limit in recipe.bounds(layer))
        return models.clip(low, high)

    return models.Feedforward(recipe.sizes, neuron(0), neuron(recipe.layers - 1))


def targets(recipe: Recipe, y) -> np.ndarray:
    """Output targets of labels as real numbers, (n, classes)."""
    values = np.array([recipe.target(False), recipe.target(True)]) * 2.0**-recipe.formats.accumulator.frac
    return values[(np.asarray(y)[:, None] == np.arange(recipe.sizes[-1])).astype(int)]


def chip(recipe: Recipe, weights, x, y) -> list[np.ndarray]:
    """The chip's gradient of each sample: ``-difference outer mean / beta``, one array (n, R, C) per layer."""
    f = recipe.formats
    return [-f.delta.decode(e)[:, :, None] * f.state.decode(s)[:, None, :] / recipe.beta
            for e, s in signals(recipe, weights, x, y)]


def _reference(recipe: Recipe, estimator, weights, x, y) -> list[np.ndarray]:
    import jax

    f = recipe.formats
    w = tuple(f.weight.decode(v) for v in weights)
    x = f.state.decode(f.state.encode(x, "x") if np.asarray(x).dtype.kind == "f" else x)
    each = jax.jit(jax.vmap(lambda a, b: estimator(circuit(recipe), models.squared_error, w, a, b)))
    return [np.asarray(g) for g in each(x, targets(recipe, y))]


def dual_propagation(recipe: Recipe, weights, x, y) -> list[np.ndarray]:
    """Dual propagation in float64 with the chip's weights, alpha and beta, one array (n, R, C) per layer."""
    return _reference(recipe, functools.partial(models.dual_propagation, alpha=recipe.alpha, beta=recipe.beta), weights, x, y)


def exact(recipe: Recipe, weights, x, y) -> list[np.ndarray]:
    """The exact gradient in float64 with the chip's weights, one array (n, R, C) per layer."""
    return _reference(recipe, models.exact_gradient, weights, x, y)


def _flat(gradient) -> np.ndarray:
    return np.concatenate([g.reshape(len(g), -1) for g in gradient], axis=1)


def cosine(a, b) -> np.ndarray:
    """Cosine of each sample's two gradients; samples whose gradient is zero on both sides are left out."""
    a, b = _flat(a), _flat(b)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    there = (np.linalg.norm(a, axis=1) > 0) | (np.linalg.norm(b, axis=1) > 0)
    return np.divide((a * b).sum(1), norms, out=np.zeros(len(a)), where=norms > 0)[there]


def relative_error(a, b) -> float:
    """``norm(a - b) / norm(b)`` over all samples."""
    a, b = _flat(a), _flat(b)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def compare(recipe: Recipe, weights, x, y) -> dict:
    """Chip, dual propagation and exact gradient of the same samples and weights.

    Parameters
    ----------
    recipe : Recipe
    weights : list of int32 arrays (R, C)
    x, y : samples and class numbers, (n, inputs) and (n,)

    Returns
    -------
    dict
        For each of `COMPARISONS` the mean per-sample ``cosine``, the cosine of the ``mean`` gradients and the ``error``; and ``quantization``,
        the share of the squared error to the exact gradient that the integers add to the rule's own.
    """
    made, rule, true = (f(recipe, weights, x, y) for f in (chip, dual_propagation, exact))
    pairs = dict(zip(COMPARISONS, ((made, rule), (made, true), (rule, true)), strict=True))

    def mean(g):
        return [v.mean(0, keepdims=True) for v in g]

    table = {name: {"cosine": float(cosine(a, b).mean()), "mean": float(cosine(mean(a), mean(b)).mean()),
                    "error": relative_error(a, b)} for name, (a, b) in pairs.items()}
    whole, own = table["exact"]["error"] ** 2, table["exact_dual_propagation"]["error"] ** 2
    return table | {"quantization": max(0.0, 1 - own / whole) if whole else 0.0}
