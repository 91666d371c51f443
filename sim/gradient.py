"""Does the circuit compute the gradient? The chip's integers against the float64 reference."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from .. import models
from ..emulator import crossbar, rng
from ..emulator.machine import Machine
from ..emulator.signals import Write, writes
from ..recipe import Op, Recipe, require_recipe, rule
from . import real

COMPARISONS = ("rule", "exact", "rule_exact")
"""Chip against its rule in real numbers; chip against the exact gradient; the rule in real numbers against exact."""


@functools.cache
def circuit(recipe: Recipe) -> models.Feedforward:
    """The recipe's net in float64, with the chip's activations."""

    def neuron(layer):
        return models.piecewise(*recipe.neuron(layer))

    return models.Feedforward(recipe.sizes, neuron(0), neuron(recipe.layers - 1), _one(recipe))


def _one(recipe: Recipe) -> float:
    """Return the input of a bias; 0 without one."""
    return recipe.one * recipe.formats.state.step if recipe.bias else 0.0


def targets(recipe: Recipe, y: ArrayLike) -> np.ndarray:
    """Output targets of labels as real numbers, (n, classes)."""
    values = np.array([recipe.target(False), recipe.target(True)]) * 2.0**-recipe.formats.accumulator.frac
    return values[(np.asarray(y)[:, None] == np.arange(recipe.sizes[-1])).astype(int)]


def terms(recipe: Recipe, made: list[Write]) -> list[tuple[list[np.ndarray], list[np.ndarray]]]:
    """Return what the updates of each matrix of `real.learned` read as real numbers, rows and columns of each update.

    The gradient estimate of a rule is the sum of their outer products: a row has the update's sign and gain, ``-1 / beta`` and the rule's
    share.
    """
    if recipe.signed:
        raise ValueError(f"{recipe.name}: rule {recipe.rule!r} gives slopes along signs, not gradients; spsa_estimates takes it")
    f, share = recipe.formats, rule(recipe.rule).share
    found: dict[str, tuple[list, list]] = {g.matrix.name: ([], []) for g in real.learned(recipe)}
    for w in made:
        if w.step.matrix in found:
            rows, columns = found[w.step.matrix]
            form = f.state if w.step.row in recipe.states else f.delta
            scale = (1 if w.step.negative else -1) * 2.0**w.step.gain * share / recipe.beta
            rows.append(form.decode(w.row) * scale)
            columns.append(f.state.decode(w.column))
    for g, (rows, columns) in zip(real.learned(recipe), found.values(), strict=True):
        if not rows:  # a matrix that does not learn has the gradient 0
            like = next(w for w in made if w.column is not None)
            rows.append(np.zeros((*like.row.shape[:-1], g.R)))
            columns.append(np.zeros((*like.column.shape[:-1], g.C)))
    return list(found.values())


def chip(
    recipe: Recipe, weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray, machine: Callable[..., Machine] | None = None
) -> list[np.ndarray]:
    """Return the chip's estimate of each sample's gradient, an array (n, R, C) per matrix of `real.learned`; `machine` as `writes`'s."""
    return [
        sum(e[:, :, None] * v[:, None, :] for e, v in zip(*layer, strict=True))
        for layer in terms(recipe, writes(recipe, weights, x, y, machine))
    ]


def _flat(gradient) -> np.ndarray:
    return np.concatenate([g.reshape(len(g), -1) for g in gradient], axis=1)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each sample's two gradients; samples whose gradient is zero on both sides are left out."""
    a, b = _flat(a), _flat(b)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    there = (np.linalg.norm(a, axis=1) > 0) | (np.linalg.norm(b, axis=1) > 0)
    return np.divide((a * b).sum(1), norms, out=np.zeros(len(a)), where=norms > 0)[there]


def relative_error(a: np.ndarray, b: np.ndarray) -> float | None:
    """``norm(a - b) / norm(b)`` over all samples; None where b is zero."""
    a, b = _flat(a), _flat(b)
    size = np.linalg.norm(b)
    return float(np.linalg.norm(a - b) / size) if size else None


