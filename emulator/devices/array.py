"""A layer on analog arrays, read like a matrix: ``array @ x`` and ``array.T @ e``."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from . import draws, wires
from .converters import CLIPPED_SHARE, DeviceWarning, InputConverter, OutputConverter, Usage
from .device import EFFECTS, Device
from .direction import LARGEST, Direction, integers, largest_input
from .mapping import Mapping, Slice
from .noise import Constant
from .noisy_reads import Even, OfCells
from .tiles import Tiles
from .written import Written

ALL_EFFECTS = (*EFFECTS, "wires", "converters")
"""Effects that can be switched off one by one."""
FINE = 26
"""Fraction bits of effective weights: a cell is off by 6e-11 of 8-bit weights' largest at most."""


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
        Effective weights are rounded to multiples of ``2**-fraction_bits`` levels; read noise and the LSBs of converters to multiples of
        that times the input LSB. Default: 0 where sums are whole numbers (ideal cells without converters), else 26, or as many as float64
        sums exactly if those are fewer (inputs or weights of many bits).
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

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ValueError(f"circuit: {name} = {size}; an array has at least one line")
        if self.fraction_bits is not None and not 0 <= self.fraction_bits <= 40:
            raise ValueError(f"circuit: fraction_bits = {self.fraction_bits}; allowed are 0 to 40")


@dataclass(frozen=True)
class Report:
    """Description of an array, and the record of its converters."""

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

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.shape[0]} x {self.shape[1]} weights on {self.arrays} arrays, grid of 2**-{self.fraction_bits} levels",
            f"effective weights are off by {self.weight_error:.3%} of the largest (r.m.s.)",
            f"the transposed read is off by {self.asymmetry:.3%} from the transpose",
        ]
        for side, u in self.usage.items():
            if u.reads:
                lines.append(
                    f"{side}: {u.reads} reads, codes {u.low} to {u.high} ({u.span:.0%} of {u.codes}), "
                    f"{u.clipped} clipped ({u.share_clipped:.3%}); {self.inputs_clipped[side]} inputs clipped"
                )
        return "\n".join([*lines, *self.complaints])


