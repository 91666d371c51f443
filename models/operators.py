"""Linear operators: what a layer makes of the states below before it fires (dense, of images, one's own).

Weights are one array, its leading axis the outputs, or ``()`` where there are none. JAX transposes them; feedback that is not the
transpose is an operator as well, the `twin`, which leads down. Images are (rows, columns, channels).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import jax
from jax import Array
from jax import numpy as jnp
from jax.typing import ArrayLike

from .kinds import Tree
from .precision import in_float64


class Operator:
    """A linear map from states of shape `inputs` to states of shape `outputs`, linear in its weights too.

    Attributes
    ----------
    inputs, outputs : int or tuple of int
    shape : tuple of int or None
        Of the weights; None where there are none.
    """

    inputs: Any
    outputs: Any
    shape: tuple[int, ...] | None = None

    def apply(self, w: Tree, s: Tree) -> Tree:
        """The map itself, of states of shape `inputs`."""
        raise NotImplementedError

    def __call__(self, w, s):
        if jnp.shape(s) != dimensions(self.inputs):
            raise ValueError(f"{self} takes states of shape {dimensions(self.inputs)}, not {jnp.shape(s)}; bring them to that shape")
        if (found := getattr(w, "shape", None)) != self.shape:
            raise ValueError(f"{self} has weights of shape {self.shape}, not {found}; None stands for ()")
        return self.apply(w, s)

    def transposed(self, w: Tree, v: Tree) -> Tree:
        """Return what comes down of `v`, states of shape `outputs`, by the transpose."""
        kind = jnp.result_type(v, *jax.tree.leaves(w))
        like = jax.ShapeDtypeStruct(dimensions(self.inputs), kind)
        return jax.linear_transpose(lambda s: self(w, s), like)(v.astype(kind))[0]

    def correlated(self, w: Tree, s: Tree, v: Tree) -> Tree:
        """The derivative of ``inner(v, A(s))`` by the weights, shaped like `w`: of a matrix ``outer(v, s)``."""
        return jax.vjp(lambda w: self(w, s), w)[1](v)[0]

    def unfolded(self, s: Tree) -> Array:
        """States below as the weights meet them, (places, fan-in): what the map sums is this times the weights by rows, `folded`."""
        raise NotImplementedError(f"{self}: does not say what its weights meet at each place; give it `unfolded` and `folded`")

    def folded(self, u: Array) -> Tree:
        """Sums of what the weights meet, (places, outputs of a place), as states of shape `outputs`."""
        raise NotImplementedError(f"{self}: does not say what becomes of the sums at each place; give it `unfolded` and `folded`")

    @property
    def fan_in(self) -> int:
        """Weights that an output sums over."""
        return math.prod(self.shape[1:]) if self.shape else 1

    @property
    def places(self) -> int:
        """Uses of each weight in a pass: 1 where none is shared."""
        return 1

    @property
    def twin(self) -> Operator:
        """The operator of feedback, from `outputs` down to `inputs`, with weights of its own."""
        return Transposed(self)

    def turned(self, w: Tree) -> Tree:
        """The weights with which `twin` is the transpose."""
        return w

    def uniform(self, key: Array, scale: float) -> Tree:
        """Weights of variance ``scale / 3 / fan_in``, float64."""
        return () if self.shape is None else jax.random.uniform(key, self.shape, jnp.float64, -1, 1) * jnp.sqrt(scale / self.fan_in)

    def normal(self, key: Array) -> Tree:
        """Weights of variance ``1 / fan_in``."""
        return () if self.shape is None else jax.random.normal(key, self.shape) / self.fan_in**0.5


@dataclass(frozen=True)
class Dense(Operator):
    """Every output from every input, by a matrix (outputs, inputs); images are read row by row."""

    inputs: Any
    outputs: Any

    @property
    def shape(self) -> tuple[int, ...]:
        """(outputs, inputs)."""
        return size(self.outputs), size(self.inputs)

    @property
    def twin(self) -> Operator:
        """A matrix (inputs, outputs)."""
        return Dense(self.outputs, self.inputs)

    def apply(self, w: Tree, s: Tree) -> Tree:
        """``w @ s``."""
        return (w @ s.reshape(-1)).reshape(dimensions(self.outputs))

    def unfolded(self, s: Tree) -> Array:
        """One place, that meets all inputs."""
        return s.reshape(1, -1)

    def folded(self, u: Array) -> Tree:
        """The outputs."""
        return u.reshape(dimensions(self.outputs))

    def turned(self, w: Tree) -> Tree:
        """The transposed matrix."""
        return w.T


@dataclass(frozen=True)
class Composed(Operator):
    """Operators one after the other as one, of which one may have weights: a convolution that is pooled before the units fire."""

    parts: tuple[Operator, ...]

    def __post_init__(self):
        maps(self.parts)
        if sum(p.shape is not None for p in self.parts) > 1:
            raise ValueError(f"{self}: not linear in the weights of two parts; make them two layers")

    @property
    def inputs(self) -> int | tuple[int, ...]:
        """Shape of the first part's inputs."""
        return self.parts[0].inputs

    @property
    def outputs(self) -> int | tuple[int, ...]:
        """Shape of the last part's outputs."""
        return self.parts[-1].outputs

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the weights, of the part that has them."""
        return next((p.shape for p in self.parts if p.shape is not None), None)

    @property
    def places(self) -> int:
        """Uses of each weight in a pass, of the part that has weights."""
        return max(p.places for p in self.parts)

    @property
    def fan_in(self) -> int:
        """Fan-in of the part that has weights."""
        return max(p.fan_in for p in self.parts)

    def apply(self, w: Tree, s: Tree) -> Tree:
        """Every part in turn."""
        for part in self.parts:
            s = part(w if part.shape is not None else (), s)
        return s

    def unfolded(self, s: Tree) -> Array:
        """Return what the part with weights meets."""
        return self.parts[self._at].unfolded(functools.reduce(lambda s, part: part((), s), self.parts[: self._at], s))

    def folded(self, u: Array) -> Tree:
        """The sums of the part with weights, through the parts behind it."""
        return functools.reduce(lambda s, part: part((), s), self.parts[self._at + 1 :], self.parts[self._at].folded(u))

    @property
    def _at(self) -> int:
        return next(k for k, part in enumerate(self.parts) if part.shape is not None)


@dataclass(frozen=True)
class Biased(Operator):
    """A dense operator with a further column of weights that meets `one`: biases, which nothing is sent down by."""

    of: Dense
    one: float

    def __post_init__(self):
        if not isinstance(self.of, Dense):
            raise ValueError(f"one: {self.one:g}, but {self.of} is not dense, and biases are a column of its matrix; leave them out")

    @property
    def inputs(self) -> int | tuple[int, ...]:
        """Shape of the dense map's inputs."""
        return self.of.inputs

    @property
    def outputs(self) -> int | tuple[int, ...]:
        """Shape of the dense map's outputs."""
        return self.of.outputs

    @property
    def shape(self) -> tuple[int, ...]:
        """(outputs, inputs + 1)."""
        return self.of.shape[0], self.of.shape[1] + 1

    @property
    def twin(self) -> Operator:
        """The dense one's."""
        return self.of.twin

    def apply(self, w: Tree, s: Tree) -> Tree:
        """``W s + b one``."""
        return self.of(w[:, :-1], s) + w[:, -1].reshape(dimensions(self.outputs)) * self.one

    def unfolded(self, s: Tree) -> Array:
        """The dense one's, and `one`."""
        return jnp.pad(self.of.unfolded(s), ((0, 0), (0, 1)), constant_values=self.one)

    def folded(self, u: Array) -> Tree:
        """The dense one's."""
        return self.of.folded(u)

    def transposed(self, w: Tree, v: Tree) -> Tree:
        """The dense one's."""
        return self.of.transposed(w[:, :-1], v)

    def turned(self, w: Tree) -> Tree:
        """The transposed matrix without the biases."""
        return self.of.turned(w[:, :-1])

    def uniform(self, key: Array, scale: float) -> Tree:
        """The dense one's weights, and biases of 0."""
        return jnp.pad(self.of.uniform(key, scale), ((0, 0), (0, 1)))


