"""What the updates of a training program read: error and input memories, or the loss register, for many samples with the weights held."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..recipe import Op, Recipe, geometries
from . import sequencer
from .chip import Chip
from .machine import Machine


class Signals(NamedTuple):
    """Of one layer, for n samples: the update of its weights is ``error outer input``.

    Attributes
    ----------
    error : int32 array (n, R), delta format
        The dyads' differences.
    input : int32 array (n, C), state format
        The means below.
    drive : int32 array (n, R), accumulator format, or None
        The drive memory; the last layer has none.
    """

    error: np.ndarray
    input: np.ndarray
    drive: np.ndarray | None


def signals(recipe: Recipe, weights, x, y, machine=None, seeds=None) -> list[Signals]:
    """Run the dual-propagation program up to its updates, with the weights held.

    Parameters
    ----------
    recipe : Recipe
        Of rule ``dual-propagation``.
    weights : list of int32 arrays (R, C), or (*batch, R, C)
    x : array (n, inputs)
        Real values (floating) or state integers.
    y : integer array (n,)
    machine : callable, optional
        As `machine.run`'s: whose reads and memories.
    seeds : integer array (*batch), optional
        Of as many chips, whose axes then lead every array that differs between them; the recipe's by default, of one chip.

    Returns
    -------
    list of Signals
        One per layer of weights.

    Raises
    ------
    ValueError
        If the recipe's rule makes no such signals.
    """
    if recipe.rule != "dual-propagation":
        raise ValueError(f"{recipe.name}: rule {recipe.rule!r} has no error signals; use 'dual-propagation'")
    state, x, y = _loaded(recipe, weights, x, y, seeds)
    g = geometries(recipe)
    machine = (machine or Machine)(recipe, state, x, y, None)
    for pc, i in sequencer.instructions(recipe, True):
        if i.op is not Op.UPDATE:
            {Op.FORWARD: machine.forward, Op.TRANSPOSED: machine.transposed}[i.op](g[i.layer], pc, i.op, i.operand)
    return [Signals(machine.error[k.layer], machine.input[k.layer][..., : k.C], machine.drive.get(k.layer)) for k in g]


def losses(recipe: Recipe, weights, x, y, machine=None, seeds=None) -> np.ndarray:
    """Run the SPSA program up to its updates, with the weights held: what the probes of each sample leave in the loss register.

    Parameters
    ----------
    recipe : Recipe
        Of rule ``spsa``.
    weights, x, y, machine, seeds
        As `signals`'. Sample i is the chip's step i, so that every one is probed along a direction of its own.

    Returns
    -------
    int64 array (*batch, n)
        Loss with the weights raised along the direction less the loss with them lowered, in squared accumulator LSBs.

    Raises
    ------
    ValueError
        If the recipe's rule makes no probes.
    """
    if recipe.rule != "spsa":
        raise ValueError(f"{recipe.name}: rule {recipe.rule!r} makes no probes; use 'spsa'")
    state, x, y = _loaded(recipe, weights, x, y, seeds)
    g, found = geometries(recipe), []
    for n in range(x.shape[-2]):
        now = state | dict.fromkeys(("step", "run"), np.uint32(n))
        player = (machine or Machine)(recipe, now, x[..., n:n + 1, :], y[..., n:n + 1], None)
        for pc, i in sequencer.instructions(recipe, True):
            if i.op is not Op.UPDATE:
                {Op.FORWARD: player.forward, Op.PROBE: player.rewrite}[i.op](g[i.layer], pc, i.op, i.operand)
        found.append(player.state["loss"])
    return np.stack(found, axis=-1)


def _loaded(recipe: Recipe, weights, x, y, seeds):
    """The state of chips after reset with these weights, and samples and labels as integers: with the checks of every chip."""
    chip = Chip(recipe, "numpy", np.shape(seeds) if seeds is not None else (), seeds)
    chip.weights = weights
    x = chip._samples(x)
    return chip._state, x, chip._labels(y, x.shape[-2])
