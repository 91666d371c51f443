"""Energy of a program, as a model with a name: operations times published energies per operation.

The figures are those of Horowitz, "Computing's energy problem", ISSCC 2014, figure 1.1.9: a 45 nm process at 0.9 V; 8 and 32 bit
integer addition 0.03 and 0.1 pJ, multiplication 0.2 and 3.1 pJ; 64 bits from an 8 kB memory 10 pJ. In between, additions are taken as
linear in the width and multiplications as a power of it. Nothing is counted for clocks, wires, the host or leakage, so this is a floor
for an integrated circuit of that process and no estimate of an FPGA: good for comparing recipes, not for batteries.
"""

from __future__ import annotations

import math

from ..recipe import Op, Recipe, geometries, programs

MODEL = "Horowitz, ISSCC 2014, 45 nm, operations and memories only"

MULTIPLY = (0.2, math.log(3.1 / 0.2) / math.log(4))
"""pJ at 8 bits, and the exponent that leads to the 32-bit figure."""


def add(bits: int) -> float:
    """An integer addition, pJ."""
    return 0.03 + (0.1 - 0.03) * (bits - 8) / 24 if bits >= 8 else 0.03 * bits / 8


def multiply(a: int, b: int) -> float:
    """An integer multiplication, pJ; of unequal widths as one of their geometric mean."""
    return MULTIPLY[0] * (math.sqrt(a * b) / 8) ** MULTIPLY[1]


def access(bits: int) -> float:
    """Reading or writing so many bits of a memory, pJ."""
    return 10 * bits / 64


def of(recipe: Recipe) -> float:
    """Energy of a training program, or of the inference program of a chip that does not learn, in nJ."""
    f, layers = recipe.formats, geometries(recipe)
    total = 0.0
    for i in programs(recipe)[recipe.rule != "inference"].instructions:
        g = layers[i.layer]
        cells = g.R * g.C
        if i.op in (Op.UPDATE, Op.PROBE):
            each = multiply(g.operand_width, f.state.width) + add(f.weight.width) + 2 * access(f.weight.width)
        else:
            width = f.delta.width if i.op is Op.TRANSPOSED else f.state.width
            each = multiply(f.weight.width, width) + add(g.sum_width) + access(f.weight.width)
        total += cells * each
    return total * 1e-3
