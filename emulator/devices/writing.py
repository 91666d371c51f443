"""Writing to cells with pulses: a layer's update as the device does it, sample by sample or a whole batch at once.

A weight here is a cell's state in the user's unit, and an update is ``w += rate * outer(delta, x)`` as far as the device can: in steps,
by the law of the cell, within its bounds, with noise. What is hidden in a cell is drawn once, by `PulsedDevice.cells`; what is drawn later
depends on the number of the sample and on the cell, not on what is computed together.

The n pulses of one update act like n pulses one after another of the law's tangent at the weight before them: exact for constant, linear
and soft-bounds steps and for one pulse, of second order otherwise. Their noise is one draw, with ``noise / sqrt(n)`` of the change as its
standard deviation.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike

from ...recipe import LONGEST_TRAIN
from . import draws
from .laws import Law, SoftBounds
from .pulses import STOCHASTIC, Pulses, Trains, trains

STEP, IMBALANCE, HIGH, LOW, SLOPE_UP, SLOPE_DOWN, STUCK, CYCLE = range(0xB2, 0xBA)
"""Streams of the generator (`draws`). All but `CYCLE`, the noise of pulses: step 0, index is the cell. `CYCLE`: step is the number of the
sample, index is ``row // 16 << 13 | column // 2``; even columns have the low half of ``x ^ rotate(y, 2 * (row % 16))``, odd ones the high
half. So 32 cells share 64 random bits; any two of them are independent."""

DEVIATES = draws.inverse_normal((np.arange(2048) + 0.5) / 2048)
DEVIATES /= DEVIATES.std()
"""The deviate of the 11 high bits of a half-word: nowhere is their distribution function further than 3e-4 from the normal one."""

LANES, TINY = 16, 1e-30
BLOCK, WORDS, TOGETHER = 7 << 13, 1 << 19, 32
"""Sizes for speed only: how many weights and words of noise fit in the processor's cache; how many samples' noise is made together."""


@dataclass(frozen=True)
class PulsedDevice:
    """A cell that pulses write to. Spreads and noise are off unless given.

    Parameters
    ----------
    law : ConstantStep, LinearStep, SoftBounds, ExponentialStep, PowerStep, or a user's own
    step : float
        Change by one pulse at weight 0 (for exponential and power laws: the factor in front), in units of the weight.
    low, high : float
        Bounds of the weight.
    step_spread : float
        Device-to-device spread of the step, relative.
    imbalance, imbalance_spread : float
        Steps up are larger than steps down: mean share (of -imbalance if negative, the other way), and spread, relative to the step.
    bound_spread : float
        Device-to-device spread of each bound, relative to it.
    noise : float
        Cycle-to-cycle noise: standard deviation of one pulse, relative to its step.
    stuck : float
        Share of the cells that no pulse moves; exactly ``round(stuck * cells)`` are, at places drawn from the seed.
    name, paper : str
    """

    law: Law = field(default_factory=SoftBounds)
    step: float = 0.001
    low: float = -0.6
    high: float = 0.6
    step_spread: float = 0.0
    imbalance: float = 0.0
    imbalance_spread: float = 0.0
    bound_spread: float = 0.0
    noise: float = 0.0
    stuck: float = 0.0
    name: str = ""
    paper: str = ""

    def __post_init__(self) -> None:
        if not -np.inf < self.low < 0 < self.high < np.inf:
            raise ValueError(f"pulsed device: low = {self.low}, high = {self.high}; bounds need low < 0 < high")
        if not 0 < self.step <= min(self.high, -self.low):
            raise ValueError(f"pulsed device: step = {self.step}; allowed is above 0, up to the nearer bound of {self.low}, {self.high}")
        for name in ("step_spread", "imbalance_spread", "bound_spread", "noise"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"pulsed device: {name} = {getattr(self, name)}; a deviation is 0 or more (0.3 is thirty per cent)")
        if not 0 <= self.stuck <= 1:
            raise ValueError(f"pulsed device: stuck = {self.stuck}; a share is 0 to 1 (0.01 is one per cent)")
        if not -1 < self.imbalance < 1:
            raise ValueError(f"pulsed device: imbalance = {self.imbalance}; a share of the step is between -1 and 1")

    def cells(self, shape: tuple[int, int], seed: int, dtype: DTypeLike = np.float32) -> Cells:
        """An array of cells, each with what is hidden in it.

        Parameters
        ----------
        shape : (outputs, inputs)
        seed : int
            Of the construction and of all pulses; give each layer its own.
        dtype : float32 or float64
            In which updates are computed. The draws are the same.

        Returns
        -------
        Cells
        """
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise ValueError(f"cells: dtype = {np.dtype(dtype)}; allowed are float32, float64")
        if len(shape) != 2 or not (0 < shape[0] <= 1 << 12 and 0 < shape[1] <= 1 << 14):
            raise ValueError(f"cells: shape = {tuple(shape)}; at most 4096 outputs of 16384 inputs can be told apart: split the layer")
        key = draws.key(seed)

        def normal(stream: int) -> np.ndarray:
            return draws.normal(key, stream, 0, shape)

        def spread(value: float, by: float, stream: int) -> np.ndarray:
            return value * np.abs(1 + by * normal(stream)) if by else np.array(value)

        high, low = (spread(v, self.bound_spread, stream).astype(dtype) for v, stream in ((self.high, HIGH), (self.low, LOW)))
        gain = 1 + self.step_spread * normal(STEP) if self.step_spread else 1.0
        tilt = self.imbalance_spread * normal(IMBALANCE) if self.imbalance_spread else 0.0
        moves = self._moving(key, shape)
        sides = []
        for sign, end, stream in ((1, high, SLOPE_UP), (-1, low, SLOPE_DOWN)):
            step = sign * moves * self.step * np.abs(gain + sign * tilt + min(0.0, sign * self.imbalance))
            sides.append(self.law.numbers(step, end, high - low, functools.partial(normal, stream)))
        up, down = (tuple(np.broadcast_to(np.asarray(v, dtype), shape) for v in side) for side in sides)
        bounds = np.broadcast_to(np.asarray(low, dtype), shape), np.broadcast_to(np.asarray(high, dtype), shape)
        return Cells(self, seed, bounds, up, down)

    def _moving(self, key: draws.Key, shape: tuple[int, int]) -> float | np.ndarray:
        """1, or 0 for stuck cells."""
        stuck = round(self.stuck * shape[0] * shape[1])
        if not stuck:
            return 1.0
        moves = np.ones(shape)
        moves.flat[np.argsort(draws.uniform(key, STUCK, 0, shape), axis=None, kind="stable")[:stuck]] = 0
        return moves


@dataclass(frozen=True)
class Cells:
    """An array of cells with what is hidden in each.

    Parameters
    ----------
    device : PulsedDevice
    seed : int
    bounds : tuple of arrays (outputs, inputs)
        Lowest and highest weight.
    up, down : tuples of arrays (outputs, inputs)
        The law's numbers for pulses up and pulses down.
    """

    device: PulsedDevice
    seed: int
    bounds: tuple[np.ndarray, np.ndarray]
    up: tuple[np.ndarray, ...]
    down: tuple[np.ndarray, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(outputs, inputs)."""
        return self.bounds[0].shape

    @property
    def dtype(self) -> np.dtype:
        """Type of the weights."""
        return self.bounds[0].dtype

    def limit(self, weights: np.ndarray) -> np.ndarray:
        """A copy of the weights, each within the bounds of its cell."""
        weights = np.asarray(weights, self.dtype)
        if weights.shape != self.shape:
            raise ValueError(f"cells: weights of shape {weights.shape} for cells of shape {self.shape}; they must agree")
        return _limit(weights.copy(), *self.bounds)

    @cached_property
    def factors(self) -> np.ndarray:
        """Return what a train's change is multiplied by: index is ``pulses << 11 | 11 random bits``."""
        return (1 + self.device.noise * DEVIATES / np.sqrt(np.maximum(np.arange(LONGEST_TRAIN + 1), 1))[:, None]).ravel().astype(self.dtype)


