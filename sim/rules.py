"""Short checks of a learning rule, on a small net with its recipe's settings: of its gradient, and of the hardware against the emulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .. import emulator
from ..recipe import Recipe, in_memory, matrix_geometries, rule
from . import gradient, quality, real

FINE = {
    "state": {"width": 20, "frac": 16},
    "weight": {"width": 20, "frac": 16},
    "accumulator": {"width": 22, "frac": 18},
    "delta": {"width": 22, "frac": 18},
}
"""Formats of so many fraction bits that only a rule is left of a chip."""
SAMPLES = 8
WEAK = 2.0**-8
"""A beta at which an estimate has its limit."""


class Finding(NamedTuple):
    """Finding of a check: its name, whether that is right, and a figure in words."""

    check: str
    passed: bool
    said: str

    def __str__(self) -> str:
        return f"{self.check}: {'' if self.passed else 'FAILED, '}{self.said}"


class Checked(NamedTuple):
    """Findings of all checks of a rule."""

    rule: str
    checks: list[Finding]

    @property
    def passed(self) -> bool:
        """Return whether none of them failed."""
        return all(f.passed for f in self.checks)


def small(recipe: Recipe, **changes) -> Recipe:
    """Return a net of few units with a recipe's rule and settings.

    It has three layers; where the rule counts on another number, those of the recipe, and sizes that are as different.
    """
    short = [min(n, 2) for n in recipe.sweeps]

    def net(sizes: tuple[int, ...]) -> Recipe:
        lanes = (4, *(2 for _ in sizes[2:]))
        given = {"name": "small", "sizes": sizes, "lanes": lanes, "engines": (), "sweeps": short, "data": {}}
        return Recipe.model_validate(recipe.model_dump() | given | changes)

    try:
        return net((6, 5, 4, 3))
    except ValueError:
        few = {size: 3 + n for n, size in enumerate(sorted(set(recipe.sizes)))}
        return net(tuple(few[size] for size in recipe.sizes))


def checks(recipe: Recipe) -> Iterator[Finding]:
    """Yield what each check of a recipe's rule finds: `integers`, `oracle` where it has one that a few samples tell, `hardware`."""
    if recipe.learns:
        yield integers(recipe)
        if aims_at_the_gradient(recipe):
            yield oracle(recipe)
    yield hardware(recipe)


def checked(recipe: Recipe) -> Checked:
    """Return what all `checks` of a recipe's rule find."""
    return Checked(recipe.rule, list(checks(recipe)))


def _samples(recipe: Recipe):
    draw = np.random.default_rng(0)
    return draw.uniform(0, 1, (SAMPLES, recipe.sizes[0])), draw.integers(0, recipe.sizes[-1], SAMPLES)


def _flat(made) -> np.ndarray:
    return np.concatenate([np.ravel(g) for g in made])


def integers(recipe: Recipe) -> Finding:
    """Hold the estimate of a chip of fine formats to the rule in real numbers; of slopes along signs, to the exact ones."""
    fine = small(recipe, formats=FINE, epsilon=2.0**-10)
    weights, (x, y) = emulator.initial_weights(fine), _samples(fine)
    if fine.signed:
        cosine = quality.quality(fine, weights, x, y, real.exact(fine, weights, x, y), 1)["cosine"]
        return Finding("slopes", cosine > 0.999, f"cosine {cosine:.4f} to the exact ones along the same signs")
    made, wanted = _flat(gradient.chip(fine, weights, x, y)), _flat(real.gradient(fine, weights, x, y))
    # an error of a unit at a kink of its activation may fall on either side
    off = float(np.mean(np.abs(made - wanted) > 2e-3 * np.abs(wanted).max()))
    size = np.linalg.norm(wanted)
    return Finding("integers", bool(size > 0 and off < 0.01), f"{100 * (1 - off):.1f} % of the estimate is the rule's in real numbers")


def aims_at_the_gradient(recipe: Recipe) -> bool:
    """Return whether each estimate tends to the exact gradient of the net, once feedback in memory is the weights'."""
    found = rule(recipe.rule)
    aligned = found.oracle in ("aligned", "inverse") and any(m.name.startswith("B") and m.source == "memory" for m in recipe.matrices)
    return not recipe.sloped and (found.oracle == "exact" or aligned)


def oracle(recipe: Recipe) -> Finding:
    """Hold the rule in real numbers to the exact gradient, at a small beta, with the weights as feedback."""
    weak = small(
        recipe,
        beta=WEAK,
        formats=FINE,
        sweeps=(100, 100),  # in which nets come to rest
        # targets pass units whether they have a slope or not
        activation="identity" if rule(recipe.rule).oracle == "inverse" else recipe.activation,
    )
    held = {g.matrix.name: w for g, w in zip(in_memory(weak), emulator.initial_weights(weak), strict=True)}
    shapes = {name: g.matrix[1:4] for name, g in matrix_geometries(weak).items()}
    weights = [held[f"W{name[1:]}"] if shapes.get(f"W{name[1:]}") == shapes[name] else w for name, w in held.items()]
    x, y = _samples(weak)
    cosine = float(gradient.cosine(real.gradient(weak, weights, x, y), real.exact(weak, weights, x, y)).mean())
    return Finding("oracle", cosine > 0.999, f"cosine {cosine:.4f} to the exact gradient at beta {WEAK:g}")


def hardware(recipe: Recipe) -> Finding:
    """Play three samples on the hardware, in Amaranth's simulator, and hold every bit and cycle to the emulator."""
    from .. import hdl
    from . import chip, simulators, streams

    made, draw = small(recipe), np.random.default_rng(0)
    session = chip.Session(made)
    session.load(emulator.initial_weights(made))
    state = made.formats.state
    for n in range(3):
        session.train(draw.integers(0, state.max + 1, made.sizes[0]), n % made.sizes[-1])
    session.read()
    arguments = session.arguments(dict.fromkeys(streams.STREAMS, "random"), watch=True)
    verdict = chip.judge(made, simulators.run(hdl.build(made), streams.play, arguments, "amaranth"), watch=True)
    return Finding("hardware", verdict.differing == 0, f"{verdict.bits} bits, {verdict.differing} differ")
