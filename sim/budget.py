"""The error budget: which effect costs how much of the gradient, alone and together with all others.

The reference is the exact gradient in float64 at the weights as they were learned. An effect *alone* is the chip with every other
number format refined and every other device effect off.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..emulator.devices import ArrayChip, Device, alone, asymmetry, device_of, programmed
from ..emulator.signals import Signals, signals
from ..recipe import QFormat, Recipe
from . import gradient

PLACES = ("state", "delta", "accumulator")
"""Formats whose rounding enters the gradient."""
EFFECTS = {"read_noise": "read noise", "levels": "{} levels"}
"""Device effects that enter the gradient; pulses and stuck cells enter the update only."""
CONVERTERS = {"input converters": ("input_bits",), "output converters": ("output_bits",),
              "converters' spread": ("gain_spread", "offset_spread")}
"""Of arrays."""
GUARD_BITS = 8
"""Fraction bits by which a format is refined where its own effect is not asked for."""
SEEDS = 8
"""Chips over which noise is averaged."""


def refined(recipe: Recipe, places) -> Recipe:
    """The recipe with more fraction bits at these places, its ranges kept, as far as a format goes."""
    def finer(q: QFormat) -> dict:
        more = min(GUARD_BITS, 24 - q.width)
        return {"width": q.width + more, "frac": q.frac + more}

    formats = {p: finer(getattr(recipe.formats, p)) for p in places}
    return _changed(recipe, formats=recipe.formats.model_dump() | formats)


def without(recipe: Recipe, effects) -> Recipe:
    """The recipe with these device effects off."""
    return _changed(recipe, devices=recipe.devices.model_dump(exclude=set(effects)))


def _changed(recipe: Recipe, **parts) -> Recipe:
    return Recipe.model_validate(recipe.model_dump() | parts)


class Variant(NamedTuple):
    """A chip with some of the effects, and the cells that hold its weights (None: plain memory)."""

    recipe: Recipe
    device: Device | None = None

    @property
    def noisy(self) -> bool:
        """Whether its figures differ from chip to chip."""
        rounding = self.recipe.rounding
        spread = self.recipe.arrays.gain_spread or self.recipe.arrays.offset_spread
        return bool(self.device or self.recipe.devices.read_noise or spread
                    or "stochastic" in (rounding.accumulator, rounding.state, rounding.delta))


def variants(recipe: Recipe, device: Device | None = None) -> dict[str, Variant]:
    """Effect to the chip that has it alone, in the order of the signal; first the rule itself, last everything together."""
    device = device or device_of(recipe.devices)
    effects = {name: label.format(getattr(recipe.devices, name)) for name, label in EFFECTS.items() if getattr(recipe.devices, name)}
    bare = _changed(recipe, arrays={})
    fine = refined(bare, PLACES)
    ideal = without(fine, effects)
    found = {"rule": Variant(ideal)}
    found |= {f"{p} {getattr(recipe.formats, p).width} bits": Variant(without(refined(bare, [q for q in PLACES if q != p]), effects))
              for p in PLACES}
    found |= {label: Variant(without(fine, [e for e in effects if e != name])) for name, label in effects.items()}
    if device:
        cells = alone(device)
        if recipe.devices.wires:
            found["wires"] = Variant(ideal, cells["ideal"])
        found |= {label: Variant(without(ideal, ["wires"]), d) for label, d in cells.items()
                  if d != cells["ideal"] and (recipe.devices.age or label not in ("drift", "1/f noise"))}
    if recipe.arrays.on:
        found |= _of_arrays(recipe, ideal, device)
    return found | {"all together": Variant(recipe, device)}


def _of_arrays(recipe: Recipe, ideal: Recipe, device: Device | None) -> dict[str, Variant]:
    """The effects of reads from arrays, each alone; the first is arrays that have none but the width of their cells."""
    own, a = {"on": True, "lines": recipe.arrays.lines}, recipe.arrays

    def arrays(base=ideal, cells=None, **given):
        return Variant(_changed(base, arrays=own | given), cells)

    dry = without(ideal, ["wires"])
    found = {"ideal arrays": arrays(dry)}
    for label, names in CONVERTERS.items():
        given = {n: getattr(a, n) for n in names if getattr(a, n)}
        if given:
            converter = {"output_bits": 16, "mapping": a.mapping, "cell_bits": a.cell_bits, "input_slice": a.input_slice}
            found[label] = arrays(dry, None, **(given if "input_bits" in given else converter | given))
    if device:
        nothing = alone(device)["ideal"]
        for name, label in (("read", "read noise of cells"), ("iv", "curved currents")):
            if getattr(device, name):
                found[label] = arrays(dry, replace(nothing, **{n: None for n in ("read", "iv") if n != name}))
        if a.sensing == "opposite":
            found["opposite sensing"] = arrays(ideal, replace(nothing, read=None, iv=None), sensing=a.sensing)
    return found


def measured(recipe: Recipe, weights, x, y, seeds, device: Device | None = None) -> list[Signals]:
    """What the updates of chips would read for the same samples, with the weights held.

    Parameters
    ----------
    recipe : Recipe
        Of rule ``dual-propagation``.
    weights : list of int32 arrays (R, C), or (chips, R, C)
    x, y : samples and class numbers, n of them
    seeds : sequence of int
        One per chip.
    device : Device, optional
        Cells that each chip's weights are written to and left in for the recipe's age.

    Returns
    -------
    list of Signals
        Per layer, the chips' axis leading.
    """
    weights = [np.broadcast_to(w, (len(seeds), *w.shape[-2:])) for w in weights]
    chips = [recipe.model_copy(update={"seed": int(s)}) for s in seeds]
    age = recipe.devices.age or None
    held = weights
    if device:
        held = [np.stack(w) for w in zip(*(programmed(chip, [w[i] for w in weights], time=age, device=device)
                                           for i, chip in enumerate(chips)), strict=True)]
    if not recipe.arrays.on:
        made = signals(recipe.as_built, held, x, y, seeds=np.asarray(seeds, dtype=object))
        return [s._replace(error=_each(s.error, len(chips)), input=_each(s.input, len(chips))) for s in made]
    made = []
    for i, chip in enumerate(chips):
        player = ArrayChip(chip, device=device)
        player.weights, player.turned = [w[i] for w in held], asymmetry(chip, [w[i] for w in weights], time=age, device=device)
        player.calibrate(x, y)
        made.append(signals(chip, player.weights, x, y, player.machine()))
    return [Signals(np.stack([s.error for s in layer]), np.stack([s.input for s in layer]), None) for layer in zip(*made, strict=True)]


def _each(v, chips: int):
    """With an axis of chips, also where they have it in common."""
    return np.broadcast_to(v, (chips, *v.shape[-2:]))


def figures(recipe: Recipe, made: list[Signals], exact) -> dict[str, float]:
    """Chips' gradient estimates of each sample against the exact ones.

    Parameters
    ----------
    recipe : Recipe
    made : list of Signals
        As `measured` returns it, for d chips that differ only in their seed.
    exact : list of arrays (n, R, C)
        The exact gradient of each sample, as `gradient.exact`'s.

    Returns
    -------
    dict
        ``cosine``: mean over samples and seeds; ``bias``: size of the estimates' mean error over that of the gradient, without the share
        that a mean over so few chips has by chance; ``deviation``: root of the
        estimates' variance over the size of the gradient; ``sign``: share of weights whose estimate has the right sign, where either
        is not zero.

    Notes
    -----
    An estimate is an outer product, error by input: its products with the exact gradient, with itself and with other chips' are made
    of the two vectors, and never of all its P numbers.
    """
    scale = -1 / recipe.beta * 2.0 ** -(recipe.formats.delta.frac + recipe.formats.state.frac)
    chips = len(made[0].error)
    along, squares, mean_square, right, there = 0.0, 0.0, 0.0, 0.0, 0.0
    whole = sum(np.sum(np.square(g), axis=(1, 2)) for g in exact)
    for layer, g in zip(made, exact, strict=True):
        e, v = (np.moveaxis(a, 0, -1).astype(np.float64) for a in (layer.error, layer.input))           # (n, R, d), (n, C, d)
        along = along + scale * np.sum(e * (g @ v), axis=1)                                             # (n, d)
        products = scale**2 * (np.swapaxes(e, 1, 2) @ e) * (np.swapaxes(v, 1, 2) @ v)                   # (n, d, d)
        squares = squares + np.diagonal(products, axis1=1, axis2=2)
        mean_square = mean_square + products.mean((1, 2))
        # signs are -1, 0 and 1: sums of their products are counts
        e, v, g = (np.sign(a).astype(np.float32) for a in (-e, v, g))
        both = np.sum(abs(e) * (abs(g) @ abs(v)), dtype=np.float64)
        right += (both + np.sum(e * (g @ v), dtype=np.float64)) / 2
        there += np.sum(abs(e).sum(1) * abs(v).sum(1), dtype=np.float64) + chips * np.sum(abs(g), dtype=np.float64) - both
    sizes = np.sqrt(squares * whole[:, None])
    cosines = np.divide(along, sizes, out=np.zeros_like(sizes), where=sizes > 0)
    variance = (np.sum(squares) - chips * np.sum(mean_square)) / (chips - 1) if chips > 1 else 0.0
    # what is left of the noise in a mean over a few chips is no bias
    bias = np.sum(mean_square) - 2 * np.sum(along) / chips + np.sum(whole) - variance / chips
    norm = np.sqrt(np.sum(whole)) or np.nan                # where there is no gradient, there is no relative error
    return {"cosine": float(cosines.mean()), "bias": float(np.sqrt(max(0.0, bias)) / norm),
            "deviation": float(np.sqrt(max(0.0, variance)) / norm), "sign": float(right / there) if there else np.nan}


def quality(recipe: Recipe, weights, x, y, exact, seeds: int = SEEDS, device: Device | None = None) -> dict[str, float]:
    """`figures` of so many chips, the first one with the recipe's seed; `measured` has the parameters."""
    return figures(recipe, measured(recipe, weights, x, y, range(recipe.seed, recipe.seed + seeds), device), exact)


def budget(recipe: Recipe, weights, x, y, seeds: int = SEEDS, progress=None, device: Device | None = None) -> list[dict]:
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
        For a rule that has no error signals.
    """
    if recipe.rule != "dual-propagation":
        raise ValueError(f"{recipe.name}: rule {recipe.rule!r} has no error signals to judge; use 'dual-propagation'")
    exact = gradient.exact(without(refined(_changed(recipe, arrays={}), PLACES), EFFECTS), weights, x, y)
    rows, chips = [], variants(recipe, device)
    tell = progress or (lambda *_: None)
    for effect, chip in chips.items():
        tell(effect, len(rows), len(chips))
        rows.append({"effect": effect} | quality(chip.recipe, weights, x, y, exact, seeds if chip.noisy else 1, chip.device))
    tell("done", len(chips), len(chips))
    return rows