def send(cells: Cells, weights: np.ndarray, counts: np.ndarray | int, sample: int | None = None) -> np.ndarray:
    """Pulses to every cell.

    Parameters
    ----------
    cells : Cells
    weights : array (outputs, inputs)
    counts : array_like
        How many pulses, positive up, negative down; a number or a row of inputs is every cell's or every row's.
    sample : int, optional
        Number of the sample, which chooses the noise, of trains of at most 31; without it pulses have none.

    Returns
    -------
    array (outputs, inputs) of the cells' dtype
    """
    weights = cells.limit(weights)
    counts = np.array(np.broadcast_to(counts, cells.shape), cells.dtype)
    if (counts != np.rint(counts)).any() or (sample is not None and np.abs(counts).max() > LONGEST_TRAIN):
        raise ValueError(f"pulses: counts to {np.abs(counts).max():g}; allowed are whole numbers, {LONGEST_TRAIN} at most with noise")
    for band, words in _bands(cells, [] if sample is None else [sample]):
        for rows in _blocks(band, cells.shape):
            _one_way(_part(cells, rows), weights[rows], counts[rows], None if words is None else words[0, rows.start - band.start :])
    return weights


def update(
    cells: Cells, weights: np.ndarray, x: np.ndarray, delta: np.ndarray, rate: float, pulses: Pulses = STOCHASTIC, first: int = 0
) -> np.ndarray:
    """Weights after the pulses of one sample after another, each ``rate * outer(delta, x)`` on average if cells were ideal.

    Parameters
    ----------
    cells : Cells
    weights : array (outputs, inputs)
    x : array (inputs,) or (samples, inputs)
    delta : array (outputs,) or (samples, outputs)
    rate : float
    pulses : Pulses
    first : int
        Number of the first sample. Samples in one call or in many, with their numbers, give the same bits.

    Returns
    -------
    array (outputs, inputs) of the cells' dtype
    """
    weights = cells.limit(weights)
    for number, made in _trains(cells, x, delta, rate, pulses, first, TOGETHER):
        for band, words in _bands(cells, range(number, number + len(made.ends))):
            for rows in _blocks(band, cells.shape):
                part, w = _part(cells, rows), weights[rows]
                for k, (a, b) in enumerate(made):
                    if len(a):
                        counts = (b[:, rows].T @ a).astype(cells.dtype, copy=False)
                        _one_way(part, w, counts, None if words is None else words[k, rows.start - band.start :])
    return weights


