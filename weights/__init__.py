"""Weights from other tools into a recipe's chip, and back."""

from .aging import Aged, age
from .files import real, save, write_integers
from .fit import Layer, Loaded, WeightsError, fit, load

__all__ = ["Aged", "Layer", "Loaded", "WeightsError", "age", "fit", "load", "real", "save", "write_integers"]
