"""A chip's weights on devices: written to cells, left alone for a while, and read back as the integers of a chip.

Weights lie in cells and on arrays as the recipe's `arrays` says; by default a weight is a pair of cells, one for its positive and one for
its negative part, and the other cell of the pair is at the device's least conductance. What lies between writing and reading (programming
noise, spread, stuck cells, drift, 1/f noise, wires) makes another weight of it, and that weight's integer is loaded into the chip: so the
chip, and with it the FPGA, computes with those cells. What is fresh in every read is no integer: for read noise see `read_noise`;
nonlinear curves have only their linear term here.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...recipe import Arrays, Cell, Devices, Recipe, in_memory
from .. import crossbar, rng
from .converters import CLIPPED_SHARE, DeviceWarning
from .device import Device
from .drift import PowerLaw
from .iv import Measured
from .mapping import Mapping
from .noise import Constant, Generic, Table
from .presets import preset
from .spread import Spread, Stuck
from .thermal import Linear
from .tiles import Tiles
from .wires import Wires
from .written import Written

LINES = Arrays.model_fields["lines"].default
EFFECTS = {
    "states": "levels of cells",
    "programming": "programming noise",
    "spread": "spread of cells",
    "stuck": "stuck cells",
    "drift": "drift",
    "flicker": "1/f noise",
    "thermal": "temperature",
}
"""Effects of a device on stored weights, by its field."""


def device_of(devices: Devices) -> Device | None:
    """The cells that a recipe names, gives a measured table of, or describes by a few numbers; None where weights are plain memory."""
    if not devices.named:
        return None
    if devices.preset:
        device = preset(devices.preset)
    elif devices.measured:
        conductance, deviation = zip(*devices.measured, strict=True)
        device = Device(g_max=conductance[-1], g_min=conductance[0], programming=Table(conductance, deviation), name="measured")
    elif devices.cell.conductance:
        device = measured(devices.cell)
    else:
        device = Device(name="generic")
    given: dict[str, Any] = {}
    if devices.programming:
        given["programming"] = Generic(devices.programming)
    if devices.spread or devices.noise_spread:
        given["spread"] = Spread(devices.spread, noise=devices.noise_spread)
    if devices.stuck_low or devices.stuck_high:
        given["stuck"] = Stuck(devices.stuck_low, devices.stuck_high)
    if devices.activation_energy and device.drift:
        given["drift"] = replace(device.drift, activation=devices.activation_energy, reference=devices.reference_temperature)
    if devices.temperature_coefficient:
        given["thermal"] = Linear(
            functools.partial(np.full_like, fill_value=devices.temperature_coefficient), devices.reference_temperature
        )
    elif device.thermal:
        given["thermal"] = replace(device.thermal, reference=devices.reference_temperature)
    return replace(device, **given) if given else device


def measured(cell: Cell) -> Device:
    """A device as it was measured, linear between the conductances; at room temperature."""
    g, most = cell.conductance, cell.conductance[-1]

    def table(deviation: tuple[float, ...]) -> Table | None:
        return Table(g, deviation) if any(deviation) else None

    def by_share(column: tuple[float, ...]) -> Callable[[np.ndarray], Any]:
        return functools.partial(np.interp, xp=np.divide(g, most), fp=column or (0.0,) * len(g))

    drift = PowerLaw(by_share(cell.drift), by_share(cell.drift_spread), cell.drift_start) if cell.drift else None
    iv = Measured(cell.volts, cell.bent, cell.largest_voltage) if cell.volts else None
    thermal = Linear(by_share(cell.temperature_coefficient)) if any(cell.temperature_coefficient) else None
    written, read, states = table(cell.programming), table(cell.read), cell.states or None
    return Device(most, g[0], written, read, drift, thermal=thermal, iv=iv, states=states, name="measured")


def mapping_of(recipe: Recipe) -> Mapping:
    """Return how the recipe's weights lie in cells."""
    return Mapping(recipe.cell_width, recipe.arrays.mapping, recipe.arrays.cell_bits or None)


def wires_of(recipe: Recipe) -> Wires | None:
    """The resistances around the recipe's cells; None where there are none."""
    d = recipe.devices
    return Wires(*d.segments, recipe.arrays.sensing, d.driver, d.sense, d.leakage) if any(d.segments) or d.driver or d.sense else None


def layout_of(recipe: Recipe) -> dict[str, Any]:
    """Return how the recipe's weights lie in cells and on arrays, as `stored` takes it."""
    return {"mapping": mapping_of(recipe), "lines": recipe.arrays.lines}