def update_batch(
    cells: Cells, weights: np.ndarray, x: np.ndarray, delta: np.ndarray, rate: float, pulses: Pulses = STOCHASTIC, first: int = 0
) -> np.ndarray:
    """Weights after the pulses of all samples at once: the coincidences of `update`, without their order.

    Pulses up and down mix evenly, and each cell has one draw of noise. Parameters and result are those of `update`, but a batch is one step
    of the device: two batches of half the size are two.
    """
    weights = cells.limit(weights)
    ups, downs = (np.zeros(cells.shape, np.float32) for _ in range(2))
    for _, made in _trains(cells, x, delta, rate, pulses, first, 4 * TOGETHER):
        up, down = made.coincidences()
        ups += up
        downs += down
    ups, downs = (n.astype(cells.dtype, copy=False) for n in (ups, downs))
    for band, words in _bands(cells, [first]):
        for rows in _blocks(band, cells.shape):
            _both_ways(
                _part(cells, rows), weights[rows], ups[rows], downs[rows], None if words is None else words[0, rows.start - band.start :]
            )
    return weights


def _trains(
    cells: Cells, x: np.ndarray, delta: np.ndarray, rate: float, pulses: Pulses, first: int, together: int
) -> Iterator[tuple[int, Trains]]:
    """(number of the first sample, `Trains`) of so many samples at a time."""
    x, delta = np.atleast_2d(x), np.atleast_2d(delta)
    if (delta.shape[1], x.shape[1]) != cells.shape:
        raise ValueError(f"update: {x.shape[1]} inputs and {delta.shape[1]} errors for cells of shape {cells.shape} (outputs, inputs)")
    if len(x) != len(delta):
        raise ValueError(f"update: {len(x)} inputs and {len(delta)} errors; give one error vector for each input vector")
    for i in range(0, len(x), together):
        yield first + i, trains(x[i : i + together], delta[i : i + together], rate / cells.device.step, cells.seed, pulses, first + i)


