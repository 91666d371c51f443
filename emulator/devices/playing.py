"""The chip's programs on analog arrays: every product is a read of an array (the recipe's `arrays`), and updates may be pulses (`pulses`).

A layer's arrays hold its weights as the chip has them, as levels of cells; what writing, age and wires made of them is in the integers
already (`programming`). What no integer can hold happens here: converters, read noise that depends on what is read, curved currents,
a transposed read through the other ends of the wires, and pulses to cells that are not alike. With none of these the chip's bits come out.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from collections.abc import Mapping as StateOf
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ...recipe import LONGEST_TRAIN, Geometry, Op, Operation, Recipe, geometries, program_memory
from ...recipe.seeds import LAYER, derived
from .. import crossbar, sequencer
from ..arrays import Integers, State
from ..chip import Chip
from ..machine import COUNTERS, Machine, run, train
from ..rng import Pair
from . import draws
from .array import Array, Circuit
from .converters import DeviceWarning, InputConverter, OutputConverter, Usage
from .device import Device
from .direction import Direction
from .laws import ConstantStep, ExponentialStep, Law, LinearStep, MeasuredStep, PowerStep, SoftBounds
from .programming import mapping_of
from .writing import Cells, PulsedDevice, send

COUNTS = 0xBA
"""Stream of the generator (`draws`): rounding of counts of pulses; step is the chip's, index the cell, the key of the layer's own seed."""
LAWS: dict[str, Law] = {"constant": ConstantStep(), "soft-bounds": SoftBounds(), "exponential": ExponentialStep(), "power": PowerStep()}
CALIBRATED = 1e-3
"""Share of the reads that calibration lets clip."""


def reading(device: Device) -> Device:
    """The part of a device that is in every read."""
    return Device(device.g_max, device.g_min, read=device.read, iv=device.iv, name=device.name)


class Layer:
    """The arrays of one layer of one chip."""

    def __init__(self, recipe: Recipe, layer: int, device: Device, seed: int):
        self.g = geometries(recipe)[layer]
        recipe = self.g.recipe
        a, f = recipe.arrays, recipe.formats
        self.device, self.seed = reading(device), derived(seed, LAYER, layer)
        self.turned: np.ndarray | None = None  # of the transposed read, in weight LSBs
        self.level_lsb: dict[Op, list[float]] = {}
        self.usage = {Op.FORWARD: Usage(), Op.TRANSPOSED: Usage()}
        self._weights: np.ndarray | None = None
        self._array: Array | None = None
        self._drop = {Op.FORWARD: f.state.width - recipe.input_width("state"), Op.TRANSPOSED: f.delta.width - recipe.input_width("delta")}
        self._shift, self._limit = f.weight.width - recipe.cell_width, (1 << recipe.cell_width - 1) - 1

        def converter(place: str) -> InputConverter:
            bits = recipe.input_width(place)
            return InputConverter(bits, float((1 << bits - 1) - 1), a.input_slice or None)

        output = OutputConverter(a.output_bits, gain_spread=a.gain_spread, offset_spread=a.offset_spread) if a.output_bits else None
        self._circuit = Circuit(
            a.lines if self.g.C > a.lines else None,
            a.lines if self.g.R > a.lines else None,
            mapping_of(recipe),
            None,
            converter("state"),
            output,
            converter("delta"),
            output,
            clipped_share=1.0,
        )

    def array(self, weights: np.ndarray) -> Array:
        """Return the array for weights (R, F * L), the last of which are kept."""
        array = self._array
        if array is None or weights is not self._weights:
            self._count()
            levels = np.clip(np.rint(weights[:, : self.g.C] * 2.0**-self._shift), -self._limit, self._limit)
            turned = None if self.turned is None else self.turned * 2.0**-self._shift
            self._array = array = Array(levels, self.device, self._circuit, self.seed, float(self._limit), turned=turned)
            for op, lsb in self.level_lsb.items():
                _side(array, op).set_lsb(lsb)
            self._weights = weights
        return array

    def _count(self) -> None:
        if self._array is not None:
            for op in self.usage:
                side = _side(self._array, op)
                self.usage[op] += side.usage
                side.usage = Usage()

    def codes(self, op: Op, vectors: np.ndarray) -> np.ndarray:
        """Input codes of states or errors."""
        drop, limit = self._drop[op], (self._circuit.input_transposed if op == Op.TRANSPOSED else self._circuit.input).limit
        vectors = vectors[..., : self.g.R if op == Op.TRANSPOSED else self.g.C]
        return np.clip(np.rint(vectors * 2.0**-drop), -limit, limit).astype(np.int16)

    def read(self, op: Op, weights: np.ndarray, vectors: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Sums of n vectors as the crossbar makes them, int64 (n, R or C)."""
        side = _side(self.array(weights), op)
        if side.output is not None and op not in self.level_lsb:
            raise ValueError("arrays: the output ranges are not set; call chip.calibrate with training samples")
        return np.rint(side.read(self.codes(op, vectors), numbers) * (side.unit * 2.0 ** (self._shift + self._drop[op]))).astype(np.int64)

    def calibrate(self, op: Op, weights: np.ndarray, vectors: np.ndarray) -> None:
        """Set the output range of one direction by vectors (n, R or C)."""
        side = _side(self.array(weights), op)
        if side.output is not None:
            side.calibrate(self.codes(op, vectors), CALIBRATED, per_array=True)
            self.level_lsb[op] = side.level_lsb or []

    def complaints(self, share: float) -> list[str]:
        """Tell what is wrong with the output ranges since the last call."""
        self._count()
        told = [
            f"layer {self.g.layer}, {op.name.lower()}: {u.complaints(share)[0]}"
            for op, u in self.usage.items()
            if u.reads >= 1024 and u.share_clipped > share
        ]
        self.usage = dict.fromkeys(self.usage, Usage())
        return told


