"""Data sets, as real numbers in [0, 1] and class numbers."""

from .sets import NAMES, Dataset, load, name_for

__all__ = ["NAMES", "Dataset", "load", "name_for"]