_Part: TypeAlias = tuple[slice, Slice, list[tuple[np.ndarray | None, np.ndarray]], Callable[[float], OfCells | Even] | None]
"""Part of one direction, for a block of inputs and a slice: tables and matrices of the terms of the current, and the noise."""
_Side: TypeAlias = tuple[str, tuple[int, int], tuple[InputConverter, OutputConverter | None], list[_Part]]
"""One direction: name, shape, converters and parts."""


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
        Seconds since programming, of a device with a law of ageing. Default: just programmed, neither drift nor 1/f noise.
    temperature : float, optional
        Kelvin since programming, of a device with a model of it. Default: that at which the device was measured.
    compensate : str, optional
        Digital drift compensation: ``array`` (one factor) or ``output`` (one for each output).
    turned : float array (outputs, inputs), optional
        In levels: what the transposed read sees beside the transpose.

    Attributes
    ----------
    levels : int32 array (outputs, inputs)
        Nominal weights, in levels.
    effective : float64 array (outputs, inputs)
        What a forward read multiplies with, in levels, before it is put on the grid; of cells that do not obey Ohm's law: the linear term.
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

    def __init__(
        self,
        weights: ArrayLike,
        device: Device = Device(),  # noqa: B008
        circuit: Circuit = Circuit(),  # noqa: B008
        seed: int = 0,
        scale: float | None = None,
        time: float | None = None,
        compensate: str | None = None,
        turned: np.ndarray | None = None,
        temperature: float | None = None,
    ):
        if compensate not in (None, "array", "output"):
            raise ValueError(f"compensate = {compensate!r}; allowed are 'array', 'output', None")
        device.check(time, temperature)
        if device.iv and circuit.wires:
            raise ValueError(
                "wires and a nonlinear I-V curve: the network is no longer one matrix; give a device with iv=None "
                "or a circuit without wires"
            )
        self.device, self.circuit, self.seed, self.time, self.temperature = device, circuit, seed, time, temperature
        self._weights, self._scale, self._compensate, self._turned = weights, scale, compensate, turned
        self.levels, self.step = circuit.mapping.levels(weights, scale)
        self.shape: tuple[int, int] = self.levels.shape
        outputs, inputs = self.shape
        for name, size, length in (("rows", circuit.rows, inputs), ("columns", circuit.columns, outputs)):
            if size is not None and size > length:
                warnings.warn(
                    f"circuit: {name} = {size}, but the layer has {length} {'inputs' if name == 'rows' else 'outputs'}: "
                    f"{size - length} lines of the array are unused; give at most {length}",
                    DeviceWarning,
                    stacklevel=2,
                )
        self._tiles = Tiles.of(self.shape, circuit.rows, circuit.columns, circuit.mapping.kind)
        self.arrays = len(self._tiles.rows) * len(self._tiles.columns)
        self._build()

    # construction

    def _build(self) -> None:
        device, circuit, tiles = self.device, self.circuit, self._tiles
        self._written = written = Written(
            self.levels, device, circuit.mapping, tiles, circuit.wires, self.seed, time=self.time, temperature=self.temperature
        )
        numbers = range(len(written.slices))
        linear = [self._linear(n) for n in numbers]
        if self._turned is not None:
            linear[0] = linear[0][0], linear[0][1] + self._turned
        weighted = [(s.significance * forward, s.significance * back) for s, (forward, back) in zip(written.slices, linear, strict=True)]
        self.effective, self.effective_transposed = (sum(w, np.zeros(())) for w in zip(*weighted, strict=True))
        variances = [written.variances(n) for n in numbers]
        sides: list[_Side] = []
        # each direction: its name, shape, converters, and the (inputs, outputs) matrices of each slice of each block of inputs
        for name, shape, converters, lines, turn in (
            ("forward", self.shape, (circuit.input, circuit.output), tiles.rows, np.transpose),
            ("transposed", self.shape[::-1], (circuit.input_transposed, circuit.output_transposed), tiles.columns, np.asarray),
        ):
            terms = [self._terms(n, linear[n][len(sides)], converters[0].limit) for n in numbers]
            parts = [
                (block, s, [(table, turn(m)[block]) for table, m in t], self._noise(name, n, block, s, v))
                for n, block in enumerate(lines)
                for s, t, v in zip(written.slices, terms, variances, strict=True)
            ]
            sides.append((name, shape, converters, parts))
        if circuit.fraction_bits is not None:
            self.fraction_bits = circuit.fraction_bits
        else:
            whole = not (
                device.changes_cells
                or circuit.wires
                or device.iv
                or self._turned is not None
                or circuit.output
                or circuit.output_transposed
                or any(noise for *_, parts in sides for *_, noise in parts)
            )
            self.fraction_bits = 0 if whole else _most_bits(sides)
        made = []
        for name, shape, converters, parts in sides:
            products = []
            for block, s, matrices, noise in parts:
                p = integers(matrices, block, s.significance, self.fraction_bits, converters[0].slice_limit)
                p.noise = noise(2.0**self.fraction_bits) if noise else None
                products.append(p)
            made.append(
                Direction(name, shape, draws.key(self.seed), converters, products, self.fraction_bits, self.step, circuit.clipped_share)
            )
        self.forward, self.transposed = made
        if self._compensate and (self.time is not None and device.drift or self.temperature is not None):
            self.forward.scale = written.factor(self._compensate)
            self.transposed.scale = written.factor(self._compensate, turned=True, outputs=1)

    def _linear(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Matrices of the forward and the transposed read (outputs, inputs) in levels of slice n, as far as cells follow Ohm's law."""
        if not (self.device.changes_cells or self.circuit.wires):
            digits = self._written.slices[n].digits.astype(np.float64)
            return digits, digits
        forward, turned = (self._written.conductance(n, turned) / self._written.unit(n) for turned in (False, True))
        return forward, turned

    def _terms(self, n: int, linear: np.ndarray, limit: int) -> list[tuple[np.ndarray | None, np.ndarray]]:
        """(table, matrix (outputs, inputs) in levels) of each term of the current of slice n's cells."""
        if self.device.iv is None:
            return [(None, linear)]
        plus, minus = (self.device.iv.terms(g, limit) for g in self._written.cells(n))
        return [
            (table, self._tiles.pairs(np.asarray, p, m) / self._written.unit(n)) for (table, p), (_, m) in zip(plus, minus, strict=True)
        ]

    def _noise(
        self, side: str, number: int, block: slice, s: Slice, variances: list[np.ndarray] | None
    ) -> Callable[[float], OfCells | Even] | None:
        """The read noise of a block of inputs (the `number`-th) and a slice, as a function of the grid's units per level; or None."""
        read, outputs = self.device.read, self.shape[side == "transposed"]
        if isinstance(read, Constant) and read.magnitude:
            return lambda unit: Even(read.magnitude * s.top * unit, outputs)
        if variances is None:
            return None
        plus, minus = variances
        if side == "forward":
            lines = np.concatenate([plus, minus]) if self._tiles.referenced else plus + minus
            groups = self._tiles.columns if self._tiles.referenced else ()
            return lambda unit: OfCells(lines.T[block], unit, groups)
        if self._tiles.referenced:
            return lambda unit: OfCells(plus[block], unit, summed=minus[number])
        return lambda unit: OfCells((plus + minus)[block], unit)

    def _like(self, **changes: Any) -> Array:
        """An array that differs in some arguments; it keeps the output ranges."""
        given: dict[str, Any] = {name: getattr(self, name) for name in ("device", "circuit", "seed", "time", "temperature")}
        given |= {"scale": self._scale, "compensate": self._compensate, "turned": self._turned}
        made = Array(self._weights, **given | changes)
        for old, new in ((self.forward, made.forward), (self.transposed, made.transposed)):
            if new.output is not None and old.level_lsb is not None:
                new.set_lsb(old.level_lsb)
        return made

    # one effect at a time

    def at(self, time: float, compensate: str | None = None, temperature: float | None = None) -> Array:
        """The same cells, `time` seconds after programming, at a temperature (kelvin; default: as they are). Output ranges stay."""
        return self._like(time=time, compensate=compensate or self._compensate, temperature=temperature or self.temperature)

    def without(self, *effects: str) -> Array:
        """The same array with some effects (`ALL_EFFECTS`) switched off. Output ranges stay."""
        self._known(effects)
        circuit = self.circuit
        if "wires" in effects:
            circuit = replace(circuit, wires=None)
        if "converters" in effects:
            circuit = replace(circuit, output=None, output_transposed=None)
        off: dict[str, Any] = {e: None for e in effects if e in EFFECTS}
        device = replace(self.device, **off)
        warm = self.temperature if device.thermal or device.drift and device.drift.activation else None
        return self._like(device=device, circuit=circuit, time=self.time if device.ages else None, temperature=warm)

    @staticmethod
    def _known(effects: tuple[str, ...]) -> None:
        unknown = [e for e in effects if e not in ALL_EFFECTS]
        if unknown:
            raise ValueError(f"effects: {unknown[0]!r}; known are {', '.join(ALL_EFFECTS)}")

    def only(self, *effects: str) -> Array:
        """The same array with no effects but these."""
        self._known(effects)
        return self.without(*(e for e in ALL_EFFECTS if e not in effects))

    def perfect(self) -> Array:
        """The same levels in an ideal array: exact products."""
        return self.only()

    # reading

    @property
    def T(self) -> Direction:  # noqa: N802
        """The transposed read, as a matrix: ``array.T @ e``."""
        return self.transposed

    def __matmul__(self, codes: ArrayLike) -> np.ndarray:
        """Input codes (inputs,) or (inputs, n) to output integers (outputs,) or (outputs, n)."""
        return self.forward @ codes

    def read(self, codes: ArrayLike, vectors: ArrayLike | None = None) -> np.ndarray:
        """Input codes (..., inputs) to output integers (..., outputs): `Direction.read` of the forward direction."""
        return self.forward.read(codes, vectors)

    def encode(self, values: ArrayLike) -> np.ndarray:
        """Input codes of real numbers."""
        return self.forward.encode(values)

    def decode(self, integers: np.ndarray) -> np.ndarray:
        """Real numbers of output integers."""
        return self.forward.decode(integers)

    def __call__(self, values: ArrayLike, vectors: ArrayLike | None = None) -> np.ndarray:
        """Real inputs (..., inputs) to real outputs (..., outputs)."""
        return self.forward(values, vectors)

    def calibrate(
        self, codes: ArrayLike | None = None, transposed: ArrayLike | None = None, clipped_share: float = 0.0, per_array: bool = False
    ) -> Array:
        """Set the output ranges by data: input codes (n, inputs), and codes (n, outputs) for the transposed read. Returns the array.

        See `Direction.calibrate`.
        """
        if codes is not None:
            self.forward.calibrate(codes, clipped_share, per_array)
        if transposed is not None:
            self.transposed.calibrate(transposed, clipped_share, per_array)
        return self

    def effective_noise(self, codes: ArrayLike) -> float:
        """Root mean square difference of reads of these codes to the exact product, relative to the root mean square of that."""
        exact = np.asarray(codes, np.float64) @ self.levels.T * (self.step * self.circuit.input.step)
        return float(np.sqrt(np.mean((self.decode(self.read(codes)) - exact) ** 2) / np.mean(exact**2)))

    def report(self) -> Report:
        """Errors of the weights, and what the converters have done; warns of ranges that clip too much or use too few codes."""
        top = self.circuit.mapping.limit
        sides = {s.name: s for s in (self.forward, self.transposed)}
        complaints = tuple(f"{n} output converter: {c}" for n, s in sides.items() for c in s.usage.complaints(self.circuit.clipped_share))
        for c in complaints:
            warnings.warn(c, DeviceWarning, stacklevel=2)
        return Report(
            self.device.name or "device",
            self.shape,
            self.arrays,
            self.fraction_bits,
            float(np.sqrt(np.mean((self.effective - self.levels) ** 2))) / top,
            wires.asymmetry(self.effective, self.effective_transposed),
            {n: s.usage for n, s in sides.items()},
            {n: s.inputs_clipped for n, s in sides.items()},
            complaints,
        )


def _most_bits(sides: list[_Side]) -> int:
    """Fraction bits: `FINE`, if float64 sums every product exactly with so many."""
    need = 1.0
    for _, _, converters, parts in sides:
        seen = converters[0].slice_limit
        for _, _, terms, _ in parts:
            # rounding to a grid of at least whole levels adds at most half a level a cell
            need = max(need, float(np.max(sum((np.abs(m).sum(axis=0) + len(m) / 2) * largest_input(t, seen) for t, m in terms))))
    return int(np.clip(LARGEST - np.ceil(np.log2(need)), 0, FINE))
