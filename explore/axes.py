"""Axes of a sweep: which fields of a recipe they can be, and their values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..recipe import Formats, Recipe, mistakes, near
from ..recipe.kinds import Real
from ..recipe.mistakes import model_of
from . import bits

ELSEWHERE = {"seed": "seeds", "training.epochs": "epochs", "epochs": "epochs", "name": "name"}
"""Fields that are no axes because the specification says them in another place."""
IN_LSBS = {"lsb.epsilon": "weight", "lsb.sigma": "state"}
"""Axes of sizes in LSBs, and of which format."""
RANGE = {"from", "to", "step", "factor"}
MOST = 100_000
"""Combinations of a sweep."""


class Range(BaseModel):
    """Values from `from` to `to`, both included: in steps, or multiplied by a factor each time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_: Real = Field(alias="from")
    to: Real
    step: Real | None = None
    factor: Real | None = None

    @model_validator(mode="after")
    def _moves(self):
        if (self.step is None) == (self.factor is None):
            raise ValueError("give either step or factor")
        if self.step is not None and not (self.to - self.from_) * self.step >= 0 or self.step == 0:
            raise ValueError(f"steps of {self.step:g} do not lead from {self.from_:g} to {self.to:g}")
        if self.factor is not None and (
            self.factor <= 0
            or self.factor == 1
            or not self.from_ * self.to > 0
            or not math.log(self.to / self.from_) / math.log(self.factor) >= 0
        ):
            raise ValueError(f"a factor of {self.factor:g} does not lead from {self.from_:g} to {self.to:g}")
        if self._count() > MOST:
            raise ValueError(f"{self._count()} values; allowed are at most {MOST}")
        return self

    def _count(self) -> int:
        if self.step is not None:
            return math.floor((self.to - self.from_) / self.step + 1e-9) + 1
        return math.floor(math.log(self.to / self.from_) / math.log(self.factor) + 1e-9) + 1

    def values(self) -> list:
        """The values, whole numbers as int."""
        if self.step is not None:
            found = [self.from_ + i * self.step for i in range(self._count())]
        else:
            found = [self.from_ * self.factor**i for i in range(self._count())]
        whole = all(float(v).is_integer() for v in found)
        return [int(v) if whole else v for v in found]


def fields() -> list[str]:
    """List what an axis can be: a field of a recipe, ``bits.PLACE``, ``bits.weight.LAYER``, one of `IN_LSBS`, ``board``."""
    found = []
    for name, field in Recipe.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            for inner, inside in part.model_fields.items():
                found.append(f"{name}.{inner}")
                found += [f"{name}.{inner}.{leaf}" for leaf in getattr(model_of(inside.annotation), "model_fields", ())]
        elif name not in ("name", "seed"):
            found.append(name)
    found += [f"bits.{place}" for place in Formats.model_fields]
    return [f for f in found if not f.startswith("training.epochs")] + [*IN_LSBS, "board"]


def axes_of(table: Any) -> dict[str, list | Range]:
    """Return every axis of a specification's table with its values; a ValueError names all that are wrong."""
    if not isinstance(table, dict):
        raise ValueError("not a table; write [axes] and below it FIELD = [values]")
    known, made, wrong = fields(), {}, []
    for field, values in flat(table):
        if field in ELSEWHERE:
            wrong.append(f"{field}: no axis; write {ELSEWHERE[field]} = ... above [axes]")
        elif field not in known and not bits.of_layer(field):
            wrong.append(
                f"{field}: no such field of a recipe; {_nearest(field, known)}allowed are the fields that `crossdyad schema` "
                f"lists, bits.PLACE with {', '.join(Formats.model_fields)}, bits.weight.LAYER, "
                f"{', '.join(IN_LSBS)}, and board"
            )
        else:
            try:
                made[field] = values_of(field, values)
            except ValueError as error:
                wrong += str(error).splitlines()
    if wrong:
        raise ValueError("\n".join(wrong))
    return made


def flat(table: dict, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each field of a table with what is given for it; ``formats.weight.width = [..]`` is nested tables to TOML."""
    for name, v in table.items():
        if isinstance(v, dict) and not v.keys() & RANGE:
            yield from flat(v, f"{path}{name}.")
        else:
            yield path + name, v


def values_of(field: str, values: Any) -> list | Range:
    """An axis's values as they were given, checked."""
    if isinstance(values, Range):
        return values
    if isinstance(values, dict):
        try:
            return Range.model_validate(values)
        except ValidationError as error:
            raise ValueError("\n".join(mistakes(error, field, Range))) from None
    if not isinstance(values, list):
        raise ValueError(f"{field}: {values!r} is no list; write [{values!r}], or {{ from = .., to = .., step = .. }}")
    if not values:
        raise ValueError(f"{field}: no values; give at least one")
    twice = [v for i, v in enumerate(values) if v in values[:i]]
    if twice:
        raise ValueError(f"{field}: {twice[0]!r} is there twice; give each value once")
    if field == "board":
        for v in values:
            known_board(v, "board: ")
    return values


def known_board(name: Any, where: str = "") -> str:
    """The name, if it is a board's; otherwise a ValueError that tells the nearest, after `where`."""
    from ..hdl.boards import BOARDS

    if name not in BOARDS:
        raise ValueError(f"{where}{name!r} is no board; {near(str(name), BOARDS)}allowed are {', '.join(BOARDS)}")
    return name


def _nearest(field: str, known) -> str:
    """``did you mean ...?``, also of a field whose table was left out."""
    last = [k for k in known if k.rpartition(".")[2] == field.rpartition(".")[2]]
    return f"did you mean {last[0]!r}? " if last else near(field, known)
