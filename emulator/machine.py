"""Programs executed instruction by instruction on the memories of many chips at once (contract sections 7 to 9)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..recipe import Geometry, Op, Operand, Recipe, geometries
from . import crossbar, layer, noise, nudge, rng
from .arrays import namespace
from .neuron import dyad

COUNTERS = ("accumulator", "state", "delta", "weight")


def reset(recipe: Recipe, batch: tuple[int, ...], seeds) -> dict:
    """The architectural state after reset: all zero but for the rate register.

    Returns
    -------
    dict
        ``weights`` (tuple of int32 (*batch, R, F * L)), ``peak`` (tuple of int64: no weight of the layer is further
        from zero), ``key`` (pair of uint32 (*batch)), ``step`` and ``run`` (uint32: training programs and all programs),
        ``rate`` (int32 (*batch)), ``loss``
        (int64 (*batch)) and the four counters (uint32 (*batch)).
    """
    return {
        "weights": tuple(np.zeros((*batch, g.R, g.F * g.L), dtype=np.int32) for g in geometries(recipe)),
        "peak": tuple(np.zeros((), dtype=np.int64) for _ in range(recipe.layers)),
        "key": tuple(np.broadcast_to(k, batch).copy() for k in rng.keys(seeds)),
        "step": np.zeros((), dtype=np.uint32),
        "run": np.zeros((), dtype=np.uint32),
        "rate": np.full(batch, recipe.rate, dtype=np.int32),
        "loss": np.zeros(batch, dtype=np.int64),
    } | {name: np.zeros(batch, dtype=np.uint32) for name in COUNTERS}


def run(recipe: Recipe, program, state: dict, x, label, drawn=None, machine=None):
    """Execute a program, one instruction after the other.

    Each operation runs as a whole, in the order of the starts: the compiler lets an operation start only when its data
    are complete and what it overwrites has been read, so the overlap in time cannot be seen in the values.

    Parameters
    ----------
    program : tuple of (pc, Instruction)
        From `sequencer.instructions`.
    state : dict
        As `reset` makes it.
    x : int32 array (*batch, n, inputs)
        State integers of n samples; a program that updates weights takes one.
    label : integer array (*batch, n)
    drawn : Drawn, optional
        `draw` of the state, where it has been made before.
    machine : callable, optional
        Makes the memories and what reads and writes them, with the arguments of `Machine`, the default.

    Returns
    -------
    state : dict
    outputs : int32 array (*batch, n, outputs)
    """
    machine = (machine or Machine)(recipe, state, x, label, drawn)
    with np.errstate(over="ignore"):                # counters wrap
        for pc, i in program:
            g = machine.geometry[i.layer]
            {Op.FORWARD: machine.forward, Op.TRANSPOSED: machine.transposed,
             Op.UPDATE: machine.rewrite, Op.PROBE: machine.rewrite}[i.op](g, pc, i.op, i.operand)
        after = machine.state["run"] + np.uint32(x.shape[-2])
    return machine.state | {"weights": tuple(machine.weights), "peak": tuple(machine.peak), "run": after}, machine.outputs


class Drawn(NamedTuple):
    """What the generator makes for a training program, each None where nothing needs it.

    Attributes
    ----------
    pairs : tuple
        Words for the weights, by layer.
    noise : dict
        Of every read, by its position in the program memory.
    """

    pairs: tuple | None
    noise: dict | None


def draw(recipe: Recipe, program, state: dict) -> Drawn:
    """The generator's numbers for a training program in the state's step and run."""
    return Drawn(_pairs(recipe, state), _noise(recipe, program, state) if recipe.devices.read_noise else None)


def _pairs(recipe: Recipe, state: dict):
    if not crossbar.needs_pairs(recipe):
        return None
    return tuple(crossbar.pairs(g, state["key"], state["step"], state["rate"]) for g in geometries(recipe))


def _noise(recipe: Recipe, program, state: dict):
    made, g = {}, geometries(recipe)
    for pc, i in program:
        if i.op in (Op.FORWARD, Op.TRANSPOSED):
            units = g[i.layer].R if i.op == Op.FORWARD else g[i.layer].C
            made[pc] = noise.noise(g[i.layer], i.op, state["key"], state["run"][None], pc, units, state["rate"])
    return made


class Machine:
    """The memories of the chips while a program runs."""

    def __init__(self, recipe: Recipe, state: dict, x, label, drawn=None):
        self.recipe, self.state, self.label = recipe, dict(state), label
        self.xp = namespace(x, *state["weights"])
        self.geometry = geometries(recipe)
        self.weights, self.peak = list(state["weights"]), list(state["peak"])
        self.input = {0: crossbar.pad(self.geometry[0], x)}
        self.drive, self.error, self.drawn = {}, {}, drawn
        self.pairs = drawn and drawn.pairs
        self.outputs = None

    def count(self, counter: str, flags):
        """Add the range events of (*batch, n, units) to a counter."""
        self.state[counter] = self.state[counter] + self.xp.sum(flags, axis=(-2, -1), dtype=np.uint32)

    def noise(self, g: Geometry, op: Op, pc: int, sums):
        """Of the read of sums, (*batch, n, units), or None; sample after sample is a program of its own."""
        if not self.recipe.devices.read_noise:
            return None
        if self.drawn:
            return self.drawn.noise[pc]
        run = self.state["run"] + self.xp.arange(sums.shape[-2], dtype=np.uint32)
        return noise.noise(g, op, self.state["key"], run, pc, sums.shape[-1], sums)

    def product(self, g: Geometry, pc: int, op: Op, vectors):
        """Sums of a read of the layer's weights."""
        read = crossbar.forward if op == Op.FORWARD else crossbar.transposed
        return read(g, self.weights[g.layer], vectors, self.peak[g.layer])

    def forward(self, g: Geometry, pc: int, op: Op, operand: Operand):
        recipe, k = self.recipe, g.layer
        random = layer.words(g, self.state["key"], self.state["step"], pc, g.R, self.input[k])
        sums = self.product(g, pc, op, self.input[k])
        a, out = layer.convert(g, op, sums, random[0], self.noise(g, op, pc, sums))
        self.count("accumulator", out)
        b = self.xp.zeros_like(a)
        if g.is_last:
            b = self._nudge(a, b, operand, random[3])
        mean, mean_out, difference, difference_out = dyad(recipe, k, a, b, random[1], random[2])
        self.count("state", mean_out)
        if not g.is_last:
            self.drive[k] = a
            self.input[k + 1] = crossbar.pad(self.geometry[k + 1], mean)
            return
        if operand == Operand.NUDGE:
            self.error[k] = difference
            self.count("delta", difference_out)
        if operand != Operand.SUBTRACT:
            self.outputs = mean

    def _nudge(self, a, b, operand: Operand, random):
        """Feedback of the last layer; the loss register follows the operand."""
        if operand == Operand.FREE:
            self.state["loss"] = self.state["loss"] * 0
            return b
        target = self.label[..., None] == self.xp.arange(a.shape[-1])
        error, nudged, out = nudge.nudge(self.recipe, a, target, random)
        squares = nudge.loss(error)[..., 0]
        self.state["loss"] = self.state["loss"] - squares if operand == Operand.SUBTRACT else squares
        if operand != Operand.NUDGE:
            return b
        self.count("accumulator", out)
        return nudged

    def transposed(self, g: Geometry, pc: int, op: Op, operand: Operand):
        recipe, k, below = self.recipe, g.layer, g.layer - 1
        random = layer.words(g, self.state["key"], self.state["step"], pc, g.C, self.error[k])
        sums = self.product(g, pc, op, self.error[k])
        b, out = layer.convert(g, op, sums, random[0], self.noise(g, op, pc, sums))
        self.count("accumulator", out)
        mean, mean_out, difference, difference_out = dyad(recipe, below, self.drive[below], b, random[1], random[2])
        self.count("state", mean_out)
        self.count("delta", difference_out)
        self.input[k] = crossbar.pad(g, mean)
        self.error[below] = difference

    def rewrite(self, g: Geometry, pc: int, op: Op, operand: Operand):
        k, kind = g.layer, crossbar.operand_type(g)
        # the same random words in all operations of a step
        if self.pairs is None:
            self.pairs = _pairs(self.recipe, self.state)
        pairs = self.pairs and self.pairs[k]
        if operand == Operand.DELTA:
            e, b = self.error[k][..., 0, :], self.input[k]
        else:
            b = crossbar.signs(g, pairs)
        if operand == Operand.SLOPE:
            slope, out = nudge.slope(self.recipe, self.state["loss"])
            self.state["delta"] = self.state["delta"] + out.astype(np.uint32)
            e = slope[..., None]
        if op == Op.PROBE:
            e = self.xp.full((1,), crossbar.probe_operand(g, operand), dtype=kind)
        else:
            e = e.astype(kind) << self.state["rate"][..., None].astype(kind)
        events = self.change(g, op, e, b, pairs)
        self.state["weight"] = self.state["weight"] + events

    def change(self, g: Geometry, op: Op, e, b, pairs):
        """Weights after an update or a probe; how many were out of range."""
        k = g.layer
        self.weights[k], events, self.peak[k] = crossbar.rewrite(
            g, self.weights[k], e, b, pairs, op == Op.PROBE, self.peak[k], crossbar.stuck(g, self.state["key"], self.weights[k]))
        return events


def train(recipe: Recipe, program, state: dict, x, label, drawn=None, machine=None):
    """One training program on one sample per chip: `run`, after which the step grows."""
    state, outputs = run(recipe, program, state, x, label, drawn, machine)
    with np.errstate(over="ignore"):
        return state | {"step": state["step"] + np.uint32(1)}, outputs
