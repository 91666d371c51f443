"""Kinds of things that the parts of the reference hand to each other, for signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

from jax import Array
from jax.typing import ArrayLike

if TYPE_CHECKING:
    from .solvers import Problem, Solution

Tree: TypeAlias = Any
"""A pytree of arrays, such as parameters or states. Which, is up to the circuit, and JAX has no type for it."""
Objective: TypeAlias = Callable[[Array, ArrayLike], Array]
"""Output and target to the cost."""
Solver: TypeAlias = Callable[["Problem"], "Solution"]
Nudge: TypeAlias = Callable[["Problem", Tree, Objective, ArrayLike, ArrayLike], "Problem"]
"""Type of `nudges`: from a problem, its free states, objective, target and strength to the nudged problem."""


class Circuit(Protocol):
    """Members of every circuit; `circuits` says what these do, and what more there is by its capabilities."""

    capabilities: frozenset[str]

    def start(self, parameters: Tree, x: ArrayLike) -> Tree:
        """States to start from."""

    def residual(self, parameters: Tree, s: Tree, x: ArrayLike) -> Tree:
        """The constraint, zero at a solution."""

    def relax(self, parameters: Tree, s: Tree, x: ArrayLike, force: Tree) -> Tree:
        """One sweep."""

    @property
    def output(self) -> Callable[[Tree], Array]:
        """States to those that the objective sees."""

    @property
    def with_output(self) -> Callable[[Tree, Array], Tree]:
        """States and an output to states that have it."""


class Batch(NamedTuple):
    """Samples of which an update has the gradient, and what was asked of them.

    Attributes
    ----------
    circuit, objective
        Those that are trained.
    x, y : arrays
        Inputs and one-hot targets, samples on the leading axis.
    """

    circuit: Circuit
    objective: Objective
    x: Array
    y: Array


class Update(Protocol):
    """Step from a batch to new parameters; `models.train` compiles it, so both members are pure functions of pytrees of arrays."""

    def init(self, parameters: Tree) -> Tree:
        """The update's own state before the first batch, ``()`` if it has none."""

    def apply(self, gradient: Tree, state: Tree, parameters: Tree, batch: Batch) -> tuple[Tree, Tree]:
        """The new parameters and the new state, each shaped like the old ones; `gradient` is the batch's mean, like the parameters."""
