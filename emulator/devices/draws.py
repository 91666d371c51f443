"""Random numbers of devices, all from the counter-based generator: any of them without those before it.

Streams of the generator (contract section 2; layers of a chip use 0x00 to 0x9F):

======  ====================================================  =======================  ==================
stream  what                                                  step                     index
======  ====================================================  =======================  ==================
0xA0    read noise, forward                                   number of the vector     `Reads`
0xA1    read noise, transposed                                number of the vector     `Reads`
0xA2    programming                                           `step` of plane, write   cell
0xA3    drift exponent                                        `step` of plane, write   cell
0xA4    1/f noise                                             `step` of plane, write   cell
0xA5    device-to-device spread of the conductance range      plane of cells           cell
0xA6    device-to-device spread of the least conductance      plane of cells           cell
0xA7    which cells are stuck                                 plane of cells           cell
0xA8    gain spread of output converters                      2 * block + direction    output
0xA9    offset spread of output converters                    2 * block + direction    output
0xAA    device-to-device spread of noise                      plane of cells           cell
======  ====================================================  =======================  ==================
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple, TypeAlias

import numpy as np

from .. import rng

READ, READ_TRANSPOSED, PROGRAMMING, DRIFT, FLICKER, RANGE, LEAST, STUCK, GAIN, OFFSET, NOISE = range(0xA0, 0xAB)

CELLS = 1 << 24
"""Cells of one plane: what the generator's index can tell apart."""

PLANES = 1 << 9
"""Planes of cells that have draws of their own."""

Key: TypeAlias = "tuple[np.uint32, np.uint32]"
"""The generator's, of one seed."""


def step(plane: int, write: int) -> int:
    """The generator's step for what happens to a plane of cells when it has been written `write` times before."""
    if not 0 <= plane < PLANES or not 0 <= write < 1 << 23:
        raise ValueError(f"plane {plane}, written {write} times before: at most {PLANES} planes and {1 << 23} writes can be told apart")
    return write << 9 | plane


def key(seed: int) -> Key:
    """The generator's key of a 64-bit seed; two uint32."""
    low, high = rng.keys(seed)
    return np.uint32(low), np.uint32(high)


def uniform(key: Key, stream: int, step: int, shape: int | tuple[int, ...]) -> np.ndarray:
    """Independent draws, uniform in (0, 1), of 53 bits; float64 of the shape, which has at most 2**24 elements."""
    count = int(np.prod(shape))
    if count > CELLS:
        raise ValueError(f"{count} cells in one plane; at most {CELLS} can be told apart: split the layer")
    from . import compiled

    x, y = compiled.pairs(streamed(key, stream), np.array([step], np.uint32), np.zeros(1, np.uint32), count)[0, 0]
    return (((x.astype(np.uint64) << np.uint64(20) | y.astype(np.uint64) >> np.uint64(12)) + 0.5) * 2.0**-52).reshape(shape)


def normal(key: Key, stream: int, step: int, shape: int | tuple[int, ...]) -> np.ndarray:
    """Independent standard normal draws; float64 of the shape."""
    return inverse_normal(uniform(key, stream, step, shape))


# Wichura, Algorithm AS 241 (Applied Statistics 37, 1988), routine PPND16: relative error about 1e-16.
CENTRE = (
    (
        3.3871328727963666080e0,
        1.3314166789178437745e2,
        1.9715909503065514427e3,
        1.3731693765509461125e4,
        4.5921953931549871457e4,
        6.7265770927008700853e4,
        3.3430575583588128105e4,
        2.5090809287301226727e3,
    ),
    (
        1.0,
        4.2313330701600911252e1,
        6.8718700749205790830e2,
        5.3941960214247511077e3,
        2.1213794301586595867e4,
        3.9307895800092710610e4,
        2.8729085735721942674e4,
        5.2264952788528545610e3,
    ),
)
TAIL = (
    (
        1.42343711074968357734e0,
        4.63033784615654529590e0,
        5.76949722146069140550e0,
        3.64784832476320460504e0,
        1.27045825245236838258e0,
        2.41780725177450611770e-1,
        2.27238449892691845833e-2,
        7.74545014278341407640e-4,
    ),
    (
        1.0,
        2.05319162663775882187e0,
        1.67638483018380384940e0,
        6.89767334985100004550e-1,
        1.48103976427480074590e-1,
        1.51986665636164571966e-2,
        5.47593808499534494600e-4,
        1.05075007164441684324e-9,
    ),
)
FAR = (
    (
        6.65790464350110377720e0,
        5.46378491116411436990e0,
        1.78482653991729133580e0,
        2.96560571828504891230e-1,
        2.65321895265761230930e-2,
        1.24266094738807843860e-3,
        2.71155556874348757815e-5,
        2.01033439929228813265e-7,
    ),
    (
        1.0,
        5.99832206555887937690e-1,
        1.36929880922735805310e-1,
        1.48753612908506148525e-2,
        7.86869131145613259100e-4,
        1.84631831751005468180e-5,
        1.42151175831644588870e-7,
        2.04426310338993978564e-15,
    ),
)


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], r: np.ndarray) -> np.ndarray:
    top, bottom = (np.full_like(r, c[-1]) for c in coefficients)
    for a, b in zip(coefficients[0][-2::-1], coefficients[1][-2::-1], strict=True):
        top, bottom = top * r + a, bottom * r + b
    return top / bottom


