"""Operators on images: convolution with shared weights, and pooling. Images are (rows, columns, channels)."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from jax import Array
from jax import numpy as jnp

from .kinds import Tree
from .operators import Operator


@dataclass(frozen=True)
class Convolution(Operator):
    """Weights that all places of an image share: (channels, window, window, channels below).

    Parameters
    ----------
    inputs : tuple of int
        (rows, columns, channels) below.
    channels : int
    window : int
        Rows and columns of the kernel.
    padding : int
        Zeros around the image.
    """

    inputs: tuple[int, int, int]
    channels: int
    window: int = 3
    padding: int = 0

    def __post_init__(self):
        _image(self, channels=1, window=1, padding=0)
        if min(self.outputs) < 1:
            raise ValueError(f"{self}: outputs would be {self.outputs}; take a smaller window, or padding")

    @property
    def outputs(self) -> tuple[int, int, int]:
        """(rows, columns, channels)."""
        return (*(n + 2 * self.padding - self.window + 1 for n in self.inputs[:2]), self.channels)

    @property
    def shape(self) -> tuple[int, ...]:
        """(channels, window, window, channels below)."""
        return self.channels, self.window, self.window, self.inputs[2]

    @property
    def places(self) -> int:
        """Places of the image above."""
        return self.outputs[0] * self.outputs[1]

    def patches(self, s: Array) -> Array:
        """Return what the kernel meets at every place: (rows, columns, window * window * channels below)."""
        rows, columns = (n + 2 * self.padding - self.window + 1 for n in self.inputs[:2])
        s = jnp.pad(s, ((self.padding, self.padding), (self.padding, self.padding), (0, 0)))
        at = range(self.window)
        return jnp.concatenate([s[i : i + rows, j : j + columns] for i in at for j in at], -1)

    def apply(self, w: Tree, s: Tree) -> Tree:
        """The sum of kernel times patch at every place: one matrix product with all patches."""
        return self.patches(s) @ w.reshape(self.channels, -1).T

    def unfolded(self, s: Tree) -> Array:
        """The patches of all places."""
        return self.patches(s).reshape(-1, self.fan_in)

    def folded(self, u: Array) -> Tree:
        """The image."""
        return u.reshape(self.outputs)


@dataclass(frozen=True)
class Pooled(Convolution):
    """A convolution and the mean over windows of its places as one operator: a wider kernel that goes in larger steps.

    The map is that of ``Composed((Convolution(..), Pooling(..)))``, but several times as fast, since the means alone are computed.

    Parameters
    ----------
    over : int
        Rows and columns of places whose mean is taken.
    """

    over: int = 2

    def __post_init__(self):
        super().__post_init__()
        Pooling(super().outputs, self.over)  # refuses what is no multiple, or no number

    @property
    def outputs(self) -> tuple[int, int, int]:
        """(rows, columns, channels)."""
        return Pooling(super().outputs, self.over).outputs

    @property
    def places(self) -> int:
        """Places of the image above before the mean is taken."""
        return super().places * self.over**2

    def apply(self, w: Tree, s: Tree) -> Tree:
        """One matrix product of the mean kernel with all patches, which are made of blocks of `over` x `over` places."""
        rows, columns, _ = self.outputs
        over, below = self.over, self.inputs[2]
        blocks = -(-(self.window + over - 1) // over)  # across the mean kernel, whose last ones may be partly zeros
        kernel = jnp.zeros((self.channels, blocks * over, blocks * over, below), w.dtype)
        for i in range(over):
            for j in range(over):
                kernel = kernel.at[:, i : i + self.window, j : j + self.window].add(w / over**2)
        kernel = kernel.reshape(self.channels, blocks, over, blocks, over * below).transpose(0, 1, 3, 2, 4)
        above = [(n + blocks - 1) * over for n in (rows, columns)]
        around = [(self.padding, to - n - self.padding) for to, n in zip(above, self.inputs, strict=False)]
        s = jnp.pad(s, (*around, (0, 0))).reshape(rows + blocks - 1, over, columns + blocks - 1, over * below).swapaxes(1, 2)
        s = s.reshape(rows + blocks - 1, columns + blocks - 1, -1)
        patches = jnp.concatenate([s[i : i + rows, j : j + columns] for i in range(blocks) for j in range(blocks)], -1)
        return patches @ kernel.reshape(self.channels, -1).T

    def unfolded(self, s: Tree) -> Array:
        """The mean patch of each window of places."""
        patches = self.patches(s)
        return Pooling(patches.shape, self.over).apply((), patches).reshape(-1, self.fan_in)


@dataclass(frozen=True)
class Pooling(Operator):
    """The mean over windows beside each other, of every channel; it has no weights."""

    inputs: tuple[int, int, int]
    window: int = 2

    def __post_init__(self):
        _image(self, window=1)
        if any(n % self.window for n in self.inputs[:2]):
            raise ValueError(f"{self}: {self.inputs[0]} x {self.inputs[1]} is no multiple of the window; pad, or take another window")

    @property
    def outputs(self) -> tuple[int, int, int]:
        """(rows, columns, channels)."""
        return self.inputs[0] // self.window, self.inputs[1] // self.window, self.inputs[2]

    def apply(self, w: Tree, s: Tree) -> Tree:
        """The means."""
        rows, columns, channels = self.outputs
        return s.reshape(rows, self.window, columns, self.window, channels).mean((1, 3))


def _image(operator: Operator, **least: int) -> None:
    """Refuse what is no image, and fields that are no whole numbers or below their least."""
    shape = operator.inputs
    if not (isinstance(shape, tuple) and len(shape) == 3 and all(isinstance(n, Integral) and n > 0 for n in shape)):
        raise ValueError(f"{operator}: inputs {shape}; an image has (rows, columns, channels), a tuple of whole numbers")
    for name, low in least.items():
        if not isinstance(value := getattr(operator, name), Integral) or value < low:
            raise ValueError(f"{operator}: {name} {value}; allowed are whole numbers from {low} on")
