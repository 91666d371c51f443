"""Specification of an exploration: a base recipe, axes over its fields, seeds, metrics; from a TOML file to points."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .. import data
from ..recipe import Recipe, RecipeError, load, mistakes, near, toml
from ..recipe.kinds import Whole
from . import bits, energy
from .axes import IN_LSBS, MOST, Range, axes_of, fields, flat, known_board, values_of
from .conditions import CORNER, Conditions, is_condition
from .metrics import COST, LEARNING, METRICS, known_metrics

CLASSES = {"digits": 10, "mnist": 10, "xor": 2}
"""Classes of the data sets with a name."""


class SpecError(ValueError):
    """A specification that cannot be used. One line per mistake: ``file: key: what is wrong, what is allowed``."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Search(_Part):
    """A guided search over the axes instead of all combinations.

    Attributes
    ----------
    objectives : list of str
        Metrics; each is made larger or smaller, whichever is better.
    sampler : str
        Of Optuna: ``nsga2``, ``nsga3`` or ``tpe``.
    generations, population : int
        So many new points each are proposed, evaluated together, and reported back.
    """

    objectives: Annotated[list[str], Field(min_length=1, max_length=4)]
    sampler: Literal["nsga2", "nsga3", "tpe"] = "nsga2"
    generations: Annotated[Whole, Field(ge=1)] = 10
    population: Annotated[Whole, Field(ge=2)] = 20
    seed: Whole = 1

    @field_validator("objectives")
    @classmethod
    def _known(cls, objectives):
        return known_metrics(objectives)


def objectives_of(spec: Spec) -> tuple[str, ...]:
    """Metrics that make the front: those of the search, if it has two or more; else the first of how well chips learn and the first of what
    they cost that were measured."""
    if spec.search and len(spec.search.objectives) > 1:
        return tuple(spec.search.objectives)
    learned, spent = ([m for m in order if m in spec.measured] for order in (("yield", *LEARNING), (*COST, "cycles")))
    return tuple(dict.fromkeys([*learned[:1], *spent[:1], *spec.measured]))[:2]


