"""One direction of a layer of arrays, forward or transposed: exact sums, read noise, output converters.

Effective weights are real numbers; they are put on a grid of ``2**-fraction_bits`` levels, finer than can be measured, and all
sums are those of integers, without any rounding. So an output is a function of its vector, its number and the seed, and of nothing
else: not of the batch it came in, nor of threads.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from . import draws
from .bitwise import Sums
from .conversion import Conversion, add_codes, conversion
from .converters import DeviceWarning, InputConverter, OutputConverter, Usage
from .draws import Key
from .noisy_reads import Even, OfCells

VECTORS = 4096
"""Vectors that are read at once, at most."""
LARGEST = 51
"""Bits of a sum, at most: half an LSB and an offset more are still exact in float64."""
TOGETHER = 1 << 17
"""Sums whose noise and codes are made at once, at most: small enough to stay near the processor."""
FEW = 1024
"""Reads that tell nothing about a range yet, unless a 64th of them clips."""


@dataclass
class Product:
    """One slice of one block of inputs, in one direction: everything one read needs."""

    inputs: slice
    significance: int
    tables: list[np.ndarray | None]  # from input code to integer, or None for the code itself: one for each term of the current
    weights: np.ndarray  # float64 (outputs, inputs of all terms): integers
    peak: int  # the largest of what a table has for codes that one read sees
    bound: int  # no sum is further from zero, in sum units
    noise: OfCells | Even | None = None
    conversion: Conversion | None = None
    lsb: int = 0  # nominal, in sum units; 0 until it is set

    @property
    def converter(self) -> Conversion:
        """Return what makes codes of sums."""
        assert self.conversion is not None  # set together with the range
        return self.conversion

    def seen(self, codes: np.ndarray, kind: type[np.floating]) -> np.ndarray:
        """Return what the weights are multiplied with, of input codes (n, inputs) that one read sees."""
        codes = codes[:, self.inputs]
        seen = [codes.astype(kind) if t is None else t.astype(kind)[codes.astype(np.int64) + len(t) // 2] for t in self.tables]
        return seen[0] if len(seen) == 1 else np.concatenate(seen, axis=1)

    def sums(self, codes: np.ndarray) -> np.ndarray:
        """Exact sums, a new float64 array (n, outputs)."""
        return self.seen(codes, np.float64) @ self.weights.T


class Direction:
    """One direction of an array: its products, converters, and what they have done. Made by `Array`."""

    def __init__(
        self,
        name: str,
        shape: tuple[int, int],
        key: Key,
        converters: tuple[InputConverter, OutputConverter | None],
        products: list[Product],
        fraction_bits: int,
        step: float,
        clipped_share: float,
    ):
        self.name, self.shape = name, shape
        self.input, self.output = converters
        self._key, self._products, self._fraction, self._clipped_share = key, products, fraction_bits, clipped_share
        self._transposed = name == "transposed"
        self._stream = draws.streamed(key, draws.READ_TRANSPOSED if self._transposed else draws.READ)
        self.step = step
        self.scale: float | np.ndarray = 1.0
        """Weight of one level; digital factor of the outputs (drift compensation)."""
        self.usage, self.inputs_clipped, self.vectors, self._warned = Usage(), 0, 0, False
        self._noisy = any(p.noise for p in products)
        self._common = 1
        self._plan: tuple[list[int], type[np.int32] | type[np.int64]] | None = None
        self._bits: list[Sums] | None = None
        if self.output is None:
            self._make_plan()
        elif not isinstance(self.output.full_scale, str):
            self.set_lsb([self.output.lsb(self.output.full_scale)] * len(products))

    @property
    def level_lsb(self) -> list[float] | None:
        """Nominal LSB of each product, in input LSB times levels; None where it is not set."""
        lsb = [p.lsb for p in self._products]
        return None if not all(lsb) else [v * 2.0**-self._fraction for v in lsb]

    # ranges

    def set_lsb(self, level_lsb: Sequence[float]) -> None:
        """Set each product's LSB (in input LSB times levels), with its spread over converters. The grid has the nearest one."""
        output = self.output
        assert output is not None  # without one there is no LSB
        for n, (p, lsb) in enumerate(zip(self._products, level_lsb, strict=True)):
            p.lsb = nominal = max(1, round(lsb * 2.0**self._fraction))
            sums: int | np.ndarray = nominal
            shift: int | np.ndarray = 0
            if output.gain_spread:
                gain = 1 + output.gain_spread * draws.normal(self._key, draws.GAIN, 2 * n + self._transposed, (self.shape[0],))
                sums = np.maximum(np.rint(nominal * gain), 1).astype(np.int64)
            if output.offset_spread:
                share = output.offset_spread * draws.normal(self._key, draws.OFFSET, 2 * n + self._transposed, (self.shape[0],))
                shift = np.rint(nominal * share).astype(np.int64)
            p.conversion = conversion(output, p.weights, sums, shift, p.bound, p.peak)
        self._make_plan()

    def calibrate(self, codes: ArrayLike, clipped_share: float = 0.0, per_array: bool = False) -> None:
        """Choose output ranges from input codes (n, inputs), such that at most a share of their noise-free sums clips.

        Parameters
        ----------
        codes : integer array (n, inputs)
        clipped_share : float
        per_array : bool
            A range for each block of inputs and slice of weights; their codes are then scaled before they are added.
        """
        if self.output is None:
            return
        codes = np.atleast_2d(self.input.check(codes))
        reads = self.input.slices(codes)
        sums = [np.concatenate([np.ravel(p.sums(x)) for _, x in reads]) * 2.0**-self._fraction for p in self._products]
        if per_array:
            self.set_lsb([self.output.calibrate(s, clipped_share) for s in sums])
        else:
            self.set_lsb([self.output.calibrate(np.concatenate(sums), clipped_share)] * len(sums))

    @property
    def unit(self) -> float:
        """Real value of one unit of the output integers."""
        return self._common * 2.0**-self._fraction * self.step * self.input.step

    # reading

    def read(self, codes: ArrayLike, vectors: ArrayLike | None = None) -> np.ndarray:
        """Outputs of input codes.

        Parameters
        ----------
        codes : integer array (..., inputs)
        vectors : integer array (...), optional
            Number of each vector, which its noise depends on. Default: counted on from the last.

        Returns
        -------
        int32 or int64 array (..., outputs)
            Times `unit`, the product with the real weights.
        """
        codes = self.input.check(codes)
        if codes.shape[-1:] != self.shape[1:]:
            raise ValueError(f"{self.name} read: input of shape {codes.shape}, but the array has {self.shape[1]} inputs in this direction")
        flat = codes.reshape(-1, self.shape[1]).astype(np.int16, copy=False)
        if vectors is None:
            first, self.vectors = self.vectors, self.vectors + len(flat)
            vectors = np.arange(first, self.vectors).astype(np.uint32) if self._noisy else flat
        else:
            vectors = np.broadcast_to(np.asarray(vectors, np.uint32), codes.shape[:-1]).ravel()
        if len(flat) <= VECTORS:
            out = self._read(flat, vectors)
        else:
            out = np.concatenate([self._read(flat[i : i + VECTORS], vectors[i : i + VECTORS]) for i in range(0, len(flat), VECTORS)])
        self._watch()
        return out.reshape(*codes.shape[:-1], self.shape[0])

    def _read(self, codes: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        if self._plan is None:
            raise ValueError(
                f"{self.name} read: the output range is not set; call array.calibrate with data, or give the converter a full_scale"
            )
        factors, whole = self._plan
        out, number = np.zeros((len(codes), self.shape[0]), whole), 0
        reads = self.input.slices(codes) if self._bits is None else ()
        for n, (p, factor) in enumerate(zip(self._products, factors, strict=True)):
            if self._bits is not None:
                number = self._read_bits(out, p, self._bits[n], factor, codes[:, p.inputs], number, vectors)
                continue
            for weight, x in reads:
                noise = p.noise.draw(x[:, p.inputs], draws.Reads(self._stream, vectors, number)) if p.noise else None
                number += 1
                if self.output is None:
                    sums = p.sums(x) if noise is None else p.sums(x) + noise
                    out += (factor * weight * sums).astype(whole)
                else:
                    kind = p.converter.factors.dtype.type
                    noise = None if noise is None else noise.astype(kind, copy=False)
                    self.usage += add_codes(out, factor * weight, p.converter, p.seen(x, kind), noise)
        return out

    def _read_bits(self, out: np.ndarray, p: Product, table: Sums, factor: int, codes: np.ndarray, number: int, vectors: np.ndarray) -> int:
        """Add the codes of all bits of the inputs of a product, by its table; returns the number of the next read."""
        from . import compiled_bits

        codes, count = np.ascontiguousarray(codes), self.input.bits - 1
        bits = compiled_bits.bits(codes, count)
        flat = bits.reshape(-1, codes.shape[1])
        sums, variance = table.of(codes, flat), p.noise.bitwise(codes, flat) if p.noise else None
        some = max(1, TOGETHER // max(1, out.size))
        for b in range(0, count, some):
            reads, noise = slice(b * len(codes), (b + some) * len(codes)), None
            if p.noise:
                own = None if variance is None else variance[reads]
                noise = p.noise.draw(flat[reads], draws.Reads(self._stream, vectors, number + b, min(some, count - b)), own)
            self.usage += add_codes(out, factor << b, p.converter, flat[reads], noise, sums[reads])
        return number + count

    def _make_plan(self) -> None:
        """Common factor of all codes, what is left of it for each product in the digital sum, and the type of the result."""
        if self.output is None:
            factors, largest = [p.significance for p in self._products], [p.bound for p in self._products]
        else:
            self._common = math.gcd(*(p.lsb for p in self._products))
            factors = [p.significance * (p.lsb // self._common) for p in self._products]
            largest = [-self.output.low] * len(factors)
        inputs = 1 if self.input.slice_bits is None else self.input.limit
        bound = inputs * sum(f * b for f, b in zip(factors, largest, strict=True))
        if bound >= 1 << 62:
            raise ValueError(
                f"{self.name} read: outputs reach 2**{bound.bit_length()} units of the grid, more than 62 bits; give output "
                "ranges that are closer to each other, or fewer fraction_bits"
            )
        # bit by bit, where float32 products decide about codes and inputs are not bent
        self._bits = None
        if self.input.slice_bits == 1 and self.output is not None:
            if all(p.converter.factors.dtype == np.float32 and p.tables == [None] for p in self._products):
                self._bits = [Sums(p.weights.T, signed=True) for p in self._products]
        self._plan = factors, np.int32 if bound < 1 << 30 and not (self._noisy and self.output is None) else np.int64

    def _watch(self) -> None:
        if not self._warned and (self.usage.reads >= FEW or self.usage.clipped >= FEW >> 6):
            for complaint in self.usage.complaints(self._clipped_share):
                warnings.warn(f"{self.name} output converter: {complaint}", DeviceWarning, stacklevel=4)
                self._warned = True

    def __matmul__(self, codes: ArrayLike) -> np.ndarray:
        """`read` of columns as NumPy has them: (inputs,) or (inputs, n) to (outputs,) or (outputs, n)."""
        codes = np.asarray(codes)
        if codes.ndim < 2:
            return self.read(codes)
        return np.swapaxes(self.read(np.swapaxes(codes, -1, -2)), -1, -2)

    def encode(self, values: ArrayLike) -> np.ndarray:
        """Input codes of real numbers; clipped ones are counted."""
        codes, clipped = self.input.encode(values)
        self.inputs_clipped += clipped
        return codes

    def decode(self, integers: np.ndarray) -> np.ndarray:
        """Output integers to real numbers, with drift compensation."""
        return integers * (self.unit * np.asarray(self.scale))

    def __call__(self, values: ArrayLike, vectors: ArrayLike | None = None) -> np.ndarray:
        """Real numbers (..., inputs) to real numbers (..., outputs)."""
        return self.decode(self.read(self.encode(values), vectors))


def largest_input(table: np.ndarray | None, seen: int) -> int:
    """Return the largest input that a table, or None, makes of codes to +-`seen`."""
    return seen if table is None else int(np.abs(table[len(table) // 2 - seen : len(table) // 2 + seen + 1]).max())


def integers(
    matrices: Sequence[tuple[np.ndarray | None, np.ndarray]], inputs: slice, significance: int, fraction: int, seen: int
) -> Product:
    """The product of real matrices, on the grid.

    `matrices`: (table or None, (inputs, outputs) array in levels) for each term; `seen`: the largest code that one read sees.
    """
    wholes, peaks = [], []
    for table, matrix in matrices:
        wholes.append(np.rint(np.ldexp(matrix, fraction)).T)
        peaks.append(largest_input(table, seen))
    bound = int(np.max(sum(np.abs(whole).sum(axis=1) * peak for whole, peak in zip(wholes, peaks, strict=True)), initial=0))
    if bound >= 1 << LARGEST:
        raise ValueError(
            f"sums reach 2**{bound.bit_length()} units of the grid, more than float64 adds exactly; give fewer fraction_bits "
            "or smaller arrays"
        )
    return Product(
        inputs, significance, [table for table, _ in matrices], np.ascontiguousarray(np.concatenate(wholes, axis=1)), max(peaks), bound
    )