@dataclass(frozen=True)
class Transposed(Operator):
    """Another operator's transpose as an operator, with weights of its own: feedback of the same shape."""

    of: Operator

    @property
    def inputs(self) -> int | tuple[int, ...]:
        """Shape of the other's outputs."""
        return self.of.outputs

    @property
    def outputs(self) -> int | tuple[int, ...]:
        """Shape of the other's inputs."""
        return self.of.inputs

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The other's."""
        return self.of.shape

    @property
    def fan_in(self) -> int:
        """Weights of one channel below, where the other's trailing axis is channels."""
        return math.prod(self.shape[:-1]) if self.shape else 1

    @property
    def places(self) -> int:
        """The other's."""
        return self.of.places

    @property
    def twin(self) -> Operator:
        """The other."""
        return self.of

    def apply(self, w: Tree, s: Tree) -> Tree:
        """The other's transpose."""
        return self.of.transposed(w, s)


@dataclass(frozen=True)
class Linear(Operator):
    """A linear map of one's own.

    Parameters
    ----------
    function : callable
        ``function(w, s)``, linear in either.
    inputs : int or tuple of int
        Shape of the states that it takes.
    shape : tuple of int or None
        Of its weights, an array, outputs first; None where it has none.
    places : int
        How often it uses each weight.

    Raises
    ------
    ValueError
        For a function that has no transpose, or that is not zero at zero.
    """

    function: Callable
    inputs: Any
    shape: tuple[int, ...] | None = None
    places: int = 1

    def __post_init__(self):
        _has_transpose(self)

    @property
    def outputs(self) -> tuple[int, ...]:
        """The shape that the function gives."""
        kind = jnp.zeros(0).dtype
        w = () if self.shape is None else jax.ShapeDtypeStruct(self.shape, kind)
        return jax.eval_shape(self.function, w, jax.ShapeDtypeStruct(dimensions(self.inputs), kind)).shape

    def apply(self, w: Tree, s: Tree) -> Tree:
        """The function, of weights and states of one number type: nudges may be complex, and `jax.lax`'s convolutions mix no types."""
        kind = jnp.result_type(s, *jax.tree.leaves(w))
        return self.function(jax.tree.map(lambda v: v.astype(kind), w), s.astype(kind))


