"""The row engine: weights, input and error memories, and its four operations (contract section 3)."""

from __future__ import annotations

import numpy as np

from ..recipe import LEAD, Geometry, Op, Operand, Recipe, hardware
from . import fixed, rng
from .arrays import choose, integer_type, namespace, product
from .clock import walk
from .update import largest_change, product_type, update, update_exact

# Weights are kept as the memory holds them: (..., R, F * L), columns beyond C are 0. So are input vectors: (..., F * L).


def pad(geometry: Geometry, array):
    """The last axis from C columns to whole words, F * L."""
    xp = namespace(array)
    spare = geometry.F * geometry.L - geometry.C
    if not spare:
        return array
    return xp.concatenate([array, xp.zeros((*array.shape[:-1], spare), dtype=array.dtype)], axis=-1)


def seen(recipe: Recipe, weights):
    """What products see of weights: as many levels as the cells have (contract section 11)."""
    d = recipe.hidden_bits
    if isinstance(d, int):
        return (weights >> d << d) | 1 << d - 1 if d else weights
    return (weights >> d << d) | (1 << d) >> 1


def _seen(geometry: Geometry, weights, peak):
    """`seen`, and the bound of the weights that then holds."""
    d = geometry.recipe.hidden_bits
    return seen(geometry.recipe, weights), peak + ((1 << d) >> 1) if peak is not None else None


def forward(geometry: Geometry, weights, x, peak=None, place: str = "state"):
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


def transposed(geometry: Geometry, weights, e, peak=None, place: str = "delta"):
    """Return ``W^T e`` exactly, W as it is seen: (..., R, F * L) and (..., n, R) to (..., n, C)."""
    width, (weights, peak) = geometry.recipe.bits, _seen(geometry, weights, peak)
    return product(e, weights, getattr(width, place), width.weight, peak)[..., : geometry.C]


def needs_pairs(recipe: Recipe) -> bool:
    """Whether updates or probes use random bits."""
    return recipe.rounding.weight == "stochastic" or recipe.signed


def pairs(geometry: Geometry, key, step, like):
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


def bits(geometry: Geometry, pairs):
    """The lane views of all weights, uint32 (..., R, F, G, lanes of a group)."""
    x, y = pairs
    lane = namespace(x).arange(min(geometry.L, 16), dtype=np.uint32)
    return rng.lane_view(x[..., None], y[..., None], lane)


def signs(geometry: Geometry, pairs):
    """SPSA's signs of all weights, +1 or -1, 0 in the columns beyond C; int32 (..., R, F * L)."""
    g, sign = geometry, rng.sign(bits(geometry, pairs))
    return pad(g, sign.reshape(*sign.shape[:-4], g.R, g.F * g.L)[..., : g.C])


STUCK = 0x40


def stuck(geometry: Geometry, key, like):
    """Which cells no update changes, bool (..., R, F * L), or None where none can be (contract section 11)."""
    g, limit = geometry, geometry.recipe.stuck_limit
    if isinstance(limit, int) and not limit:
        return None
    index = namespace(like).arange(g.N * g.G, dtype=np.uint32).reshape(g.R, g.F, g.G)
    words = rng.rounding_word(bits(g, rng.pair(tuple(k[..., None, None, None] for k in key), STUCK | g.layer, np.uint32(0), index)))
    return (words < limit).reshape(*words.shape[:-4], g.R, g.F * g.L)


FEEDBACK = 0xA0
"""Streams of the signs of feedback that no memory holds."""


def feedback(geometry: Geometry, key, weights):
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


def rewrite(geometry: Geometry, weights, e, b, pairs, probe: bool, peak, stuck=None, decay: int = 0):
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

    def words(array):
        """The last axis as the lanes are: folds, lane groups, lanes."""
        return array.reshape(*array.shape[:-1], g.F, g.G, -1)

    def lanes(weights, e, b, pairs):
        random = rng.rounding_word(bits(g, pairs)) if recipe.rounding.weight == "stochastic" else 0
        product = e.astype(kind)[..., None, None, None] * words(b.astype(kind))
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


def operand_type(geometry: Geometry):
    """Integer type that holds the scalar operand E."""
    return integer_type(geometry.operand_width + 1)


# Trace ------------------------------------------------------------------------------------------------------

INPUTS = ("start", "op", "operand", "rate", "slope", "step", "bank", "input_write", "input_index", "input_value",
          "error_write", "error_index", "error_value", "word_address", "word_write", "word_in")


def trace(geometry: Geometry, banks: int, stimulus: dict) -> dict:
    """Every port of `Crossbar` at every clock.

    Parameters
    ----------
    geometry, banks
        As the component's.
    stimulus : dict
        Input ports of contract section 3, one entry per clock, from reset. Words are unsigned integers, lane 0 lowest.

    Returns
    -------
    dict
        ``sum_valid``, ``sum_index``, ``sum``, ``word_out``, ``weight_write``, ``weight_address``, ``weight_word``,
        ``weight_out_of_range``.
    """
    return walk(Clocked(geometry, banks).clock, stimulus, INPUTS)


def pack(values, width: int) -> int:
    """A word from its lanes, lane 0 lowest, as an unsigned integer."""
    return sum((v & ((1 << width) - 1)) << (lane * width) for lane, v in enumerate(values))


def unpack(word: int, width: int, lanes: int) -> list[int]:
    """The signed lanes of a word."""
    return [fixed.fit_exact(word >> (lane * width), width, "wrap")[0] for lane in range(lanes)]


