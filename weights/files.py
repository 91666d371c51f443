"""Files of weights: which reader and which writer a name asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..recipe import QFormat, Recipe, in_memory
from . import nir, onnx, pytorch, safetensors

READ = (".pt", ".pth", ".bin", ".safetensors", ".npz", ".nir")
WRITTEN = (".npz", ".safetensors", ".nir", ".onnx")
INTEGERS = "weights"
"""Names of a chip's own integers in a .npz: ``weights0``, ``weights1``, .. , one for each matrix in memory."""
FORMAT = "weight_format"
"""Beside them: width and fraction bits; of several formats a row for each matrix."""


class Tensors(NamedTuple):
    """Content of a file.

    Attributes
    ----------
    named : dict
        Name to array.
    ordered : bool
        Whether their order is the net's.
    notes : tuple of str
    """

    named: dict[str, np.ndarray]
    ordered: bool = True
    notes: tuple[str, ...] = ()


def read(path: str | Path, recipe: Recipe) -> Tensors:
    """Read the tensors of a file; integers of a chip become the real numbers that they stand for, under its matrices' names.

    Raises
    ------
    ValueError
        If the file is of no known kind, or not what its name says.
    OSError
        If it cannot be read.
    """
    path = Path(path).expanduser()
    if path.suffix not in READ:
        raise ValueError(f"{path}: ends in {path.suffix or 'nothing'}; allowed are {', '.join(READ)}")
    if path.suffix == ".safetensors":
        return Tensors(safetensors.read(path), ordered=False)
    if path.suffix == ".nir":
        return Tensors(*nir.read(path))
    if path.suffix != ".npz":
        return Tensors(pytorch.read(path))
    found = {name: array for name, array in arrays(path).items() if not name.startswith("data_")}
    own = {
        int(name.removeprefix(INTEGERS)): v for name, v in found.items() if name.removeprefix(INTEGERS).isdigit() and v.dtype.kind == "i"
    }
    if not own:
        return Tensors(found)
    names = [g.matrix.name for g in in_memory(recipe)]
    forms = _formats(recipe, found.get(FORMAT), max(own) + 1)
    if chips := {int(np.prod(v.shape[:-2])) for v in own.values() if v.ndim > 2}:
        raise ValueError(f"{path}: holds the weights of {max(chips)} chips; allowed is one, which `crossdyad train` makes without --seeds")
    return Tensors({names[k] if k < len(names) else f"{INTEGERS}{k}": forms[k].decode(v) for k, v in sorted(own.items())})


def _formats(recipe: Recipe, said: np.ndarray | None, count: int) -> list[QFormat]:
    """Return the formats of so many matrices: those that a file says, otherwise the recipe's."""
    if said is None:
        found = [g.recipe.formats.weight for g in in_memory(recipe)]
    else:
        found = [QFormat(width=int(width), frac=int(frac)) for width, frac in np.atleast_2d(said)]
    return found + found[-1:] * (count - len(found))


def arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Return name to array of a .npz.

    Raises
    ------
    ValueError
        If it is none.
    OSError
        If it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except OSError:
        raise
    except Exception:  # NumPy raises a different kind for each way a file can be broken, and advises to run what it holds
        raise ValueError(f"{path}: not a file of weights, or damaged; give one that `crossdyad train` or numpy.savez wrote") from None


def real(recipe: Recipe, weights: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return the numbers that weights stand for, float32 (R, C) by the matrix's name; exact, as a weight has at most 24 bits."""
    return {g.matrix.name: g.recipe.formats.weight.decode(w).astype(np.float32) for g, w in zip(in_memory(recipe), weights, strict=True)}


def save(recipe: Recipe, weights: Sequence[np.ndarray], path: str | Path) -> Path:
    """Write a chip's weights for other tools.

    Parameters
    ----------
    recipe : Recipe
    weights : list of int32 arrays (R, C)
        Of each matrix in memory.
    path : path
        ``.npz`` or ``.safetensors``: real numbers by the names of the matrices, rows are outputs. ``.nir``: the linear maps as a graph.
        ``.onnx``: the inference net, to the bit.

    Raises
    ------
    ValueError
        For another ending, or a chip that the format cannot say.
    """
    path = Path(path).expanduser()
    if path.suffix not in WRITTEN:
        raise ValueError(f"{path}: ends in {path.suffix or 'nothing'}; allowed are {', '.join(WRITTEN)}")
    if any(np.ndim(w) != 2 for w in weights):
        raise ValueError(f"{path}: weights of several chips; give those of one")
    numbers = real(recipe, weights)
    writers = {
        ".npz": lambda draft: _npz(draft, numbers),
        ".safetensors": lambda draft: draft.write_bytes(safetensors.encode(numbers, {"recipe": recipe.name})),
        ".nir": lambda draft: nir.write(draft, recipe, numbers),
        ".onnx": lambda draft: onnx.write(draft, recipe, weights),
    }
    return _whole(path, writers[path.suffix])


def write_integers(path: Path, recipe: Recipe, weights: Sequence[np.ndarray], beside: Mapping[str, Any] | None = None) -> Path:
    """Write a chip's own integers (*batch, R, C), their format, and arrays that belong to them, as .npz."""
    said = [[f.width, f.frac] for f in (g.recipe.formats.weight for g in in_memory(recipe))]
    arrays = {f"{INTEGERS}{k}": w for k, w in enumerate(weights)} | dict(beside or {})
    arrays[FORMAT] = np.array(said if len(set(recipe.weight_formats)) > 1 else said[0])
    return _whole(path, lambda draft: _npz(draft, arrays))


def _npz(path: Path, arrays: Mapping[str, Any]) -> None:
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def _whole(path: Path, write: Any) -> Path:
    """Write beside the place and then rename, so that no half of a file is ever there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path
