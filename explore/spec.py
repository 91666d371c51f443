"""What to explore: a base recipe, axes over its fields, seeds, metrics; from a TOML file to points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from .. import data
from ..recipe import Formats, Recipe, RecipeError, load, mistakes, near, toml
from ..recipe.kinds import Real, Whole
from . import energy
from .conditions import CORNER, Conditions, is_condition

METRICS = {
    "accuracy": "share of the test samples that the trained chip gets right",
    "yield": "share of the chips, over seeds and devices, whose accuracy under the conditions reaches conditions.yield_at",
    "loss": "mean cost over the last epoch",
    "cosine": "mean cosine of the chip's gradient of a sample to the exact one, after training",
    "gradient_bias": "size of the estimates' mean error over the size of the gradient, after training",
    "deviation": "root of the estimates' variance over the size of the gradient, after training",
    "sign": "share of weights whose estimate has the right sign, after training",
    "saturations": "range events per training step",
    "cycles": "clock cycles of a training step (of an inference, if the chip does not learn)",
    "lut": "LUTs", "ff": "flip-flops", "multipliers": "multiplier blocks", "memory": "memory blocks",
    "fill": "share of the board that is taken, of the resource that runs out first; more than 1 does not fit",
    "fmax": "highest clock frequency that the circuit could take, MHz; the board's oscillator sets the one that it has",
    "samples_per_second": "training steps per second on the board: the slower of chip and line; 0 if fmax is below the board's clock",
    "chip_rate": "training steps per second of the chip alone, at the board's clock",
    "line_rate": "training samples per second that the board's serial line carries",
    "energy": "energy of a training step, nJ, by the model named in the report",
    "array_area": "area of the arrays with their drivers and converters, square millimetres, by the model of explore.analog",
    "array_latency": "time of a training step's reads of arrays, microseconds, by the same model",
}
"""What a point is judged by."""
SMALLER_IS_BETTER = frozenset({"loss", "gradient_bias", "deviation", "saturations", "cycles", "lut", "ff", "multipliers", "memory",
                               "fill", "energy", "array_area", "array_latency"})
BOUNDS = {"accuracy": (0.0, 1.0), "yield": (0.0, 1.0), "sign": (0.0, 1.0), "cosine": (-1.0, 1.0)}
"""Metrics with a least and a greatest value; the others are at least 0."""
GRADIENT = {"cosine": "cosine", "gradient_bias": "bias", "deviation": "deviation", "sign": "sign"}
"""Metrics that want the gradient measured, along training, and what `sim.quality` calls them: a bias alone is a field of a recipe."""
LEARNING = ("accuracy", "yield", "loss", "saturations", *GRADIENT)
"""Metrics that want the chip trained."""
COST = ("lut", "ff", "multipliers", "memory", "fill", "fmax", "samples_per_second", "chip_rate", "line_rate", "energy",
        "array_area", "array_latency")
"""Metrics that want the chip's cost on a board."""
ELSEWHERE = {"seed": "seeds", "training.epochs": "epochs", "epochs": "epochs", "name": "name"}
"""What is no axis because the specification says it in another place."""
CLASSES = {"digits": 10, "mnist": 10, "xor": 2}
"""Of the data sets with a name."""
RANGE = {"from", "to", "step", "factor"}
MOST = 100_000
"""Combinations of a sweep."""


class SpecError(ValueError):
    """A specification that cannot be used. One line per mistake: ``file: key: what is wrong, what is allowed``."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Range(_Part):
    """Values from `from` to `to`, both included: in steps, or multiplied by a factor each time."""

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
        if self.factor is not None and (self.factor <= 0 or self.factor == 1 or not self.from_ * self.to > 0
                                        or not math.log(self.to / self.from_) / math.log(self.factor) >= 0):
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


def renamed(name: str) -> str:
    """Return a metric's name of today for one that a specification or store of before may have."""
    return name.replace("bias", "gradient_bias", 1) if name.startswith("bias") else name


