"""How many samples a second a board's chip learns from: its clock and its serial line, and which of the two limits."""

from __future__ import annotations

from typing import NamedTuple

from ..recipe import Recipe, clog2, emissions, programs

BITS = 10
"""Of a byte on the line: start, 8 data, stop."""
COMMAND = 3
"""Bytes of the command that goes with every sample: tag, code, operand (contract section 10)."""


class Rates(NamedTuple):
    """Training steps per second; inferences of a chip that does not learn.

    Attributes
    ----------
    chip : float
        Of the chip alone at the board's clock: a step's cycles, and the one in which the next is launched. 0 if Fmax is below that clock.
    line : float
        That the serial line carries at most: samples with command and label there, results back, whichever takes longer.
    """

    chip: float
    line: float

    @property
    def both(self) -> float:
        """Of the board."""
        return min(self.chip, self.line)

    @property
    def limit(self) -> str:
        """What limits: ``clock`` (Fmax is below it), ``chip`` or ``line``."""
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
    cycles = programs(recipe)[learns].length + 1
    element = 1 + -(-recipe.formats.state.width // 8)
    label = 1 + -(-max(1, clog2(recipe.sizes[-1])) // 8)
    there = COMMAND + recipe.sizes[0] * element + label * learns
    back = recipe.sizes[-1] * len(emissions(recipe, learns)) * element
    return Rates(clock / cycles if 1e6 * fmax >= clock else 0.0, clock / round(clock / BAUD) / BITS / max(there, back))


LIMITS = {"line": "the line limits", "chip": "the chip limits", "clock": "its Fmax is below that clock, so it does not run there"}


def told(found: Rates, board: str) -> str:
    """Both rates in words, and which limits."""
    from ..hdl.boards import BOARDS

    return (f"on {board}: the chip {found.chip:,.0f} at the board's {BOARDS[board].clock / 1e6:g} MHz, its serial line {found.line:,.0f}; "
            f"{LIMITS[found.limit]}")
