"""The one description of a circuit that learns: validated, frozen, shared by every wing as data."""

from . import repeats, table, timing
from .activations import ACTIVATIONS, Activation, Pieces, activation
from .cells import Cell
from .derived import LONGEST_TRAIN
from .formats import RANDOM_BITS, Overflow, QFormat, Rounding, log2_exact
from .geometry import LEAD, Geometry, clog2, geometries, in_memory, matrix_geometries
from .imported import allow, imported
from .mistakes import mistakes, near
from .operations import BESIDE, CHANGES, ELEMENT_BITS, FED, NOISE, POSITION_BITS, SIGNS, SLOPE, Matrix, Op, Operation
from .overlap import FREE
from .program import Instruction, Program, compile_program, emissions, most_results, program_memory, programs, results_held
from .pulses import Pulses
from .recipe import Recipe, RecipeError, load, parse, presets, presets_of_rules, require_recipe
from .rules import RULES, Rule, rule
from .sections import LAYOUT, Arrays, Bits, Devices, Formats, Training
from .source import Data

__all__ = [
    "ACTIVATIONS",
    "BESIDE",
    "CHANGES",
    "ELEMENT_BITS",
    "FED",
    "FREE",
    "LAYOUT",
    "LEAD",
    "LONGEST_TRAIN",
    "NOISE",
    "POSITION_BITS",
    "RANDOM_BITS",
    "RULES",
    "SIGNS",
    "SLOPE",
    "Activation",
    "Arrays",
    "Bits",
    "Cell",
    "Data",
    "Devices",
    "Formats",
    "Geometry",
    "Instruction",
    "Matrix",
    "Op",
    "Operation",
    "Overflow",
    "Pieces",
    "Program",
    "Pulses",
    "QFormat",
    "Recipe",
    "RecipeError",
    "Rounding",
    "Rule",
    "Training",
    "activation",
    "allow",
    "clog2",
    "compile_program",
    "emissions",
    "geometries",
    "imported",
    "in_memory",
    "load",
    "log2_exact",
    "matrix_geometries",
    "mistakes",
    "most_results",
    "near",
    "parse",
    "presets",
    "presets_of_rules",
    "program_memory",
    "programs",
    "repeats",
    "require_recipe",
    "results_held",
    "rule",
    "table",
    "timing",
]