def known_metrics(names: Iterable[str]) -> list[str]:
    """The names, if each is a metric; otherwise a ValueError that tells the nearest."""
    names = list(map(renamed, names))
    wrong = [f"{name!r} is no metric; {near(name, METRICS)}allowed are {', '.join(METRICS)}" for name in names if name not in METRICS]
    if wrong:
        raise ValueError("\n".join(wrong))
    return names


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
        ``bits.weight`` changes the width and keeps the range, that is, it adds fraction bits; ``lsb.epsilon`` is a probe in LSBs of the
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
            return table                            # refused as no table
        known, made, wrong = Conditions.model_fields.keys() - {"fields", "corners"}, {}, []
        for field, values in _flat({name: v for name, v in table.items() if name not in ("fields", "corners")}):
            if field not in known:
                try:
                    is_condition(field)
                    made[field] = _axis(field, values)
                except ValueError as error:
                    wrong += str(error).splitlines()
        corners = table.get("corners", {})
        if not isinstance(corners, dict) or not all(isinstance(corner, dict) for corner in corners.values()):
            wrong.append("corners: no table of tables; write corners.NAME = { devices.read_noise = 0.1 }")
            corners = {}
        corners = {name: dict(_flat(corner)) for name, corner in corners.items()}
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
        if not isinstance(axes, dict):
            raise ValueError("not a table; write [axes] and below it FIELD = [values]")
        known, made, wrong = fields(), {}, []
        for field, values in _flat(axes):
            if field in ELSEWHERE:
                wrong.append(f"{field}: no axis; write {ELSEWHERE[field]} = ... above [axes]")
            elif field not in known:
                wrong.append(f"{field}: no such field of a recipe; {_nearest(field, known)}allowed are the fields that `crossdyad schema` "
                             f"lists, bits.PLACE with {', '.join(Formats.model_fields)}, {', '.join(IN_LSBS)}, and board")
            else:
                try:
                    made[field] = _axis(field, values)
                except ValueError as error:
                    wrong += str(error).splitlines()
        if wrong:
            raise ValueError("\n".join(wrong))
        return made

    @model_validator(mode="after")
    def _rules_are_on_the_axis(self):
        listed = self.values().get("rule", [])
        unused = [name for name in self.rules if name not in listed]
        if unused:
            raise ValueError(f"rules: {', '.join(unused)} not among the values of the axis rule; add rule = [..] with it to [axes]")
        for name in self.rules:
            wrong = [f for f in self.start(name) if f not in fields() or f in ("rule", "board")]
            if wrong:
                raise ValueError(f"rules.{name}.{wrong[0]}: no such field of a recipe; {near(wrong[0], fields())}see `crossdyad schema`")
        return self

    def start(self, rule: str) -> dict:
        """Return the fields that points of a rule start with, over the base; none where a recipe is named instead."""
        told = self.rules.get(rule, {})
        return dict(_flat(told)) if isinstance(told, dict) else {}

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
        return _board(board)

    @field_validator("energy")
    @classmethod
    def _there_is_such_a_model(cls, model):
        try:
            return energy.find(model) and model
        except ValueError as error:             # which names the key, as this does
            raise ValueError(str(error).removeprefix("energy: ")) from None

    @model_validator(mode="after")
    def _objectives_are_measured(self):
        missing = [m for m in self.search.objectives if m not in self.measured] if self.search else []
        if missing:
            raise ValueError(f"search.objectives: {', '.join(missing)} are not among the metrics; add them there"
                             + ", and say conditions.yield_at" * ("yield" in missing))
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


def _flat(table: dict, path: str = ""):
    """``formats.weight.width = [..]`` is nested tables to TOML."""
    for name, v in table.items():
        if isinstance(v, dict) and not v.keys() & RANGE:
            yield from _flat(v, f"{path}{name}.")
        else:
            yield path + name, v


def _axis(field: str, values) -> list | Range:
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
            _board(v, "board: ")
    return values


def _board(name, where: str = "") -> str:
    from ..hdl.boards import BOARDS

    if name not in BOARDS:
        raise ValueError(f"{where}{name!r} is no board; {near(str(name), BOARDS)}allowed are {', '.join(BOARDS)}")
    return name


def _nearest(field: str, known) -> str:
    """``did you mean ...?``, also of a field whose table was left out."""
    last = [k for k in known if k.rpartition(".")[2] == field.rpartition(".")[2]]
    return f"did you mean {last[0]!r}? " if last else near(field, known)


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


IN_LSBS = {"lsb.epsilon": "weight", "lsb.sigma": "state"}
"""Axes of sizes in LSBs, and of which format."""


def fields() -> list[str]:
    """What an axis can be: every field of a recipe, ``bits.PLACE``, those of `IN_LSBS`, and ``board``."""
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
    bits = [f"bits.{place}" for place in Formats.model_fields]
    return [f for f in found if not f.startswith("training.epochs")] + bits + [*IN_LSBS, "board"]


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
    for field, value in sorted(changed.items(), key=lambda item: item[0] in IN_LSBS):      # once the formats are known
        *path, last = field.split(".")
        if field == "board":
            continue
        if path == ["bits"]:
            if type(value) is not int:
                return Point(settings, None, f"recipe: {field}: {value!r}; allowed are whole numbers of bits", board)
            q = table["formats"][last]
            q["frac"] += value - q["width"]
            q["width"] = value
            continue
        if field in IN_LSBS:
            table[last] = value * 2.0 ** -table["formats"][IN_LSBS[field]]["frac"] if isinstance(value, int | float) else value
            continue
        at = table
        for part in path:
            at = at[part]
        at[last] = value
    try:
        recipe = Recipe.model_validate(table)
        name = recipe.data.file or data.name_for(recipe.sizes[0] - recipe.data.one)
        if name not in CLASSES and Path(name).exists():     # a store is read without its data too
            data.of(recipe)
    except ValidationError as error:
        return Point(settings, None, "; ".join(mistakes(error, "recipe", Recipe)), board)
    except ValueError as error:            # data that are not for such a chip
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
        raise SpecError(f"{spec.name}: axes: {count} combinations; allowed are at most {MOST}: give fewer values, or add a [search] "
                        "and use `crossdyad search`")
    settings = [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]
    found = [point(spec, base, each) for each in settings]
    _some_stand(spec, base, found)
    return found


def under(spec: Spec, base: Recipe, settings: dict) -> list[Point]:
    """A design under every condition."""
    return [point(spec, base, settings | case) for case in spec.conditions.cases()]


def _some_stand(spec: Spec, base: Recipe, found: list[Point]) -> None:
    """SpecError if no design has a model of what a condition asks for, or if all devices of every design are alike."""
    for field in spec.conditions.touched if not any(p.recipe for p in found) else ():
        nominal = {name: v for name, v in found[0].settings.items() if name in spec.axes}
        if point(spec, base, nominal).recipe:
            raise SpecError(f"{spec.name}: conditions: {field}: no design has a model for it: {found[0].error}")
    if spec.conditions.draw_list and not any(differs(p.recipe) for p in found if p.recipe):
        raise SpecError(f"{spec.name}: conditions.draws: all devices of every design are alike; give the recipe a device, read noise or "
                        "stuck cells")


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
