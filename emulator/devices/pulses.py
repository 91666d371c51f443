"""Pulse trains: how a line's number becomes pulses, so that the coincidences in a cell are the product of its two numbers.

Gokmen and Vlasov (Frontiers in Neuroscience 10:333, 2016): input j and error i each send a train of BL slots; the cell (i, j) makes a step
for every slot in which both lines have a pulse. With steps of size d a cell then moves by ``rate x_j delta_i`` on average.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...recipe import LONGEST_TRAIN
from . import draws

TRAIN_X, TRAIN_DELTA = 0xB0, 0xB1
"""Streams of the generator (`draws`): step is the number of the sample, index is ``slot // 2 << 20 | line``; odd slots have word y."""

KINDS = ("stochastic", "deterministic")
GOLDEN = round(2**31 * (5**0.5 - 1) / 2)


@dataclass(frozen=True)
class Pulses:
    """Settings of pulse trains.

    Parameters
    ----------
    longest : int
        Most slots of a train, 1 to 31. A train is as long as the largest product of its sample needs.
    kind : str
        ``stochastic``: independent pulses. ``deterministic``: the errors' pulses come first in the train and the inputs' are spread evenly
        (by multiples of the golden ratio), so that coincidences are the product to within two pulses, and half a pulse on average.
    """

    longest: int = LONGEST_TRAIN
    kind: str = "stochastic"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"pulses: kind = {self.kind!r}; allowed are {', '.join(KINDS)}")
        if not 1 <= self.longest <= LONGEST_TRAIN:
            raise ValueError(f"pulses: longest = {self.longest}; a train has 1 to {LONGEST_TRAIN} slots")


STOCHASTIC = Pulses()


@dataclass(frozen=True)
class Trains:
    """The pulses of some samples.

    Parameters
    ----------
    x : float32 array (slots, inputs)
        1, 0 or -1: pulse, and sign of the number. The slots of all samples one after another.
    delta : float32 array (slots, outputs)
    ends : int64 array (samples,)
        Where the slots of each sample end.
    limited : int
        Errors whose pulses did not fit in the longest train, and which therefore count less than they should.
    """

    x: np.ndarray
    delta: np.ndarray
    ends: np.ndarray
    limited: int

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(x, delta) of each sample."""
        for start, end in zip(np.append(0, self.ends[:-1]), self.ends, strict=True):
            yield self.x[start:end], self.delta[start:end]

    def coincidences(self) -> tuple[np.ndarray, np.ndarray]:
        """Pulses up and down in each cell, all samples together; float32 (outputs, inputs), exact integers below 2**24."""
        net, total = self.delta.T @ self.x, np.abs(self.delta).T @ np.abs(self.x)
        return (total + net) / 2, (total - net) / 2


def trains(x: np.ndarray, delta: np.ndarray, amount: float, seed: int, pulses: Pulses = STOCHASTIC, first: int = 0) -> Trains:
    """Pulse trains of samples.

    Parameters
    ----------
    x : float array (inputs,) or (samples, inputs)
    delta : float array (outputs,) or (samples, outputs)
    amount : float
        Pulses for ``x delta = 1``: the learning rate over the step.
    seed : int
    pulses : Pulses
    first : int
        Number of the first sample. The pulses of a sample depend on its number and the seed only, not on the others.

    Returns
    -------
    Trains
    """
    x, delta = (np.atleast_2d(np.asarray(v, np.float64)) for v in (x, delta))
    if len(x) != len(delta):
        raise ValueError(f"pulses: {len(x)} inputs and {len(delta)} errors; give one error vector for each input vector")
    if not (np.isfinite(x).all() and np.isfinite(delta).all()):
        raise ValueError("pulses: inputs or errors contain NaN or infinity; every number must be finite")
    if not 0 <= amount < np.inf:
        raise ValueError(f"pulses: {amount} pulses for a product of 1; give a rate of 0 or more, and put signs into the errors")
    top_x, top_delta = (np.abs(v).max(axis=1, initial=0.0, keepdims=True) for v in (x, delta))
    most = amount * top_x * top_delta
    slots = np.minimum(np.ceil(most), pulses.longest)
    # random lines pulse equally often (update management); what a train cannot hold is taken from the errors
    peak = np.minimum(np.sqrt(most / np.maximum(slots, 1)), 1) if pulses.kind == "stochastic" else 1.0
    some = slots > 0
    chance_x = np.abs(x) * np.where(some, peak / np.where(some, top_x, 1), 0)
    chance_delta = np.abs(delta) * np.where(some, amount * top_x / np.where(some, slots * peak, 1), 0)
    number = np.arange(int(slots.max(initial=0)))
    place_x, place_delta = _places(number, slots, x.shape, delta.shape, seed, pulses, first)
    inside = number < slots  # (samples, slots)
    return Trains(
        _signed(x, chance_x, place_x)[inside],
        _signed(delta, chance_delta, place_delta)[inside],
        np.cumsum(slots[:, 0]).astype(np.int64),
        int(np.count_nonzero(chance_delta > 1 + 1e-12)),
    )


def _signed(values: np.ndarray, chance: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The sign of each number in the slots whose place (0 to 2**31) is below its chance; float32 (samples, slots, lines)."""
    limit = np.rint(np.minimum(chance, 1) * 2.0**31).astype(np.uint32)
    return (place < limit[:, None]) * np.sign(values).astype(np.float32)[:, None]


def _places(
    number: np.ndarray, slots: np.ndarray, shape_x: tuple[int, ...], shape_delta: tuple[int, ...], seed: int, pulses: Pulses, first: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return where each slot of both lines stands between 0 and 2**31; each broadcasts to (samples, slots, lines)."""
    if pulses.kind == "stochastic":
        return _words(TRAIN_X, len(number), shape_x, seed, first), _words(TRAIN_DELTA, len(number), shape_delta, seed, first)
    even = ((number + 1) * GOLDEN & (1 << 31) - 1).astype(np.uint32)
    burst = (2.0**31 * (number + 0.5) / np.maximum(slots, 1)).astype(np.uint32)
    return even[None, :, None], burst[:, :, None]


def _words(stream: int, slots: int, shape: tuple[int, ...], seed: int, first: int) -> np.ndarray:
    """Words of 31 random bits: uint32 (samples, slots, lines)."""
    from . import compiled

    samples, lines = shape
    prefixes = np.arange(-(-slots // 2), dtype=np.uint32) << np.uint32(20)
    words = compiled.pairs(draws.streamed(draws.key(seed), stream), np.uint32(first) + np.arange(samples, dtype=np.uint32), prefixes, lines)
    return words.reshape(samples, -1, lines)[:, :slots] >> np.uint32(1)
