"""Energy, area and latency of reads from analog arrays: counts of a recipe's own, times a published bill of components.

The components are those of one in-situ multiply unit of ISAAC: A. Shafiee et al., "ISAAC: a convolutional neural network accelerator
with in-situ analog arithmetic in crossbars", ISCA 2016, doi:10.1109/ISCA.2016.12, 32 nm: a cycle of 100 ns reads 8 arrays of 128 x 128
cells, driven by 8 x 128 one-bit drivers and converted by 8 converters of 8 bits, which take 1.28e9 samples a second each.

What the publication does not say is not invented: writing, drift compensation, neurons, buses, memories and control are not counted;
drivers of more than one bit are counted as of one, which the model's name then says. Converters of other widths follow Walden's law, twice
the energy and area for every bit ("Analog-to-digital converter survey and analysis", IEEE JSAC 17:4, 1999).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..recipe import Op, Recipe, geometries, matrix_geometries, programs

MODEL = "ISAAC's arrays, drivers and converters (Shafiee et al., ISCA 2016, 32 nm), reads only"
CYCLE = 100e-9
"""Seconds of a read, at least."""
CONVERTERS, BITS, SAMPLES = 8, 8, 1.28e9
"""Converters of a unit; bits of each; conversions per second of each."""
ARRAYS, LINES = 8, 128
POWER = {
    "converter": 16e-3 / (CONVERTERS * SAMPLES),
    "driver": 4e-3 * CYCLE / (ARRAYS * LINES),
    "hold": 10e-6 * CYCLE / (ARRAYS * LINES),
    "cell": 2.4e-3 * CYCLE / (ARRAYS * LINES**2),
    "shift and add": 0.2e-3 * CYCLE / (ARRAYS * LINES),
}
"""Component to its energy each time it is used, joule: watts of the unit over what it does in a second."""
AREA = {
    "converter": 0.0096 / CONVERTERS,
    "driver": 0.00017 / (ARRAYS * LINES),
    "hold": 0.00004 / (ARRAYS * LINES),
    "cell": 0.0002 / (ARRAYS * LINES**2),
    "shift and add": 0.00024 / (ARRAYS * LINES),
}
"""Component to its area, square millimetres."""


class Counts(NamedTuple):
    """Components of a layer's arrays, or their uses in one read of them.

    Attributes
    ----------
    cells, drivers, conversions : int
    """

    cells: int
    drivers: int
    conversions: int


class Estimate(NamedTuple):
    """Area, energy and latency of a recipe's arrays.

    Attributes
    ----------
    nanojoules : float
        Of the reads of a training program, or of the inference program of a chip that does not learn.
    area : float
        Square millimetres.
    microseconds : float
        Of these reads, one after the other.
    model : str
    """

    nanojoules: float
    area: float
    microseconds: float
    model: str


def estimate(recipe: Recipe) -> Estimate:
    """Energy, area and latency of a recipe's arrays.

    Raises
    ------
    ValueError
        If the recipe's reads are not those of arrays, or its converters have no number of bits.
    """
    a = recipe.arrays
    if not a.on:
        raise ValueError("energy model arrays: the recipe's reads are not those of arrays; say arrays.on = true, or choose another model")
    if not a.output_bits:
        raise ValueError("energy model arrays: arrays.output_bits: 0, exact sums; a converter that makes them is not known: give its bits")
    geometry = matrix_geometries(recipe)
    wider, joules, seconds, area, several = 2.0 ** (a.output_bits - BITS), 0.0, 0.0, 0.0, False
    for g in geometries(recipe):
        forward, back = (parts(g.recipe, *shape, transposed) for shape, transposed in (((g.C, g.R), False), ((g.R, g.C), True)))
        both = any(i.op is Op.TRANSPOSED and i.step.matrix == f"W{g.layer}" for i in _instructions(recipe))
        built = Counts(forward.cells, *(n + m * both for n, m in zip(forward[1:], back[1:], strict=True)))
        area += (
            built.cells * AREA["cell"]
            + built.drivers * AREA["driver"]
            + built.conversions * (AREA["hold"] + AREA["shift and add"])
            + math.ceil(built.conversions / a.sharing) * AREA["converter"] * wider
        )
    for i in _instructions(recipe):
        if i.op not in (Op.FORWARD, Op.TRANSPOSED):
            continue
        g, transposed = geometry[i.step.matrix], i.op is Op.TRANSPOSED
        used = parts(g.recipe, *((g.R, g.C) if transposed else (g.C, g.R)), transposed)
        width = recipe.input_width("delta" if transposed else "state") - 1
        times = math.ceil(width / a.input_slice) if a.input_slice else 1
        several = several or (a.input_slice or width) > 1
        joules += times * (
            used.cells * POWER["cell"]
            + used.drivers * POWER["driver"]
            + used.conversions * (POWER["hold"] + POWER["shift and add"] + POWER["converter"] * wider)
        )
        # arrays work side by side; a converter takes the outputs that it serves one after the other
        seconds += times * max(CYCLE, a.sharing / SAMPLES)
    name = MODEL + (f"; {a.output_bits}-bit converters by Walden's law" if a.output_bits != BITS else "")
    return Estimate(joules * 1e9, area, seconds * 1e6, name + ("; drivers of several bits counted as of one" if several else ""))


def parts(recipe: Recipe, inputs: int, outputs: int, transposed: bool = False) -> Counts:
    """Return what one read of a layer in one direction uses."""
    a, stored = recipe.arrays, recipe.cell_width - (recipe.arrays.mapping == "differential")
    slices = math.ceil(stored / a.cell_bits) if a.cell_bits else 1
    blocks, tiles = math.ceil(inputs / a.lines), math.ceil(outputs / a.lines)
    cells, driven = (2 if a.mapping == "differential" else 1) * inputs * outputs, inputs
    if a.mapping == "offset":  # a reference line in every array
        cells += blocks * outputs if transposed else tiles * inputs
        driven += blocks if transposed else 0
    return Counts(cells * slices, driven * tiles * slices, outputs * blocks * slices)


def _instructions(recipe: Recipe):
    return programs(recipe)[recipe.learns].instructions
