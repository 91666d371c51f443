"""The row engine: weights, input and error memories, and its four operations (contract section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ..recipe import LEAD, NOISE, SIGNS, SLOPE, Geometry, Op, Operation, Recipe, matrix_geometries, table
from . import fixed, noise, rng
from .arrays import Integers, choose, integer_type, namespace, product
from .clock import walk
from .rng import Pair
from .update import largest_change, product_type, update, update_exact

# Weights are kept as the memory holds them: (..., R, F * L), columns beyond C are 0. So are input vectors: (..., F * L).


def pad(geometry: Geometry, array: Integers) -> Integers:
    """The last axis from C columns to whole words, F * L."""
    xp = namespace(array)
    spare = geometry.F * geometry.L - geometry.C
    if not spare:
        return array
    return xp.concatenate([array, xp.zeros((*array.shape[:-1], spare), dtype=array.dtype)], axis=-1)


def seen(recipe: Recipe, weights: Integers | int) -> Integers | int:
    """What products see of weights: as many levels as the cells have (contract section 11)."""
    d = recipe.hidden_bits
    if isinstance(d, int):
        return (weights >> d << d) | 1 << d - 1 if d else weights
    return (weights >> d << d) | (1 << d) >> 1


def _seen(geometry: Geometry, weights, peak):
    """`seen`, and the bound of the weights that then holds."""
    if geometry.matrix and geometry.matrix.source != "memory":
        return weights, peak                    # signs are no cells
    d = geometry.recipe.hidden_bits
    return seen(geometry.recipe, weights), peak + ((1 << d) >> 1) if peak is not None else None


def forward(geometry: Geometry, weights: Integers, x: Integers, peak: Integers | None = None, place: str = "state") -> Integers:
    """Return ``W x`` exactly, W as it is seen.

    Parameters
    ----------
    weights : int32 array (..., R, F * L)
    x : int32 array (..., n, F * L), n samples
    peak : int64 scalar, optional
        No weight is further from zero.
    place : str
        Format of x, ``state`` or ``delta``.

    Returns
    -------
    integer array (..., n, R)
    """
    width, (weights, peak) = geometry.recipe.bits, _seen(geometry, weights, peak)
    return product(x, weights, getattr(width, place), width.weight, peak, by_columns=True)


def transposed(geometry: Geometry, weights: Integers, e: Integers, peak: Integers | None = None, place: str = "delta") -> Integers:
    """Return ``W^T e`` exactly, W as it is seen: (..., R, F * L) and (..., n, R) to (..., n, D)."""
    width, (weights, peak) = geometry.recipe.bits, _seen(geometry, weights, peak)
    return product(e, weights, getattr(width, place), width.weight, peak)[..., : geometry.D]


def needs_pairs(recipe: Recipe) -> bool:
    """Whether updates or probes use random bits."""
    return recipe.rounding.weight == "stochastic" or recipe.signed


def pairs(geometry: Geometry, key: Pair, step: Integers, like: Integers) -> Pair:
    """The generator's pairs for all words of the weight memory.

    Parameters
    ----------
    key : pair of uint32 arrays (...)
    step : uint32 scalar
    like : array
        Of the namespace to use.

    Returns
    -------
    x, y : uint32 arrays (..., R, F, G)
    """
    xp, g = namespace(like), geometry
    index = xp.arange(g.N * g.G, dtype=np.uint32).reshape(g.R, g.F, g.G)
    return rng.pair(tuple(k[..., None, None, None] for k in key), g.layer, step, index)


def bits(geometry: Geometry, pairs: Pair) -> Integers:
    """The lane views of all weights, uint32 (..., R, F, G, lanes of a group)."""
    x, y = pairs
    lane = namespace(x).arange(min(geometry.L, 16), dtype=np.uint32)
    return rng.lane_view(x[..., None], y[..., None], lane)


def by_lanes(geometry: Geometry, array: Integers) -> Integers:
    """Flatten (..., R, F, G, lanes of a group) to (..., R, F * L); the last group may have fewer lanes than the others."""
    g = geometry
    flat = array.reshape(*array.shape[:-2], -1)
    return flat[..., : g.L].reshape(*array.shape[:-4], g.R, g.F * g.L)


def signs(geometry: Geometry, pairs: Pair) -> Integers:
    """SPSA's signs of all weights, +1 or -1, 0 in the columns beyond C; int32 (..., R, F * L)."""
    return pad(geometry, by_lanes(geometry, rng.sign(bits(geometry, pairs)))[..., : geometry.C])


STUCK = 0x40