def _side(array: Array, op: Op) -> Direction:
    return array.transposed if op == Op.TRANSPOSED else array.forward


class Chosen(NamedTuple):
    """Choices of a machine on arrays, beside the chip's state."""

    layers: list[Layer]
    cells: list[Cells]


class ArrayMachine(Machine):
    """The chip's machine, whose products and updates are those of arrays."""

    def __init__(self, chosen: Chosen, *arguments: Any):
        super().__init__(*arguments)
        self.chosen, self.operations = chosen, len(program_memory(self.recipe)[0])

    def product(self, g: Geometry, pc: int, step: Operation, vectors: Integers) -> Integers:
        """See `Machine.product`. The noise of a read depends on the number of the program and its place in it."""
        if not self.recipe.arrays.on:
            return super().product(g, pc, step, vectors)
        with np.errstate(over="ignore"):
            numbers = (self.state["run"] + np.arange(vectors.shape[-2], dtype=np.uint32)) * np.uint32(self.operations) + np.uint32(pc)
        return self.chosen.layers[g.layer].read(step.op, np.asarray(self.weights[step.matrix]), np.asarray(vectors), numbers)

    def change(self, g: Geometry, step: Operation, e: Integers, b: Integers, pairs: Pair | None) -> Integers:
        """See `Machine.change`: counts of pulses are rounded at random. Probes are the chip's, as they must be taken back exactly."""
        if step.op == Op.PROBE or not self.chosen.cells:
            return super().change(g, step, e, b, pairs)
        k, name, f, recipe = g.layer, step.matrix, g.recipe.formats.weight, g.recipe
        w, number = np.asarray(self.weights[name]), self.state["step"]
        wanted = (e[:, None] * np.asarray(b, np.float64))[:, : g.C] * (2.0**-recipe.update_shift * f.step / recipe.pulse)
        counts = np.floor(wanted + draws.uniform(draws.key(self.chosen.layers[k].seed), COUNTS, int(number), (g.R, g.C)))
        made = send(self.chosen.cells[k], w[:, : g.C] * f.step, np.clip(counts, -LONGEST_TRAIN, LONGEST_TRAIN), sample=int(number))
        made = np.clip(np.rint(made / f.step), f.min + recipe.guard, f.max - recipe.guard).astype(np.int32)
        held = crossbar.stuck(g, self.state["key"], w)
        padded = np.asarray(crossbar.pad(g, made))
        self.weights[name] = padded if held is None else np.where(held, w, padded)
        self.peak[name] = np.max(np.abs(self.weights[name])).astype(np.int64)
        return np.zeros((), np.uint32)


