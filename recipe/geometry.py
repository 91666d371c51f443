"""Derived sizes of a matrix on its engine (contract, symbols and section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .operations import Matrix, Op, Operation
from .recipe import Recipe
from .rules.parts import weights

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
        Kept as the layer sees it, with the weight format of its matrices alone.
    matrix : Matrix

    Attributes
    ----------
    layer : int
        Whose weights it lies beside, and whose weight format and random numbers it has.
    engine : int
        Number of the row of lanes that reads and writes it.
    D : int
        Columns that meet elements of a store; with a bias there is one more, C = D + 1.
    F, T, N, P, lv, G : int
        Folds, those with elements of a store, words, period of a transposed fold, adder-tree levels, lane groups of the generator.
    operand_width : int
        Bits of the scalar operand E of update and probe.
    loss_width : int
        Bits of the loss register, were this the last layer.
    """

    recipe: Recipe
    matrix: Matrix

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipe", self.recipe.of_layer(self.layer))

    @property
    def layer(self) -> int:
        return self.matrix.layer

    @cached_property
    def R(self) -> int:
        return self.recipe.sizes[self.matrix.above]

    @cached_property
    def D(self) -> int:
        return self.recipe.sizes[self.matrix.below]

    @cached_property
    def C(self) -> int:
        return self.D + self.recipe.bias

    @cached_property
    def engine(self) -> int:
        return self.recipe.engine_of(self.matrix.name, self.layer)

    @cached_property
    def L(self) -> int:
        return self.recipe.engine_lanes[self.engine]

    @cached_property
    def F(self) -> int:
        return -(-self.C // self.L)

    @cached_property
    def T(self) -> int:
        return -(-self.D // self.L)

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
    def operand_width(self) -> int:
        return self.recipe.bits.operand

    @cached_property
    def loss_width(self) -> int:
        return 2 * (self.recipe.formats.accumulator.width + 1) + clog2(self.R) + 1

    def sums(self, step: Operation) -> int:
        """Return the bits of the exact sums of a read; rows hold what is wider, a state or a difference."""
        f = self.recipe.formats
        if step.op is Op.FORWARD:
            return f.weight.width + f.state.width + clog2(self.C)
        return f.weight.width + (f.state if step.row in self.recipe.states else f.delta).width + clog2(self.R)

    def slots(self, op: Op) -> int:
        """Return the issue slots of an operation: so many cycles after its start the engine takes another one."""
        return (self.T - 1) * self.P + self.R if op is Op.TRANSPOSED else self.N


def geometries(recipe: Recipe) -> tuple[Geometry, ...]:
    """Return one Geometry per layer: of its weights."""
    return tuple(Geometry(recipe, m) for m in weights(recipe))


def matrix_geometries(recipe: Recipe) -> dict[str, Geometry]:
    """Return the Geometry of every matrix of the recipe's rule, by its name."""
    return {m.name: Geometry(recipe, m) for m in recipe.matrices}


def in_memory(recipe: Recipe) -> tuple[Geometry, ...]:
    """Return the Geometry of every matrix in memory, in the order in which they are loaded and read."""
    return tuple(g for g in matrix_geometries(recipe).values() if g.matrix.source == "memory")