def _mean(cosines: np.ndarray) -> float | None:
    """The mean; None of no samples."""
    return float(cosines.mean()) if cosines.size else None


def compare(recipe: Recipe, weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray) -> dict:
    """Compare the chip, its rule in real numbers and the exact gradient for the same samples and weights.

    Parameters
    ----------
    recipe : Recipe
    weights : list of int32 arrays (R, C)
        Of each matrix in memory.
    x, y : samples and class numbers, (n, inputs) and (n,)

    Returns
    -------
    dict
        For each of `COMPARISONS` the mean per-sample ``cosine``, the cosine of the ``mean`` gradients and the relative
        ``error``; and ``quantization``, the share of the squared error to the exact gradient that the integers add to
        the rule's own. None stands for what does not exist: a cosine where both gradients are zero, an error relative to zero.
    """
    require_recipe(recipe)
    if len(x) == 0:
        raise ValueError("x: empty; at least one sample is needed")
    made, rule, true = (f(recipe, weights, x, y) for f in (chip, real.gradient, real.exact))
    pairs = dict(zip(COMPARISONS, ((made, rule), (made, true), (rule, true)), strict=True))

    def mean(g):
        return [v.mean(0, keepdims=True) for v in g]

    table = {
        name: {"cosine": _mean(cosine(a, b)), "mean": _mean(cosine(mean(a), mean(b))), "error": relative_error(a, b)}
        for name, (a, b) in pairs.items()
    }
    whole, own = table["exact"]["error"], table["rule_exact"]["error"]
    return table | {"quantization": max(0.0, 1 - (own / whole) ** 2) if whole else 0.0}


def line(stage: str, table: dict) -> str:
    """A table of `compare` as a line of text."""
    made, true = table["rule"], table["exact"]
    if true["cosine"] is None or made["cosine"] is None:
        return f"gradient {stage} training: zero, of the chip and in float64"
    return (
        f"gradient {stage} training: cosine {made['cosine']:.4f} to the rule in float64 (error {_said(made['error'])}), "
        f"{true['cosine']:.4f} to the exact gradient (error {_said(true['error'])}, {100 * table['quantization']:.0f} % of its square "
        "from the integers)"
    )


def _said(error: float | None) -> str:
    return "of a gradient that is zero" if error is None else f"{error:.3f}"


# Word lengths -----------------------------------------------------------------------------------------------


def with_fraction_bits(recipe: Recipe, frac: int) -> Recipe:
    """The recipe with states and differences of `frac` fraction bits, and room for both, so that nothing saturates.

    The accumulator has four fraction bits more: it is not what limits.
    """
    formats = {
        "state": {"width": frac + 6, "frac": frac},
        "delta": {"width": frac + 8, "frac": frac},
        "accumulator": {"width": frac + 12, "frac": frac + 4},
    }
    changed = recipe.model_dump()
    changed["formats"] |= formats
    return Recipe.model_validate(changed)


