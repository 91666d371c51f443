"""Files of safetensors: a length (8 bytes, low first), a JSON header of that length, then the tensors' bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from .pytorch import widened

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1", "U8": "<u1"}
"""Name of an element type to NumPy's; the bits of BF16."""
LONGEST = 100 << 20
"""Bytes of a header, at most, as the format has it."""


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a file, in the order of its header, which says nothing of the net's.

    Raises
    ------
    ValueError
        If the file is none, or a tensor lies beyond its end.
    """
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    try:
        if len(data) < 8 or not 2 <= length <= min(LONGEST, len(data) - 8):
            raise ValueError("its first eight bytes are no length of a header")
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__", None)
        return {name: _tensor(name, told, data[8 + length :]) for name, told in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path}: not a file of safetensors, or cut short ({error})") from None


def _tensor(name: str, told: dict[str, Any], data: bytes) -> np.ndarray:
    kind, shape, (begin, end) = told["dtype"], tuple(told["shape"]), told["data_offsets"]
    if kind not in TYPES:
        raise ValueError(f"{name} has elements of {kind}; known are {', '.join(TYPES)}")
    form = np.dtype(TYPES[kind])
    if not 0 <= begin <= end <= len(data) or end - begin != int(np.prod(shape, dtype=object)) * form.itemsize:
        raise ValueError(f"{name} of shape {shape} does not fill bytes {begin} to {end} of {len(data)}")
    raw = np.frombuffer(data[begin:end], form).reshape(shape)
    return widened(raw) if kind == "BF16" else raw


def encode(tensors: dict[str, np.ndarray], about: dict[str, str]) -> bytes:
    """Return a file's bytes: float32 tensors, and words about them."""
    header: dict[str, Any] = {"__metadata__": about}
    at, parts = 0, []
    for name, tensor in tensors.items():
        part = np.ascontiguousarray(tensor, "<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(part)]}
        at += len(part)
        parts.append(part)
    words = json.dumps(header).encode()
    words += b" " * (-len(words) % 8)  # tensors begin at a multiple of eight
    return len(words).to_bytes(8, "little") + words + b"".join(parts)
