"""The counter-based generator: (key, stream, step, index) to random bits (contract section 2)."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from ..recipe.seeds import key as seed_key
from .arrays import Integers, Integral, namespace
from .clock import Ports, Stimulus, Waves, walk

ROUNDS = 8
GOLDEN = 0x9E3779B9
MASK = 0xFFFFFFFF

Pair: TypeAlias = "tuple[Integers, Integers]"
"""A key, or the two random words of an index."""


def keys(seeds: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Generator keys of 64-bit seeds (contract section 2)."""
    seeds = np.asarray(seeds, dtype=object)
    words = np.array([seed_key(s) for s in seeds.ravel()], np.uint32).reshape(-1, 2)
    return words[:, 0].reshape(seeds.shape), words[:, 1].reshape(seeds.shape)


def behind(key: Pair, axes: int) -> Pair:
    """The key of many chips with so many axes more, for the elements of each."""
    return key[0][(..., *(None,) * axes)], key[1][(..., *(None,) * axes)]


def constants(key: tuple[Integral, Integral]) -> list[Integral]:
    """Return what each round adds: its own constant and one word of the key; uint32 of the words' shape."""
    return [np.uint32(GOLDEN * i & MASK) ^ key[i % 2] for i in range(1, ROUNDS + 1)]


def pair(key: Pair, stream: Integral, step: Integral, index: Integral) -> Pair:
    """The two random words of an index.

    Parameters
    ----------
    key : pair of uint32 (arrays)
        From `keys`; arrays broadcast with `index`, for many chips at once.
    stream : int, or array of integers
        8 bits.
    step, index : uint32 (arrays)
        `index` has 24 bits.

    Returns
    -------
    x, y : uint32 arrays
        Of the broadcast shape of the arguments.
    """
    xp = namespace(key[0], step, index)

    def word(v: Integral) -> Any:  # an array, or a scalar of NumPy's
        return (np.asarray(v) if isinstance(v, int) else v).astype(np.uint32)

    def rotate(v: Integers, left: int) -> Integers:
        return (v << np.uint32(left)) | (v >> np.uint32(32 - left))

    with np.errstate(over="ignore"):  # modulo 2**32 is meant; NumPy warns for scalars only
        key = word(key[0]), word(key[1])
        x, y = xp.broadcast_arrays(((word(stream) << np.uint32(24)) | word(index)) ^ key[0], word(step) ^ key[1])
        for constant in constants(key):
            x = (rotate(x, 24) + y) ^ constant
            y = rotate(y, 3) ^ x
    return x, y


def lane_view(x: Integers, y: Integers, lane: Integral) -> Integers:
    """The 24 bits that lane view `lane` (0 .. 15) takes from a pair."""
    lane = (np.asarray(lane) if isinstance(lane, int) else lane).astype(np.uint32)
    one, eight = np.uint32(1), np.uint32(8)
    return ((x >> ((lane + one) >> one)) ^ (y >> (eight - (lane >> one)))) & np.uint32(0xFFFFFF)


def rounding_word(bits: Integers) -> Integers:
    """The 16-bit rounding word of a lane view, int32."""
    return (bits >> np.uint32(8)).astype(np.int32)


def sign(bits: Integers) -> Integers:
    """The sign of a lane view: +1 if bit 0 is 0, else -1; int32."""
    return 1 - 2 * (bits & np.uint32(1)).astype(np.int32)


def of_groups(xp: Any, words: int, groups: int) -> Integers:
    """Return the index of each lane group of each word, uint32 (words, groups): words are a power of two apart (contract section 2)."""
    return (xp.arange(words, dtype=np.uint32) << np.uint32((groups - 1).bit_length()))[:, None] | xp.arange(groups, dtype=np.uint32)


def group_exact(word: int, group: int, groups: int) -> int:
    """`of_groups` of one group, on Python integers."""
    return (word << (groups - 1).bit_length()) + group


# Trace ------------------------------------------------------------------------------------------------------


def first_exact(key: tuple[int, int], stream: int, step: int, index: int) -> tuple[int, int]:
    """The generator's state before the first round."""
    return ((stream << 24) | index) ^ key[0], step ^ key[1]


def round_exact(key: tuple[int, int], i: int, x: int, y: int) -> tuple[int, int]:
    """Round i on Python integers."""
    x = ((((x >> 8) | (x << 24)) & MASK) + y & MASK) ^ (GOLDEN * i & MASK) ^ key[i % 2]
    return x, (((y << 3) | (y >> 29)) & MASK) ^ x


def pair_exact(key: tuple[int, int], stream: int, step: int, index: int) -> tuple[int, int]:
    """`pair` on Python integers."""
    x, y = first_exact(key, stream, step, index)
    for i in range(1, ROUNDS + 1):
        x, y = round_exact(key, i, x, y)
    return x, y


def view_exact(x: int, y: int, lane: int) -> tuple[int, int]:
    """Rounding word and sign of a lane view, on Python integers."""
    bits = ((x >> ((lane + 1) >> 1)) ^ (y >> (8 - (lane >> 1)))) & 0xFFFFFF
    return bits >> 8, -1 if bits & 1 else 1


def trace(key: tuple[int, int], stream: int, stimulus: Stimulus) -> Waves:
    """Every port of `Generator` at every clock: one register pair per round (contract section 2: latency 8).

    Parameters
    ----------
    key, stream
        As the component's.
    stimulus : dict
        ``layer``, ``index``, ``step``: one entry per clock, from reset.

    Returns
    -------
    dict
        ``x``, ``y``: one entry per clock; meaningful from cycle 8 on.
    """
    return walk(Clocked(key, stream).clock, stimulus, ("layer", "index", "step"))


class Clocked:
    """The registers of `Generator`."""

    def __init__(self, key: tuple[int, int], stream: int):
        self.key, self.stream = key, stream
        self.stages = [(0, 0)] * ROUNDS

    def clock(self, layer: int, index: int, step: int) -> Ports:
        x, y = self.stages[-1]
        entering = [first_exact(self.key, self.stream | layer, step, index), *self.stages[:-1]]
        self.stages = [round_exact(self.key, i + 1, *s) for i, s in enumerate(entering)]
        return {"x": x, "y": y}
