"""Conditions: what a design must stand and does not choose. Designs are ranked over them."""

from __future__ import annotations

import itertools
import math
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ..recipe import near
from ..recipe.kinds import Real, Whole

FIELDS = tuple(
    f"devices.{name}"
    for name in (
        "read_noise",
        "age",
        "temperature",
        "programming",
        "spread",
        "noise_spread",
        "stuck",
        "stuck_low",
        "stuck_high",
        "wires",
        "driver",
        "sense",
    )
) + ("arrays.gain_spread", "arrays.offset_spread", "pulses.noise", "pulses.step_spread", "pulses.bound_spread")
"""Fields of a recipe that can be conditions: what happens to a chip."""
OTHERS = 1_000_001
"""The first of the seeds of devices that trained weights are written to: none that chips are trained with by default."""
CORNER = "corner"
"""Key of the corner in a point's settings, as {name: {field: value}}."""


class Conditions(BaseModel):
    """Conditions that every design meets: all combinations of fields' values, corners, parts of the test set and other devices.

    Attributes
    ----------
    rank : str or float
        How a design is ranked over all that it meets, seeds included: ``mean``, ``worst``, or a share: 0.05 is the quantile that 5 % of the
        cases are worse than.
    yield_at : float, optional
        The accuracy that a good chip reaches; makes the metric ``yield``.
    draws : int or list of int
        Other devices that every trained chip's weights are written to, just once, and tested on: how many, or which seeds. 0: the device
        that the chip was trained on.
    subsets : int
        Equal parts of the test set, each a case of its own.
    corners : dict
        Name to {field: value}.
    fields : dict
        Field of `FIELDS` to its values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: Any = "mean"
    yield_at: Annotated[Real, Field(gt=0, le=1)] | None = None
    draws: Any = 0
    subsets: Annotated[Whole, Field(ge=1, le=1000)] = 1
    corners: dict[str, dict[str, Any]] = {}
    fields: dict[str, Any] = {}

    @field_validator("rank")
    @classmethod
    def _rank(cls, rank):
        if rank not in ("mean", "worst") and not (type(rank) is float and 0 < rank < 1):
            raise ValueError(f"{rank!r}; allowed are 'mean', 'worst', or a share between 0 and 1")
        return rank

    @field_validator("draws")
    @classmethod
    def _devices(cls, draws):
        listed = draws if isinstance(draws, list) else list(range(draws)) if type(draws) is int and 0 <= draws <= 100_000 else None
        if listed is None or not all(type(s) is int and 0 <= s < 1 << 63 for s in listed) or len(set(listed)) < len(listed):
            raise ValueError(f"{draws!r}; allowed is how many, 0 to 100000, or a list of different whole numbers from 0")
        return draws

    @model_validator(mode="after")
    def _corners_are_apart(self):
        for name, corner in self.corners.items():
            both = sorted(set(corner) & set(self.fields))
            if not corner or both:
                raise ValueError(f"corners.{name}: {', '.join(both) or 'no fields'}; allowed are fields that are no condition of their own")
        return self

    @property
    def draw_list(self) -> list[int]:
        return list(range(OTHERS, OTHERS + self.draws)) if isinstance(self.draws, int) else list(self.draws)

    @property
    def touched(self) -> list[str]:
        """Fields of a recipe that some condition sets."""
        return sorted({*self.fields, *(field for corner in self.corners.values() for field in corner)})

    def values(self) -> dict[str, list]:
        """Setting to its values: fields, and the corner."""
        found = {field: v.values() if hasattr(v, "values") and not isinstance(v, dict) else v for field, v in self.fields.items()}
        return found | ({CORNER: [{name: corner} for name, corner in self.corners.items()]} if self.corners else {})

    def cases(self) -> list[dict]:
        """Settings of every combination; one that is empty where there are none."""
        values = self.values()
        return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def is_condition(field: str) -> None:
    """ValueError if a field of a recipe can be no condition."""
    if field in FIELDS:
        return
    raise ValueError(f"{field}: no condition; {near(field, FIELDS)}allowed are {', '.join(FIELDS)}: what a design chooses is an axis")


def ranked(values: ArrayLike, rank: float | str, worse_is_less: bool = True) -> np.ndarray:
    """A figure of the last axis of (..., cases): the mean, the worst, or the quantile (by `numpy.quantile`) towards the worse end."""
    values = np.asarray(values, dtype=float)
    if rank == "mean":
        return values.mean(-1)
    if rank == "worst":
        return values.min(-1) if worse_is_less else values.max(-1)
    return np.quantile(values, rank if worse_is_less else 1 - rank, axis=-1)


def ranking(rank: float | str) -> str:
    """Say what a figure is of all that was met."""
    return {"mean": "the mean", "worst": "the worst"}.get(str(rank)) or f"the {rank:g} quantile"


def figure(rank: float | str) -> str:
    """Say what a design's figures are."""
    return "the mean over the seeds" + (f"; of what chips did, {ranking(rank)} of all cases" if rank != "mean" else "")


def told(conditions: Conditions) -> str:
    """Say how designs are ranked."""
    by = ranking(conditions.rank)
    count = math.prod(map(len, conditions.values().values()))
    over = [f"{count} conditions"] * (count > 1) + [f"{len(conditions.draw_list)} devices"] * bool(conditions.draw_list)
    over += [f"{conditions.subsets} parts of the test set"] * (conditions.subsets > 1)
    made = f"Accuracies are {by} over {', '.join([*over, 'all seeds'])}"
    if conditions.yield_at is not None:
        made += f"; the yield is the share of chips whose accuracy, {by} over what each meets, reaches {conditions.yield_at:g}"
    return made