class Spec(_Part):
    """A sweep or a search.

    Attributes
    ----------
    name : str
    recipe : str
        The base: a preset, or a recipe file (beside the specification).
    axes : dict
        Field of the recipe to its values, a list or a range. ``formats.weight.width`` changes the width alone;
        ``bits.weight`` changes the width and keeps the range, that is, it adds fraction bits, ``bits.weight.0``, .. that of one
        layer; ``lsb.epsilon`` is a probe in LSBs of the
        weights, ``lsb.sigma`` noise in LSBs of the states, whatever their formats. ``board`` is an axis too.
    rules : dict
        What points of a rule start from, where `rule` is an axis: a preset's or a recipe file's name, or a table of fields over the base.
        A rule that is not named starts from the base. Axes come on top.
    seeds : int or list of int
        How many (1, 2, ...), or which. The same for every point, so that points are compared in pairs.
    metrics : list of str
        Which of `METRICS` to measure; all by default. What no metric needs is not done: without those of `GRADIENT` no gradient
        is measured, without those of `LEARNING` no chip is trained.
    epochs : int
        Of training, per point.
    samples : int
        Test samples that gradients are judged by; 0: not at all.
    cost : str
        ``model`` (calibrated on real builds) or ``synth`` (synthesised, placed and routed: minutes per recipe).
    conditions : Conditions
        What every design meets, and how it is ranked over that.
    energy : str
        A model of `crossdyad.explore.energy`: ``digital``, ``converters``, or one's own as ``package.module:function``.
    board : str
        Where it is no axis.
    """

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")]
    recipe: str = "digits"
    axes: Annotated[dict[str, Any], Field(min_length=1)]
    rules: dict[str, str | dict[str, Any]] = {}
    seeds: Any = 5
    metrics: Annotated[list[str], Field(min_length=1)] = list(METRICS)
    epochs: Annotated[Whole, Field(ge=0)] = 3
    samples: Annotated[Whole, Field(ge=0)] = 32
    cost: Literal["model", "synth"] = "model"
    energy: str = "digital"
    board: str = "ulx3s"
    conditions: Conditions = Conditions()
    search: Search | None = None

    @field_validator("conditions", mode="before")
    @classmethod
    def _values_of_conditions(cls, table):
        if not isinstance(table, dict):
            return table  # refused as no table
        known, made, wrong = Conditions.model_fields.keys() - {"fields", "corners"}, {}, []
        for field, values in flat({name: v for name, v in table.items() if name not in ("fields", "corners")}):
            if field not in known:
                try:
                    is_condition(field)
                    made[field] = values_of(field, values)
                except ValueError as error:
                    wrong += str(error).splitlines()
        corners = table.get("corners", {})
        if not isinstance(corners, dict) or not all(isinstance(corner, dict) for corner in corners.values()):
            wrong.append("corners: no table of tables; write corners.NAME = { devices.read_noise = 0.1 }")
            corners = {}
        corners = {name: dict(flat(corner)) for name, corner in corners.items()}
        for name, corner in corners.items():
            for field in corner:
                try:
                    is_condition(field)
                except ValueError as error:
                    wrong.append(f"corners.{name}: {error}")
        if wrong:
            raise ValueError("\n".join(wrong))
        return {name: v for name, v in table.items() if name in known} | {"fields": made, "corners": corners}

    @field_validator("axes", mode="before")
    @classmethod
    def _values_of_fields(cls, axes):
        return axes_of(axes)

    @model_validator(mode="after")
    def _rules_are_on_thevalues_of(self):
        listed = self.values().get("rule", [])
        unused = [name for name in self.rules if name not in listed]
        if unused:
            raise ValueError(f"rules: {', '.join(unused)} not among the values of the axis rule; add rule = [..] with it to [axes]")
        for name in self.rules:
            wrong = [f for f in self.start(name) if f not in fields() and not bits.of_layer(f) or f in ("rule", "board")]
            if wrong:
                raise ValueError(f"rules.{name}.{wrong[0]}: no such field of a recipe; {near(wrong[0], fields())}see `crossdyad schema`")
        return self

    def start(self, rule: str) -> dict:
        """Return the fields that points of a rule start with, over the base; none where a recipe is named instead."""
        told = self.rules.get(rule, {})
        return dict(flat(told)) if isinstance(told, dict) else {}

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds):
        listed = seeds if isinstance(seeds, list) else range(1, seeds + 1) if type(seeds) is int and 0 < seeds <= MOST else []
        if not listed or not all(type(s) is int and 0 <= s < 1 << 63 for s in listed) or len(set(listed)) < len(listed):
            raise ValueError(f"{seeds!r}; allowed is how many, 1 or more, or a list of different whole numbers from 0")
        return seeds

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics):
        return known_metrics(metrics)

    @field_validator("board")
    @classmethod
    def _there_is_such_a_board(cls, board):
        return known_board(board)

    @field_validator("energy")
    @classmethod
    def _there_is_such_a_model(cls, model):
        try:
            return energy.find(model) and model
        except ValueError as error:  # which names the key, as this does
            raise ValueError(str(error).removeprefix("energy: ")) from None

    @model_validator(mode="after")
    def _objectives_are_measured(self):
        missing = [m for m in self.search.objectives if m not in self.measured] if self.search else []
        if missing:
            raise ValueError(
                f"search.objectives: {', '.join(missing)} are not among the metrics; add them there"
                + ", and say conditions.yield_at" * ("yield" in missing)
            )
        return self

    @model_validator(mode="after")
    def _the_model_knows_the_boards(self):
        if self.cost == "model":
            from .cost import unfitted

            reasons = [reason for board in dict.fromkeys([self.board, *self.values().get("board", [])]) if (reason := unfitted(board))]
            if reasons:
                raise ValueError(f'board: {reasons[0]}; say cost = "synth", which builds every recipe')
        return self

    @model_validator(mode="after")
    def _conditions_are_no_choices(self):
        c, both = self.conditions, sorted(set(self.conditions.touched) & set(self.axes))
        if both:
            raise ValueError(f"conditions: {', '.join(both)} are axes, too; a design chooses them or has to stand them")
        if c.yield_at is not None and len(self.seed_list) * max(1, len(c.draw_list)) < 2:
            raise ValueError("conditions.yield_at: a yield of one chip; give conditions.draws, or more seeds")
        if c.yield_at is not None and "accuracy" not in self.metrics:
            raise ValueError("conditions.yield_at: accuracy is not among the metrics; add it there")
        return self

    @property
    def measured(self) -> list[str]:
        """The metrics that there will be: a yield only where it is said of what."""
        return [m for m in self.metrics if m != "yield" or self.conditions.yield_at is not None]

    @property
    def seed_list(self) -> list[int]:
        return list(range(1, self.seeds + 1)) if isinstance(self.seeds, int) else list(self.seeds)

    def values(self) -> dict[str, list]:
        """Field to its values."""
        return {field: v.values() if isinstance(v, Range) else v for field, v in self.axes.items()}

    def design(self, settings: dict) -> dict:
        """A point's settings without its conditions."""
        return {field: v for field, v in settings.items() if field in self.axes}


class Point(NamedTuple):
    """One combination.

    Attributes
    ----------
    settings : dict
        Field to value.
    recipe : Recipe or None
    error : str
        Why there is no such recipe, otherwise empty.
    board : str
    """

    settings: dict
    recipe: Recipe | None
    error: str = ""
    board: str = "ulx3s"


def point(spec: Spec, base: Recipe, settings: dict) -> Point:
    """The point of a specification with these values of its axes: its rule's own settings first, the axes on top."""
    told = spec.rules.get(settings.get("rule"), {})
    if isinstance(told, str):
        try:
            base = load(told)
        except RecipeError as error:
            return Point(settings, None, f"rules.{settings['rule']}: {error}", settings.get("board", spec.board))
    return apply(base, spec.start(settings.get("rule")) | settings, spec.board)._replace(settings=settings)


