"""Soak: a chip in Verilator learns from very many vectors without a pause, against the emulator: every result, and often every weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import emulator, hdl
from ..recipe import Op, Recipe, emissions, in_memory, programs
from . import chip, drive, simulators
from .fixed import seeded

BLOCKS = 20
"""Times that the weights are read back."""
READS = (Op.FORWARD, Op.TRANSPOSED)


@dataclass(frozen=True)
class Soak:
    """Comparisons of a soak.

    Attributes
    ----------
    vectors : int
        Vectors that went through an array, forward or transposed.
    cycles, bits, mismatches : int
    moved : int
        Weights that differ between the first and the last block: a chip that stands still shows nothing.
    """

    vectors: int
    cycles: int
    bits: int
    mismatches: int
    moved: int


def soak(recipe: Recipe, vectors: int, engine: str = "jax", optimize: int = 3) -> Soak:
    """Train a chip, or infer with one that does not learn, on random samples until it has read at least so many vectors."""
    train = recipe.learns
    reads = sum(i.op in READS for i in programs(recipe)[train].instructions)
    block = -(-vectors // (reads * BLOCKS))
    draw, state = seeded(f"soak {recipe.name}"), recipe.formats.state
    start = [
        draw.integers(w // 2, -w // 2, s, endpoint=True, dtype=np.int32)
        for w, s in ((g.recipe.formats.weight.min + g.recipe.guard, (g.R, g.C)) for g in in_memory(recipe))
    ]
    x = draw.integers(state.min, state.max, (BLOCKS, block, recipe.sizes[0]), endpoint=True, dtype=np.int32)
    y = draw.integers(recipe.sizes[-1], size=(BLOCKS, block))

    first = chip.Session(recipe)
    first.load(start)
    sessions = [first]
    for samples, labels in zip(x, y, strict=True):
        learn, back = chip.Session(recipe), chip.Session(recipe)
        for sample, label in zip(samples.tolist(), labels.tolist(), strict=True):
            learn.train(sample, label)
        back.read()
        sessions += [learn, back]
    phases = drive.drive(hdl.convert(hdl.build(recipe), simulators.TOP), sessions, optimize)

    twin, bits, mismatches, seen = emulator.Chip(recipe, engine=engine), 0, 0, []
    twin.weights = start
    each = len(emissions(recipe, train))  # of the reads whose outputs come, the emulator gives the last
    last = slice(each - 1, None, each)
    for samples, labels, learn, back in zip(x, y, phases[1::2], phases[2::2], strict=True):
        outputs = twin.train(samples, labels).outputs
        weights = np.concatenate([w.ravel() for w in twin.weights])
        seen.append(drive.weights(recipe, back))
        mismatches += int((outputs != drive.results(recipe, learn)[last]).sum() + (weights != seen[-1]).sum())
        bits += outputs.size * state.width + weights.size * recipe.weight_width
    return Soak(reads * block * BLOCKS, sum(p.cycles for p in phases), bits, mismatches, int((seen[0] != seen[-1]).sum()))