def alone(device: Device) -> dict[str, Device]:
    """Map each of a device's effects on stored weights (`EFFECTS`) to the device that has it alone, and ``ideal`` to one without any."""
    none: dict[str, Any] = dict.fromkeys(EFFECTS)
    ideal = replace(device, **none)
    own = {label: replace(ideal, **{field: getattr(device, field)}) for field, label in EFFECTS.items() if getattr(device, field)}
    return {"ideal": ideal} | own


def stored(
    weights: ArrayLike,
    device: Device,
    seed: int,
    layer: int,
    write: int = 0,
    time: float | None = None,
    compensate: str = "none",
    wires: Wires | None = None,
    span: float | None = None,
    turned: bool = False,
    mapping: Mapping = Mapping(12),  # noqa: B008
    lines: int = LINES,
    temperature: float | None = None,
) -> np.ndarray:
    """Return what is read of real weights that have been written to cells.

    Parameters
    ----------
    weights : float array (outputs, inputs)
        In any unit.
    device : Device
    seed : int
    layer : int
        Which cells of the chip: those of a layer keep their spread and their stuck cells for good.
    write : int
        How often they have been written before: each time has errors of its own.
    time : float, optional
        Seconds since then. Default: just written, neither drift nor 1/f noise.
    compensate : str
        Digital factor against the mean drift: ``none``, ``array`` (one of each layer), ``output`` (one of each output).
    wires : Wires, optional
        Of the arrays.
    span : float, optional
        The weight that the whole range of conductances stands for. Default: the largest one.
    turned : bool
        What the transposed read sees, in place of the forward one.
    mapping : Mapping
        Weights to cells. Where a weight takes several, it is rounded to the mapping's levels.
    lines : int
        Inputs and outputs of one array, at most; a larger layer is spread over several.
    temperature : float, optional
        Kelvin since they were written. Default: that at which the device was measured.

    Returns
    -------
    float64 array (outputs, inputs)
        In the unit of the weights: what an `Array` of the same levels reads with, as both are of one `Written`.
    """
    weights = np.asarray(weights, np.float64)
    largest = float(np.max(np.abs(weights)))
    if span is None:
        span = largest or 1.0
    if not span > 0:
        raise ValueError(f"range: {span:g}; the weight that the largest conductance stands for must be positive")
    if largest > span:
        raise ValueError(
            f"layer {layer}: a weight of {largest:g} is more than {span:g}, which the device's range of {device.g_min:g} to "
            f"{device.g_max:g} uS stands for; give a range of at least {largest:g}"
        )
    tiles = Tiles.of(weights.shape, lines, lines, mapping.kind)
    cells = Written(_levels(weights, span, mapping), device, mapping, tiles, wires, seed, layer, write, time, temperature)
    now, factor = cells.weight(turned), np.asarray(cells.factor(compensate, turned))
    return now * factor[..., None] * (span / mapping.limit / (device.g_max - device.g_min))


def _levels(weights: np.ndarray, span: float, mapping: Mapping) -> np.ndarray:
    """Levels of real weights: any where one cell takes all bits of a weight, else whole numbers, whose digits the cells hold."""
    levels = weights / span * mapping.limit
    return np.rint(levels).astype(np.int64) if mapping.sliced else levels


def programmed(
    recipe: Recipe,
    weights: Sequence[np.ndarray],
    write: int = 0,
    time: float | None = None,
    seeds: ArrayLike | None = None,
    device: Device | None = None,
    span: float | None = None,
    temperature: float | None = None,
) -> list[np.ndarray]:
    """The integers that a chip's weights become on the recipe's devices (contract section 11).

    Parameters
    ----------
    recipe : Recipe
        Its `devices` say which cells, with which wires and compensation.
    weights : list of int32 arrays (*batch, R, C)
    write : int
        How often the cells have been written before.
    time : float, optional
        Seconds since then. Default: just written, neither drift nor 1/f noise.
    seeds : array_like of int (*batch), optional
        One for each chip; the recipe's by default.
    device : Device, optional
        Instead of the recipe's: a device of your own.
    span : float, optional
        The weight (real value) that the whole range of conductances stands for. Default: each layer's largest.
    temperature : float, optional
        Kelvin since they were written. Default: that at which the device was measured.

    Returns
    -------
    list of int32 arrays (*batch, R, C)
        The nearest integers, limited to what the chip accepts; warns where more than one weight in a hundred was limited. Weights of
        the recipe's stuck cells are as they were, as nothing changes these.
    """
    device, d = device or device_of(recipe.devices), recipe.devices
    if device is None:
        return [np.asarray(w) for w in weights]
    batch = np.shape(weights[0])[:-2]
    seeds = np.broadcast_to(np.asarray(recipe.seed if seeds is None else seeds, dtype=object), batch)
    wires, made = wires_of(recipe), []
    for n, (g, w) in enumerate(zip(in_memory(recipe), weights, strict=True)):
        f, guard, layout = g.recipe.formats.weight, g.recipe.guard, layout_of(g.recipe) | {"temperature": temperature}
        w = np.asarray(w)
        real = np.empty(w.shape)
        for chip in np.ndindex(batch):
            real[chip] = stored(w[chip] * f.step, device, int(seeds[chip]), n, write, time, d.compensate, wires, span, **layout)
        rounded = np.floor(real / f.step + 0.5)
        now = np.clip(rounded, f.min + guard, f.max - guard)
        if (share := np.mean(now != rounded)) > CLIPPED_SHARE:
            warnings.warn(
                f"layer {g.layer}: {np.count_nonzero(now != rounded)} of {w.size} weights ({share:.2%}) leave the weight "
                f"format {f} on their devices and are limited; widen the format",
                DeviceWarning,
                stacklevel=2,
            )
        held = crossbar.stuck(g, rng.keys(seeds.astype(np.uint64)), w)
        made.append(np.where(False if held is None else held[..., : g.C], w, now).astype(np.int32))
    return made


