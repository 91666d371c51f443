"""The chip as hardware: Amaranth components written from docs/contract.md, Verilog, FPGA builds."""

from __future__ import annotations

from ..recipe import Recipe, require_recipe
from .chip import Chip
from .synth import DoesNotFit, synthesize
from .verilog import Verilog, convert, generate

__all__ = ["Chip", "DoesNotFit", "Verilog", "build", "convert", "generate", "synthesize"]


def build(recipe: Recipe) -> Chip:
    """The chip of a recipe, as an Amaranth component."""
    return Chip(require_recipe(recipe))
