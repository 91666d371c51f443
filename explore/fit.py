"""Engines for a board: which lanes, and which matrices on which, give the shortest training program that fits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

from pydantic import ValidationError

from ..hdl.boards import BOARDS
from ..recipe import Op, Recipe, RecipeError, programs
from . import cost

MOST_ENGINES = 3
"""Engines of a chip that is looked for; more shorten no program that was tried."""


class Fit(NamedTuple):
    """One way to lay a chip out.

    Attributes
    ----------
    recipe : Recipe
        With its `engines`.
    cycles : int
        Of a training step, the interval where samples overlap; of an inference where the chip does not learn.
    busy : float
        Useful products over lanes and cycles.
    needs : dict
        Resource of a board to how much the chip takes, by the cost model.
    in_flight : int
        Samples that are under way at most.
    staleness : dict
        By matrix that is read: the updates by earlier samples that its reads do not see yet.
    """

    recipe: Recipe
    cycles: int
    busy: float
    needs: dict[str, float]
    in_flight: int
    staleness: dict[str, int]

    def to_dict(self) -> dict:
        """The layout as plain data: the recipe's name, and its engines."""
        return {"recipe": self.recipe.name, "engines": [e.model_dump() for e in self.recipe.engines]} | {
            name: getattr(self, name) for name in self._fields[1:]
        }

    @property
    def placed(self) -> str:
        """The engines in words: ``16 lanes: W0, W1``."""
        return "; ".join(f"{e.lanes} lanes: {', '.join(e.matrices)}" for e in self.recipe.engines)


def fit(recipe: Recipe, board: str, most: int = 5) -> list[Fit]:
    """Return the layouts that fit a board, the shortest program first and the fewest lanes among equals.

    Parameters
    ----------
    recipe : Recipe
        Its lanes and engines do not matter; how many samples may be in flight, and how stale weights may be, is its own.
    board : str
        Of `hdl.boards.BOARDS`.
    most : int
        How many are returned.

    Raises
    ------
    RecipeError
        If nothing fits: which resource the smallest layout lacks, and by how much.
    """
    if board not in BOARDS:
        raise ValueError(f"board: {board!r} is unknown; allowed are {', '.join(BOARDS)}")
    if reason := cost.unfitted(board):
        raise ValueError(f"board: {reason}; allowed are {', '.join(name for name in BOARDS if not cost.unfitted(name))}")
    holds, found, smallest = BOARDS[board].holds, [], None
    for bound, _, engines in sorted(_layouts(recipe, holds["multiplier"]), key=lambda layout: layout[:2]):
        if len(found) >= most and bound > found[most - 1].cycles:
            break
        try:
            chip = Recipe.model_validate(recipe.model_dump() | {"name": f"{recipe.name}-fitted", "lanes": (), "engines": engines})
        except ValidationError:  # matrices of several weight formats that cannot share an engine
            continue
        made = measured(chip, board)
        over = {r: n - holds[r] for r, n in made.needs.items() if n > holds[r]}
        if not over:
            found = sorted([*found, made], key=lambda f: (f.cycles, sum(f.recipe.engine_lanes)))
        elif smallest is None or sum(made.recipe.engine_lanes) < sum(smallest[1].recipe.engine_lanes):
            smallest = over, made
    if not found:
        lacks = ", ".join(f"{n:.0f} {r}s too many" for r, n in smallest[0].items()) if smallest else "no multipliers are left for lanes"
        larger = [b.name for b in BOARDS.values() if smallest and all(n <= b.holds[r] for r, n in smallest[1].needs.items())]
        remedy = f"a larger board ({', '.join(larger)})" if larger else "smaller layers or narrower formats"
        raise RecipeError(f"{recipe.name} fits {board} with no engines: {lacks} in the smallest layout; take {remedy}")
    return found[:most]


def measured(chip: Recipe, board: str) -> Fit:
    """Return a chip as a `Fit`: cycles counted, needs on a board by the cost model."""
    program = programs(chip)[chip.learns]
    products = sum(
        chip.sizes[m.above] * chip.sizes[m.below] for i in program.instructions for m in chip.matrices if m.name == i.step.matrix
    )
    known = cost.on_board(chip, cost.figures(cost.coefficients()["model"], chip), board)
    needs = {resource: known[metric] for metric, resource in cost.RESOURCES.items()}
    return Fit(chip, program.period, products / (program.period * sum(chip.engine_lanes)), needs, program.in_flight, program.staleness)


def _layouts(recipe: Recipe, multipliers: int) -> Iterator[tuple[int, int, list[dict]]]:
    """Yield the least cycles, the lanes and the `engines` of each placement of the matrices, with lanes at which one takes fewer words."""
    matrices = {m.name: m for m in recipe.matrices}
    placed = [m.name for m in recipe.matrices if m.source == "memory"]
    for groups in _partitions(placed, MOST_ENGINES):
        with_made = [[*group, *(m.name for m in recipe.matrices if m.source != "memory" and f"W{m.layer}" in group)] for group in groups]
        options = []
        for group in with_made:
            columns = [recipe.sizes[matrices[name].below] for name in group]
            lanes = {-(-c // f) for c in columns for f in range(1, c + 1)}
            options.append([n for n in sorted(lanes) if n <= multipliers and n < 2 * max(columns)])
        for lanes in itertools.product(*options):
            if sum(lanes) <= multipliers:
                bound = max(_slots(recipe, matrices, group, n) for group, n in zip(with_made, lanes, strict=True))
                yield bound, sum(lanes), [{"lanes": n, "matrices": group} for group, n in zip(with_made, lanes, strict=True)]


def _slots(recipe: Recipe, matrices: dict, group: list[str], lanes: int) -> int:
    """Return the slots of an engine: no program is shorter."""
    total = 0
    for step in recipe.steps:
        if step.matrix in group:
            rows, folds = recipe.sizes[matrices[step.matrix].above], -(-recipe.sizes[matrices[step.matrix].below] // lanes)
            total += (folds - 1) * max(rows, lanes) + rows if step.op is Op.TRANSPOSED else rows * folds
    return total


def _partitions(names: list[str], most: int) -> Iterator[list[list[str]]]:
    """Yield the ways to put names into at most so many groups."""
    if not names:
        yield []
        return
    first, rest = names[0], names[1:]
    for groups in _partitions(rest, most):
        for n, group in enumerate(groups):
            yield [*groups[:n], [first, *group], *groups[n + 1 :]]
        if len(groups) < most:
            yield [[first], *groups]
