"""Analog arrays: cells, wires, converters, and a layer on them that is read like a matrix."""

from .array import Array, Circuit, Report
from .converters import DeviceWarning, InputConverter, OutputConverter
from .device import EFFECTS, Device
from .drift import PowerLaw
from .iv import Cubic, Measured
from .laws import ConstantStep, ExponentialStep, LinearStep, MeasuredStep, PowerStep, SoftBounds
from .mapping import Mapping
from .noise import CellNoise, Constant, Flicker, Generic, PerProduct, Polynomial, Saturating, Table
from .playing import ArrayChip
from .presets import PRESETS, preset
from .programming import alone, asymmetry, device_of, mapping_of, measured, programmed, read_noise, stored, wires_of
from .pulses import Pulses, Trains, trains
from .spread import Spread, Stuck
from .wires import Wires, effective_conductance
from .writing import Cells, PulsedDevice, send, update, update_batch

__all__ = [
    "EFFECTS",
    "PRESETS",
    "Array",
    "ArrayChip",
    "CellNoise",
    "Cells",
    "Circuit",
    "Constant",
    "ConstantStep",
    "Cubic",
    "Device",
    "DeviceWarning",
    "ExponentialStep",
    "Flicker",
    "Generic",
    "InputConverter",
    "LinearStep",
    "Mapping",
    "Measured",
    "MeasuredStep",
    "OutputConverter",
    "PerProduct",
    "Polynomial",
    "PowerLaw",
    "PowerStep",
    "PulsedDevice",
    "Pulses",
    "Report",
    "Saturating",
    "SoftBounds",
    "Spread",
    "Stuck",
    "Table",
    "Trains",
    "Wires",
    "alone",
    "asymmetry",
    "device_of",
    "effective_conductance",
    "mapping_of",
    "measured",
    "preset",
    "programmed",
    "read_noise",
    "send",
    "stored",
    "trains",
    "update",
    "update_batch",
    "wires_of",
]
