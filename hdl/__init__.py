"""The chip as hardware: Amaranth components written from docs/contract.md, Verilog, FPGA builds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..recipe import Recipe, require_recipe
from .chip import Chip
from .initial import words
from .synth import DoesNotFit, synthesize
from .verilog import Verilog, convert, generate

__all__ = ["Chip", "DoesNotFit", "Verilog", "build", "convert", "generate", "synthesize"]


def build(recipe: Recipe, weights: Sequence[np.ndarray] | None = None) -> Chip:
    """The chip of a recipe, as an Amaranth component; with weights (R, C) of each matrix in memory it wakes up with them."""
    return woken(Chip(require_recipe(recipe)), recipe, weights)


def woken(chip: Chip, recipe: Recipe, weights: Sequence[np.ndarray] | None) -> Chip:
    """Let a chip wake up with weights, (R, C) of each matrix in memory; return it."""
    for engine, initial in zip(chip.engines, words(recipe, weights) if weights is not None else (), strict=False):
        engine.crossbar.initial = initial
    return chip
