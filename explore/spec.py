"""What to explore: a base recipe, axes over its fields, seeds; from a TOML file to points."""

from __future__ import annotations

import itertools
import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..recipe import Formats, Recipe, RecipeError, load, mistakes, near

METRICS = {
    "accuracy": "share of the test samples that the trained chip gets right",
    "loss": "mean cost over the last epoch",
    "cosine": "mean cosine of the chip's gradient of a sample to the exact one, after training",
    "bias": "size of the estimates' mean error over the size of the gradient, after training",
    "deviation": "root of the estimates' variance over the size of the gradient, after training",
    "sign": "share of weights whose estimate has the right sign, after training",
    "saturations": "range events per training step",
    "cycles": "clock cycles of a training step (of an inference, if the chip does not learn)",
    "lut": "LUTs", "ff": "flip-flops", "multipliers": "multiplier blocks", "memory": "memory blocks",
    "fmax": "highest clock frequency, MHz", "samples_per_second": "training steps per second at fmax",
    "energy": "energy of a training step, nJ, by the model named in the report",
}
"""What a point is judged by."""
SMALLER_IS_BETTER = frozenset({"loss", "bias", "deviation", "saturations", "cycles", "lut", "ff", "multipliers", "memory", "energy"})


class SpecError(ValueError):
    """A specification that cannot be used. One line per mistake: ``file: key: what is wrong, what is allowed``."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(_Part):
    """Values from `from` to `to`, both included: in steps, or multiplied by a factor each time."""

    from_: float = Field(alias="from")
    to: float
    step: float | None = None
    factor: float | None = None

    @model_validator(mode="after")
    def _moves(self):
        if (self.step is None) == (self.factor is None):
            raise ValueError("give either step or factor")
        if self.step is not None and not (self.to - self.from_) * self.step >= 0 or self.step == 0:
            raise ValueError(f"steps of {self.step:g} do not lead from {self.from_:g} to {self.to:g}")
        if self.factor is not None and (self.factor <= 0 or self.factor == 1 or not self.from_ * self.to > 0
                                        or not math.log(self.to / self.from_) / math.log(self.factor) >= 0):
            raise ValueError(f"a factor of {self.factor:g} does not lead from {self.from_:g} to {self.to:g}")
        return self

    def values(self) -> list:
        """The values, whole numbers as int."""
        if self.step is not None:
            count = math.floor((self.to - self.from_) / self.step + 1e-9) + 1
            found = [self.from_ + i * self.step for i in range(count)]
        else:
            count = math.floor(math.log(self.to / self.from_) / math.log(self.factor) + 1e-9) + 1
            found = [self.from_ * self.factor**i for i in range(count)]
        whole = all(float(v).is_integer() for v in found)
        return [int(v) if whole else v for v in found]


class Search(_Part):
    """A guided search over the axes instead of all combinations.

    Attributes
    ----------
    objectives : list of str
        Metrics; each is made larger or smaller, whichever is better.
    sampler : str
        Of Optuna: ``nsga2``, ``nsga3`` or ``tpe``.
    generations, population : int
        So many points each are proposed, evaluated together, and reported back.
    """

    objectives: Annotated[list[str], Field(min_length=1, max_length=4)]
    sampler: Literal["nsga2", "nsga3", "tpe"] = "nsga2"
    generations: Annotated[int, Field(ge=1)] = 10
    population: Annotated[int, Field(ge=2)] = 20
    seed: int = 1

    @field_validator("objectives")
    @classmethod
    def _known(cls, objectives):
        for name in objectives:
            if name not in METRICS:
                raise ValueError(f"{name!r} is no metric; {near(name, METRICS)}allowed are {', '.join(METRICS)}")
        return objectives


class Spec(_Part):
    """A sweep or a search.

    Attributes
    ----------
    name : str
    recipe : str
        The base: a preset, or a recipe file (beside the specification).
    axes : dict
        Field of the recipe to its values, a list or a range. ``formats.weight.width`` changes the width alone;
        ``bits.weight`` changes the width and keeps the range, that is, it adds fraction bits.
    seeds : int or list of int
        How many (1, 2, ...), or which. The same for every point, so that points are compared in pairs.
    epochs : int
        Of training, per point.
    samples : int
        Test samples that gradients are judged by; 0: not at all.
    cost : str
        ``model`` (calibrated on real builds) or ``synth`` (synthesised, placed and routed: minutes per recipe).
    board : str
    """

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")]
    recipe: str = "digits"
    axes: Annotated[dict[str, list[Any] | Range], Field(min_length=1)]
    seeds: Annotated[int, Field(ge=1)] | Annotated[list[Annotated[int, Field(ge=0, lt=1 << 63)]], Field(min_length=1)] = 5
    epochs: Annotated[int, Field(ge=0)] = 3
    samples: Annotated[int, Field(ge=0)] = 32
    cost: Literal["model", "synth"] = "model"
    board: str = "ulx3s"
    search: Search | None = None

    @field_validator("axes")
    @classmethod
    def _fields_exist(cls, axes):
        known, wrong = fields(), []
        for field, values in axes.items():
            if field not in known:
                wrong.append(f"{field}: no such field of a recipe; {near(field, known)}allowed are {', '.join(known)}")
            elif isinstance(values, list) and not values:
                wrong.append(f"{field}: no values; give at least one")
        if wrong:
            raise ValueError("\n".join(wrong))
        return axes

    @field_validator("axes", mode="before")
    @classmethod
    def _dotted(cls, axes):
        """``formats.weight.width = [..]`` is nested tables to TOML."""
        def flat(table, path=""):
            for name, v in table.items():
                if isinstance(v, dict) and "from" not in v:
                    yield from flat(v, f"{path}{name}.")
                else:
                    yield path + name, v

        return dict(flat(axes)) if isinstance(axes, dict) else axes

    @property
    def seed_list(self) -> list[int]:
        return list(range(1, self.seeds + 1)) if isinstance(self.seeds, int) else list(self.seeds)

    def values(self) -> dict[str, list]:
        """Field to its values."""
        return {field: v.values() if isinstance(v, Range) else v for field, v in self.axes.items()}


class Point(NamedTuple):
    """One combination.

    Attributes
    ----------
    settings : dict
        Field to value.
    recipe : Recipe or None
    error : str
        Why there is no such recipe, otherwise empty.
    """

    settings: dict
    recipe: Recipe | None
    error: str = ""


def fields() -> list[str]:
    """What an axis can be: every field of a recipe, and ``bits.PLACE``."""
    found = []
    for name, field in Recipe.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            for inner, inside in part.model_fields.items():
                found.append(f"{name}.{inner}")
                if isinstance(inside.annotation, type) and issubclass(inside.annotation, BaseModel):
                    found += [f"{name}.{inner}.{leaf}" for leaf in inside.annotation.model_fields]
        elif name not in ("name", "seed"):
            found.append(name)
    return [f for f in found if not f.startswith("training.epochs")] + [f"bits.{place}" for place in Formats.model_fields]


def apply(base: Recipe, settings: dict) -> Point:
    """The recipe with these fields changed."""
    table = base.model_dump()
    for field, value in settings.items():
        *path, last = field.split(".")
        if path == ["bits"]:
            q = table["formats"][last]
            q["frac"] += value - q["width"]
            q["width"] = value
            continue
        at = table
        for part in path:
            at = at[part]
        at[last] = value
    try:
        return Point(settings, Recipe.model_validate(table))
    except ValidationError as error:
        return Point(settings, None, "; ".join(mistakes(error, "recipe", Recipe)))


def points(spec: Spec, base: Recipe) -> list[Point]:
    """Every combination of the axes' values, the last axis fastest."""
    values = spec.values()
    return [apply(base, dict(zip(values, combination, strict=True))) for combination in itertools.product(*values.values())]


def read(path: str | Path) -> tuple[Spec, Recipe]:
    """A specification and its base recipe.

    Raises
    ------
    SpecError
        All mistakes at once.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not TOML: {error}") from None
    try:
        spec = Spec.model_validate(table)
    except ValidationError as error:
        raise SpecError("\n".join(mistakes(error, str(path), Spec))) from None
    beside = path.parent / spec.recipe
    try:
        return spec, load(beside if beside.is_file() else spec.recipe)
    except RecipeError as error:
        raise SpecError(f"{path}: recipe: {error}") from None
