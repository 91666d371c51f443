"""Weights from other tools into a recipe's chip, and back."""

from .files import real, save, write_integers
from .fit import Layer, Loaded, WeightsError, fit, load

__all__ = ["Layer", "Loaded", "WeightsError", "fit", "load", "real", "save", "write_integers"]
