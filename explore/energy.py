"""Energy of a program: models with names, of which one is chosen, or one's own.

`of` looks a model up by name:

``digital``
    Operations of integer arithmetic times published energies per operation: Horowitz, "Computing's energy problem", ISSCC 2014, figure
    1.1.9: a 45 nm process at 0.9 V; 8 and 32 bit integer addition 0.03 and 0.1 pJ, multiplication 0.2 and 3.1 pJ; 64 bits from an 8 kB
    memory 10 pJ. In between, additions are taken as linear in the width and multiplications as a power of it. Nothing is counted for
    clocks, wires, the host or leakage, so this is a floor for an integrated circuit of that process and no estimate of an FPGA.
``converters``
    The same circuit with its weights in analog arrays: one conversion of an output to the accumulator's bits for every sum that is read,
    by `hwcomponents-adc` (the extra ``energy``). That model answers with about the best that published converters of so many effective
    bits reach, and refuses fewer than four bits. Nothing is counted for the cells, their drivers and writes, or the digital rest.
``arrays``
    The reads of a recipe's arrays (`arrays.on`), by what was published of ISAAC (`analog`): cells, drivers and converters.
``package.module:function``
    One's own: a function of a recipe that returns an `Energy`.

All are good for comparing recipes, not for batteries, and no figure goes without the name of its model.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..recipe import Op, Recipe, imported, matrix_geometries, programs
from . import analog

MODEL = "Horowitz, ISSCC 2014, 45 nm, operations and memories only"
"""Name of the model ``digital``."""

MULTIPLY = (0.2, math.log(3.1 / 0.2) / math.log(4))
"""pJ at 8 bits, and the exponent that leads to the 32-bit figure."""

TECHNOLOGY, RATE = 22e-9, 1e6
"""Process (m) of the converters, and their conversions per second."""
LEAST_BITS = 4
"""That the converters' model answers for."""


class Energy(NamedTuple):
    """Energy of a program.

    Attributes
    ----------
    nanojoules : float
    model : str
        Name and version of the model, and where it was left.
    """

    nanojoules: float
    model: str


class ModelMissing(ValueError):
    """An energy model that is not installed; the message says how to get it."""


def of(recipe: Recipe, model: str = "digital") -> Energy:
    """Energy of a training program, or of the inference program of a chip that does not learn.

    Parameters
    ----------
    recipe : Recipe
    model : str
        ``digital``, ``converters``, ``arrays``, or ``package.module:function``.

    Raises
    ------
    ValueError
        An unknown model.
    ModelMissing
        A model that is not installed.
    """
    return find(model)(recipe)


def find(model: str) -> Callable[[Recipe], float]:
    """The function of a model's name; raises as `of`."""
    if model == "converters":
        _version()
    try:
        return imported(model, MODELS)
    except ValueError as error:
        raise ValueError(f"energy: {error}") from None


def identity(model: str) -> str:
    """Identify a model of energy: its name, and the version of what it asks, or the file of one's own."""
    if model == "converters":
        return f"{model} {_version()}"
    if model in MODELS:
        return model
    find(model)
    return f"{model} {hashlib.sha256(Path(sys.modules[model.partition(':')[0]].__file__).read_bytes()).hexdigest()}"


# Digital -----------------------------------------------------------------------------------------------------


def add(bits: int) -> float:
    """An integer addition, pJ."""
    return 0.03 + (0.1 - 0.03) * (bits - 8) / 24 if bits >= 8 else 0.03 * bits / 8


def multiply(a: int, b: int) -> float:
    """An integer multiplication, pJ; of unequal widths as one of their geometric mean."""
    return MULTIPLY[0] * (math.sqrt(a * b) / 8) ** MULTIPLY[1]


def access(bits: int) -> float:
    """Reading or writing so many bits of a memory, pJ."""
    return 10 * bits / 64


def digital(recipe: Recipe) -> Energy:
    """Every operation on every cell: a multiplication, an addition, the weight's memory."""
    geometry = matrix_geometries(recipe)
    total = 0.0
    for i in _instructions(recipe):
        g = geometry[i.step.matrix]
        f = g.recipe.formats
        if i.op in (Op.UPDATE, Op.PROBE):
            each = multiply(g.operand_width, f.state.width) + add(f.weight.width) + 2 * access(f.weight.width)
        else:
            width = getattr(f, recipe.place(i.step)).width
            each = multiply(f.weight.width, width) + add(g.sums(i.step)) + access(f.weight.width)
        total += g.R * g.C * each
    return Energy(total * 1e-3, MODEL)


def _instructions(recipe: Recipe):
    return programs(recipe)[recipe.learns].instructions


# Converters --------------------------------------------------------------------------------------------------


def converters(recipe: Recipe) -> Energy:
    """A conversion for every sum that is read: a row's forward, a column's transposed."""
    geometry, bits = matrix_geometries(recipe), recipe.formats.accumulator.width
    reads = sum(
        geometry[i.step.matrix].D if i.op is Op.TRANSPOSED else geometry[i.step.matrix].R
        for i in _instructions(recipe)
        if i.op in (Op.FORWARD, Op.TRANSPOSED)
    )
    name = f"hwcomponents-adc {_version()}, {TECHNOLOGY * 1e9:g} nm, {RATE * 1e-6:g} MS/s, {bits} effective bits, converters only"
    if bits < LEAST_BITS:
        name += f"; no model below {LEAST_BITS} bits: continued from {LEAST_BITS} and {LEAST_BITS + 1} by their ratio"
    return Energy(reads * conversion(bits) * 1e-3, name)


def conversion(bits: int) -> float:
    """An analog-to-digital conversion of so many effective bits, pJ; below `LEAST_BITS` a continuation, not the model's answer."""
    if bits >= LEAST_BITS:
        return _answer(bits)
    return _answer(LEAST_BITS) * (_answer(LEAST_BITS) / _answer(LEAST_BITS + 1)) ** (LEAST_BITS - bits)


@functools.cache
def _answer(bits: int) -> float:
    _version()
    from hwcomponents_adc import ADC

    return ADC(bits, TECHNOLOGY, RATE).convert().energy * 1e12


def _version() -> str:
    try:
        return importlib.metadata.version("hwcomponents-adc")
    except importlib.metadata.PackageNotFoundError:
        raise ModelMissing(
            "energy model converters: hwcomponents-adc is not installed; install it with `pip install 'crossdyad[energy]'` "
            "(Python 3.12 or newer)"
        ) from None


def arrays(recipe: Recipe) -> Energy:
    """Reads of arrays."""
    found = analog.estimate(recipe)
    return Energy(found.nanojoules, found.model)


MODELS = {"digital": digital, "converters": converters, "arrays": arrays}
"""Name to a function of a recipe that returns an `Energy`."""
