"""A recipe's programs played in real numbers, where nothing rounds and only activations limit: its rule's estimate, its net's gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..emulator import crossbar, noise, rng
from ..recipe import NOISE, SLOPE, Geometry, Op, Operation, Recipe, in_memory, matrix_geometries, rule

Array = Any
"""Array of NumPy or of JAX."""


def learned(recipe: Recipe) -> tuple[Geometry, ...]:
    """Return the matrices whose gradient a rule estimates: those in memory that inference reads, in the order in which they are loaded."""
    read = {step.matrix for step in rule(recipe.rule).infer(recipe)}
    return tuple(g for g in in_memory(recipe) if g.matrix.name in read)


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
        One per matrix of `learned`.
    """
    share, player = rule(recipe.rule).share, of_chip(recipe, weights, x, y)
    found = {g.matrix.name: np.zeros((len(player.x), g.R, g.C)) for g in learned(recipe)}
    for step in recipe.steps:
        if step.reads:
            player.read(step)
        elif step.matrix in found:
            row = player.along(step) if step.row == SLOPE else player.stores[step.row]
            scale = (1 if step.negative else -1) * 2.0**step.gain * share / recipe.beta
            found[step.matrix] += scale * row[:, :, None] * player.column(step)[:, None, :]
    return list(found.values())