# What pulses do to a block of cells -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Part:
    """Some rows of cells: `Cells` as the inner loop needs them."""

    law: Law
    low: np.ndarray
    high: np.ndarray
    up: list[np.ndarray]
    down: list[np.ndarray]
    factors: np.ndarray


def _one_way(part: _Part, w: np.ndarray, counts: np.ndarray, words: np.ndarray | None) -> None:
    """Pulses into the weights w, in place: positive counts up, negative counts down. Overwrites the counts."""
    from . import compiled

    reach, log = part.law.tangent(w, *(compiled.chosen(counts, up, down) for up, down in zip(part.up, part.down, strict=True)))
    counts = np.abs(counts, out=counts)
    change = counts if log is None else np.expm1(counts * log)
    compiled.add(w, change, reach, part.factors, counts, None if words is None else words[: len(w)], part.low, part.high)


def _both_ways(part: _Part, w: np.ndarray, ups: np.ndarray, downs: np.ndarray, words: np.ndarray | None) -> None:
    """Pulses up and down into the weights w, in place, evenly mixed."""
    rise, slope_up, log_up = _pulse(part.law, w, part.up)
    fall, slope_down, log_down = _pulse(part.law, w, part.down)
    change = ups * rise + downs * fall
    if words is not None:
        change += (part.factors.take(words[: len(w)]) - 1) * np.sqrt(ups * rise**2 + downs * fall**2)
    if log_up is not None:
        # n pulses one after another over n times the first, ((1 + s)**n - 1) / (n s); of both directions, weighted by their pulses
        change *= (np.expm1(ups * log_up + downs * log_down) - TINY) / (ups * slope_up + downs * slope_down - TINY)
    w += change
    _limit(w, part.low, part.high)


def _pulse(law: Law, w: np.ndarray, numbers: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Change by one pulse, slope, and log of 1 + slope."""
    reach, log = law.tangent(w, *numbers)
    if log is None:
        return reach, None, None
    slope = np.expm1(log)
    return reach * slope, slope, log


def _limit(w: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    np.minimum(w, high, out=w)  # two passes: five times faster than np.clip with arrays
    return np.maximum(w, low, out=w)


# Which cells together ---------------------------------------------------------------------------------------


def _part(cells: Cells, rows: slice) -> _Part:
    low, high = (v[rows] for v in cells.bounds)
    up, down = ([v[rows] for v in side] for side in (cells.up, cells.down))
    return _Part(cells.device.law, low, high, up, down, cells.factors)


def _bands(cells: Cells, samples: Sequence[int]) -> Iterator[tuple[slice, np.ndarray | None]]:
    """(rows, their words of noise (samples, rows, inputs) or None) of bands of rows that cover the cells."""
    outputs, inputs = cells.shape
    block = _block(inputs)
    high = block * max(1, WORDS // (block * inputs * max(1, len(samples))))
    for start in range(0, outputs, high):
        band = slice(start, min(start + high, outputs))
        yield band, _words(cells, samples, band) if len(samples) and cells.device.noise else None


def _blocks(band: slice, shape: tuple[int, int]) -> list[slice]:
    """Slices of rows that fit in the cache."""
    high = _block(shape[1])
    return [slice(start, min(start + high, band.stop)) for start in range(band.start, band.stop, high)]


def _block(inputs: int) -> int:
    return LANES * max(1, BLOCK // (LANES * inputs))


def _words(cells: Cells, samples: Sequence[int], band: slice) -> np.ndarray:
    """11 random bits for every sample and cell of a band, which starts at a multiple of 16: uint16 (samples, rows, inputs)."""
    from . import compiled

    groups = np.arange(band.start // LANES, -(-band.stop // LANES), dtype=np.uint32) << np.uint32(13)
    key, half = draws.streamed(draws.key(cells.seed), CYCLE), -(-cells.shape[1] // 2)
    words = compiled.shared(key, np.array(samples, np.uint32), groups, half)
    return words.reshape(len(samples), -1, half).astype("<u4", copy=False).view("<u2")[:, :, : cells.shape[1]]
