"""Operations as data: which matrix, which operand, how the stream enters a unit, and what is kept where (contract section 12)."""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, NamedTuple

ELEMENT_BITS = 12
"""Bits of a random index for the number of an element, so that a layer has at most ``2**12`` units (contract section 2)."""

POSITION_BITS = 12
"""Bits of a random index for the position in the program memory, so that it holds at most ``2**12`` instructions (contract section 2)."""


class Op(IntEnum):
    """Operations of an engine with the words of a matrix."""

    FORWARD = 0
    """Read rows: ``M x``, one element a row."""
    TRANSPOSED = 1
    """Read columns: ``M^T e``, one element a column."""
    UPDATE = 2
    """Rewrite every word by an outer product."""
    PROBE = 3
    """Raise every word by epsilon along signs of the generator; negative: lower it by twice epsilon, which takes back such a probe, too."""


class Matrix(NamedTuple):
    """Weights, feedback or a head: a map from population `below` to `above`; population 0 is the sample, k the neurons of unit k - 1.

    Attributes
    ----------
    name : str
    below, above : int
        Populations of its columns and its rows.
    layer : int
        It lies beside the weights of this layer, on their engine unless the recipe's `engines` says otherwise, and has this layer's
        random numbers.
    source : str
        ``memory``; ``signs`` of the matrix `of`, or signs of the ``generator``, both times the recipe's `feedback`: nothing is stored.
    of : str
        For ``signs``.
    start : str
        How a stored matrix is loaded before training: ``random``, ``zero``, or the name of the matrix that it equals.
    """

    name: str
    below: int
    above: int
    layer: int
    source: Literal["memory", "signs", "generator"] = "memory"
    of: str = ""
    start: str = "random"


class Operation(NamedTuple):
    """One operation of a learning rule.

    Attributes
    ----------
    op : Op
    matrix : str
    column, row : str
        Stores that the columns and the rows of the matrix meet: forward reads `column`, transposed `row`, an update both. An update
        may have the row ``slope`` (the loss register's difference) and the column ``signs`` (of the generator, one for every weight); with
        a column of states each row has the sign of its element's noise. Forward reads and updates may have the column ``noise``:
        the recipe's `sigma` with a sign of the generator for each column, the same in all operations of a step.
    unit : int
        Of a read: the unit that the elements enter.
    enter : str
        ``drive``: as its drive; ``more``, ``less``: added to or taken from the drive that it keeps; ``feedback``: beside that drive;
        ``relax``: beside that drive, too, and only a share of ``2**-leak`` of the way from the feedback that it keeps; ``gather``: beside
        that drive, added to the feedback that it keeps where the activation has a slope.
    force : str
        What the label does in the last unit: nothing; ``feedback``: beta times the error is added to the feedback; ``drive``: to the
        drive; ``clamp``: the target takes the place of the drive.
    negative : bool
        Of a read: the force has -beta. Of an update or a probe: it is subtracted.
    error : str
        What the difference port gives: the ``dyad``'s difference; ``gate``: the feedback where the activation has a slope;
        ``feedback``: the feedback itself.
    keep_drive : bool
        The drive memory takes the drive as it is before a force.
    keep_feedback : bool
        The feedback memory takes the feedback as it is before a force.
    leak : int
        Of ``relax``: 0 to 15.
    moved : bool
        The mean is the activation's value plus the difference, where alpha is 0.
    turn : int
        Which of the samples under way it is on; set in the hardware's table, not by rules.
    mean, difference : str
        Stores that take the ports' elements; empty: none.
    result : bool
        The means enter the result queue.
    loss : str
        What the last unit's loss register does: ``keep``; ``zero``; ``set`` to the sum of squared errors; ``subtract`` it.
    noise : int
        Of a read: +1 or -1 adds or takes the recipe's `sigma` times ``2**gain``, with a sign of the generator for each element of the unit,
        the same in all operations of a step; 0: nothing.
    gain : int
        Of an update, or of a read's noise: a factor of ``2**gain``.
    repeatable : bool
        Of a read: its random words follow from the element and the step alone, so that made again it rounds alike.
    decay : int
        Of an update: every weight also loses ``2**-decay`` of itself. 0: none.
    """

    op: Op
    matrix: str
    column: str = ""
    row: str = ""
    unit: int = -1
    enter: Literal["drive", "more", "less", "feedback", "relax", "gather"] = "drive"
    force: Literal["", "feedback", "drive", "clamp"] = ""
    negative: bool = False
    error: Literal["dyad", "gate", "feedback"] = "dyad"
    keep_drive: bool = False
    mean: str = ""
    difference: str = ""
    result: bool = False
    loss: Literal["keep", "zero", "set", "subtract"] = "keep"
    noise: int = 0
    gain: int = 0
    decay: int = 0
    keep_feedback: bool = False
    leak: int = 0
    moved: bool = False
    repeatable: bool = False
    turn: int = 0

    @property
    def reads(self) -> bool:
        """Return whether elements leave the engine."""
        return self.op in (Op.FORWARD, Op.TRANSPOSED)

    def __str__(self) -> str:
        where = {Op.FORWARD: f"{self.matrix} {self.column}", Op.TRANSPOSED: f"{self.matrix}^T {self.row}"}
        if not self.reads:
            told = f"{self.matrix} {'-' if self.negative else '+'}= {self.row or 'epsilon'} {self.column or 'signs'}"
            return f"{self.op.name.lower()} {told}" + (f", decay {self.decay}" if self.decay else "")
        mean = self.mean + (" moved" if self.moved else "")
        kept = ["drive"] * self.keep_drive + ["feedback"] * self.keep_feedback
        kept += [s for s in (mean, self.difference) if s] + ["result"] * self.result
        force = f", {'-' if self.negative else ''}{self.force}" if self.force else ""
        noise = f", noise {self.noise:+d} * 2**{self.gain}" if self.noise else ""
        enter = self.enter + (f" 2**-{self.leak}" if self.leak else "") + ", repeatable" * self.repeatable
        return f"{self.op.name.lower()} {where[self.op]}{noise} -> unit {self.unit} {enter}{force}: {', '.join(kept) or 'nothing'}"


def in_turn(name: str, slot: int) -> str:
    """Return the store that a slot of another one is, where the samples under way take turns in several."""
    return name + "'" * slot


FED = ("relax", "gather")
"""Ways to enter that need the feedback that a unit keeps."""
BESIDE = ("feedback", *FED)
"""Ways to enter beside the drive that a unit keeps."""
CHANGES = ("more", "less", *FED)
"""Ways to enter that change what a unit keeps, which takes a cycle."""
SLOPE = "slope"
"""The row of an update that is the loss register's difference."""
SIGNS = "signs"
"""The column of an update that is the generator's signs, one for every weight."""
NOISE = "noise"
"""The column that is the generator's signs, one for every column, times sigma."""
MADE = (SIGNS, SLOPE, NOISE)
"""Names that stand where a store would, and are none."""
MOST_LEAK = 15
"""Largest leak of an operation that relaxes."""
