"""The error budget: which effect costs how much of the gradient, alone and together with all others.

The reference is the exact gradient in float64 at the weights as they were learned. An effect *alone* is the chip with every other
number format refined and every other device effect off.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from ..emulator.devices import Device, alone, device_of, wires_of
from ..recipe import LAYOUT, QFormat, Recipe
from . import real
from .quality import SEEDS, judge, quality, varies

EFFECTS = {"read_noise": "read noise", "levels": "{} levels"}
"""Device effects that enter the gradient; pulses and stuck cells enter the update only."""
CONVERTERS = {
    "input converters": ("input_bits",),
    "output converters": ("output_bits",),
    "converters' spread": ("gain_spread", "offset_spread"),
}
"""Converters of arrays."""
RESISTANCES = ("wires", "driver", "sense")
GUARD_BITS = 8
"""Fraction bits by which a format is refined where its own effect is not asked for."""


def refined(recipe: Recipe, places: Collection[str]) -> Recipe:
    """The recipe with more fraction bits at these places, its ranges kept, as far as a format goes, and the recipe's noise with it."""

    def finer(q: QFormat, bits: int) -> dict:
        more = min(bits, 24 - q.width)
        return {"width": q.width + more, "frac": q.frac + more}

    for bits in range(GUARD_BITS, 0, -1):
        formats = {p: finer(getattr(recipe.formats, p), bits) for p in places}
        try:
            return _changed(recipe, formats=recipe.formats.model_dump() | formats)
        except ValidationError:  # noise that is too large in so fine a number
            continue
    return recipe


def without(recipe: Recipe, effects: Iterable[str]) -> Recipe:
    """The recipe with these device effects off."""
    return _changed(recipe, devices=recipe.devices.model_dump(exclude=set(effects)))


def _changed(recipe: Recipe, **parts) -> Recipe:
    return Recipe.model_validate(recipe.model_dump() | parts)


class Variant(NamedTuple):
    """A chip with some of the effects, and the cells that hold its weights (None: plain memory)."""

    recipe: Recipe
    device: Device | None = None


def variants(recipe: Recipe, device: Device | None = None) -> dict[str, Variant]:
    """Effect to the chip that has it alone, in the order of the signal; first the rule itself, last everything together."""
    device = device or device_of(recipe.devices)
    if device:
        device.check(recipe.devices.age or None, recipe.devices.temperature or None)
    effects = {name: label.format(getattr(recipe.devices, name)) for name, label in EFFECTS.items() if getattr(recipe.devices, name)}
    bare = _changed(recipe, arrays=_layout(recipe) if recipe.devices.named else {}, devices=recipe.devices.model_dump(exclude=RESISTANCES))
    places = judge(recipe).places
    quiet = without(bare, effects)
    ideal = refined(quiet, places)
    found = {"rule": Variant(ideal)}
    found |= {f"{p} {getattr(recipe.formats, p).width} bits": Variant(refined(quiet, [q for q in places if q != p])) for p in places}
    found |= {label: Variant(refined(without(bare, [e for e in effects if e != name]), places)) for name, label in effects.items()}
    if device:
        cells = alone(device)
        absent = () if recipe.devices.age else ("drift", "1/f noise")
        absent += () if recipe.devices.temperature else ("temperature",)
        if wires_of(recipe):
            found["wires"] = _wired(recipe, ideal, cells["ideal"])
        found |= {label: Variant(ideal, d) for label, d in cells.items() if d != cells["ideal"] and label not in absent}
    if recipe.arrays.on:
        found |= _of_arrays(recipe, ideal, device)
    return found | {"all together": Variant(recipe, device)}


def _layout(recipe: Recipe) -> dict:
    """Return where the cells lie, which each effect of theirs depends on."""
    return {name: getattr(recipe.arrays, name) for name in LAYOUT}


def _wired(recipe: Recipe, ideal: Recipe, cells: Device, **arrays) -> Variant:
    """Ideal cells behind the recipe's resistances; read as arrays where these are asked for, or where transposed reads are their own."""
    devices = ideal.devices.model_dump() | {name: getattr(recipe.devices, name) for name in RESISTANCES}
    if arrays or recipe.devices.driver != recipe.devices.sense:
        arrays = ideal.arrays.model_dump() | {"on": True} | arrays
        return Variant(_changed(ideal, devices=devices, arrays=arrays), replace(cells, read=None, iv=None))
    return Variant(_changed(ideal, devices=devices), cells)


def _of_arrays(recipe: Recipe, ideal: Recipe, device: Device | None) -> dict[str, Variant]:
    """The effects of reads from arrays, each alone; the first is arrays that have none but the width of their cells."""
    own, a = {"on": True, "input_slice": recipe.arrays.input_slice} | _layout(recipe), recipe.arrays

    def arrays(cells=None, **given):
        return Variant(_changed(ideal, arrays=own | given), cells)

    found = {"ideal arrays": arrays()}
    for label, names in CONVERTERS.items():
        given = {n: getattr(a, n) for n in names if getattr(a, n)}
        if given:
            found[label] = arrays(**(given if "input_bits" in given else {"output_bits": 16} | given))
    if device:
        nothing = alone(device)["ideal"]
        for name, label in (("read", "read noise of cells"), ("iv", "curved currents")):
            if getattr(device, name):
                found[label] = arrays(replace(nothing, **{n: None for n in ("read", "iv") if n != name}))
        if a.sensing == "opposite":
            found["opposite sensing"] = _wired(recipe, ideal, nothing, sensing=a.sensing)
    return found


def measured(
    recipe: Recipe,
    weights: Sequence[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    seeds: int = SEEDS,
    progress: Callable[[str, int, int], None] | None = None,
    device: Device | None = None,
) -> Iterator[dict]:
    """Yield the rows of `budget`, with its parameters, each as it is measured."""
    chips, done = variants(recipe, device), 0
    exact = real.exact(chips["rule"].recipe, weights, x, y)
    tell = progress or (lambda *_: None)
    for effect, chip in chips.items():
        tell(effect, done, len(chips))
        yield {"effect": effect} | quality(chip.recipe, weights, x, y, exact, seeds if varies(*chip) else 1, chip.device)
        done += 1
    tell("done", done, len(chips))


def budget(
    recipe: Recipe,
    weights: Sequence[np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    seeds: int = SEEDS,
    progress: Callable[[str, int, int], None] | None = None,
    device: Device | None = None,
) -> list[dict]:
    """The table: one row per effect alone, and all together.

    Parameters
    ----------
    recipe, weights, x, y, seeds
        As `measured`'s, and how many chips.
    device : Device, optional
        Instead of the recipe's: a device of your own.
    progress : callable, optional
        Called as ``progress(step, done, of)``.

    Returns
    -------
    list of dict
        ``effect`` and the four of `figures`.

    Raises
    ------
    ValueError
        For a rule that does not learn.
    """
    return list(measured(recipe, weights, x, y, seeds, progress, device))


def largest(rows: list[dict]) -> tuple[str, float]:
    """The effect that costs most cosine by itself, and how much: the rule against the exact gradient, any other against the rule.

    Parameters
    ----------
    rows : list of dict
        As `budget` returns them.
    """
    rule = next(r["cosine"] for r in rows if r["effect"] == "rule")
    costs = {r["effect"]: rule - r["cosine"] for r in rows if r["effect"] != "all together"} | {"rule": 1 - rule}
    return max(costs.items(), key=lambda item: item[1])