def stuck(geometry: Geometry, key: Pair, like: Integers) -> Integers | None:
    """Which cells no update changes, bool (..., R, F * L), or None where none can be (contract section 11)."""
    g, limit = geometry, geometry.recipe.stuck_limit
    if isinstance(limit, int) and not limit:
        return None
    index = namespace(like).arange(g.N * g.G, dtype=np.uint32).reshape(g.R, g.F, g.G)
    words = rng.rounding_word(bits(g, rng.pair(tuple(k[..., None, None, None] for k in key), STUCK | g.layer, np.uint32(0), index)))
    return by_lanes(g, words < limit)


FEEDBACK = 0xA0
"""Streams of the signs of feedback that no memory holds."""


def feedback(geometry: Geometry, key: Pair, weights: Integers) -> Integers:
    """Return the signs, times the recipe's feedback, that stand for a matrix that is not in memory (contract section 3).

    Parameters
    ----------
    geometry : Geometry
    key : pair of uint32 arrays (...)
    weights : int32 array (..., R, F * L)
        Of ``signs``: those that they are taken from; of the ``generator``: any, of the namespace to use.

    Returns
    -------
    int32 array (..., R, F * L)
    """
    g, xp, level = geometry, namespace(weights), geometry.recipe.feedback_level
    if g.matrix.source == "signs":
        return pad(g, xp.where(weights[..., : g.C] < 0, -level, level).astype(np.int32))
    index = xp.arange(g.N * g.G, dtype=np.uint32).reshape(g.R, g.F, g.G)
    pairs = rng.pair(tuple(k[..., None, None, None] for k in key), FEEDBACK | g.layer, np.uint32(0), index)
    return (signs(g, pairs) * level).astype(np.int32)


def rewrite(geometry: Geometry, weights: Integers, e: Integers, b: Integers, pairs: Pair | None, probe: bool, peak: Integers,
            stuck: Integers | None = None, decay: int = 0) -> tuple[Integers, Integers, Integers]:
    """Update or probe: every weight plus the rounded product of its operand and its factor.

    Parameters
    ----------
    weights : int32 array (..., R, F * L)
    e : integer array (..., R) or (..., 1)
        The scalar operand E of each row.
    b : int32 array (..., 1 or R, F * L)
        The factor B of each lane.
    pairs : pair of uint32 arrays (..., R, F, G), or None
        Needed for stochastic rounding.
    probe : bool
    peak : int64 scalar
        No weight of any chip is further from zero.
    stuck : bool array (..., R, F * L), optional
        Cells that stay as they are.
    decay : int
        Weights also lose ``2**-decay`` of themselves; 0: nothing.

    Returns
    -------
    weights : int32 array (..., R, F * L)
    events : uint32 array (...)
        How many weights were out of range.
    peak : int64 scalar
        The same bound for the new weights.
    """
    g, recipe, xp = geometry, geometry.recipe, namespace(weights)
    kind, f = product_type(geometry), geometry.recipe.formats.weight

    whole = g.L <= 16 or g.L % 16 == 0          # lane groups are all of one size

    def words(array):
        """The last axis as the lanes are: folds, lane groups, lanes."""
        return array.reshape(*array.shape[:-1], g.F, g.G, -1) if whole else array

    def lanes(weights, e, b, pairs):
        random = rng.rounding_word(bits(g, pairs)) if recipe.rounding.weight == "stochastic" else 0
        random = random if whole or isinstance(random, int) else by_lanes(g, random)
        e = e.astype(kind)
        product = (e[..., None, None, None] if whole else e[..., None]) * words(b.astype(kind))
        return update(recipe, words(weights), product, random, probe, decay)

    def kept(result):
        return result if stuck is None else xp.where(stuck, weights, result)

    def quiet(reach, *operands):
        result, _ = lanes(*operands)
        return kept(result.reshape(weights.shape)), xp.zeros(weights.shape[:-2], dtype=np.uint32), reach

    def counted(_, *operands):
        result, out_of_range = lanes(*operands)
        out_of_range = out_of_range.reshape(weights.shape)
        out_of_range = out_of_range if stuck is None else out_of_range & ~stuck
        events = xp.sum(out_of_range, axis=(-2, -1), dtype=np.uint32)
        result = kept(result.reshape(weights.shape))
        return result, events, xp.max(xp.abs(result)).astype(np.int64)

    # The largest change bounds the new weights. While that bound is inside the limits nothing needs counting, which
    # costs as much as the update itself; when it is not, count, and measure the bound anew.
    largest = xp.max(xp.abs(e)).astype(np.int64) * xp.max(xp.abs(b)).astype(np.int64)
    reach = peak + largest_change(recipe, largest) + ((peak >> decay) + 1 if decay else 0)
    return choose(reach <= f.max - recipe.guard, quiet, counted, reach, weights, e, b, pairs)


