"""A layer on analog arrays, read like a matrix: ``array @ x`` and ``array.T @ e``.

All sums are exact. Effective weights are real numbers; they are put on a grid of ``2**-fraction_bits`` levels, and where a bound shows that the
sums of integers stay below 2**24 (2**53) they are made by float32 (float64) matrix products without any rounding. So an output is a
function of its vector, its number and the seed, and of nothing else: not of the batch it came in, nor of threads.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from . import draws, wires
from .converters import CLIPPED_SHARE, DeviceWarning, InputConverter, OutputConverter, Usage
from .device import EFFECTS, Device
from .drift import compensation
from .mapping import Mapping, Slice, blocks
from .noise import CellNoise, Constant, PerProduct

VECTORS = 4096
"""Vectors that are read at once, at most."""


@dataclass(frozen=True)
class Circuit:
    """The arrays around the cells.

    Parameters
    ----------
    rows, columns : int, optional
        Inputs and outputs of one array; a larger layer is spread over several, whose codes are added digitally. Default: one array.
    mapping : Mapping
    wires : Wires, optional
    input, output : InputConverter, OutputConverter
        Of the forward read. `output` None: sums are exact.
    input_transposed, output_transposed : InputConverter, OutputConverter
        Of the transposed read.
    fraction_bits : int, optional
        Effective weights are rounded to multiples of ``2**-fraction_bits`` levels. Default: 0 where weights are whole levels, else as many as float32
        products sum exactly (at most 16).
    clipped_share : float
        Share of clipped reads above which a read warns.
    """

    rows: int | None = None
    columns: int | None = None
    mapping: Mapping = Mapping()
    wires: wires.Wires | None = None
    input: InputConverter = InputConverter()
    output: OutputConverter | None = OutputConverter()
    input_transposed: InputConverter = InputConverter()
    output_transposed: OutputConverter | None = OutputConverter()
    fraction_bits: int | None = None
    clipped_share: float = CLIPPED_SHARE

    def __post_init__(self):
        for name in ("rows", "columns"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ValueError(f"circuit: {name} = {size}; an array has at least one line")
        if self.fraction_bits is not None and not 0 <= self.fraction_bits <= 40:
            raise ValueError(f"circuit: fraction_bits = {self.fraction_bits}; allowed are 0 to 40")


@dataclass
class _Product:
    """One slice of one block of inputs, in one direction: everything one read needs."""

    inputs: slice
    significance: int
    bound: int                         # no sum is further from zero, in sum units
    terms: list                        # (table from input code to integer, or None for the code itself; integer matrix (inputs, outputs))
    variance: tuple | None = None      # (integer matrix (inputs, outputs), its factor for each output)
    norm: float = 0.0                  # constant noise: levels per unit of the input's norm
    lsb: np.ndarray | int = 1          # of the converter, in sum units
    offset: np.ndarray | int = 0
    level_lsb: int | None = None       # nominal, in input LSB times levels


class Side:
    """One direction of an array: its products, converters, and what they have done. Use `Array`."""

    def __init__(self, name: str, shape, key, converters, products, fraction_bits: int, step: float, clipped_share: float):
        self.name, self.shape = name, shape
        self.input, self.output = converters
        self._key, self._products, self._fraction, self._clipped_share = key, products, fraction_bits, clipped_share
        self._transposed = name == "transposed"
        self.step, self.scale = step, 1.0
        """Weight of one level; digital factor of the outputs (drift compensation)."""
        self.usage, self.inputs_clipped, self.vectors, self._warned = Usage(), 0, 0, False
        self._common = None
        if self.output is not None and self.output.full_scale != "calibrated":
            self.set_lsb([self.output.lsb(self.output.full_scale)] * len(products))

    # ranges

    def set_lsb(self, level_lsb):
        """Set each product's LSB (in input LSB times levels), with its spread over converters."""
        for n, (p, lsb) in enumerate(zip(self._products, level_lsb, strict=True)):
            p.level_lsb, nominal = int(lsb), int(lsb) << self._fraction
            p.lsb, p.offset = nominal, 0
            if self.output.gain_spread:
                gain = 1 + self.output.gain_spread * draws.normal(self._key, draws.GAIN, 2 * n + self._transposed, (self.shape[0],))
                p.lsb = np.maximum(np.rint(nominal * gain), 1).astype(np.int64)
            if self.output.offset_spread:
                shift = self.output.offset_spread * draws.normal(self._key, draws.OFFSET, 2 * n + self._transposed, (self.shape[0],))
                p.offset = np.rint(nominal * shift).astype(np.int64)
        common = {p.level_lsb for p in self._products}
        self._common = common.pop() if len(common) == 1 else None

    def calibrate(self, codes, clipped_share: float = 0.0, per_array: bool = False):
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
        sums = [np.concatenate([np.ravel(self._sums(p, x)) for _, x in self.input.slices(codes)]) * 2.0**-self._fraction for p in self._products]
        if per_array:
            self.set_lsb([self.output.calibrate(s, clipped_share) for s in sums])
        else:
            self.set_lsb([self.output.calibrate(np.concatenate(sums), clipped_share)] * len(sums))

    @property
    def unit(self) -> float:
        """Real value of one unit of the output integers."""
        if self.output is None:
            whole = 2.0**-self._fraction
        else:
            whole = 1.0 if self._common is None else float(self._common)
        return whole * self.step * self.input.step

    # reading

    def _sums(self, p: _Product, x):
        """Exact sums (n, outputs) of input codes that one read sees, a new float array."""
        total, x = None, x[:, p.inputs]
        for table, matrix in p.terms:
            seen = x if table is None else table[x.astype(np.int64) + len(table) // 2]
            part = seen.astype(matrix.dtype) @ matrix
            total = part if total is None else total + part
        return total

    def _noise(self, p: _Product, x, number: int, vectors):
        """Read noise of one read in sum units: integers (n, outputs)."""
        stream = draws.READ_TRANSPOSED if self._transposed else draws.READ
        noise, x = draws.reading(self._key, stream, number, vectors, self.shape[0]), x[:, p.inputs].astype(np.float32)
        factor = 2.0**self._fraction / draws.DEVIATION
        if p.variance is None:
            noise *= (np.sqrt(np.einsum("bi,bi->b", x, x, dtype=np.float64)) * (factor * p.norm)).astype(np.float32)[:, None]
        else:
            # squares relative to the vector's largest, as integers so small that their sums are exact
            matrix, per_output, top = p.variance
            square = x * x
            largest = np.maximum(square.max(axis=1, initial=0), 1).astype(np.float64)[:, None]
            square = square.astype(matrix.dtype, copy=False)
            square *= (top / largest).astype(matrix.dtype)
            deviation = np.rint(square, out=square) @ matrix
            np.sqrt(deviation, out=deviation)
            deviation *= (np.sqrt(largest / top) * factor).astype(matrix.dtype)
            deviation *= per_output
            noise = np.multiply(noise, deviation, out=deviation)
        return np.rint(noise, out=noise)

    def read(self, codes, vectors=None) -> np.ndarray:
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
        flat = codes.reshape(-1, self.shape[1])
        if vectors is None:
            vectors = np.arange(self.vectors, self.vectors + len(flat), dtype=np.uint64).astype(np.uint32)
            self.vectors += len(flat)
        else:
            vectors = np.broadcast_to(np.asarray(vectors, np.uint32), codes.shape[:-1]).ravel()
        if len(flat) <= VECTORS:
            out = self._read(flat, vectors)
        else:
            out = np.concatenate([self._read(flat[i : i + VECTORS], vectors[i : i + VECTORS]) for i in range(0, len(flat), VECTORS)])
        self._watch()
        return out.reshape(*codes.shape[:-1], self.shape[0])

    def _read(self, codes, vectors):
        reads = self.input.slices(codes)
        factors = [[p.significance * weight * self._code_factor(p) for weight, _ in reads] for p in self._products]
        bound = sum(f * (p.bound if self.output is None else -self.output.low) for p, fs in zip(self._products, factors, strict=True) for f in fs)
        kind, total, number = np.float32 if bound < 1 << 24 else np.float64, None, 0
        for p, weights in zip(self._products, factors, strict=True):
            for factor, (_, x) in zip(weights, reads, strict=True):
                part = self._sums(p, x)
                if p.variance is not None or p.norm:
                    part += self._noise(p, x, number, vectors)
                if self.output is not None:
                    part, usage = self.output.convert(part, p.lsb, p.offset)
                    self.usage = self.usage + usage
                part, number = part.astype(kind, copy=False), number + 1
                if factor != 1:
                    part *= kind(factor)
                total = part if total is None else np.add(total, part, out=total)
        return total.astype(np.int32 if bound < 1 << 30 else np.int64)

    def _code_factor(self, p: _Product) -> int:
        """What the codes of a product are multiplied with before they are added: 1, or its LSB where LSBs differ."""
        if self.output is None:
            return 1
        if p.level_lsb is None:
            raise ValueError(f"{self.name} read: the output range is not set; call array.calibrate with data, or give the converter a full_scale")
        return 1 if self._common is not None else p.level_lsb

    def _watch(self):
        if not self._warned and self.usage.reads >= 1024:
            for complaint in self.usage.complaints(self._clipped_share):
                warnings.warn(f"{self.name} output converter: {complaint}", DeviceWarning, stacklevel=4)
                self._warned = True

    def __matmul__(self, codes) -> np.ndarray:
        """`read` of columns as NumPy has them: (inputs,) or (inputs, n) to (outputs,) or (outputs, n)."""
        codes = np.asarray(codes)
        if codes.ndim < 2:
            return self.read(codes)
        return np.swapaxes(self.read(np.swapaxes(codes, -1, -2)), -1, -2)

    def encode(self, values) -> np.ndarray:
        """Input codes of real numbers; clipped ones are counted."""
        codes, clipped = self.input.encode(values)
        self.inputs_clipped += clipped
        return codes

    def decode(self, integers) -> np.ndarray:
        """Output integers to real numbers, with drift compensation."""
        return integers * (self.unit * np.asarray(self.scale))

    def __call__(self, values, vectors=None) -> np.ndarray:
        """Real numbers (..., inputs) to real numbers (..., outputs)."""
        return self.decode(self.read(self.encode(values), vectors))


def _integers(matrices, inputs: slice, significance: int, fraction: int, seen: int) -> _Product:
    """The product of real matrices, on the grid, in the type in which its sums are exact.

    `matrices`: (table or None, (inputs, outputs) array in levels) for each term; `seen`: the largest code that one read sees.
    """
    terms, per_output = [], 0
    for table, matrix in matrices:
        whole = np.rint(np.ldexp(matrix, fraction))
        peak = seen if table is None else int(np.abs(table[len(table) // 2 - seen : len(table) // 2 + seen + 1]).max())
        per_output = per_output + np.abs(whole).sum(axis=0) * peak
        terms.append((table, whole))
    bound = int(per_output.max())
    if bound >= 1 << 53:
        raise ValueError(f"sums reach 2**{bound.bit_length()} units of the grid, more than float64 adds exactly; give fewer fraction_bits or smaller arrays")
    kind = np.float32 if bound < 1 << 24 else np.float64
    return _Product(inputs, significance, bound, [(table, whole.astype(kind)) for table, whole in terms])


def _variance(variance, kind):
    """Cell variances (inputs, outputs) as integers, each output relative to its largest, so small that sums with squares as small are exact."""
    bits = ((24 if kind == np.float32 else 53) - (len(variance) - 1).bit_length()) // 2
    top = (1 << bits) - 1
    largest = variance.max(axis=0)
    largest = np.where(largest > 0, largest, 1.0)
    return np.rint(variance * (top / largest)).astype(kind), np.sqrt(largest / top).astype(kind), top


@dataclass(frozen=True)
class Report:
    """What an array is and what its converters have done."""

    name: str
    shape: tuple[int, int]
    arrays: int
    fraction_bits: int
    weight_error: float
    """Root mean square of effective minus nominal weight, relative to the largest level."""
    asymmetry: float
    """Largest difference of the transposed read's matrix to the transpose, relative to the largest entry."""
    usage: dict[str, Usage]
    inputs_clipped: dict[str, int]
    complaints: tuple[str, ...]

    def __str__(self):
        lines = [f"{self.name}: {self.shape[0]} x {self.shape[1]} weights on {self.arrays} arrays, grid of 2**-{self.fraction_bits} levels",
                 f"effective weights are off by {self.weight_error:.3%} of the largest (r.m.s.); the transposed read by {self.asymmetry:.3%} from the transpose"]
        for side, u in self.usage.items():
            if u.reads:
                lines.append(f"{side}: {u.reads} reads, codes {u.low} to {u.high} ({u.span:.0%} of {u.codes}), {u.clipped} clipped ({u.share_clipped:.3%}); "
                             f"{self.inputs_clipped[side]} inputs clipped")
        return "\n".join([*lines, *self.complaints])


class Array:
    """A layer of weights on analog arrays.

    Parameters
    ----------
    weights : array_like (outputs, inputs)
        Real numbers.
    device : Device
    circuit : Circuit
    seed : int
        64 bits; everything random follows from it.
    scale : float, optional
        The weight that the largest conductance stands for. Default: the largest weight.
    time : float, optional
        Seconds since programming. Default: just programmed, neither drift nor 1/f noise.
    compensate : str, optional
        Digital drift compensation: ``array`` (one factor) or ``output`` (one for each output).

    Attributes
    ----------
    levels : int32 array (outputs, inputs)
        Nominal weights, in levels.
    effective : float64 array (outputs, inputs)
        What a forward read multiplies with, in levels, before it is put on the grid (of cells that do not follow Ohm's law: the linear term).
    effective_transposed : float64 array (outputs, inputs)
        The same of the transposed read.

    Examples
    --------
    >>> import numpy as np
    >>> from crossdyad.emulator.devices import Array
    >>> array = Array(np.array([[0.5, -1.0, 0.25], [0.0, 1.0, 1.0]]))
    >>> x = np.array([[1.0, 0.5, -0.5]])
    >>> _ = array.calibrate(array.encode(x))
    >>> array(x).round(2)
    array([[-0.12,  0.  ]])
    """

    def __init__(self, weights, device: Device = Device(), circuit: Circuit = Circuit(), seed: int = 0, scale: float | None = None,  # noqa: B008
                 time: float | None = None, compensate: str | None = None):
        if compensate not in (None, "array", "output"):
            raise ValueError(f"compensate = {compensate!r}; allowed are 'array', 'output', None")
        if time is not None and device.drift:
            device.drift.check(time)
        if device.iv and circuit.wires:
            raise ValueError("wires and a nonlinear I-V curve: the network is no longer one matrix; switch one of them off (array.without('iv'))")
        self._weights, self.device, self.circuit, self.seed, self._scale, self.time, self._compensate = weights, device, circuit, seed, scale, time, compensate
        self.levels, self.step = circuit.mapping.levels(weights, scale)
        self.shape = self.levels.shape
        outputs, inputs = self.shape
        for name, size, length in (("rows", circuit.rows, inputs), ("columns", circuit.columns, outputs)):
            if size is not None and size > length:
                warnings.warn(f"circuit: {name} = {size}, but the layer has {length} {'inputs' if name == 'rows' else 'outputs'}: "
                              f"{size - length} lines of the array are unused; give at most {length}", DeviceWarning, stacklevel=2)
        self._rows, self._columns = blocks(inputs, circuit.rows), blocks(outputs, circuit.columns)
        self.arrays = len(self._rows) * len(self._columns)
        self._build()

    # construction

    def _build(self):
        slices, device, circuit = self.circuit.mapping.slices(self.levels), self.device, self.circuit
        cells = [self._program(n, s) for n, s in enumerate(slices)]
        linear = [self._linear(s, *g) for s, g in zip(slices, cells, strict=True)]
        self.effective, self.effective_transposed = (sum(s.significance * m[i] for s, m in zip(slices, linear, strict=True)) for i in (0, 1))
        variances = [self._cell_variance(s, *g) for s, g in zip(slices, cells, strict=True)]
        key, sides = draws.key(self.seed), []
        # each direction: its name, shape, converters, blocks of inputs, and the (inputs, outputs) matrices of each slice
        for name, shape, converters, lines, turn in (
            ("forward", self.shape, (circuit.input, circuit.output), self._rows, np.transpose),
            ("transposed", self.shape[::-1], (circuit.input_transposed, circuit.output_transposed), self._columns, np.asarray),
        ):
            terms = [self._terms(s, g, m[len(sides)], converters[0].limit) for s, g, m in zip(slices, cells, linear, strict=True)]
            sides.append((name, shape, converters, [
                (block, s.significance, [(table, turn(m)[block]) for table, m in t], None if v is None else turn(v)[block], s.top)
                for block in lines for s, t, v in zip(slices, terms, variances, strict=True)
            ]))
        self.fraction_bits = circuit.fraction_bits
        if self.fraction_bits is None:
            exact = not (device.changes_cells or circuit.wires or device.iv)
            self.fraction_bits = 0 if exact else 16 if device.iv else _most_bits(sides)
        made = []
        for name, shape, converters, parts in sides:
            products = []
            for block, significance, matrices, variance, top in parts:
                p = _integers(matrices, block, significance, self.fraction_bits, converters[0].slice_limit)
                if variance is not None and variance.any():
                    p.variance = _variance(variance, p.terms[0][1].dtype.type)
                p.norm = device.read.magnitude * top if isinstance(device.read, Constant) else 0.0
                products.append(p)
            made.append(Side(name, shape, key, converters, products, self.fraction_bits, self.step, circuit.clipped_share))
        self.forward, self.transposed = made
        if self._compensate and self.time is not None and device.drift:
            before = self._like(time=None)
            per_output = self._compensate == "output"
            self.forward.scale = compensation(before.effective, self.effective, per_output)
            self.transposed.scale = compensation(before.effective_transposed.T, self.effective_transposed.T, per_output)

    def _program(self, number: int, s: Slice):
        """Conductances of a slice's two planes of cells now, microsiemens; None where they are the nominal ones and nobody asks."""
        device = self.device
        if not (device.changes_cells or self.circuit.wires or device.iv or isinstance(device.read, CellNoise)):
            return None, None
        minus = s.minus if len(s.minus) == self.shape[0] else np.repeat(s.minus, len(self._columns), axis=0)     # a reference line for each array
        return tuple(device.program(levels / s.top, self.seed, 2 * number + i, self.time)[1] for i, levels in enumerate((s.plus, minus)))

    def _pairs(self, function, plus, minus):
        """`function` of the cells of each array, one by one, as its result for signed weights (outputs, inputs).

        The function takes (inputs, outputs) of one array and returns the same shape; where the arrays have a reference line, that is one more output.
        """
        out, referenced = np.empty(self.shape), len(minus) != self.shape[0]
        for n, columns in enumerate(self._columns):
            for rows in self._rows:
                if referenced:
                    both = function(np.concatenate([plus[columns, rows], minus[n : n + 1, rows]]).T).T
                    out[columns, rows] = both[:-1] - both[-1]
                else:
                    out[columns, rows] = (function(plus[columns, rows].T) - function(minus[columns, rows].T)).T
        return out

    def _linear(self, s: Slice, plus, minus):
        """Matrices of the forward and the transposed read (outputs, inputs) in levels of a slice, as far as cells follow Ohm's law."""
        if plus is None or not (self.device.changes_cells or self.circuit.wires):
            return (s.digits.astype(np.float64),) * 2
        unit, w = (self.device.g_max - self.device.g_min) / s.top, self.circuit.wires
        if w is None:
            return (self._pairs(np.asarray, plus, minus) / unit,) * 2
        forward = self._pairs(lambda g: wires.effective_conductance(g, w.word, w.bit), plus, minus) / unit
        if w.sensing == "same":
            return forward, forward
        return forward, self._pairs(lambda g: wires.effective_conductance(g[::-1, ::-1], w.word, w.bit)[::-1, ::-1], plus, minus) / unit

    def _terms(self, s: Slice, cells, linear, limit: int):
        """(table, matrix (outputs, inputs) in levels) of each term of the current of a slice's cells."""
        if self.device.iv is None:
            return [(None, linear)]
        unit = (self.device.g_max - self.device.g_min) / s.top
        count = len(self.device.iv.terms(np.zeros(0), limit))
        return [(self.device.iv.terms(np.zeros(0), limit)[i][0], self._pairs(lambda g, i=i: self.device.iv.terms(g, limit)[i][1], *cells) / unit) for i in range(count)]

    def _cell_variance(self, s: Slice, plus, minus):
        """Variance of one read of each weight (outputs, inputs) in levels squared, or None."""
        read, unit = self.device.read, (self.device.g_max - self.device.g_min) / s.top
        if isinstance(read, PerProduct) and read.magnitude:
            weight = s.digits if plus is None else self._pairs(np.asarray, plus, minus) / unit
            return read.magnitude**2 * s.top * np.abs(weight)
        if isinstance(read, CellNoise):
            squares = [(read.sigma(g, self.device.g_max) / unit) ** 2 for g in (plus, minus)]
            return self._pairs(np.asarray, squares[0], -squares[1])
        return None

    def _like(self, **changes) -> Array:
        given = {"device": self.device, "circuit": self.circuit, "seed": self.seed, "scale": self._scale, "time": self.time, "compensate": self._compensate}
        made = Array(self._weights, **{**given, **changes})
        for old, new in zip((self.forward, self.transposed) if hasattr(self, "forward") else (), (made.forward, made.transposed), strict=False):
            lsb = [p.level_lsb for p in old._products]
            if new.output is not None and new.output.full_scale == "calibrated" and None not in lsb and len(lsb) == len(new._products):
                new.set_lsb(lsb)
        return made

    # one effect at a time

    def at(self, time: float, compensate: str | None = None) -> Array:
        """The same cells, `time` seconds after programming. Output ranges stay."""
        return self._like(time=time, compensate=compensate or self._compensate)

    def without(self, *effects: str) -> Array:
        """The same array with some effects switched off: those of `EFFECTS` (cells), ``wires``, ``converters``. Output ranges stay."""
        known = (*EFFECTS, "wires", "converters")
        unknown = [e for e in effects if e not in known]
        if unknown:
            raise ValueError(f"effects: {unknown[0]!r}; known are {', '.join(known)}")
        circuit = self.circuit
        if "wires" in effects:
            circuit = replace(circuit, wires=None)
        if "converters" in effects:
            circuit = replace(circuit, output=None, output_transposed=None)
        return self._like(device=replace(self.device, **{e: None for e in effects if e in EFFECTS}), circuit=circuit)

    def only(self, *effects: str) -> Array:
        """The same array with no effects but these."""
        self.without(*effects) if effects else None
        return self.without(*(e for e in (*EFFECTS, "wires", "converters") if e not in effects))

    def perfect(self) -> Array:
        """The same levels in an ideal array: exact products."""
        return self.only()

    # reading

    @property
    def T(self) -> Side:                                        # noqa: N802
        """The transposed read, as a matrix: ``array.T @ e``."""
        return self.transposed

    def __matmul__(self, codes) -> np.ndarray:
        """Input codes (inputs,) or (inputs, n) to output integers (outputs,) or (outputs, n)."""
        return self.forward @ codes

    def read(self, codes, vectors=None) -> np.ndarray:
        """Input codes (..., inputs) to output integers (..., outputs): `Side.read` of the forward direction."""
        return self.forward.read(codes, vectors)

    def encode(self, values) -> np.ndarray:
        """Input codes of real numbers."""
        return self.forward.encode(values)

    def decode(self, integers) -> np.ndarray:
        """Real numbers of output integers."""
        return self.forward.decode(integers)

    def __call__(self, values, vectors=None) -> np.ndarray:
        """Real inputs (..., inputs) to real outputs (..., outputs)."""
        return self.forward(values, vectors)

    def calibrate(self, codes=None, transposed=None, clipped_share: float = 0.0, per_array: bool = False) -> Array:
        """Set the output ranges from input codes (n, inputs), and those of the transposed read from codes (n, outputs); returns the array."""
        if codes is not None:
            self.forward.calibrate(codes, clipped_share, per_array)
        if transposed is not None:
            self.transposed.calibrate(transposed, clipped_share, per_array)
        return self

    def effective_noise(self, codes) -> float:
        """Root mean square difference of reads of these codes to the exact product, relative to the root mean square of that."""
        exact = np.asarray(codes, np.float64) @ self.levels.T * (self.step * self.circuit.input.step)
        return float(np.sqrt(np.mean((self.decode(self.read(codes)) - exact) ** 2) / np.mean(exact**2)))

    def report(self) -> Report:
        """Errors of the weights, and what the converters have done; warns of ranges that clip too much or use too few codes."""
        top = self.circuit.mapping.limit
        sides = {s.name: s for s in (self.forward, self.transposed)}
        complaints = tuple(f"{name} output converter: {c}" for name, s in sides.items() for c in s.usage.complaints(self.circuit.clipped_share))
        for c in complaints:
            warnings.warn(c, DeviceWarning, stacklevel=2)
        return Report(self.device.name or "device", self.shape, self.arrays, self.fraction_bits,
                      float(np.sqrt(np.mean((self.effective - self.levels) ** 2))) / top,
                      wires.asymmetry(self.effective, self.effective_transposed), {n: s.usage for n, s in sides.items()},
                      {n: s.inputs_clipped for n, s in sides.items()}, complaints)


def _most_bits(sides) -> int:
    """The most fraction bits, at most 16, with which float32 sums every product exactly."""
    need = 0.0
    for _, _, converters, parts in sides:
        for _, _, matrices, _, _ in parts:
            lines = len(matrices[0][1])
            per_output = sum(np.abs(m).sum(axis=0) for _, m in matrices)
            # rounding to a grid of at least whole levels adds at most half a level a cell
            need = max(need, (float(np.max(per_output)) + lines / 2) * converters[0].slice_limit)
    return int(min(16, max(0, 24 - np.ceil(np.log2(max(need, 1.0))))))
