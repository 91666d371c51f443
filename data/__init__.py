"""Data sets, as real numbers and class numbers: those with a name, and one's own."""

from .idx import DataError
from .images import as_images
from .prepared import About
from .sets import FOLDER, INPUTS, Dataset, fingerprint, load, name_for, of

__all__ = ["FOLDER", "INPUTS", "About", "DataError", "Dataset", "as_images", "fingerprint", "load", "name_for", "of"]
