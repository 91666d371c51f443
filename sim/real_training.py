"""A recipe's rule trained in real numbers, on the chip's samples in the chip's order: what its integers cost, measured on accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import models
from ..emulator import crossbar, initial_weights, rng
from ..emulator.training import order
from ..recipe import SIGNS, SLOPE, Geometry, Op, Operation, Recipe, in_memory, rule
from . import real


class Learner(real.Player):
    """Player of one sample that also rewrites matrices (contract section 6), without formats, ranges or rounding."""

    def rewrite(self, step: Operation, eta: real.Array) -> None:
        """Play an update or a probe at the learning rate `eta`."""
        g, recipe, w = self.geometry[step.matrix], self.recipe, self.matrices[step.matrix]
        sign = -1.0 if step.negative else 1.0
        if step.op == Op.PROBE:
            self.matrices[step.matrix] = w + (-2.0 if step.negative else 1.0) * recipe.epsilon * self._signs_of(g)
            return
        if step.column == SIGNS:
            change = -sign * eta * self.loss[0] / (2 * recipe.epsilon) * self._signs_of(g)
        else:
            row = self.along(step) if step.row == SLOPE else self.stores[step.row]
            change = sign * eta / recipe.beta * 2.0**step.gain * row[0, :, None] * self.column(step)[0]
        self.matrices[step.matrix] = w + change - (w * 2.0**-step.decay if step.decay else 0.0)

    def _signs_of(self, g: Geometry) -> real.Array:
        """Return the signs of the weights of a matrix, (R, C)."""
        (step,) = self.steps
        return crossbar.signs(g, crossbar.pairs(g, self.key, step, self.xp.zeros(1)))[..., : g.C].astype(float)


def train(
    recipe: Recipe,
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_test: np.ndarray,
    y_test: np.ndarray,
    *,
    epochs: int | None = None,
    seeds: Sequence[int] | None = None,
) -> tuple[list[dict[str, np.ndarray]], np.ndarray]:
    """Train the rule in float64, sample by sample, once for each seed: with the first weights, random signs, order of samples and
    rates that the chip of this seed has.

    Parameters
    ----------
    recipe : Recipe
        Of a rule that learns; formats are those of first weights and samples alone, devices do nothing.
    x_train, y_train, x_test, y_test
        As `emulator.train`'s.
    epochs : int, optional
        The recipe's by default.
    seeds : sequence of int, optional
        The recipe's by default.

    Returns
    -------
    weights : list of dict
        Of each seed the matrices (R, C) by name, as float64 arrays.
    accuracy : float64 array (seeds,)
        Share of test samples whose greatest output is their class.
    """
    import jax
    import jax.numpy as jnp

    seeds = [recipe.seed] if seeds is None else list(seeds)
    chips = [recipe.model_copy(update={"seed": int(seed)}) for seed in seeds]
    state, classes = recipe.formats.state, np.arange(recipe.sizes[-1])
    x, labelled = state.decode(state.samples(x_train)), np.asarray(y_train)[:, None] == classes
    first = [real.matrices(chip, initial_weights(chip)) for chip in chips]
    written = [g.matrix.name for g in in_memory(recipe)]
    fixed = [{name: w for name, w in held.items() if name not in written} for held in first]

    def sample(held: tuple[dict[str, Any], Any], given: tuple[Any, Any], always: dict[str, Any], key: Any, eta: Any):
        weights, count = held
        learner = Learner(recipe, weights | always, given[0][None], given[1][None], key, [count], jnp)
        for step in recipe.steps:
            learner.read(step) if step.reads else learner.rewrite(step, eta)
        return ({name: learner.matrices[name] for name in weights}, count + np.uint32(1)), None

    @jax.jit
    @jax.vmap
    def epoch(weights, count, always, key, xs, ys, eta):
        return jax.lax.scan(lambda held, given: sample(held, given, always, key, eta), (weights, count), (xs, ys))[0]

    def stacked(each: list[dict[str, np.ndarray]], names) -> dict[str, np.ndarray]:
        return {name: np.stack([held[name] for held in each]) for name in names}

    weights, always = stacked(first, written), stacked(fixed, fixed[0])
    count, keys = np.zeros(len(seeds), np.uint32), rng.keys(seeds)
    with models.float64():
        for n in range(recipe.training.epochs if epochs is None else epochs):
            eta = recipe.rate_floor * 2.0 ** max(0, recipe.rate - n // recipe.training.halve_every)
            mixed = order(recipe, n, len(x), seeds)
            weights, count = epoch(weights, count, always, keys, x[mixed], labelled[mixed], np.full(len(seeds), eta))
    made = [{name: np.asarray(weights[name][i]) for name in written} for i in range(len(seeds))]
    return made, np.array([_accuracy(*each, x_test, y_test) for each in zip(chips, made, fixed, strict=True)])


def _accuracy(recipe: Recipe, weights: dict[str, np.ndarray], fixed: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    """Return the share of samples whose class inference finds."""
    state = recipe.formats.state
    x = state.decode(state.samples(x))
    labelled = np.asarray(y)[:, None] == np.arange(recipe.sizes[-1])
    player = real.Player(recipe, weights | fixed, x, labelled, rng.keys(recipe.seed), np.arange(len(x), dtype=np.uint32))
    for step in rule(recipe.rule).infer(recipe):
        player.read(step)
    return float(np.mean(np.argmax(player.outputs, axis=-1) == y))
