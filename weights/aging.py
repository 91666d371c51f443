"""Trained weights on a device: the integers that such cells hold, some time after they were written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from .. import emulator
from ..emulator import devices
from ..emulator.signals import played
from ..recipe import Recipe, in_memory, mistakes
from ..recipe.seeds import several
from .files import arrays, write_integers


class Aged(NamedTuple):
    """Trained weights on a device.

    Attributes
    ----------
    recipe, device, paper : str
    time : float or None
        Seconds since writing; None: just written.
    temperature : float or None
        Kelvin since writing; None: that at which the device was measured.
    compensate : str
    wires, driver, sense : float
        Ohm.
    seeds : list of int
        Of the cells, one for each chip.
    weight_errors : list of float
        Of each layer: root mean square, over the largest weight.
    at_the_limit : list of int
        Of each layer: weights at the format's limits.
    accuracy_before, accuracy_after : float, list of float or None
        As learned and on the device; None without data, a list for several chips.
    read_noise : float or None
        What the recipe's ``devices.read_noise`` would be; None without data, for several chips, or where reads have no noise.
    left_out : list of str
        Effects of this device that no stored weight can show.
    files : list of str
    """

    recipe: str
    device: str
    paper: str
    time: float | None
    temperature: float | None
    compensate: str
    wires: float
    driver: float
    sense: float
    seeds: list[int]
    weight_errors: list[float]
    at_the_limit: list[int]
    accuracy_before: float | list | None
    accuracy_after: float | list | None
    read_noise: float | None
    left_out: list[str]
    files: list[str]


def age(
    recipe: Recipe,
    weights: Sequence[np.ndarray] | Path,
    dataset: Sequence | None = None,
    *,
    preset: str = "",
    time: float | None = None,
    temperature: float | None = None,
    compensate: str | None = None,
    wires: float | None = None,
    driver: float | None = None,
    sense: float | None = None,
    span: float | None = None,
    seed: int | None = None,
    output: Path = Path("build"),
) -> Aged:
    """Write trained weights to a device, let them get older, and keep the integers that are read.

    Parameters
    ----------
    recipe : Recipe
    weights : list of integer arrays (*batch, R, C), or path
        One for each layer, or the ``NAME-weights.npz`` that training wrote.
    dataset : (x_train, y_train, x_test, y_test), optional
        Whose test samples the chip is judged by.
    preset, temperature, compensate, wires, driver, sense
        Instead of the recipe's ``devices``: a published device; kelvin; array, output or none; ohm.
    time : float, optional
        Seconds since writing; just written by default.
    span : float, optional
        Weight that the largest conductance stands for.
    seed : int, optional
        Of the cells; the recipe's by default.
    output : path
        Folder for the file of integers.

    Returns
    -------
    Aged

    Raises
    ------
    ValueError
        If there is no device, no law for its age, or the weights are of another recipe.
    """
    given = {"preset": preset, "temperature": temperature, "compensate": compensate, "wires": wires, "driver": driver, "sense": sense}
    recipe = _placed(recipe, given)
    device, warm = devices.device_of(recipe.devices), recipe.devices.temperature or None
    if time is not None:
        if not device.ages:
            raise ValueError(
                f"time: {time:g}, but {device.name} has no law of ageing; leave it out, or name a preset that has one, "
                f"{', '.join(name for name, d in devices.PRESETS.items() if d.ages)}"
            )
        device.check(time, warm)
    learned = _read(recipe, weights) if isinstance(weights, Path) else list(weights)
    batch = learned[0].shape[:-2]
    first = recipe.seed if seed is None else seed
    seeds = np.array(several(first, int(np.prod(batch))), dtype=object).reshape(batch)
    chip = emulator.Chip(recipe.as_built, "jax", batch, seeds)
    chip.weights = learned  # all checks are there
    aged = devices.programmed(recipe, learned, time=time, seeds=seeds, span=span, temperature=warm)

    ranges = [np.abs(w).max((-2, -1), keepdims=True) for w in learned]
    ends = [(g.recipe.formats.weight.min, g.recipe.formats.weight.max) for g in in_memory(recipe)]
    accuracies: list = [None, None]
    noise = None
    if dataset is not None:
        x, y = dataset[2:]
        for n, w in enumerate((learned, aged)):
            chip.weights = w
            accuracies[n] = emulator.training.accuracy(chip, x, y).tolist()
        if device.read and not batch:
            noise = _read_noise(recipe, device, learned, x, y)
    wired = devices.wires_of(recipe)
    left_out = [
        words
        for words, there in (
            ("errors that only transposed reads see", wired and not wired.reciprocal),
            ("the curvature of the cells' current", device.iv),
        )
        if there
    ]
    path = write_integers(output / f"{recipe.name}-{device.name}-weights.npz", recipe, aged)
    d = recipe.devices
    return Aged(
        recipe.name,
        device.name,
        device.paper,
        time,
        warm,
        d.compensate,
        d.wires,
        d.driver,
        d.sense,
        seeds.ravel().tolist(),
        [float(np.sqrt(np.mean(((b - a) / np.maximum(r, 1)) ** 2))) for a, b, r in zip(learned, aged, ranges, strict=True)],
        [int(np.isin(w, end).sum()) for end, w in zip(ends, aged, strict=True)],
        *accuracies,
        noise,
        left_out,
        [str(path)],
    )


def _placed(recipe: Recipe, given: dict) -> Recipe:
    """Return the recipe on the device that was asked for, or on its own."""
    told = recipe.devices.model_dump() | {k: v for k, v in given.items() if v not in (None, "")} | {"age": 0.0}  # `time` is the age
    if given["preset"] and given["preset"] != recipe.devices.preset:  # what is said of the recipe's own device goes with it
        told |= {"measured": (), "cell": {}, "activation_energy": 0.0, "temperature_coefficient": 0.0}
    if not told["preset"] and not recipe.devices.named:
        raise ValueError(f"preset: missing, and {recipe.name} names no device; known are {', '.join(devices.PRESETS)}")
    if told["preset"]:
        devices.preset(told["preset"])  # the check of the name
    pulses = {} if recipe.pulses.law == "measured" else recipe.pulses.model_dump()  # nothing learns any more
    try:
        return Recipe.model_validate(recipe.model_dump() | {"devices": told, "pulses": pulses})
    except ValidationError as error:
        raise ValueError("; ".join(mistakes(error, recipe.name, Recipe))) from None


def _read(recipe: Recipe, path: Path) -> list[np.ndarray]:
    """Return the weights of every layer, (*batch, R, C)."""
    found = arrays(path)
    missing = [k for k in range(recipe.layers) if f"weights{k}" not in found]
    if missing:
        raise ValueError(f"{path}: has no weights{missing[0]}; give the weights of {recipe.name}, which has {recipe.layers} layers")
    return [found[f"weights{k}"] for k in range(recipe.layers)]


def _read_noise(recipe: Recipe, device: devices.Device, weights: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    """Return what the recipe's read noise should be, over test samples."""
    f = recipe.formats
    if recipe.learns and not recipe.signed:
        stores = played(recipe.as_built, weights, x, y)[0].stores
        inputs, weights = [f.state.decode(stores[f"input{k}"]) for k in range(recipe.layers)], weights[: recipe.layers]
    else:
        inputs, weights = [x], weights[:1]
    real = [q.decode(w) for q, w in zip(recipe.weight_formats, weights, strict=False)]
    return devices.read_noise(device, real, inputs, [devices.mapping_of(recipe.of_layer(k)) for k in range(len(real))])
