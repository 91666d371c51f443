"""Fit of tensors to a recipe's weights: which tensor is which matrix, which way round it lies, and what rounding loses."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..emulator import initial_weights
from ..recipe import Recipe, activation, in_memory
from ..recipe.formats import half_up
from . import files

BIAS = {"weight": "bias", "kernel": "bias", "w": "b", "W": "b"}
"""Last part of a weight's name to that of its bias."""


class WeightsError(ValueError):
    """Tensors that are not a recipe's weights; every mistake, one line each."""


class Layer(NamedTuple):
    """Result of fitting one matrix.

    Attributes
    ----------
    matrix, source : str
        Its name on the chip, and the tensor's in the file.
    turned : bool
        Whether the tensor was transposed.
    largest : float
        Largest magnitude in the file.
    error : float
        Largest change by rounding.
    clipped : float
        Share of the weights that became a limit of the format.
    scale : float
        Largest power of two that the tensor could be multiplied by and still fit: above 1, bits are left unused.
    """

    matrix: str
    source: str
    turned: bool
    largest: float
    error: float
    clipped: float
    scale: float

    def __str__(self) -> str:
        spare = f"; {self.scale:g} times as large would fit" if self.scale > 1 else ""
        return (
            f"{self.matrix} from {self.source}{' (transposed)' * self.turned}: largest {self.largest:.4g}, rounding changes at most "
            f"{self.error:.3g}, {100 * self.clipped:.2f} % at a limit{spare}"
        )


class Loaded(NamedTuple):
    """Weights that a chip can be loaded with.

    Attributes
    ----------
    weights : list of int32 arrays (R, C)
        Of each matrix in memory.
    layers : tuple of Layer
    notes : tuple of str
    """

    weights: list[np.ndarray]
    layers: tuple[Layer, ...]
    notes: tuple[str, ...] = ()


def load(recipe: Recipe, path: str | Path) -> Loaded:
    """Read a file of weights into a recipe's chip.

    Parameters
    ----------
    recipe : Recipe
    path : path
        ``.pt``, ``.pth`` or ``.bin`` of ``torch.save(net.state_dict(), path)``; ``.safetensors``; ``.npz``, of any tool or of
        `crossdyad train`; ``.nir``.

    Raises
    ------
    WeightsError
        Every mistake at once: shapes that do not fit, numbers beyond the format, biases without a place.
    ValueError
        If the file cannot be read.
    """
    found = files.read(path, recipe)
    loaded = fit(recipe, found.named, str(path), found.ordered)
    return loaded._replace(notes=found.notes + loaded.notes)


def fit(recipe: Recipe, tensors: Mapping[str, np.ndarray], label: str = "weights", ordered: bool = True) -> Loaded:
    """Match tensors to a recipe's matrices and round them.

    Tensors that have the names of matrices (``W0``, ``B1``, ..) are those. Others are the layers in their order, or in the only order
    that their shapes allow; rows are outputs, as PyTorch has it, or all are transposed. A bias is the last column where the recipe has
    ``bias = true``; without that it is folded into a column whose input is one, if the recipe has room for it: one input more
    (``data.one``), and one unit more in every hidden layer, which then always is.
    What the file does not hold starts as the recipe says.

    Parameters
    ----------
    recipe : Recipe
    tensors : dict
        Name to array of real numbers.
    label : str
        Names the source in errors.
    ordered : bool
        Whether the order of `tensors` is the net's.

    Raises
    ------
    WeightsError
    """
    wrong = [f"{name}: elements of {v.dtype}; allowed are real numbers" for name, v in tensors.items() if v.dtype.kind not in "fiu"]
    if wrong:
        raise _error(label, wrong)
    geometry = {g.matrix.name: g for g in in_memory(recipe)}
    given = {name: np.asarray(v, np.float64) for name, v in tensors.items()}
    notes: list[str] = []
    if any(name in geometry for name in given):
        chosen, turned = _by_name(given, geometry, wrong), False
    else:
        chosen, turned = _by_shape(recipe, given, ordered, wrong, notes)
    if wrong:
        raise _error(label, wrong)
    first = dict(zip(geometry, initial_weights(recipe), strict=True))
    layers, made = [], {}
    for name, (source, values) in chosen.items():
        if not np.isfinite(values).all():
            wrong.append(f"{source}: holds NaN or infinity; every weight must be finite")
            continue
        f, guard = geometry[name].recipe.formats.weight, geometry[name].recipe.guard
        low, high = f.min + guard, f.max - guard
        scaled = np.ldexp(values, f.frac)
        over = np.maximum(scaled - (high + 1), (low - 1) - scaled)
        largest = float(np.abs(values).max(initial=0))
        scale = 2.0 ** math.floor(math.log2(high * f.step / largest)) if largest else 1.0
        if over.max(initial=0) > 0:
            at = np.unravel_index(int(np.argmax(over)), over.shape)
            bits = max(1, math.ceil(math.log2(largest / (f.high + f.step))))
            wrong.append(
                f"{source}: {values[at]:.6g} at {[int(i) for i in at]} is {(over[at] + 1) * f.step:.3g} beyond the limits "
                f"{low * f.step:g} and {high * f.step:g} of {f}, and {np.count_nonzero(over > 0)} of {over.size} are; "
                f"times {scale:g} it fits, or write weight = {{ width = {f.width}, frac = {f.frac - bits} }}"
            )
            continue
        made[name] = np.clip(half_up(scaled), low, high).astype(np.int32)
        layers.append(
            Layer(
                name,
                source,
                turned,
                largest,
                float(np.abs(f.decode(made[name]) - values).max(initial=0)),
                float(np.mean((made[name] == low) | (made[name] == high))) if values.size else 0.0,
                scale,
            )
        )
    if wrong:
        raise _error(label, wrong)
    for name, g in geometry.items():
        if name not in made:
            made[name] = made[g.matrix.start] if g.matrix.start in made else first[name]
            notes.append(f"{name} is not in {label}: it starts as {g.matrix.start if g.matrix.start in made else 'without it'}")
    return Loaded([made[name] for name in geometry], tuple(layers), tuple(notes))


