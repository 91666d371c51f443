"""Analog arrays: cells, wires, converters, and a layer on them that is read like a matrix."""

from .array import Array, Circuit, Report
from .converters import DeviceWarning, InputConverter, OutputConverter
from .device import EFFECTS, Device
from .drift import PowerLaw
from .iv import Cubic, Measured
from .mapping import Mapping
from .noise import CellNoise, Constant, Flicker, Generic, PerProduct, Polynomial, Saturating, Table
from .presets import PRESETS, preset
from .spread import Spread, Stuck
from .wires import Wires, effective_conductance

__all__ = [
    "EFFECTS", "PRESETS", "Array", "CellNoise", "Circuit", "Constant", "Cubic", "Device", "DeviceWarning", "Flicker", "Generic",
    "InputConverter", "Mapping", "Measured", "OutputConverter", "PerProduct", "Polynomial", "PowerLaw", "Report", "Saturating", "Spread",
    "Stuck", "Table", "Wires", "effective_conductance", "preset",
]
