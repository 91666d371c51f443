"""Data sets, as real numbers in [0, 1] and class numbers."""

from .idx import DataError
from .sets import FOLDER, INPUTS, Dataset, load, name_for

__all__ = ["FOLDER", "INPUTS", "DataError", "Dataset", "load", "name_for"]