def apply(base: Recipe, settings: dict, board: str = "ulx3s") -> Point:
    """The recipe with these fields changed."""
    table, board = base.model_dump(), settings.get("board", board)
    changed = {field: v for field, v in settings.items() if field != CORNER}
    for corner in settings.get(CORNER, {}).values():
        changed |= corner
    # one after the other: how many layers there are, their formats, what is said in LSBs
    for field, value in sorted(changed.items(), key=lambda item: (item[0] in IN_LSBS, bits.of_layer(item[0]))):
        *path, last = field.split(".")
        if field == "board":
            continue
        if path[:1] == ["bits"]:
            if wrong := bits.change(table, field, value):
                return Point(settings, None, f"recipe: {wrong}", board)
            continue
        if field in IN_LSBS:
            table[last] = value * bits.lsb(table, IN_LSBS[field]) if isinstance(value, int | float) else value
            continue
        at = table
        for part in path:
            at = at[part]
        if not isinstance(at, dict):
            return Point(
                settings,
                None,
                f"recipe: {field}: the recipe has a list of formats; allowed are bits.weight, "
                f"bits.weight.LAYER, and {'.'.join(path)} with lists as its values",
                board,
            )
        at[last] = value
    try:
        recipe = Recipe.model_validate(table)
        name = recipe.data.file or data.name_for(recipe.sizes[0] - recipe.data.one)
        if name not in CLASSES and Path(name).exists():  # a store is read without its data too
            data.of(recipe)
    except ValidationError as error:
        return Point(settings, None, "; ".join(mistakes(error, "recipe", Recipe)), board)
    except ValueError as error:  # data that are not for such a chip
        return Point(settings, None, f"recipe: {error}", board)
    if recipe.sizes[-1] < CLASSES.get(name, 0):
        return Point(settings, None, f"recipe: sizes: {recipe.sizes[-1]} outputs; {name} has {CLASSES[name]} classes", board)
    return Point(settings, recipe, "", board)


def points(spec: Spec, base: Recipe) -> list[Point]:
    """Every combination of the axes' values, the last axis fastest.

    Raises
    ------
    SpecError
        If there are more than `MOST`.
    """
    values = spec.values() | spec.conditions.values()
    count = math.prod(map(len, values.values()))
    if count > MOST:
        raise SpecError(
            f"{spec.name}: axes: {count} combinations; allowed are at most {MOST}: give fewer values, or add a [search] "
            "and use `crossdyad search`"
        )
    settings = [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]
    found = [point(spec, base, each) for each in settings]
    _some_stand(spec, base, found)
    return found


def under(spec: Spec, base: Recipe, settings: dict) -> list[Point]:
    """A design under every condition."""
    return [point(spec, base, settings | case) for case in spec.conditions.cases()]


def _some_stand(spec: Spec, base: Recipe, found: list[Point]) -> None:
    """SpecError if some case of the conditions is none that a design has a model of, or if all devices of every design are alike."""
    cases = spec.conditions.cases()
    for n, case in enumerate(cases):
        met = found[n :: len(cases)]
        if not case or any(p.recipe for p in met):
            continue
        if (wrong := next((p for p in met if point(spec, base, spec.design(p.settings)).recipe), None)) is not None:
            alone = {name: point(spec, base, spec.design(wrong.settings) | {name: v}) for name, v in case.items()}
            name = next((name for name, p in alone.items() if not p.recipe), "")  # else it is some of them together
            told = ", ".join("corners" if n == CORNER else n for n in ([name] if name else case))
            raise SpecError(f"{spec.name}: conditions: {told}: no design has a model for it: {alone.get(name, wrong).error}")
    if spec.conditions.draw_list and not any(differs(p.recipe) for p in found if p.recipe):
        raise SpecError(
            f"{spec.name}: conditions.draws: all devices of every design are alike; give the recipe a device, read noise or stuck cells"
        )


def differs(recipe: Recipe) -> bool:
    """Return whether two devices of a recipe differ in anything."""
    return bool(recipe.devices.named or recipe.devices.read_noise or recipe.devices.stuck)


def read(path: str | Path) -> tuple[Spec, Recipe]:
    """A specification and its base recipe.

    Raises
    ------
    SpecError
        All mistakes at once.
    """
    path = Path(path)
    try:
        table = toml.table_of(toml.text_of(path), str(path))
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise SpecError(str(error)) from None
    try:
        spec = Spec.model_validate(table)
    except ValidationError as error:
        raise SpecError("\n".join(mistakes(error, str(path), Spec))) from None
    beside = path.parent / spec.recipe
    try:
        return spec, load(beside if beside.is_file() else spec.recipe)
    except RecipeError as error:
        raise SpecError(f"{path}: recipe: {error}") from None