def _error(label: str, wrong: Sequence[str]) -> WeightsError:
    return WeightsError("\n".join(f"{label}: {line}" for line in wrong))


def _by_name(given, geometry, wrong) -> dict[str, tuple[str, np.ndarray]]:
    """Return the tensors that have the names of matrices; the layers' must all be there."""
    for name, v in given.items():
        if name not in geometry:
            wrong.append(f"{name}: no matrix of the chip; allowed are {', '.join(geometry)}")
        elif v.shape != (geometry[name].R, geometry[name].C):
            wrong.append(f"{name}: {_by(v.shape)}; {name} of the recipe is {geometry[name].R} x {geometry[name].C}, outputs by inputs")
    missing = [name for name in geometry if name not in given and name == f"W{geometry[name].matrix.layer}"]
    wrong += [f"{name}: missing; the recipe has it as {geometry[name].R} x {geometry[name].C}" for name in missing]
    return {name: (name, given[name]) for name in geometry if name in given}


def _by_shape(recipe, given, ordered, wrong, notes) -> tuple[dict[str, tuple[str, np.ndarray]], bool]:
    """Return the tensors as the layers' weights, biases folded in, and whether they were transposed."""
    matrices = {name: v for name, v in given.items() if v.ndim == 2}
    vectors = {name: v for name, v in given.items() if v.ndim == 1}
    wrong += [
        f"{name}: {v.ndim} axes; a chip has dense layers only, so tensors of two (weights) and one (biases) are read"
        for name, v in given.items()
        if v.ndim not in (1, 2)
    ]
    biases = {name: vectors.pop(bias) for name in matrices if (bias := _bias_of(name)) in vectors}
    wrong += [
        f"{name}: {_by(v.shape)}, the bias of no weights here; a chip has dense layers only (batch normalisation can be "
        "multiplied into the layer before it)"
        for name, v in vectors.items()
    ]
    if len(matrices) != recipe.layers:
        found = ", ".join(f"{name} {_by(v.shape)}" for name, v in matrices.items()) or "none"
        wrong.append(f"{len(matrices)} matrices ({found}); {recipe.name} has {recipe.layers} layers, sizes = {list(recipe.sizes)}")
    if wrong:
        return {}, False
    biased = {name for name, v in biases.items() if np.any(v)}
    plain = [(recipe.sizes[k + 1], recipe.sizes[k]) for k in range(recipe.layers)]
    last = recipe.layers - 1
    folded = [(rows - (k < last), columns - 1) for k, (rows, columns) in enumerate(plain)]
    for shapes, folds in (([*plain], False),) if recipe.bias else (([*plain], False), ([*folded], True)):
        for turned in (False, True):
            wanted = [s[::-1] for s in shapes] if turned else shapes
            order, said = _order(matrices, wanted, ordered)
            if not order:
                if said:
                    wrong.append(said)
                    return {}, False
                continue
            if folds and not biased or biased and not folds and not recipe.bias:
                break
            notes += [said] * bool(said)
            chosen = [(name, matrices[name].T if turned else matrices[name]) for name in order]
            if any(biases[name].shape != v.shape[:1] for name, v in chosen if name in biased):
                wrong += [
                    f"{_bias_of(name)}: {_by(biases[name].shape)}; {name} has {v.shape[0]} outputs"
                    for name, v in chosen
                    if name in biased and biases[name].shape != v.shape[:1]
                ]
                return {}, False
            if recipe.bias:
                one = recipe.one * recipe.formats.state.step
                chosen = [(name, np.column_stack([v, biases.get(name, np.zeros(len(v))) / one])) for name, v in chosen]
            if folds:
                chosen = _folded(recipe, chosen, biases, wrong, notes)
            return {f"W{k}": pair for k, pair in enumerate(chosen)}, turned
    net = _net(matrices, recipe)
    if biased and net:
        wrong.append(
            f"{', '.join(_bias_of(name) for name in matrices if name in biased)}: biases of a net of {net}; write "
            f"{'' if net == list(recipe.sizes) else f'sizes = {net} and '}bias = true, or train the net with bias=False"
        )
    else:
        found = ", ".join(f"{name} {_by(v.shape)}" for name, v in matrices.items())
        wrong.append(
            f"{found}: not the shapes of {recipe.name}, {', '.join(map(_by, plain))} (outputs by inputs, or all the other way "
            f"round){f'; write sizes = {net}' if net else ''}"
        )
    return {}, False


