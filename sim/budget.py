"""The error budget: which effect costs how much of the gradient, alone and together with all others.

The reference is the exact gradient in float64 at the weights as they were learned. An effect *alone* is the chip with every other
number format refined and every other device effect off.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..emulator.devices import ArrayChip, Device, alone, asymmetry, device_of, programmed
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


def quality(recipe: Recipe, weights, x, y, exact, seeds: int = SEEDS, device: Device | None = None) -> dict[str, float]:
    """A chip's gradient estimates of each sample against the exact ones.

    Parameters
    ----------
    recipe : Recipe
        Of rule ``dual-propagation``.
    weights : list of int32 arrays (R, C)
    x, y : samples and class numbers, n of them
    exact : array (n, P)
        The exact gradient of each sample.
    seeds : int
        Chips that differ only in their seed.
    device : Device, optional
        Cells that each chip's weights are written to and left in for the recipe's age.

    Returns
    -------
    dict
        ``cosine``: mean over samples and seeds; ``bias``: size of the estimates' mean error over that of the gradient, without the share
        that a mean over so few chips has by chance; ``deviation``: root of the
        estimates' variance over the size of the gradient; ``sign``: share of weights whose estimate has the right sign, where either
        is not zero.
    """
    made = []
    for chip in (recipe.model_copy(update={"seed": recipe.seed + s}) for s in range(seeds)):
        age = recipe.devices.age or None
        held = programmed(chip, weights, time=age, device=device) if device else weights
        if recipe.arrays.on:
            player = ArrayChip(chip, device=device)
            player.weights, player.turned = held, asymmetry(chip, weights, time=age, device=device)
            player.calibrate(x, y)
            made.append(flat(gradient.chip(chip, held, x, y, player.machine())))
        else:
            made.append(flat(gradient.chip(chip.as_built, held, x, y)))
    made = np.stack(made)
    norm = _size(exact) or np.nan                          # where there is no gradient, there is no relative error
    variance = np.sum(made.var(0, ddof=1)) if seeds > 1 else 0.0
    # what is left of the noise in a mean over a few chips is no bias
    bias = max(0.0, _size(made.mean(0) - exact) ** 2 - variance / seeds)
    sizes = np.linalg.norm(made, axis=-1) * np.linalg.norm(exact, axis=-1)
    cosines = np.divide((made * exact).sum(-1), sizes, out=np.zeros_like(sizes), where=sizes > 0)
    there = (made != 0) | (exact != 0)
    return {
        "cosine": float(cosines.mean()), "bias": float(np.sqrt(bias) / norm),
        "deviation": float(np.sqrt(variance) / norm),
        "sign": float(np.mean(np.sign(made)[there] == np.broadcast_to(np.sign(exact), made.shape)[there])),
    }


def _size(v) -> float:
    """Its Euclidean norm; by sums of NumPy's, as a product of BLAS has other bits, and waits, where threads are more."""
    return float(np.sqrt(np.sum(np.square(v))))


def flat(g) -> np.ndarray:
    """Per-sample gradients of all layers as one array (n, P)."""
    return np.concatenate([v.reshape(len(v), -1) for v in g], axis=1)


def budget(recipe: Recipe, weights, x, y, seeds: int = SEEDS, progress=None, device: Device | None = None) -> list[dict]:
    """The table: one row per effect alone, and all together.

    Parameters
    ----------
    recipe, weights, x, y, seeds
        As `quality`'s.
    device : Device, optional
        Instead of the recipe's: a device of your own.
    progress : callable, optional
        Called as ``progress(step, done, of)``.

    Returns
    -------
    list of dict
        ``effect`` and the four figures of `quality`.

    Raises
    ------
    ValueError
        For a rule that has no error signals.
    """
    if recipe.rule != "dual-propagation":
        raise ValueError(f"{recipe.name}: rule {recipe.rule!r} has no error signals to judge; use 'dual-propagation'")
    exact = flat(gradient.exact(without(refined(_changed(recipe, arrays={}), PLACES), EFFECTS), weights, x, y))
    rows, chips = [], variants(recipe, device)
    tell = progress or (lambda *_: None)
    for effect, chip in chips.items():
        tell(effect, len(rows), len(chips))
        rows.append({"effect": effect} | quality(chip.recipe, weights, x, y, exact, seeds if chip.noisy else 1, chip.device))
    tell("done", len(chips), len(chips))
    return rows
