"""IDX, the file format of MNIST: two zero bytes, a type, the number of dimensions, big-endian sizes, data."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np

INSIDE = ("", "MNIST/raw", "raw")
"""Folders below the given one that the files may be in: torchvision keeps them in ``ROOT/MNIST/raw``."""

PACKED = b"\x1f\x8b"
"""First bytes of gzip, whatever the file is called."""


class DataError(ValueError):
    """Data that cannot be used: names the file and the remedy.

    Attributes
    ----------
    remedies : dict
        Keys of a recipe's data, with the values that would help.
    """

    def __init__(self, message: str, **remedies: Any):
        super().__init__(message)
        self.remedies = remedies


def find(folder: Path, name: str) -> Path:
    """The file of a name in a folder, as its sources name and place it.

    ``train-images-idx3-ubyte`` may be called ``train-images.idx3-ubyte``, end in ``.gz``, lie in a folder of its own name, and all in one
    of `INSIDE`.

    Raises
    ------
    DataError
    """
    spellings = [n for spelt in (name, name.replace("-idx", ".idx")) for n in (spelt, f"{spelt}.gz")]
    for inside in INSIDE:
        for spelt in spellings:
            for path in (folder / inside / spelt, folder / inside / spelt / spelt):
                if path.is_file():
                    return path
    raise DataError(
        f"{folder / name}.gz: missing; put the four MNIST files (…-ubyte or …-ubyte.gz) here, or give the folder that holds MNIST/raw"
    )


def read(folder: Path, name: str, dimensions: int) -> np.ndarray:
    """The bytes of a file (`find`), packed by gzip or not, as an array.

    Parameters
    ----------
    folder : Path
    name : str
    dimensions : int
        How many the file must have.

    Returns
    -------
    ndarray of uint8
        At least one element.

    Raises
    ------
    DataError
    """
    path = find(folder, name)
    again = "the file is damaged, get it again"
    try:
        content = path.read_bytes()
        if content.startswith(PACKED):
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: {error}; {again}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    head = 4 + 4 * dimensions
    if len(content) < head or content[:4] != bytes([0, 0, 8, dimensions]):
        raise DataError(f"{path}: not an IDX file of bytes with {dimensions} dimensions; {again}")
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, head, 4)]
    if math.prod(shape) == 0:
        raise DataError(f"{path}: holds nothing, its sizes are {' x '.join(map(str, shape))}; {again}")
    if len(content) - head != math.prod(shape):
        raise DataError(f"{path}: {len(content) - head} bytes where the head says {math.prod(shape)}; {again}")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)