class _Recorder(Machine):
    """The chip's machine; remembers what is read."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.vectors: dict[tuple[int, Op], list[Integers]] = {}

    def product(self, g: Geometry, pc: int, step: Operation, vectors: Integers) -> Integers:
        self.vectors.setdefault((g.layer, step.op), []).append(vectors)
        return super().product(g, pc, step, vectors)


class _Engine:
    """Each chip in turn, each sample in turn, in NumPy."""

    def __init__(self, recipe: Recipe, seeds: np.ndarray, device: Device):
        self.chosen = [
            Chosen(
                [Layer(recipe, k, device, int(s)) for k in range(recipe.layers)],
                [_cells(g.recipe, g, int(s)) for g in geometries(recipe)] if recipe.pulses.emulated else [],
            )
            for s in seeds
        ]

    def put(self, state: Any) -> Any:
        return state

    def get(self, array: Any) -> np.ndarray:
        return np.asarray(array)

    def machine(self, chip: int) -> Callable[..., ArrayMachine]:
        """Make the machine of a chip, by its number."""
        return functools.partial(ArrayMachine, self.chosen[chip])

    def infer(self, recipe: Recipe, state: State, x: np.ndarray) -> tuple[Any, ...]:
        program = sequencer.instructions(recipe, False)
        return _each(state, lambda n, s, i: run(recipe, program, s, x[i], None, machine=self.machine(n)))

    def train(self, recipe: Recipe, state: State, x: np.ndarray, label: np.ndarray) -> tuple[Any, ...]:
        program = sequencer.instructions(recipe, True)

        def one(chip: int, state: State, i: tuple[int, ...]) -> tuple[Any, ...]:
            outputs, losses = [], []
            for n in range(x.shape[-2]):
                state, out = train(recipe, program, state, x[i][n : n + 1], label[i][n : n + 1], machine=self.machine(chip))
                outputs.append(out[0])
                losses.append(state["loss"])
            return state, np.stack(outputs), np.stack(losses)

        return _each(state, one)


def _each(state: State, function: Callable[[int, State, tuple[int, ...]], tuple[Any, ...]]) -> tuple[Any, ...]:
    """``function(number, state, index)`` of every chip, and the results as one."""
    batch, own = state["rate"].shape, ("rate", "loss", *COUNTERS)
    made = []
    for n, i in enumerate(np.ndindex(batch)):
        alone: State = {name: np.asarray(state[name][i]) for name in own}
        alone |= {name: tuple(v[i] for v in state[name]) for name in ("weights", "key")}
        made.append(function(n, state | alone, i))
    states, *results = zip(*made, strict=True)

    def joined(arrays: Sequence[ArrayLike]) -> np.ndarray:
        return np.stack([np.asarray(a) for a in arrays]).reshape((*batch, *np.shape(arrays[0])))

    whole = states[0] | {name: joined([s[name] for s in states]) for name in own}
    whole |= {name: tuple(map(joined, zip(*(s[name] for s in states), strict=True))) for name in ("weights", "key")}
    whole["peak"] = tuple(np.max(p) for p in zip(*(s["peak"] for s in states), strict=True))
    return whole, *map(joined, results)


def _law(recipe: Recipe) -> Law:
    p = recipe.pulses
    if p.law == "linear":
        return LinearStep(p.slope, p.slope)
    if p.law != "measured":
        return LAWS[p.law]
    cell = recipe.devices.cell
    g = np.array(cell.conductance)
    unit = cell.pulse * (g[-1] - g[0])
    return MeasuredStep(*(tuple(np.divide(v, by)) for v, by in ((g - g[0], g[-1] - g[0]), (cell.up, unit), (cell.down, unit))))


def _cells(recipe: Recipe, g: Geometry, seed: int) -> Cells:
    p, f = recipe.pulses, recipe.formats.weight
    device = PulsedDevice(_law(recipe), recipe.pulse, f.low, f.high, p.step_spread, bound_spread=p.bound_spread, noise=p.noise)
    return device.cells((g.R, g.C), derived(seed, LAYER, g.layer), np.float64)


class ArrayChip(Chip):
    """A chip whose crossbars are analog arrays, as the recipe's `arrays` and `pulses` say. With ideal ones: the same bits as `Chip`.

    Parameters
    ----------
    recipe : Recipe
    batch, seeds
        As `Chip`'s.
    device : Device, optional
        Whose read noise and current curve reads have; ideal cells by default.
    """

    def __init__(self, recipe: Recipe, batch: tuple[int, ...] = (), seeds: ArrayLike | None = None, device: Device | None = None):
        super().__init__(recipe, "numpy", batch, seeds)
        self._device = device or Device()
        self._turned: list[np.ndarray] | None = None
        self._engine: _Engine = _Engine(recipe, np.ravel(self.seeds), self._device)

    def restore(self, state: StateOf[str, Any]) -> None:
        """Go on from a `state()`, with the cells of its seeds; output ranges are no part of it: calibrate anew if the seeds are others."""
        before = np.ravel(self.seeds).tolist()
        super().restore(state)
        if np.ravel(self.seeds).tolist() != before:
            self._engine = _Engine(self.recipe, np.ravel(self.seeds), self._device)
            self.turned = self._turned

    @property
    def turned(self) -> list[np.ndarray] | None:
        """Weight errors that only transposed reads see: None, or real weights (*batch, R, C) of every layer; assign to set."""
        return self._turned

    @turned.setter
    def turned(self, weights: Sequence[ArrayLike] | None) -> None:
        self._turned = turned = None if weights is None else [np.asarray(w) for w in weights]
        for n, i in enumerate(np.ndindex(self.batch)):
            for k, layer in enumerate(self._engine.chosen[n].layers):
                layer.turned, layer._weights = None if turned is None else turned[k][i] / layer.g.recipe.formats.weight.step, None

    def machine(self, chip: int = 0) -> Callable[..., ArrayMachine]:
        """Make the machine of a chip, by its number."""
        return self._engine.machine(chip)

    def calibrate(self, x: ArrayLike, y: ArrayLike) -> None:
        """Set the ranges of all output converters by training samples, with the weights as they are. Does nothing without converters."""
        if not self.recipe.arrays.output_bits:
            return
        samples = self._samples(x)
        labels, trains = self._labels(y, samples.shape[-2]), self.recipe.learns

        def one(chip: int, state: State, i: tuple[int, ...]) -> tuple[Any, ...]:
            machine = _Recorder(self.recipe, state, samples[i], labels[i] if trains else None)
            for pc, instruction in sequencer.instructions(self.recipe, trains):
                if instruction.step.reads:
                    machine.play(pc, instruction.step)
            for (k, op), vectors in machine.vectors.items():
                self._engine.chosen[chip].layers[k].calibrate(op, state["weights"][k], np.concatenate(vectors))
            return state, np.zeros(0)

        _each(self._state, one)

    def watch(self, share: float = 0.01) -> None:
        """Warn, with counts, where more than a share of the reads since the last time clipped."""
        for chosen in self._engine.chosen:
            for layer in chosen.layers:
                for complaint in layer.complaints(share):
                    warnings.warn(f"{self.recipe.name}: {complaint}", DeviceWarning, stacklevel=2)
