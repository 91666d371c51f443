"""A recipe's training program played in real numbers: what its rule computes where nothing rounds and only activations limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..emulator import crossbar, noise, rng
from ..recipe import NOISE, SLOPE, Op, Recipe, in_memory, matrix_geometries, rule


def gradient(recipe: Recipe, weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Return the rule's gradient estimate of each sample in float64, with the weights held.

    Parameters
    ----------
    recipe : Recipe
        Of a rule that learns, but not along signs of the generator.
    weights : list of int32 arrays (R, C)
        Of each matrix in memory, weight format.
    x : array (n, inputs)
        Real values, rounded to state format first, or state integers.
    y : integer array (n,)

    Returns
    -------
    list of float64 arrays (n, R, C)
        One per layer of weights.
    """
    f, share = recipe.formats, rule(recipe.rule).share
    x = f.state.decode(f.state.samples(x))
    player = _Player(recipe, weights, x, np.asarray(y))
    found = [np.zeros((len(x), recipe.sizes[k + 1], recipe.sizes[k] + recipe.bias)) for k in range(recipe.layers)]
    for step in recipe.steps:
        if step.reads:
            player.read(step)
        elif step.matrix[0] == "W" and step.matrix[1:].isdigit():
            row = player.along(step) if step.row == SLOPE else player.stores[step.row]
            column = player.column(step)
            scale = (1 if step.negative else -1) * 2.0**step.gain * share / recipe.beta
            found[int(step.matrix[1:])] += scale * row[:, :, None] * column[:, None, :]
    return found


class _Player:
    """Matrices, stores and drives as real numbers, (n, elements)."""

    def __init__(self, recipe: Recipe, weights, x, y):
        self.recipe, self.stores, self.drive, self.feedback = recipe, {"input0": x}, {}, {}
        unit = 2.0**-recipe.formats.accumulator.frac
        self.labelled = y[:, None] == np.arange(recipe.sizes[-1])
        self.targets = np.where(self.labelled, recipe.target(True), recipe.target(False)) * unit
        self.matrices, self.loss = _matrices(recipe, weights), np.zeros(len(x))

    def signs(self, matrix: str, count: int) -> np.ndarray:
        """Return the signs along which reads of a matrix shake each sample's unit, (n, count); sample i is the chip's step i."""
        g, key = matrix_geometries(self.recipe)[matrix], rng.keys(self.recipe.seed)
        return np.concatenate([noise.node_signs(g, key, np.uint32(i), count, np.zeros(1)) for i in range(len(self.loss))])

    def column(self, step) -> np.ndarray:
        """Return what the columns of a matrix meet, (n, C): a store, or noise, of which sample i has that of the chip's step i."""
        if step.column != NOISE:
            store = self.stores[step.column]
            one = np.full((len(store), int(self.recipe.bias)), self.recipe.one * self.recipe.formats.state.step)
            return np.concatenate([store, one], axis=1)
        g, key, form = matrix_geometries(self.recipe)[step.matrix], rng.keys(self.recipe.seed), self.recipe.formats.state
        return np.concatenate([form.decode(noise.column(g, key, np.uint32(i), np.zeros(1))) for i in range(len(self.loss))])

    def along(self, step) -> np.ndarray:
        """Return the loss's difference as a slope along the signs of each row, (n, R)."""
        slope = -self.loss / (2 * self.recipe.sigma) * self.recipe.beta
        return slope[:, None] * self.signs(step.matrix, len(self.matrices[step.matrix]))

    def _error(self, a: np.ndarray, neuron) -> np.ndarray:
        """Return what the outputs lack to their targets; a hinge has no error beyond them."""
        error = self.targets - _value(a, *neuron)
        if self.recipe.objective == "squared-error":
            return error
        return np.where(self.labelled, np.maximum(error, 0), np.minimum(error, 0))

    def read(self, step):
        m, k = self.matrices[step.matrix], step.unit
        y = self.column(step) @ m.T if step.op == Op.FORWARD else self.stores[step.row] @ m[:, : m.shape[1] - self.recipe.bias]
        if step.noise:
            y = y + step.noise * self.recipe.sigma * 2.0**step.gain * self.signs(step.matrix, y.shape[-1])
        kept, zero = self.drive.get(k), np.zeros_like(y)
        a, b = {
            "drive": lambda: (y, zero),
            "feedback": lambda: (kept, y),
            "more": lambda: (kept + y, zero),
            "less": lambda: (kept - y, zero),
            "relax": lambda: (kept, self.feedback[k] + (y - self.feedback[k]) / 2**step.leak),
        }[step.enter]()
        if step.keep_drive:
            self.drive[k] = a
        if step.keep_feedback:
            self.feedback[k] = b
        neuron = self.recipe.neuron(k)
        if step.loss != "keep":
            cost = (self._error(a, neuron) ** 2).sum(1) / 2
            self.loss = {"zero": 0 * cost, "set": cost, "subtract": self.loss - cost}[step.loss]
        if step.force:
            push = (-1 if step.negative else 1) * self.recipe.beta * self._error(a, neuron)
            a, b = {"feedback": (a, b + push), "drive": (a + push, b), "clamp": (self.targets, b)}[step.force]
        alpha = self.recipe.alpha
        plus, minus = _value(a + (1 - alpha) * b, *neuron), _value(a - alpha * b, *neuron)
        difference = {"dyad": plus - minus, "gate": _slope(a, *neuron) * b, "feedback": b}[step.error]
        if step.mean:
            self.stores[step.mean] = minus + difference if step.moved else alpha * plus + (1 - alpha) * minus
        if step.difference:
            self.stores[step.difference] = difference


def _value(drive: np.ndarray, knots: np.ndarray, slopes: np.ndarray, first: float) -> np.ndarray:
    """Return the activation's values."""
    return first + sum(slope * (np.clip(drive, low, high) - low) for slope, low, high in zip(slopes, knots, knots[1:], strict=False))


def _slope(drive: np.ndarray, knots: np.ndarray, slopes: np.ndarray, first: float) -> np.ndarray:
    """Return the activation's slopes: 0 at both ends, at other knots that of the piece above."""
    return np.where(drive > knots[0], np.append(slopes, 0.0)[np.searchsorted(knots[1:], drive, "right")], 0.0)


def _matrices(recipe: Recipe, weights) -> dict[str, np.ndarray]:
    """Return every matrix as reads see it, (R, C)."""
    geometry = matrix_geometries(recipe)
    held = {g.matrix.name: np.asarray(w) for g, w in zip(in_memory(recipe), weights, strict=True)}
    found = {}
    for name, g in geometry.items():
        f = g.recipe.formats.weight
        if g.matrix.source == "memory":
            found[name] = f.decode(crossbar.seen(g.recipe, held[name]))
        else:
            like = crossbar.pad(g, held[g.matrix.of] if g.matrix.of else np.zeros((g.R, g.C), np.int32))
            found[name] = f.decode(crossbar.feedback(g, rng.keys(recipe.seed), like)[..., : g.C])
    return found
