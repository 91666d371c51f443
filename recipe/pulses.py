"""Pulses: what an update does to a cell, in one table, from which it follows who plays it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from .kinds import Real, Switch
from .sections import Part

if TYPE_CHECKING:
    from .recipe import Recipe

BUILT = ("ideal", "constant", "linear", "soft-bounds")
"""Laws that the hardware has."""


class Pulses(Part):
    """Answer of cells to updates.

    The hardware plays the laws `BUILT` (contract section 11) of cells that are all alike and without noise. All else the emulator alone
    plays in training, and the hardware that a recipe makes has the ideal law.

    Attributes
    ----------
    law : str
        ``ideal`` (a weight changes as it is told), ``constant`` (in whole pulses), ``linear`` and ``soft-bounds`` (in pulses that shrink
        towards the end of the weight's range, by a part or down to nothing), ``exponential``, ``power``, or ``measured``: by the cell's own
        curves (`devices.cell`), whose range of conductances is that of the weights.
    step : float
        Change of a weight in the middle of its range by one pulse; in hardware a power of two. 0 with the ideal law, and with the
        measured one, whose cell has it.
    slope : float
        Of the linear law: what share of a pulse is lost at the end of the range; in hardware a power of two below 1.
    noise, step_spread, bound_spread : float
        Standard deviations of a pulse from pulse to pulse, of pulses from cell to cell, and of the bounds of weights; relative to each.
    one_by_one : bool
        The pulses of one update act one after another, each from where the one before left the weight; in hardware all see the weight as it
        was before, and their number is rounded as `rounding.weight` says, which here is always at random.
    """

    law: Literal["ideal", "constant", "linear", "soft-bounds", "exponential", "power", "measured"] = "ideal"
    step: Annotated[Real, Field(ge=0)] = 0.0
    slope: Annotated[Real, Field(gt=0, le=1)] = 0.25
    noise: Annotated[Real, Field(ge=0)] = 0.0
    step_spread: Annotated[Real, Field(ge=0)] = 0.0
    bound_spread: Annotated[Real, Field(ge=0)] = 0.0
    one_by_one: Switch = False

    @property
    def emulated(self) -> bool:
        """Return whether no hardware has such pulses."""
        return self.law not in BUILT or bool(self.noise or self.step_spread or self.bound_spread or self.one_by_one)

    @property
    def built(self) -> str:
        """The law that the hardware has."""
        return "ideal" if self.emulated else self.law


def mistakes_of(recipe: Recipe) -> Iterator[str]:
    """Yield what is wrong with a recipe's pulses."""
    p, f = recipe.pulses, recipe.formats.weight
    if p.law == "ideal":
        for name in ("step", "noise", "step_spread", "bound_spread", "one_by_one"):
            if getattr(p, name):
                yield f"pulses.{name}: {getattr(p, name)} with the ideal law, which has no pulses; allowed is 0, or another law"
        return
    yield from _of_emulated(recipe) if p.emulated else _of_built(recipe)
    if any(step.decay for step in recipe.steps):
        yield f"pulses.law: {p.law} with rule {recipe.rule}, whose weights decay; allowed is ideal"
    if p.law == "measured":
        if not recipe.devices.cell.up:
            yield "pulses.law: measured without pulses that were measured; give devices.cell.up and down"
        elif p.step:
            yield f"pulses.step: {p.step:g} with law measured; allowed is 0, as the cell's own curves say it"
        elif recipe.pulse < f.step and not any(recipe.devices.cell.mistakes):
            yield (
                f"devices.cell.up: a pulse in the middle is {recipe.pulse:.3g} of a weight, less than the weights' step of {f.step:g}; "
                "give the weights more fraction bits"
            )


def _of_built(recipe: Recipe) -> Iterator[str]:
    p, f = recipe.pulses, recipe.formats.weight
    low, high = f.step, f.step * 2.0 ** (f.width - 2)
    if not p.step or math.frexp(p.step)[0] != 0.5 or not low <= p.step <= high:
        yield (
            f"pulses.step: {p.step:g} with law {p.law}; allowed are the powers of two from {low:g} to {high:g}, in weight units; or "
            "any with one_by_one = true, which the emulator plays"
        )
    elif recipe.product_shift > 40:
        yield f"pulses.step: {p.step:g} with rate_floor {recipe.rate_floor:g} is too coarse; allowed is a larger rate_floor"
    if math.frexp(p.slope)[0] != 0.5 or p.slope > 0.5:
        yield f"pulses.slope: {p.slope:g}; allowed are powers of two up to 0.5"
    if recipe.signed:
        yield f"pulses.law: {p.law} with rule {recipe.rule}, whose probes must be taken back exactly; allowed is ideal"


def _of_emulated(recipe: Recipe) -> Iterator[str]:
    p, f = recipe.pulses, recipe.formats.weight
    if p.law != "measured" and not f.step <= p.step <= f.high:
        yield f"pulses.step: {p.step:g} with law {p.law}; allowed is {f.step:g} to {f.high:g}, in weight units"
    if others := [m.name for m in recipe.matrices if m.name != f"W{m.layer}"]:
        yield (
            f"pulses.law: {p.law} of cells that the emulator plays, with rule {recipe.rule}, which has matrices beside the weights "
            f"({', '.join(others)}); allowed are the weights alone"
        )


OF_DEVICES = {"law": ("law", "ideal"), "pulse": ("step", 0), "slope": ("slope", 0.25)}
OF_ARRAYS = {
    "law": ("law", ""),
    "pulse": ("step", 0),
    "pulse_noise": ("noise", 0),
    "pulse_spread": ("step_spread", 0),
    "bound_spread": ("bound_spread", 0),
}
"""Keys of the tables `devices` and `arrays` that were this table's before there was one: their name here, and what said nothing."""


def moved(table: Any) -> Any:
    """A recipe's table with the keys of before, if any, in the table of pulses. Those of `arrays` were played one by one.

    Raises
    ------
    ValueError
        If pulses are said twice.
    """
    if not isinstance(table, dict):
        return table
    found = {}
    for part, names in (("devices", OF_DEVICES), ("arrays", OF_ARRAYS)):
        given = table.get(part)
        if isinstance(given, dict) and given.keys() & names.keys():
            table = table | {part: {k: v for k, v in given.items() if k not in names}}
            if said := {names[k][0]: v for k, v in given.items() if k in names and v != names[k][1]}:
                found[part] = said
    if not found:
        return table
    pulses = table.get("pulses") or {}
    law = pulses.get("law", "ideal") if isinstance(pulses, dict) else getattr(pulses, "law", "")
    if len(found) > 1 or law != "ideal":
        raise ValueError(
            f"{' and '.join(f'{part}.{OLD[part][name]}' for part, said in found.items() for name in list(said)[:1])}"
            f"{' together with pulses' if law != 'ideal' else ''}: pulses are said twice; allowed is one table, pulses"
        )
    part, said = next(iter(found.items()))
    if part == "arrays" and "law" in said:
        said = {"slope": 0.5} | said | {"one_by_one": True}
    return table | {"pulses": (pulses if isinstance(pulses, dict) else {}) | said}


OLD = {part: {new: old for old, (new, _) in names.items()} for part, names in (("devices", OF_DEVICES), ("arrays", OF_ARRAYS))}
