"""Fit of a design on a board: what it takes at the least, what its netlist takes, and the refusal with its remedy."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from ..recipe import Recipe
from ..recipe.table import engines as engines_of
from .boards import BOARDS, Board
from .families import Family


class DoesNotFit(ValueError):
    """A design that needs more than the board has; the message names the resource and the remedy."""


def check_fits(needs: dict[str, int], board: Board, recipe: Recipe | None = None) -> None:
    """Refuse what does not fit, naming the resource and the remedy."""
    over = [f"{needs[r]} {r}s needed, {board.holds[r]} available" for r in board.holds if needs.get(r, 0) > board.holds[r]]
    if not over:
        return
    remedies = []
    if needs.get("memory block", 0) > board.holds["memory block"]:
        remedies.append("smaller layers or narrower weights, fewer samples where they are kept")
    if any(needs.get(r, 0) > board.holds[r] for r in ("multiplier", "LUT", "FF")):
        remedies.append("fewer lanes")
    larger = [b.name for b in BOARDS.values() if all(needs.get(r, 0) <= b.holds[r] for r in b.holds)]
    if larger:
        remedies.append(f"a bigger board ({', '.join(larger)})")
    name = recipe.name if recipe else "the design"
    raise DoesNotFit(f"{name} does not fit {board.name} ({board.device}): {'; '.join(over)}. Remedy: {', or '.join(remedies)}")


def least(recipe: Recipe, family: Family, samples: int = 0) -> dict[str, int]:
    """Return what a recipe takes at the very least, known without synthesis."""
    engines = engines_of(recipe)
    kept = (samples << (recipe.sizes[0] - 1).bit_length()) * recipe.formats.state.width
    # products of wider operands go where synthesis puts them; where no block is left, the square of an error is made of LUTs
    products = [(e.lanes, e.width, max(e.width, e.scalar)) for e in engines]
    blocks = [family.others or operand <= family.multiplier.width for *_, operand in products]
    return {
        "multiplier": sum(lanes * made for (lanes, *_), made in zip(products, blocks, strict=True)),
        # of products that no block makes: half a cell for each pair of bits, by any way of adding
        "LUT": sum(lanes * (width * operand // 2) * (not made) for (lanes, width, operand), made in zip(products, blocks, strict=True)),
        # a memory of a few words goes to LUTs instead
        "memory block": sum(-(-e.words * e.lanes * e.width // family.block) for e in engines if e.words * e.lanes * e.width > family.least)
        + -(-kept // family.block),
    }


def netlist_needs(netlist: Path, family: Family) -> dict[str, int]:
    """Return what a netlist of Yosys takes, resource to number."""
    top = json.loads(netlist.read_text())["modules"]["top"]
    needs = Counter(dict.fromkeys({resource for resource, _ in family.takes.values()}, 0))
    for cell in top["cells"].values():
        if cell["type"] in family.takes:
            resource, n = family.takes[cell["type"]]
            needs[resource] += n
    return needs
