"""The one description of a circuit that learns: validated, frozen, shared by every wing as data."""

from .formats import RANDOM_BITS, Overflow, QFormat, Rounding, log2_exact
from .geometry import LEAD, Geometry, clog2, geometries
from .imported import allow, imported
from .mistakes import mistakes, near
from .operations import ELEMENT_BITS, POSITION_BITS, Op, Operand
from .program import Instruction, Program, compile_program, emissions, most_results, program_memory, programs
from .recipe import (
    LAYOUT,
    LONGEST_TRAIN,
    Arrays,
    Bits,
    Devices,
    Formats,
    Recipe,
    RecipeError,
    Training,
    load,
    parse,
    presets,
    require_recipe,
)

__all__ = [
    "ELEMENT_BITS", "LAYOUT", "LEAD", "LONGEST_TRAIN", "POSITION_BITS", "RANDOM_BITS", "Arrays", "Bits", "Devices", "Formats",
    "Geometry", "Instruction", "Op", "Operand", "Overflow", "Program", "QFormat", "Recipe", "RecipeError", "Rounding", "Training", "allow",
    "clog2",
    "compile_program", "emissions", "geometries", "imported", "load", "log2_exact", "mistakes", "most_results", "near", "parse",
    "presets", "program_memory", "programs", "require_recipe",
]