def probe_operand(geometry: Geometry, negative: bool) -> int:
    """Return the scalar operand E of a probe; a negative one takes back a positive one too."""
    recipe = geometry.recipe
    return (-2 * recipe.probe if negative else recipe.probe) << recipe.update_shift


def operand_type(geometry: Geometry) -> type[np.int32] | type[np.int64]:
    """Integer type that holds the scalar operand E."""
    return integer_type(geometry.operand_width + 1)


# Trace ------------------------------------------------------------------------------------------------------


def levels(recipe: Recipe) -> tuple[str, ...]:
    """Return the input ports of `Crossbar` that stand still while operations run."""
    return ("rate", "slope", "step", "turn" if recipe.samples_in_flight > 1 else "bank")


def of_sample(recipe: Recipe, level: int, turn: int | None, number: int) -> int:
    """Return the step or run of an operation's sample, given that of the newest one and its turn: those under way follow each other."""
    if turn is None:
        return level
    return (level - (turn - number) % recipe.samples_in_flight) & 0xFFFFFFFF


AHEAD = 11
"""Cycles from the ports that say what is coming to the sum."""


def inputs(recipe: Recipe, engine: int) -> tuple[str, ...]:
    """Return the input ports of `Crossbar`."""
    memories = table.engines(recipe)[engine].memories
    stores = (f"store{i}__{name}" for i in range(len(memories)) for name in ("valid", "slot", "index", "value"))
    return ("start", "number", "pc", *levels(recipe), *stores, "word_address", "word_write", "word_in")


def trace(recipe: Recipe, engine: int, stimulus: dict) -> dict:
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


def _shown(ports: tuple[str, ...], values: tuple | None) -> dict:
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
    pairs: dict


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
        self.coming: dict[int, tuple[int, int, int]] = {}                # cycle: number, index, pc
        self.sums: dict[int, tuple[int, int, int]] = {}                  # cycle: number, index, sum
        self.writes: dict[int, tuple[int, list[int], int]] = {}          # cycle: address, lanes, out of range
        self.words = [0, 0]                                              # the host port's two read registers

    def clock(self, start: int, number: int, pc: int, rate: int, slope: int, step: int, word_address: int, word_write: int, word_in: int,
              bank: int = 0, turn: int | None = None, **streams: int) -> dict:
        width, lanes_of = self.table.width, self.table.lanes
        coming, summed = self.coming.pop(self.now, None), self.sums.pop(self.now, None)
        address, lanes, out_of_range = self.writes.pop(self.now, (None, None, 0))
        if word_write:
            address, lanes = word_address, unpack(word_in, width, lanes_of)
        written = address is not None
        ports = {
            **_shown(("coming_valid", "coming_number", "coming_index", "coming_pc"), coming),
            **_shown(("sum_valid", "sum_number", "sum_index", "sum"), summed),
            "word_out": self.words[1],
            "weight_write": int(written), "weight_address": address if written else 0,
            "weight_word": pack(lanes, width) if written else 0, "weight_out_of_range": out_of_range,
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
        if written:
            self.weights[address] = lanes
        for i, store in enumerate(self.stores):
            if streams[f"store{i}__valid"]:
                store[streams[f"store{i}__slot"]][streams[f"store{i}__index"]] = streams[f"store{i}__value"]
        self.now += 1
        return ports

    def _start(self, number: int, pc: int):
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

    def _generate(self, o: UnderWay, i: int, step: int):
        g = o.geometry
        if not o.step.reads and 0 <= i < g.N:
            o.pairs[i] = [rng.pair_exact(g.recipe.key, g.layer, step, i * g.G + group) for group in range(g.G)]

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
        pairs = [rng.pair_exact(g.recipe.key, FEEDBACK | g.layer, 0, i * g.G + group) for group in range(g.G)]
        return [level * rng.view_exact(*pairs[lane // 16], lane % 16)[1] for lane in range(g.L)]

    def _is_stuck(self, g: Geometry, i: int, lane: int) -> bool:
        if not g.recipe.stuck_limit:
            return False
        pair = rng.pair_exact(g.recipe.key, STUCK | g.layer, 0, i * g.G + lane // 16)
        return rng.view_exact(*pair, lane % 16)[0] < g.recipe.stuck_limit

    def _store(self, port: str, name: str, bank: int) -> list[int]:
        """Return the elements of a store, as an operation reads it through a port."""
        for memory, store in zip(self.table.memories, self.stores, strict=True):
            if memory.port == port and name in memory.stores:
                return store[bank if memory.banked else memory.stores.index(name)]
        raise KeyError(name)

    def _slot(self, o: UnderWay, i: int, rate: int, slope: int, now: int, bank: int):
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
