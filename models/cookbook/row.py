"""Rows: a method of the paper, the combination of parts that makes it, and the check of its own law."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..estimators.estimator import Estimator
from ..precision import in_float64
from .findings import Finding, accepted, descended
from .systems import System

ROWS: dict[int, Row] = {}
"""All rows, by number; filled when the modules of the families are imported."""

AXES = ("circuit", "nudge", "solver", "estimator", "schedule", "update")


@dataclass(frozen=True)
class Row:
    """One method.

    Attributes
    ----------
    number : int
        1 to 88.
    title : str
    source : str
        Section and equation of the paper, with the errata that are corrected here.
    combination : dict
        Axis (of `AXES`) to the part on it; axes where any part serves are left out.
    check : callable
        ``check(seed)`` yields `Finding`s.
    estimator : Estimator, optional
        With it the declared order is checked on all `systems` as well.
    systems : tuple of callables
        ``system(seed) -> System`` on which the estimator is accepted.
    """

    number: int
    title: str
    source: str
    combination: dict[str, str]
    check: Callable[[int], Iterator[Finding]]
    estimator: Estimator | None = None
    systems: tuple[Callable[[int], System], ...] = ()

    @in_float64
    def findings(self, seed: int = 0) -> Iterator[Finding]:
        """All that the row's check measures, its estimator's declared order first."""
        yield from self.accepted(seed)
        yield from self.check(seed)

    def accepted(self, seed: int) -> Iterator[Finding]:
        """The estimator against its own declaration: the slope of its error on every system; and what training makes of it."""
        if self.estimator is None:
            return
        if self.estimator.order is not None:
            for make in self.systems:
                yield accepted(self.estimator, make(seed), make.__name__.replace("_", " "))
        if self.estimator.surrogate is not None:
            yield descended(self.estimator, self.systems[0](seed))


def row(
    number: int,
    title: str,
    source: str,
    *,
    estimator: Estimator | str | None = None,
    systems: Sequence[Callable[[int], System]] = (),
    **combination: str,
) -> Callable[[Callable[[int], Iterator[Finding]]], Callable[[int], Iterator[Finding]]]:
    """Enter a check, a generator of `Finding`s from a seed, as row `number`.

    Parameters
    ----------
    estimator : Estimator or str, optional
        The estimator, checked on all `systems`; or only its name, where the row's own check is all there is.
    **combination : str
        The parts on the other axes (`AXES`).
    """
    if estimator is not None:
        combination["estimator"] = estimator if isinstance(estimator, str) else estimator.name
    if unknown := set(combination) - set(AXES):
        raise TypeError(f"row {number}: {', '.join(unknown)}: no axis; they are {', '.join(AXES)}")

    def enter(check):
        if number in ROWS:
            raise ValueError(f"row {number} is entered twice: {ROWS[number].title} and {title}")
        parts = {axis: combination[axis] for axis in AXES if axis in combination}
        declared = None if isinstance(estimator, str) else estimator
        ROWS[number] = Row(number, title, source, parts, check, declared, tuple(systems))
        return check

    return enter
