"""Weights from other tools into a recipe's chip, and back."""

from .aging import Aged, age
from .files import real, save, write_integers
from .fit import Layer, Loaded, WeightsError, fit, load
from .rounding import Rounded, rounded

__all__ = ["Aged", "Layer", "Loaded", "Rounded", "WeightsError", "age", "fit", "load", "real", "rounded", "save", "write_integers"]