@in_float64
def _has_transpose(operator: Linear) -> None:
    """Refuse what is not linear in the states: JAX cannot transpose it, or it is not zero at zero, or not additive."""
    name = getattr(operator.function, "__name__", str(operator.function))
    remedy = "give a map that is linear in the states, such as a mean, and put what bends into the activation"
    w = () if operator.shape is None else jax.random.normal(jax.random.key(0), operator.shape)
    s, v = (jax.random.normal(jax.random.key(k), dimensions(operator.inputs)) for k in (1, 2))
    try:
        found = operator(w, s)
        down = operator.transposed(w, found)
    except (NotImplementedError, AssertionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{name}: an operator without a transpose ({(str(error) or type(error).__name__).splitlines()[0]}); {remedy}"
        ) from error
    off = jnp.abs(operator(w, jnp.zeros_like(s))).max(), jnp.abs(operator(w, s + v) - found - operator(w, v)).max()
    scale = 1e-9 * (1 + jnp.abs(found).max())
    if max(off) > scale or abs(inner(down, s) - inner(found, found)) > scale * (1 + inner(found, found)):
        raise ValueError(f"{name}: an operator that is not linear: zero does not give zero, or a sum not the sum; {remedy}")
    if operator.shape is not None:
        u = jax.random.normal(jax.random.key(3), operator.shape)
        if jnp.abs(operator(w + u, s) - found - operator(u, s)).max() > scale:
            raise ValueError(f"{name}: an operator that is not linear in its weights; let what they pass through be parameters' own, below")


def dimensions(shape: int | Iterable[int]) -> tuple[int, ...]:
    """A shape as a tuple: of so many units, or of an image."""
    return (int(shape),) if isinstance(shape, Integral) else tuple(shape)


def size(shape: int | Iterable[int]) -> int:
    """Return how many units a shape has."""
    return math.prod(dimensions(shape))


def inner(a: Tree, b: Tree) -> Array:
    """``sum a b`` over all units, without a conjugate."""
    return a.reshape(-1) @ b.reshape(-1)


@functools.lru_cache(maxsize=512)
def maps(layers: Sequence) -> tuple[Operator, ...]:
    """The operators of layers in a row: between two numbers of units, or an operator and a number, a dense one.

    Raises
    ------
    ValueError
        Where an operator does not take what the one below gives.
    """
    found, below = [], None
    for k, layer in enumerate(layers):
        if not isinstance(layer, Operator):
            if below is not None:
                found.append(Dense(below, layer))
            below = layer
            continue
        if below is not None and dimensions(below) != dimensions(layer.inputs):
            raise ValueError(
                f"layer {k}, {layer}: takes {dimensions(layer.inputs)}, the one below gives {dimensions(below)}; make them agree"
            )
        found.append(layer)
        below = layer.outputs
    return tuple(found)


@in_float64
def uniform(key: Array, layers: Sequence[Operator], scale: float = 6.0) -> tuple:
    """Uniform weights of variance ``scale / 3 / fan_in`` of operators in a row, an entry each."""
    keys = jax.random.split(key, len(layers))
    return tuple(layer.uniform(k, scale) for k, layer in zip(keys, layers, strict=True))


@in_float64
def silent(layers: Sequence[Operator], parameters: Tree, x: ArrayLike) -> tuple:
    """Zeros like the states of layers in a row, in the number type of parameters and input."""
    kind = jnp.result_type(x, *jax.tree.leaves(parameters))
    return tuple(jnp.zeros(dimensions(layer.outputs), kind) for layer in layers)
