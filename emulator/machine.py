"""Programs executed instruction by instruction on the memories of many chips at once (contract sections 7 to 9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..recipe import NOISE, SIGNS, SLOPE, Geometry, Op, Operation, Recipe, in_memory, matrix_geometries, programs
from . import crossbar, engine, noise, nudge, rng, unit
from .arrays import Integers, State, namespace
from .neuron import dyad, gated
from .rng import Pair
from .sequencer import Program

COUNTERS = ("accumulator", "state", "delta", "weight")


def reset(recipe: Recipe, batch: tuple[int, ...], seeds: ArrayLike) -> State:
    """The architectural state after reset: all zero but for the rate register.

    Returns
    -------
    dict
        ``weights`` (tuple of int32 (*batch, R, F * L), of each matrix in memory), ``peak`` (tuple of int64: none of its weights is further
        from zero), ``key`` (pair of uint32 (*batch)), ``step`` and ``run`` (uint32: training programs and all programs),
        ``rate`` (int32 (*batch)), ``loss``
        (int64 (*batch)) and the four counters (uint32 (*batch)). Where reads may be stale also ``older``, by matrix those weights that the
        samples just before left, the latest first.
    """
    furthest = lags(recipe)
    return (
        {
            "weights": tuple(np.zeros((*batch, g.R, g.F * g.L), dtype=np.int32) for g in in_memory(recipe)),
            "peak": tuple(np.zeros((), dtype=np.int64) for _ in in_memory(recipe)),
            "key": tuple(np.broadcast_to(k, batch).copy() for k in rng.keys(seeds)),
            "step": np.zeros((), dtype=np.uint32),
            "run": np.zeros((), dtype=np.uint32),
            "rate": np.full(batch, recipe.rate, dtype=np.int32),
            "loss": np.zeros(batch, dtype=np.int64),
        }
        | {name: np.zeros(batch, dtype=np.uint32) for name in COUNTERS}
        | (
            {
                "older": {
                    g.matrix.name: (np.zeros((*batch, g.R, g.F * g.L), dtype=np.int32),) * furthest[g.matrix.name]
                    for g in in_memory(recipe)
                    if g.matrix.name in furthest
                }
            }
            if furthest
            else {}
        )
    )


def lags(recipe: Recipe) -> dict[str, int]:
    """Return how many updates the furthest read is behind, by matrix in memory; those that no read is behind of are left away."""
    of = {m.name: m.of or m.name for m in recipe.matrices}
    found: dict[str, int] = {}
    for name, lag in programs(recipe)[True].staleness.items():
        if lag:
            found[of[name]] = max(lag, found.get(of[name], 0))
    return found


def settled(recipe: Recipe, state: State) -> State:
    """Return the state of chips in which no program runs, so that the next sample's reads see every update."""
    if "older" not in state:
        return state
    now = dict(zip((g.matrix.name for g in in_memory(recipe)), state["weights"], strict=True))
    return state | {"older": {name: tuple(now[name].copy() for _ in kept) for name, kept in state["older"].items()}}


def run(
    recipe: Recipe,
    program: Program,
    state: State,
    x: Integers,
    label: Integers | None,
    drawn: Drawn | None = None,
    machine: Callable[..., Machine] | None = None,
) -> tuple[State, Integers]:
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
    player = (machine or Machine)(recipe, state, x, label, drawn)
    with np.errstate(over="ignore"):  # counters wrap
        for pc, i in program:
            player.play(pc, i.step, i.lag)
        after = player.state["run"] + np.uint32(x.shape[-2])
    assert player.outputs is not None  # each program has a result
    return player.state | {"weights": tuple(player.weights.values()), "peak": tuple(player.peak.values()), "run": after}, player.outputs


class Drawn(NamedTuple):
    """Words that the generator makes for a training program, each None where nothing needs it.

    Attributes
    ----------
    pairs : dict
        Words for the weights, by matrix.
    noise : dict
        Of every read, by its position in the program memory.
    """

    pairs: dict[str, Pair] | None
    noise: dict[int, Integers] | None


