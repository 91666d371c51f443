"""The error budget: which effect costs how much of the gradient, alone and together with all others.

The reference is the exact gradient in float64 at the weights as they were learned. An effect *alone* is the chip with every other
number format refined and every other device effect off.

Dual propagation is judged by its estimate of every sample's gradient. SPSA has one number per sample, the slope along a direction that
the chip draws: it is judged by how that slope agrees with the exact one, so that what the guess of a direction costs (row 29) is not
counted among the chip's errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from ..emulator.devices import ArrayChip, Device, alone, asymmetry, device_of, programmed
from ..emulator.signals import losses, signals
from ..recipe import QFormat, Recipe
from . import gradient

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
    """The recipe with more fraction bits at these places, its ranges kept, as far as a format goes, and the recipe's noise with it."""
    def finer(q: QFormat, bits: int) -> dict:
        more = min(bits, 24 - q.width)
        return {"width": q.width + more, "frac": q.frac + more}

    for bits in range(GUARD_BITS, 0, -1):
        formats = {p: finer(getattr(recipe.formats, p), bits) for p in places}
        try:
            return _changed(recipe, formats=recipe.formats.model_dump() | formats)
        except ValidationError:                # noise that is too large in so fine a number
            continue
    return recipe


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
        return bool(self.recipe.rule == "spsa" or self.device or self.recipe.devices.read_noise or spread
                    or "stochastic" in (rounding.accumulator, rounding.state, rounding.delta))


def variants(recipe: Recipe, device: Device | None = None) -> dict[str, Variant]:
    """Effect to the chip that has it alone, in the order of the signal; first the rule itself, last everything together."""
    device = device or device_of(recipe.devices)
    effects = {name: label.format(getattr(recipe.devices, name)) for name, label in EFFECTS.items() if getattr(recipe.devices, name)}
    bare, places = _changed(recipe, arrays={}), RULES[recipe.rule].places
    quiet = without(bare, effects)
    ideal = refined(quiet, places)
    found = {"rule": Variant(ideal)}
    found |= {f"{p} {getattr(recipe.formats, p).width} bits": Variant(refined(quiet, [q for q in places if q != p]))
              for p in places}
    found |= {label: Variant(refined(without(bare, [e for e in effects if e != name]), places)) for name, label in effects.items()}
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


class Vectors(NamedTuple):
    """What the updates of a layer read in dual propagation: integers of error (chips, n, R) and input (chips, n, C)."""

    error: np.ndarray
    input: np.ndarray


class Probes(NamedTuple):
    """What SPSA's updates read: the loss register's differences (chips, n), and the seeds (chips,) that the directions follow from."""

    loss: np.ndarray
    seed: np.ndarray


def measured(recipe: Recipe, weights, x, y, seeds, device: Device | None = None) -> list:
    """What the updates of chips would read for the same samples, with the weights held.

    Parameters
    ----------
    recipe : Recipe
        Of a rule that learns.
    weights : list of int32 arrays (R, C), or (chips, R, C)
    x, y : samples and class numbers, n of them
    seeds : sequence of int
        One per chip.
    device : Device, optional
        Cells that each chip's weights are written to and left in for the recipe's age.

    Returns
    -------
    list of Vectors, one per layer; or of one Probes
        Every array has the chips' axis first.
    """
    seeds, read, age = np.array(seeds, dtype=object), RULES[recipe.rule].read, recipe.devices.age or None
    weights = [np.broadcast_to(w, (len(seeds), *w.shape[-2:])) for w in weights]
    chips = [(recipe.model_copy(update={"seed": int(s)}), [w[i] for w in weights]) for i, s in enumerate(seeds)]
    held = [programmed(chip, w, time=age, device=device) if device else w for chip, w in chips]
    if not recipe.arrays.on:
        return read(recipe.as_built, [np.stack(w) for w in zip(*held, strict=True)], x, y, seeds)
    made = []
    for i, (chip, w) in enumerate(chips):
        player = ArrayChip(chip, device=device)
        player.weights, player.turned = held[i], asymmetry(chip, w, time=age, device=device)
        player.calibrate(x, y)
        made.append(read(chip, held[i], x, y, seeds[i:i + 1], player.machine()))
    return [type(parts[0])(*map(np.concatenate, zip(*parts, strict=True))) for parts in zip(*made, strict=True)]


