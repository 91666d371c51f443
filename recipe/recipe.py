"""The recipe: one validated description of a circuit that learns."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, field_validator, model_validator

from . import rules, toml
from .activations import activation
from .cells import with_table
from .check import mistakes_of
from .derived import Derived
from .formats import log2_exact
from .mistakes import mistakes, near, shown
from .pulses import moved
from .sections import MOST_LANES, Placement


class RecipeError(ValueError):
    """A recipe that cannot be used. One line per mistake: ``file: key: what is wrong, what is allowed``."""


class Recipe(Derived):
    """A circuit that learns: layers, learning rule, number formats, hardware lanes.

    Frozen and complete: the emulator, the hardware and the co-simulation are functions of it.

    Parameters
    ----------
    name : str
    sizes : tuple of int
        Units per layer, inputs first: ``(64, 32, 10)``.
    lanes : tuple of int
        Multipliers of each layer's row engine, one entry per layer of weights: an engine for each layer. From `engines` where these are
        given.
    engines : tuple of Placement
        Rows of lanes, each with the matrices that lie on it by name: ``W0``, ``W1``, .. and those of the rule. A matrix that is not named
        lies on the engine of the weights beside it. Empty: one engine per layer.
    bias : bool
        Every matrix has one more column, its last, which meets one and learns like the others. It starts at zero.
    activation, output : str
        Neuron function of the hidden layers and of the last one, of `ACTIVATIONS` (contract section 4); or one's own, an `Activation`, as
        ``package.module:name``, if the user allows it (`imported.allow`).
    rule : str
        The training program: ``dual-propagation``, ``spsa``, or ``inference`` (a chip that does not learn); or one's own, a function
        of a recipe that yields `rules.Step`, as ``package.module:function``, if the user allows it (`imported.allow`).
    alpha : float
        Mean of a dyad: 0, 0.5 or 1.
    beta : float
        Nudging strength, a power of two.
    learning_rate, rate_floor : float
        Powers of two. The chip's rate register reaches ``rate_floor * 2**r``, r = 0 .. 7; it starts at `learning_rate`.
    epsilon : float
        SPSA's probe, a power of two, a whole number of weight LSBs.
    sigma : float
        Noise of a perturbed neuron's drive, and of a column of noise; a power of two.
    initial : float
        Size of the first weights, a power of two: 1 gives them the variance ``2 / C``.
    feedback : float
        What a sign of fixed feedback counts, a power of two.
    decay : float
        Share of itself that a weight loses with every update, where the rule lets it forget: a power of two up to 2**-8, or 0.
    sweeps : (int, int)
        Of a rule that settles: sweeps of the free phase, and of each phase after it.
    samples_in_flight : int
        How many samples may be under way: more than 1, and the chip starts with the next sample while the one before still runs, as soon as
        nothing that it reads is staler than `staleness` allows; without that all weights and results are those of 1, one after the other.
    staleness : tuple of int
        By layer: how many updates by earlier samples a read of the matrices beside it may not see yet. Empty: none of any.
    target_on, target_off : float
        Output targets of the label's class and of the others.
    objective : str
        ``squared-error``, or ``squared-hinge``: an output beyond its target, above that of the label's class or below that of the
        others, has no error.
    seed : int
        Key of the counter-based generator, 0 to 2**64 - 1.
    frozen : tuple of int
        Layers that do not learn: no operation rewrites a matrix beside them.
    data : Data or str
        What the chip learns: a file, a folder, or a name; by default the set with a name that has as many inputs.
    """

    @model_validator(mode="before")
    @classmethod
    def _pulses_of_before(cls, table: Any) -> Any:
        return moved(table)

    @model_validator(mode="before")
    @classmethod
    def _lanes_of_engines(cls, table: Any) -> Any:
        """Take the lanes of each layer from `engines` where they are given alone; what is wrong with them is told where it is."""
        if not isinstance(table, dict) or table.get("lanes") or not table.get("engines"):
            return table
        placed: dict[str, int] = {}
        rows = table["engines"]
        for e in rows if isinstance(rows, list | tuple) else ():
            e = e.model_dump() if isinstance(e, Placement) else e if isinstance(e, dict) else {}
            lanes, names = e.get("lanes"), e.get("matrices")
            if isinstance(lanes, int) and 1 <= lanes <= MOST_LANES and isinstance(names, list | tuple):
                placed |= {name: lanes for name in names if isinstance(name, str)}
        sizes = table.get("sizes")
        layers = len(sizes) - 1 if isinstance(sizes, list | tuple) else 1
        return table | {"lanes": [placed.get(f"W{k}", 1) for k in range(max(1, layers))]}

    @field_validator("engines", mode="before")
    @classmethod
    def _engines_are_rows(cls, value: Any) -> Any:
        if value == "fit":
            raise ValueError("'fit'; allowed are rows of lanes; `crossdyad fit RECIPE --board BOARD -o FILE` writes the best that it finds")
        return value

    @field_validator("lanes")
    @classmethod
    def _lanes_are_few(cls, lanes: tuple[int, ...]) -> tuple[int, ...]:
        for n in lanes:
            if not 1 <= n <= MOST_LANES:
                raise ValueError(f"{n} lanes; allowed are 1 to {MOST_LANES}")
        return lanes

    @field_validator("rule")
    @classmethod
    def _a_rule(cls, name: str) -> str:
        rules.rule(name)
        return name

    @field_validator("activation", "output")
    @classmethod
    def _an_activation(cls, name: str) -> str:
        activation(name)
        return name

    @field_validator("beta", "learning_rate", "rate_floor", "epsilon", "sigma", "initial", "feedback")
    @classmethod
    def _powers_of_two(cls, value: float) -> float:
        try:
            exponent = log2_exact(value) if value > 0 else None
        except ValueError:
            exponent = None
        if exponent is None or not -24 <= exponent <= 8:
            raise ValueError(f"{value:g}; allowed are powers of two from 2**-24 to 2**8")
        return value

    @field_validator("decay")
    @classmethod
    def _a_decay(cls, value: float) -> float:
        if value and (math.frexp(value)[0] != 0.5 or not 2.0**-24 <= value <= 2.0**-8):
            raise ValueError(f"{value:g}; allowed are 0 and the powers of two from 2**-24 to 2**-8")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        mistakes = list(mistakes_of(self))
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    def __hash__(self) -> int:
        return self.hashed

    @functools.cached_property
    def hashed(self) -> int:
        """Hash of the fields, made once: many caches ask for it."""
        return hash(tuple(getattr(self, name) for name in Recipe.model_fields))

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields changed, unchecked; what follows from the fields is derived anew."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - Recipe.model_fields.keys():
            del copied.__dict__[name]
        return copied

    def __getstate__(self) -> dict[Any, Any]:
        # hashes of text differ from process to process, so that a pickle must not take this one along
        return super().__getstate__() | {"__dict__": {name: getattr(self, name) for name in Recipe.model_fields}}

    # Files ----------------------------------------------------------------------------------------------

    def to_toml(self) -> str:
        """The recipe as TOML text; `load` reads it back to an equal recipe."""
        return toml.written(self.model_dump(mode="json"))

    @staticmethod
    def json_schema() -> str:
        """The JSON Schema of a recipe file, for editors."""
        return json.dumps(Recipe.model_json_schema(), indent=2)


def require_recipe(value: object) -> Recipe:
    """Return the recipe that was given, or refuse what is none: a name or a file wants `load`."""
    if isinstance(value, Recipe):
        return value
    remedy = f"write crossdyad.recipe.load({str(value)!r})" if isinstance(value, str | Path) else "crossdyad.recipe.load makes one"
    raise RecipeError(f"recipe: {shown(value)} is no Recipe; {remedy}")


def presets() -> list[str]:
    """Names of the recipes that ship with the package."""
    folder = resources.files(__package__) / "presets"
    return sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))


def load(source: str | Path) -> Recipe:
    """Read a recipe: a preset's name, or the path of a TOML file.

    Raises
    ------
    RecipeError
        All mistakes at once, one line each: ``file: key: what is wrong, what is allowed``.
    """
    source = str(source)
    if source in presets():
        return parse((resources.files(__package__) / "presets" / f"{source}.toml").read_text(encoding="utf-8"), source)
    try:
        found = parse(toml.text_of(Path(source)), source, Path(source).parent)
        return found.model_copy(update={"data": found.data.beside(Path(source).parent)})
    except FileNotFoundError:
        raise RecipeError(f"{source}: no such file or preset; {near(source, presets())}presets are {', '.join(presets())}") from None
    except OSError as error:
        raise RecipeError(str(error)) from None


def parse(text: str, label: str = "recipe", folder: Path = Path()) -> Recipe:  # noqa: B008
    """A recipe from TOML text; `label` names it in errors, tables that it names lie in `folder`."""
    try:
        table = with_table(toml.table_of(text, label), label, folder)
    except ValueError as error:
        raise RecipeError(str(error)) from None
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise RecipeError("\n".join(mistakes(error, label, Recipe))) from None


def presets_of_rules() -> dict[str, str]:
    """Return each rule that learns and the preset on `digits` whose settings were chosen for it."""
    tuned = {name: f"digits-{name}" for name in rules.RULES if f"digits-{name}" in presets()}
    return {load("digits").rule: "digits"} | tuned
