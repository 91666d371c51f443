"""Signals that the updates of a training program read, for many samples with the weights held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..recipe import SIGNS, SLOPE, Op, Operation, Recipe
from . import nudge, sequencer
from .arrays import Integers, State
from .chip import Chip
from .machine import Machine


class Write(NamedTuple):
    """One update of a program, for n samples: ``(-) row outer column`` onto its matrix.

    Attributes
    ----------
    step : Operation
        Which update: its matrix, sign, gain and stores.
    row : int32 array (*batch, n, R)
        Differences in delta format, or states in state format; of a ``slope`` with signs of the noise the same, without them the loss
        register, int64 (*batch, n).
    column : int32 array (*batch, n, C), or None
        States, or noise; None: the generator's signs of the weights.
    """

    step: Operation
    row: Integers
    column: Integers | None


def writes(
    recipe: Recipe,
    weights: Sequence[ArrayLike],
    x: ArrayLike,
    y: ArrayLike,
    machine: Callable[..., Machine] | None = None,
    seeds: ArrayLike | None = None,
) -> list[Write]:
    """Play the training program with the weights held, but for probes, and keep what each of its updates reads.

    Parameters
    ----------
    recipe : Recipe
        Of a rule that learns.
    weights : list of int32 arrays (R, C), or (*batch, R, C)
        Of each matrix in memory.
    x : array (n, inputs)
        Real values (floating) or state integers.
    y : integer array (n,)
    machine : callable, optional
        As `machine.run`'s: whose reads and memories.
    seeds : integer array (*batch), optional
        Of as many chips, whose axes then lead every array that differs between them; the recipe's by default, of one chip.

    Returns
    -------
    list of Write
        In the order of the program. Where what updates read follows the generator's signs, sample i is the chip's step i, with signs of
        its own.

    Raises
    ------
    ValueError
        If the recipe's rule does not learn.
    """
    return played(recipe, weights, x, y, machine, seeds)[1]


def played(
    recipe: Recipe,
    weights: Sequence[ArrayLike],
    x: ArrayLike,
    y: ArrayLike,
    machine: Callable[..., Machine] | None = None,
    seeds: ArrayLike | None = None,
) -> tuple[Machine, list[Write]]:
    """Return the machine that `writes` has played and the writes; where these follow the generator's signs, the last sample's."""
    if not recipe.learns:
        raise ValueError(f"{recipe.name}: rule {recipe.rule!r} does not learn, so that no update reads anything")
    state, samples, labels = _loaded(recipe, weights, x, y, seeds)
    program = sequencer.instructions(recipe, True)
    if not recipe.stepped:
        player = (machine or Machine)(recipe, state, samples, labels, None)
        return player, _play(player, program)
    found = []
    for n in range(samples.shape[-2]):
        now = state | dict.fromkeys(("step", "run"), np.uint32(n))
        player = (machine or Machine)(recipe, now, samples[..., n : n + 1, :], labels[..., n : n + 1], None)
        found.append(_play(player, program))
    return player, [
        Write(
            each[0].step,
            np.concatenate([w.row for w in each], axis=-1 if each[0].column is None else -2),
            None if each[0].column is None else np.concatenate([w.column for w in each], axis=-2),
        )
        for each in zip(*found, strict=True)
    ]


def _play(player: Machine, program: sequencer.Program) -> list[Write]:
    found = []
    for pc, i in program:
        step = i.step
        if step.op != Op.UPDATE:
            player.play(pc, step)
        elif step.column == SIGNS:
            found.append(Write(step, player.state["loss"][..., None], None))
        elif step.row == SLOPE:
            row = player.along(player.geometry[step.matrix], step, nudge.slope(player.recipe, player.state["loss"])[0])
            found.append(Write(step, row[..., None, :], player.column(player.geometry[step.matrix], step)))
        else:
            found.append(Write(step, player.stores[step.row], player.column(player.geometry[step.matrix], step)))
    return found


def _loaded(
    recipe: Recipe, weights: Sequence[ArrayLike], x: ArrayLike, y: ArrayLike, seeds: ArrayLike | None
) -> tuple[State, np.ndarray, np.ndarray]:
    """The state of chips after reset with these weights, and samples and labels as integers: with the checks of every chip."""
    chip = Chip(recipe, "numpy", np.shape(seeds) if seeds is not None else (), seeds)
    chip.weights = weights
    samples = chip._samples(x)
    return chip._state, samples, chip._labels(y, samples.shape[-2])