def draw(recipe: Recipe, program: Program, state: State) -> Drawn:
    """The generator's numbers for a training program in the state's step and run."""
    return Drawn(_pairs(recipe, state), _noise(recipe, program, state) if recipe.devices.read_noise else None)


def _pairs(recipe: Recipe, state: State) -> dict[str, Pair] | None:
    """Return the words for each matrix in memory; those of one shape on as many lanes have the same."""
    if not crossbar.needs_pairs(recipe):
        return None
    made = {}
    for g in in_memory(recipe):
        alike = g.layer, g.R, g.C, g.L
        if alike not in made:
            made[alike] = crossbar.pairs(g, state["key"], state["step"], state["rate"])
    return {g.matrix.name: made[g.layer, g.R, g.C, g.L] for g in in_memory(recipe)}


def _noise(recipe: Recipe, program: Program, state: State) -> dict[int, Integers]:
    made, geometry = {}, matrix_geometries(recipe)
    for pc, i in program:
        if i.step.reads:
            g = geometry[i.step.matrix]
            units = g.R if i.op == Op.FORWARD else g.D
            made[pc] = noise.noise(g, recipe.place(i.step), state["key"], state["run"][None], pc, units, state["rate"])
    return made


class Machine:
    """Matrices, stores and drives of the chips while a program runs.

    Attributes
    ----------
    weights, peak : dict
        Of each matrix in memory, by its name: int32 (*batch, R, F * L), and a bound of its weights' size.
    stores : dict
        Integers of each store, (*batch, n, elements), by its name.
    drive, feedback : dict
        Drive memory and feedback memory of each unit, accumulator format.
    outputs : int32 array (*batch, n, outputs), or None
        The means of the last operation with a result.
    """

    def __init__(self, recipe: Recipe, state: State, x: Integers, label: Integers | None, drawn: Drawn | None = None):
        self.recipe, self.state, self.label = recipe, dict(state), label
        self.xp = namespace(x, *state["weights"])
        self.geometry = matrix_geometries(recipe)
        names = [g.matrix.name for g in in_memory(recipe)]
        self.weights = dict(zip(names, state["weights"], strict=True))
        self.peak = dict(zip(names, state["peak"], strict=True))
        self.stores = {"input0": x}
        self.drive: dict[int, Integers] = {}
        self.feedback: dict[int, Integers] = {}
        self.drawn, self.pairs = drawn, drawn.pairs if drawn else None
        self.outputs: Integers | None = None
        self.lag = 0

    def play(self, pc: int, step: Operation, lag: int = 0) -> None:
        """Play one operation as a whole; `pc` is its position in the program memory, and of a read `lag` updates are not seen yet."""
        self.lag = lag
        (self.read if step.reads else self.rewrite)(pc, step)

    def count(self, counter: str, flags: Integers) -> None:
        """Add the range events of (*batch, n, units) to a counter."""
        self.state[counter] = self.state[counter] + self.xp.sum(flags, axis=(-2, -1), dtype=np.uint32)

    def noise(self, g: Geometry, step: Operation, pc: int, sums: Integers) -> Integers | None:
        """Return the noise of the read of sums, (*batch, n, units), or None; sample after sample is a program of its own."""
        return self._shaken(g, step, sums, self._read_noise(g, step, pc, sums))

    def _shaken(self, g: Geometry, step: Operation, sums: Integers, added: Integers | None) -> Integers | None:
        """Return what is added to sums, and the signs along which the operation shakes its unit."""
        if not step.noise:
            return added
        signs = noise.node_signs(g, self.state["key"], self.state["step"], sums.shape[-1], sums).astype(np.int64)
        level = step.noise * signs << (g.recipe.shake(g.recipe.place(step)) + step.gain)
        return level if added is None else added + level

    def _read_noise(self, g: Geometry, step: Operation, pc: int, sums: Integers) -> Integers | None:
        if not self.recipe.devices.read_noise:
            return None
        if self.drawn and self.drawn.noise is not None:
            return self.drawn.noise[pc]
        run = self.state["run"] + self.xp.arange(sums.shape[-2], dtype=np.uint32)
        return noise.noise(g, self.recipe.place(step), self.state["key"], run, pc, sums.shape[-1], sums)

    def matrix(self, g: Geometry) -> tuple[Integers, Integers | None]:
        """Weights of a matrix and their bound; what no memory holds is made again."""
        m = g.matrix
        if m.source == "memory":
            return (self.state["older"][m.name][self.lag - 1], None) if self.lag else (self.weights[m.name], self.peak[m.name])
        if not m.of:
            seen = self.xp.zeros((g.R, g.F * g.L), dtype=np.int32)
        else:
            seen = self.state["older"][m.of][self.lag - 1] if self.lag else self.weights[m.of]
        return crossbar.feedback(g, self.state["key"], seen), None

    def product(self, g: Geometry, pc: int, step: Operation, vectors: Integers) -> Integers:
        """Sums of a read of (*batch, n, elements)."""
        weights, peak = self.matrix(g)
        if step.op == Op.FORWARD:
            return crossbar.forward(g, weights, crossbar.pad(g, vectors), peak, self.recipe.place(step))
        return crossbar.transposed(g, weights, vectors, peak, self.recipe.place(step))

    def read(self, pc: int, step: Operation) -> None:
        """Play a forward or a transposed read, and what its elements do in their unit."""
        g, k = self.geometry[step.matrix], step.unit
        recipe = g.recipe
        vectors = self.column(g, step) if step.op == Op.FORWARD else self.stores[step.row]
        random = engine.words(
            g, self.state["key"], self.state["step"], 0 if step.repeatable else pc, g.R if step.op == Op.FORWARD else g.D, vectors
        )
        sums = self.product(g, pc, step, vectors)
        y, out = engine.convert(recipe, recipe.place(step), sums, random[0], self.noise(g, step, pc, sums))
        self.count("accumulator", out)
        a, b = self._enter(step, y)
        if step.keep_drive:
            self.drive[k] = a
        if step.keep_feedback:
            self.feedback[k] = b
        a, b = self._force(step, a, b, random[3])
        mean, mean_out, difference, difference_out = dyad(recipe, k, a, b, random[1], random[2], step.error, step.moved)
        if step.mean or step.result:
            self.count("state", mean_out)
        if step.mean:
            self.stores[step.mean] = mean
        if step.difference:
            self.stores[step.difference] = difference
            self.count("delta", difference_out)
        if step.result:
            self.outputs = mean

    def _enter(self, step: Operation, y: Integers) -> tuple[Integers, Integers]:
        """Drive and feedback of the elements of a read."""
        if step.enter == "drive":
            return y, self.xp.zeros_like(y)
        kept = self.drive[step.unit]
        if step.enter == "feedback":
            return kept, y
        if step.enter == "relax":
            fed = self.feedback[step.unit]
            return kept, fed + (y - fed >> step.leak)
        if step.enter == "gather":
            b, out = unit.add(self.recipe, self.feedback[step.unit], gated(self.recipe.pieces(step.unit), 2 * kept, 2 * y) >> 1)
            self.count("accumulator", out)
            return kept, b
        a, out = unit.add(self.recipe, kept, y if step.enter == "more" else -y)
        self.count("accumulator", out)
        return a, self.xp.zeros_like(a)

    def _force(self, step: Operation, a: Integers, b: Integers, random: Integers | int) -> tuple[Integers, Integers]:
        """Drive and feedback after the label's force; the loss register follows."""
        if step.loss == "zero":
            self.state["loss"] = self.state["loss"] * 0
        if not step.force and step.loss not in ("set", "subtract"):
            return a, b
        assert self.label is not None  # only training programs look at it
        target = self.label[..., None] == self.xp.arange(a.shape[-1])
        error, pushed, out = nudge.nudge(self.recipe, a, target, random, step.negative)
        if step.loss in ("set", "subtract"):
            squares = nudge.loss(error)[..., 0]
            self.state["loss"] = self.state["loss"] - squares if step.loss == "subtract" else squares
        if step.force == "clamp":
            return nudge.targets(self.recipe, a, target), b
        if not step.force:
            return a, b
        self.count("accumulator", out)
        if step.force == "drive":
            a, out = unit.add(self.recipe, a, pushed)
        else:
            b, out = unit.add(self.recipe, b, pushed)
        self.count("accumulator", out)
        return a, b

    def column(self, g: Geometry, step: Operation) -> Integers:
        """Return what the columns of a matrix meet, (*batch, n, C): a store and what a bias meets, or noise."""
        if step.column != NOISE:
            store = self.stores[step.column]
            if not self.recipe.bias:
                return store
            one = self.xp.broadcast_to(self.xp.asarray(self.recipe.one, store.dtype), (*store.shape[:-1], 1))
            return self.xp.concatenate([store, one], axis=-1)
        x = self.stores["input0"]
        made = noise.column(g, self.state["key"], self.state["step"], x)
        return self.xp.broadcast_to(made, (*made.shape[:-2], x.shape[-2], g.C))

    def rewrite(self, pc: int, step: Operation) -> None:
        """Play an update or a probe."""
        g = self.geometry[step.matrix]
        recipe, kind = g.recipe, crossbar.operand_type(g)
        # the same random words in all operations of a step
        if self.pairs is None:
            self.pairs = _pairs(self.recipe, self.state)
        pairs = self.pairs[step.matrix] if self.pairs else None
        if step.op == Op.PROBE or step.column == SIGNS:
            assert pairs is not None  # drawn for each rule with signs
            b = crossbar.signs(g, pairs)
        else:
            b = crossbar.pad(g, self.column(g, step))
        if step.op == Op.PROBE:
            e = self.xp.full((1,), crossbar.probe_operand(g, step.negative), dtype=kind)
        else:
            if step.row == SLOPE:
                slope, out = nudge.slope(recipe, self.state["loss"])
                self.state["delta"] = self.state["delta"] + out.astype(np.uint32)
                e = self.along(g, step, slope).astype(kind)
            else:
                e = self.stores[step.row][..., 0, :].astype(kind)
                e = e << self.xp.asarray(recipe.align).astype(kind) if recipe.row_of_states(step) else e
            e = (-e if step.negative else e) << (self.state["rate"][..., None] + step.gain).astype(kind)
        self.state["weight"] = self.state["weight"] + self.change(g, step, e, b, pairs)

    def along(self, g: Geometry, step: Operation, slope: Integers) -> Integers:
        """Return the slope (*batch) as the row of an update: (*batch, 1), or with the sign of each element's noise, (*batch, R)."""
        if step.column == SIGNS:
            return slope[..., None]
        return slope[..., None] * noise.node_signs(g, self.state["key"], self.state["step"], g.R, slope)[..., 0, :]

    def change(self, g: Geometry, step: Operation, e: Integers, b: Integers, pairs: Pair | None) -> Integers:
        """Rewrite a matrix; return how many of its weights were out of range."""
        name = step.matrix
        self.weights[name], events, self.peak[name] = crossbar.rewrite(
            g,
            self.weights[name],
            e,
            b,
            pairs,
            step.op == Op.PROBE,
            self.peak[name],
            crossbar.stuck(g, self.state["key"], self.weights[name]),
            step.decay,
        )
        return events


def train(
    recipe: Recipe,
    program: Program,
    state: State,
    x: Integers,
    label: Integers,
    drawn: Drawn | None = None,
    machine: Callable[..., Machine] | None = None,
) -> tuple[State, Integers]:
    """One training program on one sample per chip: `run`, after which the step grows."""
    before = state
    state, outputs = run(recipe, program, state, x, label, drawn, machine)
    if "older" in state:
        found = dict(zip((g.matrix.name for g in in_memory(recipe)), before["weights"], strict=True))
        state["older"] = {name: (found[name], *kept[:-1]) for name, kept in state["older"].items()}
    with np.errstate(over="ignore"):
        return state | {"step": state["step"] + np.uint32(1)}, outputs