def _bias_of(name: str) -> str:
    stem, dot, last = name.rpartition(".")
    if last in BIAS:
        return f"{stem}{dot}{BIAS[last]}"
    return next((name.replace(old, new) for old, new in BIAS.items() if old in name), f"{name}.bias")


def _order(matrices, wanted, ordered) -> tuple[list[str], str]:
    """Return the names in the order of the layers, and a note; or none, and why not if shapes alone cannot tell."""
    names = list(matrices) if ordered else sorted(matrices, key=_natural)
    shapes = [matrices[name].shape for name in names]
    if sorted(shapes) != sorted(wanted):
        return [], ""
    alike = len({re.sub(r"\d+", "", name) for name in names}) == 1
    if shapes == list(wanted) and (ordered or alike or len(set(shapes)) == len(shapes)):
        return names, ""
    if len(set(shapes)) == len(shapes):
        found = [next(n for n in names if matrices[n].shape == shape) for shape in wanted]
        return found, f"the layers are {', '.join(found)}, by their shapes"
    return [], (
        f"{', '.join(names)}: some have the same shape, and their order is not the net's; name them "
        f"{', '.join(f'W{k}' for k in range(len(names)))}"
    )


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Key that sorts ``layers.10`` behind ``layers.9``."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _folded(recipe, chosen, biases, wrong, notes) -> list[tuple[str, np.ndarray]]:
    """Return weights with one more column, the bias, and one more row in hidden layers: a unit that always says the same power of two."""
    f, made, one = recipe.formats, [], 1.0
    for k, (name, values) in enumerate(chosen):
        rows, columns = values.shape
        whole = np.zeros((recipe.sizes[k + 1], recipe.sizes[k]))
        whole[:rows, :columns] = values
        whole[:rows, columns] = biases.get(name, np.zeros(rows)) / one
        if k < len(chosen) - 1:
            top = min(1.0, recipe.bounds(k)[1] * f.accumulator.step, f.state.high)
            largest = recipe.weight_formats[k].high
            level = min(2.0 ** math.floor(math.log2(top)) if top > 0 else 0.0, one * 2.0 ** math.floor(math.log2(largest)))
            if activation(recipe.activation).at(level) != level:
                wrong.append(f"biases: no unit of {recipe.activation} says the {level:g} of its drive; leave the net without them")
            whole[rows, columns] = level / one
            one = level
        made.append((name, whole))
    if not recipe.data.one and recipe.data.file:
        wrong.append("biases: their input must be one; write data.one = true")
    notes.append(
        f"biases are the last column of each layer; the last unit of each hidden layer says {one:g}, and the last input must always be one"
    )
    return made


def _net(matrices, recipe) -> list[int]:
    """Return the sizes of the net that tensors in their order make, one way round or the other; empty if they make none."""
    for turned, order in itertools.product((False, True), (list(matrices), sorted(matrices, key=_natural))):
        shapes = [matrices[n].shape[::-1] if turned else matrices[n].shape for n in order]
        if all(a[0] == b[1] for a, b in itertools.pairwise(shapes)):
            return [shapes[0][1], *(s[0] for s in shapes)]
    return []


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a number"