def inverse_normal(u: np.ndarray) -> np.ndarray:
    """The standard normal quantile of probabilities in (0, 1)."""
    u = np.asarray(u, np.float64)
    q = u - 0.5
    out = q * _ratio(CENTRE, 0.180625 - q * q)
    outer = np.abs(q) > 0.425
    if outer.any():
        r = np.sqrt(-np.log(np.minimum(u, 1 - u)[outer]))
        size, far = _ratio(TAIL, r - 1.6), r > 5
        if far.any():
            size[far] = _ratio(FAR, r[far] - 5)
        out[outer] = np.copysign(size, q[outer])
    return out


# Read noise: integers a circuit can make. Each of two bytes addresses a memory of 256 words, and the two words are added. The
# sums are symmetric, so their mean is 0; their variance is known exactly. The ratio of the memories is uneven, so that no two sums of
# different bytes fall together: nowhere is their distribution function further than 7.6e-4 from the normal one, and the limits are 4.03
# standard deviations (a test holds all this).
def _memory(scale: int) -> np.ndarray:
    return np.array([round(scale * NormalDist().inv_cdf((i + 0.5) / 256)) for i in range(256)], dtype=np.int16)


MEMORIES = np.stack([_memory(2048), _memory(1448)])
SUMS = (MEMORIES[1][:, None] + MEMORIES[0]).ravel()
"""The deviate of each 16-bit word: the low byte addresses the first memory, the high byte the second."""
REALS = MEMORIES.astype(np.float32)
DEVIATION = float(np.sqrt(np.mean(SUMS.astype(np.float64) ** 2)))
"""Standard deviation of the deviates."""


class Reads(NamedTuple):
    """Places in the generator of the deviates of some reads of some vectors: the same however the vectors are split into batches.

    Parameters
    ----------
    key : (uint32, uint32, uint32 array)
        From `streamed`, with the stream `READ` or `READ_TRANSPOSED`.
    vectors : uint32 array (n,)
        Numbers of the vectors.
    first, many : int
        Which reads of the vector these are (block of inputs, slice of weights, slice of inputs), below 4096.

    Notes
    -----
    One pair of words has four deviates, from its four independent half-words: with ``q = ceil(lines / 4)``, line ``o`` uses the
    word x if ``o < 2 q``, else y, of index ``read << 12 | o % (2 q) // 2``: its low half if o is even, else its high half.
    """

    key: tuple[np.uint32, np.uint32, np.ndarray]
    vectors: np.ndarray
    first: int
    many: int = 1

    def addresses(self, lines: int) -> tuple[tuple[np.uint32, np.uint32, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """The last arguments of `compiled.noise`, for at most 16384 lines."""
        if self.first + self.many > 1 << 12 or lines > 1 << 14:
            raise ValueError(
                f"read {self.first + self.many - 1} of {lines} outputs: at most 4096 reads of at most 16384 outputs can be told apart; "
                "use larger arrays, or split the layer"
            )
        return self.key, self.vectors, np.arange(self.first, self.first + self.many, dtype=np.uint32) << np.uint32(12), REALS

    def noise(self, lines: int, scales: np.ndarray | None = None) -> np.ndarray:
        """One deviate for every read, vector and line, times its read's and vector's scale.

        Parameters
        ----------
        lines : int
        scales : float32 array (reads * n,), optional
            Default: 1, so that the standard deviation is `DEVIATION`.

        Returns
        -------
        float32 array (reads * n, lines)
            Integers: products are rounded.
        """
        from . import compiled

        count, one = self.many * len(self.vectors), np.float32(1)
        scales = np.ones(count, np.float32) if scales is None else scales
        noise = np.ones((count, lines), np.float32)
        compiled.noise(noise, one, scales, np.ones(lines, np.float32), *self.addresses(lines))
        return noise


def streamed(key: Key, stream: int) -> tuple[np.uint32, np.uint32, np.ndarray]:
    """The key as the functions of `compiled` take it: its words, the first with the stream in it, and the constants of the rounds."""
    words = np.uint32(key[0]), np.uint32(key[1])
    return np.uint32(int(key[0]) ^ stream << 24), words[1], np.array(rng.constants(words), np.uint32)