def exact(recipe: Recipe, weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """Return the exact gradient of each sample's objective in float64, with the weights held: that of the outputs which inference has.

    A net that settles is differentiated through its sweeps, and so is whatever else a rule does to infer. At a knot of an activation
    the slope is the hardware's (contract section 4).

    Parameters
    ----------
    recipe, weights, x, y
        As `gradient`'s.

    Returns
    -------
    list of float64 arrays (n, R, C)
        One per matrix of `learned`.
    """
    player = of_chip(recipe, weights, x, y)
    played = [player.read(step) for step in rule(recipe.rule).infer(recipe) if step.reads]
    found = {g.matrix.name: np.zeros((len(player.x), g.R, g.C)) for g in learned(recipe)}
    back = _Adjoint(player, found)
    last = max(i for i, done in enumerate(played) if done.step.result)
    for i in reversed(range(len(played))):
        back.back(played[i], -player.error(player.outputs) if i == last else 0.0)
    return list(found.values())


def of_chip(recipe: Recipe, weights: Sequence[np.ndarray], x: np.ndarray, y: np.ndarray) -> Player:
    """Return a player of a chip's weights, whose sample i has the random signs of the chip's step i; parameters as `gradient`'s."""
    state, y = recipe.formats.state, np.asarray(y)
    x, labelled = state.decode(state.samples(x)), y[:, None] == np.arange(recipe.sizes[-1])
    return Player(recipe, matrices(recipe, weights), x, labelled, rng.keys(recipe.seed), np.arange(len(x), dtype=np.uint32))


class Player:
    """Player of operations in real numbers: stores and drives are arrays (n, elements), of NumPy or of the module `xp`.

    Parameters
    ----------
    recipe : Recipe
    matrices : dict of float arrays (R, C)
        By name; without those that are signs of others.
    x : float array (n, inputs)
    labelled : bool array (n, classes)
        Whether an output is the label's.
    key : pair of uint32
        Of the generator.
    steps : sequence of uint32
        Each sample's step, which its random signs follow.
    xp : module
        `numpy`, or `jax.numpy`.
    """

    def __init__(self, recipe: Recipe, matrices: dict[str, Any], x: Array, labelled: Array, key: Any, steps: Any, xp: Any = np):
        self.recipe, self.matrices, self.x, self.labelled, self.xp = recipe, dict(matrices), x, labelled, xp
        self.key, self.steps = key, steps
        self.stores: dict[str, Any] = {"input0": x}
        self.drive: dict[int, Any] = {}
        self.feedback: dict[int, Any] = {}
        on, off = (recipe.target(which) * 2.0**-recipe.formats.accumulator.frac for which in (True, False))
        self.targets, self.loss = xp.where(labelled, on, off), xp.zeros(len(x))
        self.geometry, self.neurons = matrix_geometries(recipe), [recipe.neuron(k) for k in range(recipe.layers)]

    def matrix(self, name: str) -> Array:
        """Return a matrix as reads see it, (R, C)."""
        m = self.geometry[name].matrix
        if m.source == "signs":
            own = self.geometry[name].recipe
            return self.xp.where(self.matrices[m.of] < 0, -1.0, 1.0) * own.feedback_level * own.formats.weight.step
        return self.matrices[name]

    def signs(self, matrix: str, count: int) -> Array:
        """Return the signs along which reads of a matrix shake each sample's unit, (n, count)."""
        g, like = self.geometry[matrix], self.xp.zeros(1)
        return self.xp.concatenate([noise.node_signs(g, self.key, step, count, like) for step in self.steps])

    def column(self, step: Operation) -> Array:
        """Return what the columns of a matrix meet, (n, C): a store and the input of a bias, or noise."""
        if step.column != NOISE:
            store = self.stores[step.column]
            one = self.xp.full((len(store), int(self.recipe.bias)), self.recipe.one * self.recipe.formats.state.step)
            return self.xp.concatenate([store, one], axis=1)
        g, like, form = self.geometry[step.matrix], self.xp.zeros(1), self.recipe.formats.state
        return self.xp.concatenate([noise.column(g, self.key, n, like) for n in self.steps]) * form.step

    def along(self, step: Operation) -> Array:
        """Return the loss's difference as a slope along the signs of each row, (n, R)."""
        slope = -self.loss / (2 * self.recipe.sigma) * self.recipe.beta
        return slope[:, None] * self.signs(step.matrix, self.geometry[step.matrix].R)

    def error(self, outputs: Array) -> Array:
        """Return what the outputs lack to their targets; a hinge has no error beyond them."""
        error = self.targets - outputs
        if self.recipe.objective == "squared-error":
            return error
        return self.xp.where(self.labelled, self.xp.maximum(error, 0), self.xp.minimum(error, 0))

    def read(self, step: Operation) -> _Read:
        """Put what the unit makes of a read into stores, drive and feedback."""
        m, k = self.matrix(step.matrix), step.unit
        source = self.column(step) if step.op == Op.FORWARD else self.stores[step.row]
        y = source @ (m.T if step.op == Op.FORWARD else m[:, : m.shape[1] - self.recipe.bias])
        if step.noise:
            y = y + step.noise * self.recipe.sigma * 2.0**step.gain * self.signs(step.matrix, y.shape[-1])
        kept, zero = self.drive.get(k), self.xp.zeros_like(y)
        a, b = {
            "drive": lambda: (y, zero),
            "feedback": lambda: (kept, y),
            "more": lambda: (kept + y, zero),
            "less": lambda: (kept - y, zero),
            "relax": lambda: (kept, self.feedback[k] + (y - self.feedback[k]) / 2**step.leak),
            "gather": lambda: (kept, self.feedback[k] + self.slope(kept, k) * y),
        }[step.enter]()
        drive = a
        if step.keep_drive:
            self.drive[k] = a
        if step.keep_feedback:
            self.feedback[k] = b
        if step.loss != "keep":
            cost = (self.error(self.value(a, k)) ** 2).sum(1) / 2
            self.loss = {"zero": 0 * cost, "set": cost, "subtract": self.loss - cost}[step.loss]
        if step.force:
            push = (-1 if step.negative else 1) * self.recipe.beta * self.error(self.value(a, k))
            a, b = {"feedback": (a, b + push), "drive": (a + push, b), "clamp": (self.targets, b)}[step.force]
        alpha = self.recipe.alpha
        plus, minus = self.value(a + (1 - alpha) * b, k), self.value(a - alpha * b, k)
        difference = {"dyad": plus - minus, "gate": self.slope(a, k) * b, "feedback": b}[step.error]
        mean = minus + difference if step.moved else alpha * plus + (1 - alpha) * minus
        if step.mean:
            self.stores[step.mean] = mean
        if step.difference:
            self.stores[step.difference] = difference
        if step.result:
            self.outputs = mean
        return _Read(step, source, drive, a, b)

    def value(self, drive: Array, unit: int) -> Array:
        """Return the values of a unit's activation."""
        knots, slopes, first = self.neurons[unit]
        ends = zip(slopes, knots, knots[1:], strict=False)
        return first + sum(slope * (self.xp.clip(drive, low, high) - low) for slope, low, high in ends)

    def slope(self, drive: Array, unit: int) -> Array:
        """Return the slopes of a unit's activation: 0 at both ends, at other knots that of the piece above."""
        knots, slopes, _ = self.neurons[unit]
        xp, pieces = self.xp, np.append(slopes, 0.0)
        return xp.where(drive > knots[0], xp.asarray(pieces)[xp.searchsorted(xp.asarray(knots[1:]), drive, side="right")], 0.0)


class _Read(NamedTuple):
    """Parts of a read, (n, elements): its operand; the unit's drive; drive and feedback once the label has had its effect."""

    step: Operation
    source: np.ndarray
    drive: np.ndarray
    pushed: np.ndarray
    feedback: np.ndarray


class _Adjoint:
    """Derivatives of each sample's objective by stores, kept drives and kept feedback, as a program is gone through backwards."""

    def __init__(self, player: Player, found: dict[str, np.ndarray]):
        self.player, self.found = player, found
        self.stores: dict[str, Any] = {}
        self.drive: dict[int, Any] = {}
        self.feedback: dict[int, Any] = {}

    def back(self, done: _Read, outputs: np.ndarray | float) -> None:
        """Go back through a read; `outputs` is the derivative by its means, beside that by the store which they entered."""
        step, source, drive, pushed, feedback = done
        player, k = self.player, step.unit
        recipe, alpha = player.recipe, player.recipe.alpha
        mean, difference = self.stores.pop(step.mean, 0.0) + outputs, self.stores.pop(step.difference, 0.0)
        plus, minus, b = (0.0, mean, 0.0) if step.moved else (alpha * mean, (1 - alpha) * mean, 0.0)
        difference = difference + mean * step.moved
        if step.error == "dyad":
            plus, minus = plus + difference, minus - difference
        else:
            b = difference * (player.slope(pushed, k) if step.error == "gate" else 1.0)
        plus = plus * player.slope(pushed + (1 - alpha) * feedback, k)
        minus = minus * player.slope(pushed - alpha * feedback, k)
        a, b = plus + minus, b + (1 - alpha) * plus - alpha * minus
        if step.force == "clamp":
            a = 0 * a
        elif step.force:
            live = recipe.objective == "squared-error" or player.error(player.value(drive, k)) != 0
            pull = (1 if step.negative else -1) * recipe.beta * live * player.slope(drive, k)
            a = a + pull * (b if step.force == "feedback" else a)
        a = a + (self.drive.pop(k, 0.0) if step.keep_drive else 0.0)
        b = b + (self.feedback.pop(k, 0.0) if step.keep_feedback else 0.0)
        if step.enter != "drive":
            self.drive[k] = self.drive.get(k, 0.0) + a
        if step.enter == "relax":
            self.feedback[k] = self.feedback.get(k, 0.0) + (1 - 2.0**-step.leak) * b
        if step.enter == "gather":
            self.feedback[k] = self.feedback.get(k, 0.0) + b
        beside = {"feedback": b, "relax": b * 2.0**-step.leak, "gather": player.slope(drive, k) * b}
        self._into(step, source, ({"drive": a, "more": a, "less": -a} | beside)[step.enter])

    def _into(self, step: Operation, source: np.ndarray, y: np.ndarray) -> None:
        """Add what `y`, the derivative by what a read brought, means for its matrix and its operand."""
        m, store = self.player.matrix(step.matrix), step.column if step.op == Op.FORWARD else step.row
        columns = m.shape[1] - self.player.recipe.bias
        if step.matrix in self.found:
            if step.op == Op.FORWARD:
                self.found[step.matrix] += y[:, :, None] * source[:, None, :]
            else:
                self.found[step.matrix][:, :, :columns] += source[:, :, None] * y[:, None, :]
        if store != NOISE:
            self.stores[store] = self.stores.get(store, 0.0) + (y @ m[:, :columns] if step.op == Op.FORWARD else y @ m[:, :columns].T)


def matrices(recipe: Recipe, weights: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return as real numbers what reads see of a chip's weights and of its generator's matrices, (R, C) by name."""
    held = {g.matrix.name: np.asarray(w) for g, w in zip(in_memory(recipe), weights, strict=True)}
    found = {}
    for name, g in matrix_geometries(recipe).items():
        f = g.recipe.formats.weight
        if g.matrix.source == "memory":
            found[name] = f.decode(crossbar.seen(g.recipe, held[name]))
        elif g.matrix.source == "generator":
            found[name] = f.decode(crossbar.feedback(g, rng.keys(recipe.seed), np.zeros((g.R, g.F * g.L), np.int32))[..., : g.C])
    return found
