"""Findings of a co-simulation: each comparison that differed, and the sums."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from . import gradient


class Difference(NamedTuple):
    """One comparison that differed.

    Attributes
    ----------
    part : str
        Of the run: ``data 1``, ``directed 1``, ...
    cycle : int
        From the part's reset.
    where : str
        A stream's port, a level, or an inner write, as ``engine0 weight[3]``.
    expected, got : str
    """

    part: str
    cycle: int
    where: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.part}, cycle {self.cycle}: {self.where}: expected {self.expected}, got {self.got}"


CLIPPED = "state out of range"
"""Event that no chip can have: a dyad's mean lies between states that are clipped to the format (contract section 4)."""
SHOWN = 10
"""Differences that a text lists."""


@dataclass
class Report:
    """Comparisons and findings of a co-simulation.

    Attributes
    ----------
    recipe, simulator : str
    data : str
        Whose training samples: a data set's name, or ``drawn`` where there is none for so many inputs.
    samples : int
        Training samples of the data.
    cycles : int
        Simulated clock cycles.
    bits : int
        Compared bits: handshakes, payloads, levels, inner writes.
    mismatches, cycle_differences : int
        Comparisons that differed, and those of them that are about times.
    first : list of Difference
        The first of each part, at most a hundred.
    coverage : dict
        What was exercised how often.
    uncovered : list of str
        What never was and must be: commands, streams, and updates that change weights.
    unreached : list of str
        What not even the directed stimuli reached, so that nothing is known of it: most often what these formats cannot do.
    notes : list of str
        What else should be known of the run.
    saturations : dict
        Range events of training on the data, by format.
    moved : int
        Weights that training on the data has changed.
    seconds : float
    files : list of str
        Of waves, their views, and logs.
    gradient : dict
        The chip's gradient of these samples ``before`` and ``after`` training against dual propagation in float64 and the
        exact gradient, as `gradient.compare` makes it; empty for rules without error signals.
    """

    recipe: str
    simulator: str
    data: str
    samples: int
    cycles: int = 0
    bits: int = 0
    mismatches: int = 0
    cycle_differences: int = 0
    first: list[Difference] = field(default_factory=list)
    coverage: dict = field(default_factory=dict)
    uncovered: list[str] = field(default_factory=list)
    unreached: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    saturations: dict = field(default_factory=dict)
    moved: int = 0
    seconds: float = 0.0
    files: list[str] = field(default_factory=list)
    gradient: dict = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.mismatches and not self.uncovered

    def to_dict(self) -> dict:
        """The report as plain data."""
        return asdict(self) | {"passed": self.passed, "first": [d._asdict() for d in self.first]}

    def __str__(self) -> str:
        lines = [
            f"{self.recipe} on {self.simulator}: {self.samples} training samples of {self.data} and directed ones, {self.cycles} "
            f"cycles, {self.bits} bits compared, {self.mismatches} mismatches, {self.cycle_differences} cycle differences"
        ]
        lines += [gradient.line(stage, table) for stage, table in self.gradient.items()]
        return "\n  ".join(lines + self.findings())

    def findings(self) -> list[str]:
        """Return a line for whatever is wrong or should be known: differences, goals that were not met, notes."""
        lines = [str(d) for d in self.first[:SHOWN]]
        if self.mismatches > len(lines):
            lines.append(f"... and {self.mismatches - len(lines)} more mismatches; a part is left after the first fifty")
        lines += [f"never exercised: {goal}" for goal in self.uncovered]
        if self.unreached:
            lines.append(f"not reached by any stimulus: {', '.join(self.unreached)}")
        return lines + [f"note: {note}" for note in self.notes]
