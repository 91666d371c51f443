"""IDX, the file format of MNIST: two zero bytes, a type, the number of dimensions, big-endian sizes, data."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np


class DataError(ValueError):
    """Data that cannot be used: names the file and the remedy."""


def read(folder: Path, name: str, dimensions: int) -> np.ndarray:
    """The bytes of ``folder/name`` or ``folder/name.gz`` as an array.

    Parameters
    ----------
    folder : Path
    name : str
    dimensions : int
        How many the file must have.

    Returns
    -------
    ndarray of uint8

    Raises
    ------
    DataError
    """
    plain, packed = folder / name, folder / f"{name}.gz"
    path = plain if plain.is_file() else packed
    if not path.is_file():
        raise DataError(f"{packed}: missing; put the four MNIST files (…-ubyte or …-ubyte.gz) here")
    again = "the file is damaged, get it again"
    try:
        content = gzip.decompress(path.read_bytes()) if path is packed else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: {error}; {again}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    head = 4 + 4 * dimensions
    if len(content) < head or content[:4] != bytes([0, 0, 8, dimensions]):
        raise DataError(f"{path}: not an IDX file of bytes with {dimensions} dimensions; {again}")
    shape = np.frombuffer(content, ">u4", dimensions, offset=4).astype(np.int64)
    if len(content) - head != shape.prod():
        raise DataError(f"{path}: {len(content) - head} bytes where the head says {shape.prod()}; {again}")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)
