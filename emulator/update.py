"""The new weight: old weight plus rounded product, within the format and the guard (contract section 6)."""

from __future__ import annotations

import numpy as np

from ..recipe import LONGEST_TRAIN, Geometry, Recipe
from . import fixed
from .arrays import Integers, integer_type, namespace
from .clock import Ports, Stimulus, Waves, walk


def product_type(geometry: Geometry) -> type[np.int32] | type[np.int64]:
    """Integer type that holds a product of `update`, one bit of headroom included."""
    return integer_type(geometry.recipe.bits.product)


def update(
    recipe: Recipe, weight: Integers, product: Integers, random: Integers | int = 0, probe: bool = False, decay: int = 0
) -> tuple[Integers, Integers]:
    """A weight after an update or a probe.

    Parameters
    ----------
    recipe : Recipe
    weight : int32 array, weight format
    product : array of `product_type`
        The operand times the lane's factor, `recipe.update_shift` fraction bits below the weight LSB.
    random : integer array
        16-bit rounding words.
    probe : bool
        A probe may use the guard, an update may not.
    decay : int
        The weight also loses ``2**-decay`` of itself, rounded together with the product; 0: nothing.

    Returns
    -------
    result : int32 array, weight format
    out_of_range : bool array
    """
    f, shift = recipe.formats.weight, recipe.product_shift
    wraps = recipe.overflow.weight == "wrap"
    guard = 0 if probe or wraps else recipe.guard
    xp = namespace(product)
    if decay:
        finer = max(decay, shift) if isinstance(shift, int) else xp.maximum(decay, shift)
        product = (product << (finer - shift)) - (weight.astype(product.dtype) << (finer - decay))
        shift = finer
    bounded, known = product, isinstance(shift, int)
    if not known or shift < 0:  # so far out of range either way that its exact value does not matter
        far = 1 << (f.width + 1)
        bounded = xp.minimum(xp.maximum(product, -far), far)
        bounded = bounded if known else xp.where(shift < 0, bounded, product)
    v = weight.astype(product.dtype) + _change(recipe, weight, fixed.round_shift(bounded, shift, recipe.rounding.weight, random))
    result, out_of_range = fixed.limit(v, f.min + guard, f.max - guard)
    if wraps:  # modulo a power of two: a shift that overflows the type is harmless
        if recipe.pulses.built == "ideal":
            if not known:
                v = xp.where(shift < 0, weight + (product << xp.maximum(-shift, 0)), v)
            elif shift < 0:
                v = weight + (product << -shift)
        result = fixed.wrap(v, f.width)
    return result.astype(weight.dtype), out_of_range


def _change(recipe: Recipe, weight: Integers, q: Integers) -> Integers:
    """Return what the rounded number does to a weight: it is the change, or a count of pulses (contract section 11)."""
    if recipe.pulses.built == "ideal":
        return q
    xp, c, width = namespace(weight, q), recipe.slope_bits, recipe.formats.weight.width
    n = xp.minimum(xp.maximum(q, -LONGEST_TRAIN), LONGEST_TRAIN)
    if c is None:
        return n << recipe.pulse_bits
    end, m = 1 << width - 1, width - 1 - recipe.pulse_bits
    room = end - xp.where(n > 0, 1, -1).astype(n.dtype) * (weight >> c).astype(n.dtype)
    return (n * room + (1 << m - 1)) >> m


def largest_change(recipe: Recipe, product: Integers) -> Integers:
    """A bound of the change that products up to `product` (int64 scalar) make."""
    xp, shift = namespace(product), recipe.product_shift

    def down() -> Integers:
        return (product >> shift) + 1

    def up() -> Integers:
        return xp.minimum(product, 2 << recipe.formats.weight.width) << -shift

    q = (down() if shift > 0 else up()) if isinstance(shift, int) else xp.where(shift > 0, down(), up())
    return q if recipe.pulses.built == "ideal" else xp.minimum(q, LONGEST_TRAIN) << recipe.pulse_bits + 1


# Trace ------------------------------------------------------------------------------------------------------


def update_exact(recipe: Recipe, weight: int, product: int, random: int, probe: bool, decay: int = 0) -> tuple[int, bool]:
    """`update` on Python integers."""
    return fixed.fit_exact(
        weight + change_exact(recipe, weight, round_exact(recipe, weight, product, random, decay)),
        recipe.formats.weight.width,
        recipe.overflow.weight,
        0 if probe else recipe.guard,
    )


def round_exact(recipe: Recipe, weight: int, product: int, random: int, decay: int = 0) -> int:
    """The rounded number of an update: a change in LSBs, or a count of pulses."""
    shift = recipe.product_shift
    if decay:
        finer = max(decay, shift)
        product, shift = (product << finer - shift) - (weight << finer - decay), finer
    q = fixed.round_exact(product, shift, recipe.rounding.weight, random)
    return q if recipe.pulses.built == "ideal" else min(max(q, -LONGEST_TRAIN), LONGEST_TRAIN)


def change_exact(recipe: Recipe, weight: int, n: int) -> int:
    """`_change` on Python integers."""
    if recipe.slope_bits is None:
        return n << recipe.pulse_bits
    end, m = 1 << recipe.formats.weight.width - 1, recipe.formats.weight.width - 1 - recipe.pulse_bits
    seen = weight >> recipe.slope_bits
    return n * (end - seen if n > 0 else end + seen) + (1 << m - 1) >> m


def trace(recipes: Recipe | tuple[Recipe, ...], decays: tuple[int, ...], stimulus: Stimulus) -> Waves:
    """Every port of `Update` at every clock (contract section 6: latency 3).

    Parameters
    ----------
    recipes, decays
        As the component's.
    stimulus : dict
        ``weight``, ``product``, ``random``, ``decay``, ``probe``, of several recipes ``format``: one entry per clock, from reset.

    Returns
    -------
    dict
        ``result``, ``out_of_range``.
    """
    made, views = [(0, False)] * 3, recipes if isinstance(recipes, tuple) else (recipes,)
    coarsest = max(views, key=lambda r: r.product_shift)

    def clock(weight: int, product: int, random: int, decay: int, probe: int, format: int = 0) -> Ports:
        its = views[format]
        v = weight + change_exact(its, weight, round_exact(coarsest, weight, product, random, 0 if probe else decays[decay]))
        made.append(fixed.fit_exact(v, its.formats.weight.width, its.overflow.weight, 0 if probe else its.guard))
        return dict(zip(("result", "out_of_range"), made.pop(0), strict=True))

    return walk(clock, stimulus, ("weight", "product", "random", "decay", "probe", *(("format",) if len(views) > 1 else ())))
