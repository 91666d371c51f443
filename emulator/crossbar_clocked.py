"""The row engine at every clock (contract section 3): its memories, and what is under way in its pipelines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..recipe import LEAD, NOISE, SIGNS, SLOPE, Geometry, Op, Operation, Recipe, matrix_geometries, table
from . import fixed, noise, rng
from .clock import Ports, Stimulus, Waves, walk
from .crossbar import FEEDBACK, STUCK, levels, of_sample, probe_operand, seen
from .update import update_exact

AHEAD = 11
"""Cycles from the ports that say what is coming to the sum."""


def inputs(recipe: Recipe, engine: int) -> tuple[str, ...]:
    """Return the input ports of `Crossbar`."""
    memories = table.engines(recipe)[engine].memories
    stores = (f"store{i}__{name}" for i in range(len(memories)) for name in ("valid", "slot", "index", "value"))
    return ("start", "number", "pc", *levels(recipe), *stores, "word_address", "word_write", "word_in")


def trace(recipe: Recipe, engine: int, stimulus: Stimulus) -> Waves:
    """Every port of `Crossbar` at every clock.

    Parameters
    ----------
    recipe, engine
        As the component's.
    stimulus : dict
        Input ports of contract section 3, one entry per clock, from reset. Words are unsigned integers, lane 0 lowest.

    Returns
    -------
    dict
        Output ports of section 3.
    """
    return walk(Clocked(recipe, engine).clock, stimulus, inputs(recipe, engine))


def pack(values: Iterable[int], width: int) -> int:
    """A word from its lanes, lane 0 lowest, as an unsigned integer."""
    return sum((v & ((1 << width) - 1)) << (lane * width) for lane, v in enumerate(values))


def unpack(word: int, width: int, lanes: int) -> list[int]:
    """The signed lanes of a word."""
    return [fixed.fit_exact(word >> (lane * width), width, "wrap")[0] for lane in range(lanes)]


def _shown(ports: tuple[str, ...], values: tuple[int, ...] | None) -> Ports:
    """Return the ports of an element that is there, or of none."""
    return dict(zip(ports, (1, *values), strict=True)) if values else dict.fromkeys(ports, 0)


class UnderWay(NamedTuple):
    """An operation whose slots are still to come, or coming.

    Attributes
    ----------
    cycle : int
        Of its start.
    number : int
    geometry : Geometry
    step : Operation
    pairs : dict
        The generator's pairs by slot, one for each lane group.
    """

    cycle: int
    number: int
    geometry: Geometry
    step: Operation
    pairs: dict[int, list[tuple[int, int]]]


class Clocked:
    """The memories of `Crossbar` and what is under way in its pipelines, walked slot by slot."""

    def __init__(self, recipe: Recipe, engine: int):
        self.recipe, self.table = recipe, table.engines(recipe)[engine]
        self.geometry = matrix_geometries(recipe)
        self.weights = [[0] * self.table.lanes for _ in range(self.table.words)]
        self.stores = [[[0] * recipe.sizes[x.population] for _ in range(x.slots)] for x in self.table.memories]
        self.accumulators = [0] * self.table.lanes
        self.now = 0
        self.under_way: list[UnderWay] = []
        self.coming: dict[int, tuple[int, int, int]] = {}  # cycle: number, index, pc
        self.sums: dict[int, tuple[int, int, int]] = {}  # cycle: number, index, sum
        self.writes: dict[int, tuple[int, list[int], int]] = {}  # cycle: address, lanes, out of range
        self.words = [0, 0]  # the host port's two read registers

    def clock(
        self,
        start: int,
        number: int,
        pc: int,
        rate: int,
        slope: int,
        step: int,
        word_address: int,
        word_write: int,
        word_in: int,
        bank: int = 0,
        turn: int | None = None,
        **streams: int,
    ) -> Ports:
        width, lanes_of = self.table.width, self.table.lanes
        coming, summed = self.coming.pop(self.now, None), self.sums.pop(self.now, None)
        write = self.writes.pop(self.now, None)
        if word_write:
            write = word_address, unpack(word_in, width, lanes_of), write[2] if write else 0
        address, lanes, out_of_range = write or (0, [], 0)
        ports = {
            **_shown(("coming_valid", "coming_number", "coming_index", "coming_pc"), coming),
            **_shown(("sum_valid", "sum_number", "sum_index", "sum"), summed),
            "word_out": self.words[1],
            "weight_write": int(write is not None),
            "weight_address": address,
            "weight_word": pack(lanes, width),
            "weight_out_of_range": out_of_range,
        }
        # all reads of this cycle, then all writes
        if start:
            self._start(number, pc)
        for operation in self.under_way:
            its = of_sample(self.recipe, step, turn, operation.number)
            self._generate(operation, self.now - operation.cycle - 1, its)
            self._slot(operation, self.now - operation.cycle - LEAD - 1, rate, slope, its, bank)
        self.under_way = [o for o in self.under_way if self.now - o.cycle - LEAD < o.geometry.slots(o.step.op)]
        read = self.weights[word_address] if word_address < len(self.weights) else [0] * lanes_of
        self.words = [pack(read, width), self.words[0]]
        if write:
            self.weights[address] = lanes
        for i, store in enumerate(self.stores):
            if streams[f"store{i}__valid"]:
                store[streams[f"store{i}__slot"]][streams[f"store{i}__index"]] = streams[f"store{i}__value"]
        self.now += 1
        return ports

    def _start(self, number: int, pc: int) -> None:
        step = self.table.operations[number]
        g = self.geometry[step.matrix]
        self.under_way.append(UnderWay(self.now, number, g, step, {}))
        if step.op == Op.FORWARD:
            cycles = [LEAD + 5 + g.lv + g.F * (t + 1) for t in range(g.R)]
        elif step.op == Op.TRANSPOSED:
            cycles = [LEAD + 6 + g.P * (j // g.L) + g.R + j % g.L for j in range(g.D)]
        else:
            return
        for index, z in enumerate(cycles):
            self.coming[self.now + z - AHEAD] = number, index, pc

    def _generate(self, o: UnderWay, i: int, step: int) -> None:
        g = o.geometry
        if not o.step.reads and 0 <= i < g.N:
            o.pairs[i] = [rng.pair_exact(g.recipe.key, g.layer, step, rng.group_exact(i, group, g.G)) for group in range(g.G)]

    def _word(self, g: Geometry, i: int) -> int:
        """Return the address of word i of a matrix, or of the one whose signs it has."""
        return self.table.base[g.matrix.of or g.matrix.name] + i

    def _read(self, g: Geometry, i: int) -> list[int]:
        """Return what a read sees of word i of a matrix: what is stored, or signs in its place."""
        source, level = g.matrix.source, g.recipe.feedback_level
        if source == "memory":
            return [seen(g.recipe, w) for w in self.weights[self._word(g, i)]]
        if source == "signs":
            return [-level if w < 0 else level for w in self.weights[self._word(g, i)]]
        pairs = [rng.pair_exact(g.recipe.key, FEEDBACK | g.layer, 0, rng.group_exact(i, group, g.G)) for group in range(g.G)]
        return [level * rng.view_exact(*pairs[lane // 16], lane % 16)[1] for lane in range(g.L)]

    def _is_stuck(self, g: Geometry, i: int, lane: int) -> bool:
        if not g.recipe.stuck_limit:
            return False
        pair = rng.pair_exact(g.recipe.key, STUCK | g.layer, 0, rng.group_exact(i, lane // 16, g.G))
        return rng.view_exact(*pair, lane % 16)[0] < g.recipe.stuck_limit

    def _store(self, port: str, name: str, bank: int) -> list[int]:
        """Return the elements of a store, as an operation reads it through a port."""
        for memory, store in zip(self.table.memories, self.stores, strict=True):
            if memory.port == port and name in memory.stores:
                return store[bank if memory.banked else memory.stores.index(name)]
        raise KeyError(name)

    def _slot(self, o: UnderWay, i: int, rate: int, slope: int, now: int, bank: int) -> None:
        g, step = o.geometry, o.step
        if not 0 <= i < g.slots(step.op):
            return
        if step.op == Op.TRANSPOSED:
            fold, t = divmod(i, g.P)
            if t >= g.R:
                return
            if t == 0:
                self.accumulators = [0] * g.L
            e = self._store("row", step.row, bank)[t]
            self.accumulators = [z + w * e for z, w in zip(self.accumulators, self._read(g, t * g.F + fold), strict=True)]
            if t == g.R - 1:
                for lane, z in enumerate(self.accumulators):
                    if fold * g.L + lane < g.D:
                        self.sums[self.now + 6 + lane] = (o.number, fold * g.L + lane, z)
            return
        t, fold = divmod(i, g.F)
        columns = range(fold * g.L, min((fold + 1) * g.L, g.C))
        if step.op == Op.FORWARD:
            if fold == 0:
                self.accumulators = [0] * g.L
            x, row = self._column(g, step, now, bank, columns), self._read(g, i)
            for lane in range(len(columns)):
                self.accumulators[lane] += row[lane] * x[lane]
            if fold == g.F - 1:
                self.sums[self.now + 5 + g.lv] = (o.number, t, sum(self.accumulators))
            return
        lanes, out_of_range = [], 0
        e = self._operand(o, t, rate, slope, now, bank)
        signed = step.op == Op.PROBE or step.column == SIGNS
        factors = [] if signed else self._column(g, step, now, bank, columns)
        for lane, w in enumerate(self.weights[self._word(g, i)]):
            random, sign = rng.view_exact(*o.pairs[i][lane // 16], lane % 16)
            b = 0
            if lane < len(columns):
                b = sign if signed else factors[lane]
            value, out = update_exact(g.recipe, w, e * b, random, step.op == Op.PROBE, step.decay)
            if self._is_stuck(g, i, lane):
                value, out = w, False
            lanes.append(value)
            out_of_range += out
        del o.pairs[i]
        self.writes[self.now + 7] = (self._word(g, i), lanes, out_of_range)

    def _column(self, g: Geometry, step: Operation, now: int, bank: int, columns: range) -> list[int]:
        """Return what the columns of a slot meet: elements of a store, or noise."""
        if step.column == NOISE:
            return [noise.column_exact(g, now, j) for j in columns]
        store = self._store("column", step.column, bank)
        return [store[j] if j < g.D else self.recipe.one for j in columns]

    def _operand(self, o: UnderWay, t: int, rate: int, slope: int, now: int, bank: int) -> int:
        """Return the scalar E of a slot in row t."""
        step, recipe = o.step, self.recipe
        if step.op == Op.PROBE:
            return probe_operand(o.geometry, step.negative)
        e = slope if step.row == SLOPE else self._store("row", step.row, bank)[t]
        if step.row == SLOPE and step.column != SIGNS:
            e *= noise.node_sign_exact(recipe, o.geometry.layer, now, t)
        e = e << recipe.align if recipe.row_of_states(step) else e
        return (-e if step.negative else e) << rate + step.gain
