"""The memories of a chip, and what synthesis makes of each: memory blocks or LUTs."""

from __future__ import annotations

from typing import NamedTuple

from ..recipe import Recipe, clog2, geometries, table
from ..recipe.link import Link

SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
"""Words and bits that a memory block can have."""
BLOCK_WORTH = 128
"""LUTs that synthesis takes a memory block to be worth."""
LANE_BITS = 9
"""Bits of a memory block that are written together."""


class Words(NamedTuple):
    """A memory: so many words of so many parts, each of so many bits and written alone."""

    words: int
    parts: int
    bits: int

    @property
    def cells(self) -> int:
        """Cells of 16 words and 4 bits, if it is made of LUTs."""
        return -(-self.words // 16) * self.parts * -(-self.bits // 4)

    @property
    def blocks(self) -> int:
        """Memory blocks, 0 if it is made of LUTs: whichever synthesis takes for cheaper, selection of words included."""

        def selection(folds):
            return (folds - 1) * self.parts * self.bits / 2 + (folds > 1) * folds * self.parts / 2

        width = self.bits if self.parts == 1 else self.parts * -(-self.bits // LANE_BITS) * LANE_BITS
        counts = [(-(-self.words // w), -(-width // b)) for w, b in SHAPES]
        cost, blocks = min((BLOCK_WORTH * folds * wide + selection(folds), folds * wide) for folds, wide in counts)
        return blocks if cost < 4 * self.cells + selection(-(-self.words // 16)) else 0


def memories(recipe: Recipe) -> list[Words]:
    """Every memory whose size depends on the recipe (contract sections 3 and 7): weights, inputs, errors, drives."""
    if (
        recipe.engines
        or len(recipe.matrices) > recipe.layers
        or recipe.samples_in_flight > 1
        or any(step.keep_feedback for step in recipe.steps)
    ):
        return _placed(recipe)
    f, found = recipe.formats, []
    for g in geometries(recipe):
        banks = 2 if g.layer == 0 else 1
        found += [
            Words(g.N, 1, g.L * g.recipe.formats.weight.width),
            Words(banks << clog2(g.T), g.L, f.state.width),
            Words(g.R, 1, f.delta.width),
        ]
        found += [] if g.is_last else [Words(g.R, 1, f.accumulator.width)]
    return found


def _placed(recipe: Recipe) -> list[Words]:
    """Memories of a chip whose matrices share engines, or that has more of them: words and stores of each, drives and feedback of units."""
    f, found = recipe.formats, []
    for engine in table.engines(recipe):
        found.append(Words(engine.words, 1, engine.lanes * engine.width))
        for m in engine.memories:
            count, width = recipe.sizes[m.population], getattr(f, m.format).width
            lanes = engine.lanes if m.port == "column" else 1
            found.append(Words(m.slots << clog2(-(-count // lanes)), lanes, width))
    for k in range(recipe.layers):
        for name, slots in (("keep_drive", table.drive_slots(recipe, k)), ("keep_feedback", 1)):
            if any(getattr(e, name) for e in table.entries(recipe, k)):
                count = recipe.sizes[k + 1]
                found.append(Words(count if slots == 1 else slots << clog2(count), 1, f.accumulator.width))
    return found


def frames(recipe: Recipe) -> Words:
    """Memory of the link's frames, beside the chip (contract section 10)."""
    link = Link(recipe)
    return Words(link.slots * link.slot, 1, 8)