class Clocked:
    """The memories of `Crossbar` and what is under way in its pipelines, walked slot by slot."""

    def __init__(self, geometry: Geometry, banks: int = 1):
        g = self.geometry = geometry
        self.weights = [[0] * g.L for _ in range(g.N)]
        self.input = [[0] * (g.F * g.L) for _ in range(banks)]
        self.error = [0] * g.R
        self.accumulators = [0] * g.L
        self.now = 0
        self.started, self.op, self.operand = None, 0, 0
        self.sums: dict[int, tuple[int, int]] = {}                       # cycle: index, sum
        self.writes: dict[int, tuple[int, list[int], int]] = {}          # cycle: address, lanes, out of range
        self.words = [0, 0]                                              # the host port's two read registers
        self.pairs: dict[int, list[tuple[int, int]]] = {}                # slot: one pair per lane group

    def clock(self, start, op, operand, rate, slope, step, bank, input_write, input_index, input_value,
              error_write, error_index, error_value, word_address, word_write, word_in) -> dict:
        g, width = self.geometry, self.geometry.recipe.formats.weight.width
        index, total = self.sums.pop(self.now, (None, 0))
        address, lanes, out_of_range = self.writes.pop(self.now, (None, None, 0))
        if word_write:
            address, lanes = word_address, unpack(word_in, width, g.L)
        written = address is not None
        ports = {
            "sum_valid": int(index is not None), "sum_index": index or 0, "sum": total,
            "word_out": self.words[1],
            "weight_write": int(written), "weight_address": address if written else 0,
            "weight_word": pack(lanes, width) if written else 0, "weight_out_of_range": out_of_range,
        }
        # all reads of this cycle, then all writes
        if start:
            self.started, self.op, self.operand = self.now, op, operand
            self.pairs.clear()
        if self.started is not None:
            self._generate(self.now - self.started - 1, step)
            self._slot(self.now - self.started - LEAD - 1, rate, slope, bank)
        read = self.weights[word_address] if word_address < g.N else [0] * g.L
        self.words = [pack(read, width), self.words[0]]
        if written:
            self.weights[address] = lanes
        if input_write:
            self.input[bank ^ 1 if len(self.input) == 2 else 0][input_index] = input_value
        if error_write:
            self.error[error_index] = error_value
        self.now += 1
        return ports

    def _generate(self, i: int, step: int):
        g = self.geometry
        if self.op in (Op.UPDATE, Op.PROBE) and 0 <= i < g.N:
            self.pairs[i] = [rng.pair_exact(g.recipe.key, g.layer, step, i * g.G + group) for group in range(g.G)]

    def _below(self, i: int) -> list[int]:
        """Return what a transposed read sees of word i: the weights, or signs in their place."""
        g = self.geometry
        source, level = hardware.down(g.recipe, g.layer).matrix.source, g.recipe.feedback_level
        if source == "memory":
            return [seen(g.recipe, w) for w in self.weights[i]]
        if source == "signs":
            return [-level if w < 0 else level for w in self.weights[i]]
        pairs = [rng.pair_exact(g.recipe.key, FEEDBACK | g.layer, 0, i * g.G + group) for group in range(g.G)]
        return [level * rng.view_exact(*pairs[lane // 16], lane % 16)[1] for lane in range(g.L)]

    def _is_stuck(self, i: int, lane: int) -> bool:
        g = self.geometry
        if not g.recipe.stuck_limit:
            return False
        pair = rng.pair_exact(g.recipe.key, STUCK | g.layer, 0, i * g.G + lane // 16)
        return rng.view_exact(*pair, lane % 16)[0] < g.recipe.stuck_limit

    def _slot(self, i: int, rate: int, slope: int, bank: int):
        g = self.geometry
        if i < 0:
            return
        x = self.input[bank if len(self.input) == 2 else 0]
        if self.op == Op.TRANSPOSED:
            fold, t = divmod(i, g.P)
            if fold >= g.F or t >= g.R:
                return
            if t == 0:
                self.accumulators = [0] * g.L
            row = self._below(t * g.F + fold)
            self.accumulators = [z + w * self.error[t] for z, w in zip(self.accumulators, row, strict=True)]
            if t == g.R - 1:
                for lane, z in enumerate(self.accumulators):
                    if fold * g.L + lane < g.C:
                        self.sums[self.now + 6 + lane] = (fold * g.L + lane, z)
            return
        if i >= g.N:
            return
        t, fold = divmod(i, g.F)
        row, columns = self.weights[i], range(fold * g.L, (fold + 1) * g.L)
        if self.op == Op.FORWARD:
            if fold == 0:
                self.accumulators = [0] * g.L
            self.accumulators = [z + seen(g.recipe, w) * x[j] for z, w, j in zip(self.accumulators, row, columns, strict=True)]
            if fold == g.F - 1:
                self.sums[self.now + 5 + g.lv] = (t, sum(self.accumulators))
            return
        if self.op == Op.PROBE:
            e = probe_operand(g, self.operand == Operand.MINUS)
        else:
            e = (self.error[t] if self.operand == Operand.DELTA else slope) << rate
        lanes, out_of_range = [], 0
        pairs = self.pairs.pop(i)
        for lane, (w, j) in enumerate(zip(row, columns, strict=True)):
            random, sign = rng.view_exact(*pairs[lane // 16], lane % 16)
            b = x[j] if self.op == Op.UPDATE and self.operand == Operand.DELTA else sign
            value, out = update_exact(g.recipe, w, e * b if j < g.C else 0, random, self.op == Op.PROBE)
            if self._is_stuck(i, lane):
                value, out = w, False
            lanes.append(value)
            out_of_range += out
        self.writes[self.now + 7] = (i, lanes, out_of_range)
