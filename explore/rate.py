"""Samples a second that a board's chip learns from: its clock and its serial line, and which of the two limits."""

from __future__ import annotations

from typing import NamedTuple

from ..recipe import Recipe, programs
from ..recipe.link import OVERHEAD, STATUS, Link, Tag

BITS = 10
"""Bits of a byte on the line: start, 8 data, stop."""
BLOCK = 254
"""Bytes of a frame behind each length on the line (contract section 10)."""


class Rates(NamedTuple):
    """Training steps per second; inferences of a chip that does not learn.

    Attributes
    ----------
    chip : float
        Of the chip alone at the board's clock: a step's cycles, and the one in which the next is launched. 0 if Fmax is below that clock.
    line : float
        That the serial line carries at most: samples and labels there, results back, whichever takes longer.
    """

    chip: float
    line: float

    @property
    def both(self) -> float:
        """Samples a second of the board."""
        return min(self.chip, self.line)

    @property
    def limit(self) -> str:
        """Name of what limits: ``clock`` (Fmax is below it), ``chip`` or ``line``."""
        return "clock" if not self.chip else "chip" if self.chip < self.line else "line"


def rates(recipe: Recipe, board: str, fmax: float) -> Rates:
    """The rates of a recipe's chip behind its serial host.

    Parameters
    ----------
    recipe : Recipe
    board : str
        A key of `hdl.boards.BOARDS`.
    fmax : float
        Highest clock frequency of the circuit, MHz.
    """
    from ..hdl.boards import BOARDS
    from ..hdl.synth import BAUD

    clock, learns = BOARDS[board].clock, recipe.learns
    program = programs(recipe)[learns]
    cycles = program.interval or program.length + 1
    link, tag = Link(recipe), Tag.TRAIN if learns else Tag.INFER

    slowest = max(on_the_line(OVERHEAD + link.requests[tag]), on_the_line(OVERHEAD + link.replies[tag] + STATUS))
    return Rates(clock / cycles if 1e6 * fmax >= clock else 0.0, BAUD / BITS / slowest)


def on_the_line(frame: int) -> int:
    """Return the most bytes that a frame of so many takes: a length for each full block and for what is left, if nothing, and a zero."""
    return frame + frame // BLOCK + 2


LIMITS = {"line": "the line limits", "chip": "the chip limits", "clock": "its Fmax is below that clock, so it does not run there"}


def told(found: Rates, board: str) -> str:
    """Both rates in words, and which limits."""
    from ..hdl.boards import BOARDS

    return (
        f"on {board}: the chip {found.chip:,.0f} at the board's {BOARDS[board].clock / 1e6:g} MHz, its serial line {found.line:,.0f}; "
        f"{LIMITS[found.limit]}"
    )