def asymmetry(
    recipe: Recipe,
    weights: Sequence[np.ndarray],
    write: int = 0,
    time: float | None = None,
    seeds: ArrayLike | None = None,
    device: Device | None = None,
    temperature: float | None = None,
) -> list[np.ndarray] | None:
    """Return the weight errors that only transposed reads see: of drivers unlike sense circuits, or the other ends of resistive wires.

    Parameters are those of `programmed`, with the weights before they are written.

    Returns
    -------
    list of float64 arrays (*batch, R, C)
        Real weights; or None where both reads are alike.
    """
    device, d = device or device_of(recipe.devices), recipe.devices
    wires = wires_of(recipe)
    if device is None or wires is None or wires.reciprocal:
        return None
    batch = np.shape(weights[0])[:-2]
    seeds = np.broadcast_to(np.asarray(recipe.seed if seeds is None else seeds, dtype=object), batch)
    made = [np.empty(np.shape(w)) for w in weights]
    for k, (g, w) in enumerate(zip(in_memory(recipe), weights, strict=False)):
        f, layout = g.recipe.formats.weight, layout_of(g.recipe) | {"temperature": temperature}
        for chip in np.ndindex(batch):
            here, there = (
                stored(np.asarray(w)[chip] * f.step, device, int(seeds[chip]), k, write, time, d.compensate, wires, turned=t, **layout)
                for t in (False, True)
            )
            made[k][chip] = there - here
    return made


def read_noise(
    device: Device,
    weights: Sequence[np.ndarray],
    inputs: Sequence[np.ndarray],
    mapping: Mapping | Sequence[Mapping] = Mapping(12),  # noqa: B008
) -> float:
    """A recipe's `devices.read_noise` for this device: the root mean square, over outputs and vectors, of its noise on a sum.

    The chip adds noise of one size to every sum, whatever is read; a device's noise grows with what is read. So their variances are
    equal on average over the given data only.

    Parameters
    ----------
    device : Device
    weights : list of float arrays (outputs, inputs)
        Real weights of each layer; the whole range of conductances stands for a layer's largest.
    inputs : list of float arrays (n, inputs)
        Real inputs of each layer, applied at once.
    mapping : Mapping, or list of Mapping
        Weights to cells, of all layers or of each.

    Returns
    -------
    float
        In units of the sums of weights times inputs; 0 where the device has no read noise.
    """
    mappings = [mapping] * len(weights) if isinstance(mapping, Mapping) else mapping
    variances = [
        np.square(x, dtype=np.float64) @ _variance(device, np.asarray(w), m).T for w, x, m in zip(weights, inputs, mappings, strict=True)
    ]
    return float(np.sqrt(np.mean(np.concatenate([v.ravel() for v in variances]))))


def _variance(device: Device, weights: np.ndarray, mapping: Mapping) -> np.ndarray:
    """Return the variance of a read of each weight (outputs, inputs), per square of its input; of a reference line, for each output."""
    span, variance = float(np.max(np.abs(weights))) or 1.0, np.zeros(weights.shape)
    none: dict[str, Any] = dict.fromkeys(EFFECTS.keys() - {"states"})
    alike = replace(device, **none)
    cells = Written(_levels(weights, span, mapping), alike, mapping, Tiles.of(weights.shape, None, None, mapping.kind))
    for n, s in enumerate(cells.slices):
        if isinstance(device.read, Constant):
            one: float | np.ndarray = (device.read.magnitude * s.top) ** 2
        else:
            one = sum(cells.variances(n) or (), np.zeros(()))
        variance += (s.significance * span / mapping.limit) ** 2 * one
    return variance