def some(made: list, chips) -> list:
    """A part of the chips of `measured`."""
    return [type(part)(*(v[chips] for v in part)) for part in made]


def _vectors(recipe: Recipe, weights, x, y, seeds, machine=None) -> list[Vectors]:
    layers = signals(recipe, weights, x, y, machine, None if machine else seeds)
    return [Vectors(*(np.broadcast_to(v, (len(seeds), *v.shape[-2:])) for v in (s.error, s.input))) for s in layers]


def _probes(recipe: Recipe, weights, x, y, seeds, machine=None) -> list[Probes]:
    loss = losses(recipe, weights, x, y, machine, None if machine else seeds)
    return [Probes(np.broadcast_to(loss, (len(seeds), len(x))), seeds)]


def figures(recipe: Recipe, made: list, exact) -> dict[str, float]:
    """Chips' gradient estimates of each sample against the exact ones.

    Parameters
    ----------
    recipe : Recipe
    made : list
        As `measured` returns it, for chips that differ only in their seed.
    exact : list of arrays (n, R, C)
        The exact gradient of each sample, as `gradient.exact`'s.

    Returns
    -------
    dict
        Of dual propagation ``cosine``: mean over samples and seeds; ``bias``: size of the estimates' mean error over that of the gradient,
        without the share that a mean over so few chips has by chance; ``deviation``: root of the estimates' variance over the size of the
        gradient; ``sign``: share of weights whose estimate has the right sign, where either is not zero. Of SPSA, where all slopes of
        samples and chips are one vector: ``cosine`` to the exact slopes; ``bias``: by which share of the exact ones they are too large or
        too small together; ``deviation``: size of what else they are off by, over that of the exact ones; ``sign`` as above.
    """
    return RULES[recipe.rule].figures(recipe, made, exact)


def _of_vectors(recipe: Recipe, made: list[Vectors], exact) -> dict[str, float]:
    """An estimate is an outer product, error by input: its products with the exact gradient, with itself and with other chips' are made of
    the two vectors, and never of all its numbers."""
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


def _of_probes(recipe: Recipe, made: list[Probes], exact) -> dict[str, float]:
    """A slope and the exact one, along the same direction of signs."""
    slopes, along = gradient.slopes(recipe, made[0].loss), np.zeros(made[0].loss.shape)
    for n in range(along.shape[1]):
        for signs, g in zip(gradient.directions(recipe, made[0].seed, n), exact, strict=True):
            along[:, n] += np.sum(signs * g[n], axis=(1, 2))
    square, there = np.sum(along**2), (slopes != 0) | (along != 0)
    size = np.sqrt(square * np.sum(slopes**2))
    share = np.sum(slopes * along) / (square or np.nan)     # where there is no gradient, there is no relative error
    return {"cosine": float(np.sum(slopes * along) / size) if size else 0.0, "bias": float(abs(share - 1)),
            "deviation": float(np.sqrt(np.sum((slopes - share * along) ** 2) / (square or np.nan))),
            "sign": float(np.mean((np.sign(slopes) == np.sign(along))[there])) if there.any() else np.nan}


class Rule(NamedTuple):
    """How a rule's gradient is judged.

    Attributes
    ----------
    places : tuple of str
        Formats whose rounding enters it.
    read, figures : callable
        What `measured` and `figures` do.
    """

    places: tuple[str, ...]
    read: Callable
    figures: Callable


RULES = {"dual-propagation": Rule(("state", "delta", "accumulator"), _vectors, _of_vectors),
         "spsa": Rule(("state", "accumulator"), _probes, _of_probes)}


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
        For a rule that does not learn.
    """
    if recipe.rule not in RULES:
        raise ValueError(f"{recipe.name}: rule {recipe.rule!r} makes no gradient to judge; allowed are {', '.join(RULES)}")
    rows, chips = [], variants(recipe, device)
    exact = gradient.exact(chips["rule"].recipe, weights, x, y)
    tell = progress or (lambda *_: None)
    for effect, chip in chips.items():
        tell(effect, len(rows), len(chips))
        rows.append({"effect": effect} | quality(chip.recipe, weights, x, y, exact, seeds if chip.noisy else 1, chip.device))
    tell("done", len(chips), len(chips))
    return rows