def precision(
    recipe: Recipe,
    weights: Sequence[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    fractions: Sequence[int] = (12, 10, 8, 6),
    alphas: Sequence[float] = (0.5, 0.0),
    betas: Sequence[float] = tuple(2.0**e for e in (-6, -4, -2, -1, 0, 1, 2, 3)),
) -> list[dict]:
    """Mean per-sample cosine to the exact gradient over fraction bits, alpha and beta (the law of row 57's word lengths).

    Parameters
    ----------
    recipe : Recipe
    weights : list of int32 arrays (R, C)
        Of each matrix in memory.
    x, y : samples and class numbers

    Returns
    -------
    list of dict
        ``frac`` (None: float64), ``alpha``, ``beta``, ``cosine``.
    """

    def variant(base, alpha, beta):
        return Recipe.model_validate(base.model_dump() | {"alpha": alpha, "beta": beta})

    finest = with_fraction_bits(recipe, max(fractions))
    true, rows = real.exact(finest, weights, x, y), []
    for alpha in alphas:
        for beta in betas:
            ideal = real.gradient(variant(finest, alpha, beta), weights, x, y)
            rows.append({"frac": None, "alpha": alpha, "beta": beta, "cosine": float(cosine(ideal, true).mean())})
            for frac in fractions:
                made = chip(variant(with_fraction_bits(recipe, frac), alpha, beta), weights, x, y)
                rows.append({"frac": frac, "alpha": alpha, "beta": beta, "cosine": float(cosine(made, true).mean())})
    return rows


# SPSA -------------------------------------------------------------------------------------------------------


def slopes(recipe: Recipe, loss: ArrayLike) -> np.ndarray:
    """Differences of the loss register as slopes of the objective along a direction of signs."""
    return loss * 2.0 ** (-2 * recipe.formats.accumulator.frac) / 2 / (2 * recipe.epsilon)


def directions(recipe: Recipe, seeds: ArrayLike, step: int = 0) -> list[np.ndarray]:
    """Signs along which chips of these seeds probe in a step, (chips, R, C) per matrix of `real.learned`; 0 where none are probed."""
    step, found = np.uint32(step), []
    probed = {s.matrix for s in recipe.steps if s.op is Op.PROBE}
    for g in real.learned(recipe):
        signs = crossbar.signs(g, crossbar.pairs(g, rng.keys(seeds), step, step))[..., : g.C]
        found.append(signs * (g.matrix.name in probed))
    return found


def spsa_estimates(recipe: Recipe, weights: Sequence[np.ndarray], x: np.ndarray, y: int, count: int) -> np.ndarray:
    """The chip's SPSA estimates of one sample's gradient, one per chip seed: signs times the loss register's difference.

    Parameters
    ----------
    recipe : Recipe
        Of rule ``spsa``.
    weights : list of int32 arrays (R, C)
    x : array (inputs,)
    y : int
    count : int
        Chips, of seeds from 0.

    Returns
    -------
    ndarray (count, P)
        P is the number of weights, layer by layer.
    """
    if not recipe.signed:
        raise ValueError(f"{recipe.name}: rule {recipe.rule!r} makes no probes; use 'spsa'")
    seeds = np.arange(count, dtype=np.uint64)
    made = slopes(recipe, writes(recipe, weights, recipe.formats.state.samples(x)[None], np.array([y]), seeds=seeds)[0].row)
    return made * np.concatenate([s.reshape(count, -1) for s in directions(recipe, seeds)], axis=1)


def spsa_law(recipe: Recipe, weights: Sequence[np.ndarray], x: np.ndarray, y: int, count: int = 4096) -> dict:
    """The chip's SPSA against the exact gradient of one sample, and against row 29's variance law.

    Returns
    -------
    dict
        ``z``: error of the mean in units of its standard error, root of the mean square over the weights (1 if unbiased);
        ``along``: the same of the mean's component along the exact gradient; ``variance`` and ``law``: the relative squared
        error of a single estimate, and ``P - 1``; ``variance_z``: their difference in standard errors.
    """
    true = _flat(real.exact(recipe, weights, recipe.formats.state.samples(x)[None], np.array([y])))[0]
    made = spsa_estimates(recipe, weights, x, y, count)
    root, norm = np.sqrt(count), np.sum(true**2)
    z = (made.mean(0) - true) / (made.std(0) / root)
    along = made @ true
    squares = np.sum((made - true) ** 2, axis=1) / norm
    return {
        "z": float(np.sqrt(np.mean(z**2))),
        "worst": float(np.abs(z).max()),
        "along": float((along.mean() - norm) / (along.std() / root)),
        "variance": float(squares.mean()),
        "law": true.size - 1,
        "variance_z": float((squares.mean() - (true.size - 1)) / (squares.std() / root)),
    }
