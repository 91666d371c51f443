"""Read the tensors of a PyTorch file without PyTorch, and without running anything that the file says.

A file of ``torch.save`` (since PyTorch 1.6) is a zip archive: ``NAME/data.pkl`` is a pickle in which every tensor is a call of
``torch._utils._rebuild_tensor_v2`` with a persistent id that names a storage, whose bytes are ``NAME/data/KEY``. The unpickler here knows
these calls and containers by name, and no others.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

TYPES = {
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
"""Storage class to the type of its elements."""
KEYS = ("state_dict", "model_state_dict", "model", "net", "weights")
"""Keys under which a training checkpoint keeps its state_dict."""


def widened(raw: np.ndarray) -> np.ndarray:
    """Return float32 of the bits of bfloat16, which are the upper half of them."""
    return (raw.astype(np.uint32) << 16).view(np.float32)


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a file of ``torch.save(net.state_dict(), path)``, in the order of the net's registration.

    Raises
    ------
    ValueError
        If the file is none, holds anything else than tensors in containers, or more than one state_dict.
    OSError
        If it cannot be read.
    """
    if not zipfile.is_zipfile(path):
        path.open("rb").close()
        raise ValueError(
            f"{path}: no file of torch.save, or one from before PyTorch 1.6, or cut short; write it again with "
            "torch.save(net.state_dict(), FILE)"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            found = _found(archive)
    except _Refused as error:
        raise ValueError(f"{path}: {error}") from None
    except Exception as error:  # an archive or a pickle that is spoiled or made up can fail in any way
        raise ValueError(f"{path}: cannot be read as tensors ({type(error).__name__}: {error})") from None
    return _state_dict(path, found)


class _Refused(pickle.UnpicklingError):
    pass


def _found(archive: zipfile.ZipFile) -> Any:
    """Return what an archive holds, tensors as arrays."""
    names = archive.namelist()
    pickles = [n for n in names if n.endswith("/data.pkl")]
    if len(pickles) != 1 or any(n.endswith("/constants.pkl") for n in names):
        raise _Refused("an archive of compiled code or of something else, not of tensors; write torch.save(net.state_dict(), FILE)")
    root = pickles[0].removesuffix("data.pkl")
    big = f"{root}byteorder" in names and archive.read(f"{root}byteorder").strip() == b"big"
    with archive.open(pickles[0]) as file:
        return _Unpickler(file, archive, root, ">" if big else "<").load()


class _Unpickler(pickle.Unpickler):
    """Builds tensors and plain containers; whatever else a pickle names is refused before it is looked up."""

    def __init__(self, file: BinaryIO, archive: zipfile.ZipFile, root: str, order: str):
        super().__init__(file)
        self._archive, self._root, self._order = archive, root, order

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
            ("torch", "Size"): tuple,
        }
        if module == "torch" and name in TYPES:
            return name
        if (module, name) in known:
            return known[module, name]
        raise _Refused(
            f"holds {module}.{name}, which is not read, since that could run code; save tensors only, "
            "torch.save(net.state_dict(), FILE), in float32 and on no device"
        )

    def persistent_load(self, given: Any) -> np.ndarray:
        kind, storage, key, _, count = given
        if kind != "storage" or storage not in TYPES:
            raise _Refused(f"a storage of {storage!r}; known are {', '.join(TYPES)}")
        if not str(key).isalnum():
            raise _Refused(f"a storage named {key!r}")
        narrow = TYPES[storage] == "bfloat16"
        form = np.dtype("u2" if narrow else TYPES[storage]).newbyteorder(self._order)
        member = self._archive.getinfo(f"{self._root}data/{key}")
        if member.file_size < count * form.itemsize:
            raise _Refused(f"storage {key} has {member.file_size} bytes, and should have {count * form.itemsize}")
        raw = np.frombuffer(self._archive.read(member), form, count)
        return widened(raw) if narrow else raw


def _tensor(storage: np.ndarray, offset: int, size: tuple, stride: tuple, *_: Any) -> np.ndarray:
    """Return a copy of a view of a storage, within its bounds."""
    numbers = (offset, *size, *stride)
    if not all(type(n) is int and n >= 0 for n in numbers) or len(size) != len(stride):
        raise _Refused(f"a tensor of size {size} and stride {stride}")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if 0 in size:
        return np.zeros(size, storage.dtype)
    if last >= len(storage):
        raise _Refused(f"a tensor of size {size} reaches beyond its storage of {len(storage)}")
    if (total := int(np.prod(size, dtype=object))) > max(len(storage), 1):
        raise _Refused(f"a tensor of size {size}, {total} elements, of a storage of {len(storage)}")
    steps = tuple(s * storage.itemsize for s in stride)
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False).copy()


def _parameter(tensor: np.ndarray, *_: Any) -> np.ndarray:
    return tensor


def _state_dict(path: Path, found: Any) -> dict[str, np.ndarray]:
    """Return the tensors by name: of the file itself, or of the one dict in it that holds nothing else."""

    def tensors(value: Any) -> bool:
        return isinstance(value, dict) and bool(value) and all(isinstance(v, np.ndarray) for v in value.values())

    if isinstance(found, dict) and not tensors(found):
        inner = {str(k): v for k, v in found.items() if tensors(v)}
        named = {k: v for k, v in inner.items() if k in KEYS} or inner
        if len(named) > 1:
            raise ValueError(f"{path}: holds several sets of tensors, {', '.join(named)}; save one, torch.save(net.state_dict(), FILE)")
        found = next(iter(named.values()), None)
    if not tensors(found):
        raise ValueError(f"{path}: holds no state_dict, a dict of tensors; write torch.save(net.state_dict(), FILE)")
    return {str(k): np.ascontiguousarray(v).astype(v.dtype.newbyteorder("="), copy=False) for k, v in found.items()}
