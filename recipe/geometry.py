"""Derived sizes and times of a layer's row engine (contract, symbols and section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .operations import Matrix, Op
from .recipe import Recipe

LEAD = 6
"""Cycles between a start and the first issue slot, less one: the generator runs ahead (contract section 3)."""


def clog2(n: int) -> int:
    """The least k with ``2**k >= n``."""
    return (n - 1).bit_length()


@dataclass(frozen=True)
class Geometry:
    """Sizes of one matrix on its engine: R rows, C columns, L lanes, and what follows from them.

    Parameters
    ----------
    recipe : Recipe
    layer : int
        Number of the engine; its own weights are layer `layer`'s.
    matrix : Matrix, optional
        By default the weights of the layer.

    Attributes
    ----------
    F, N, P, lv, G : int
        Folds, words, period of a transposed fold, adder-tree levels, lane groups of the generator.
    sum_width : int
        Bits of the exact sum port.
    operand_width : int
        Bits of the scalar operand E of update and probe.
    loss_width : int
        Bits of the loss register, were this the last layer.
    """

    recipe: Recipe
    layer: int
    matrix: Matrix | None = None

    @cached_property
    def R(self) -> int:
        return self.recipe.sizes[self.matrix.above if self.matrix else self.layer + 1]

    @cached_property
    def C(self) -> int:
        return self.recipe.sizes[self.matrix.below if self.matrix else self.layer]

    @cached_property
    def L(self) -> int:
        return self.recipe.lanes[self.layer]

    @cached_property
    def F(self) -> int:
        return -(-self.C // self.L)

    @cached_property
    def N(self) -> int:
        return self.R * self.F

    @cached_property
    def P(self) -> int:
        return max(self.R, self.L)

    @cached_property
    def lv(self) -> int:
        return clog2(self.L)

    @cached_property
    def G(self) -> int:
        return -(-self.L // 16)

    @cached_property
    def is_last(self) -> bool:
        return self.layer == self.recipe.layers - 1

    @cached_property
    def sum_width(self) -> int:
        f = self.recipe.formats
        return max(f.weight.width + f.state.width + clog2(self.C), f.weight.width + f.delta.width + clog2(self.R))

    @cached_property
    def operand_width(self) -> int:
        return self.recipe.bits.operand

    @cached_property
    def loss_width(self) -> int:
        return 2 * (self.recipe.formats.accumulator.width + 1) + clog2(self.R) + 1

    def ready(self, op: Op) -> int:
        """Cycles from the start of `op` until what it made can be used by another start (contract section 8)."""
        if op is Op.TRANSPOSED:
            return LEAD + (self.F - 1) * self.P + self.R + self.L + 14
        if op is Op.FORWARD:
            return LEAD + self.N + (16 if self.is_last else 12) + self.lv
        return LEAD + self.N + 7

    def busy(self, op: Op) -> int:
        """Cycles from the start of `op` until the engine's next start (contract section 8)."""
        if op is Op.TRANSPOSED:
            return LEAD + (self.F - 1) * self.P + self.R + self.L + 5
        if op is Op.FORWARD:
            return LEAD + self.N + 5 + self.lv
        return LEAD + self.N + 7


def geometries(recipe: Recipe) -> tuple[Geometry, ...]:
    """Return one Geometry per layer: of its weights."""
    return tuple(Geometry(recipe, k) for k in range(recipe.layers))


def matrix_geometries(recipe: Recipe) -> dict[str, Geometry]:
    """Return the Geometry of every matrix of the recipe's rule, by its name."""
    return {m.name: Geometry(recipe, m.engine, m) for m in recipe.matrices}


def in_memory(recipe: Recipe) -> tuple[Geometry, ...]:
    """Return the Geometry of every matrix in memory, in the order in which they are loaded and read."""
    return tuple(g for g in matrix_geometries(recipe).values() if g.matrix.source == "memory")
