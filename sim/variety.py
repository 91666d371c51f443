"""Small recipes that together reach every mode of every place: what block scenarios and chip benches are run on."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator

from ..recipe import NOISE, RULES, Formats, Op, Operation, Overflow, Recipe, Rounding, Rule, allow
from ..recipe.rules import parts
from ..recipe.rules.backward import stored_feedback


def small(name: str = "small", **changes) -> Recipe:
    """A chip of a few units, with some of its keys changed; formats and modes are dicts by place."""
    base = {"name": name, "sizes": (5, 4, 3), "lanes": (2, 4)}
    return Recipe.model_validate(base | changes)


def modes(rounding: str, overflow: str) -> dict:
    """One rounding and one overflow at all places."""
    places = ("accumulator", "state", "delta", "weight")
    return {"rounding": dict.fromkeys(places, rounding), "overflow": dict.fromkeys(places, overflow)}


def narrow(**changes) -> dict:
    """Formats so narrow that everything overflows now and then."""
    formats = {"state": (6, 4), "weight": (7, 4), "accumulator": (7, 4), "delta": (5, 3)} | changes
    return {
        "formats": {place: {"width": w, "frac": f} for place, (w, f) in formats.items()},
        "learning_rate": 2.0**-2,
        "rate_floor": 2.0**-5,
    }


def layered(*weights: tuple[int, int], **changes) -> dict:
    """The same with a weight format for each layer."""
    made = narrow(**changes)
    return made | {"formats": made["formats"] | {"weight": [{"width": w, "frac": f} for w, f in weights]}}


def unusual(recipe: Recipe) -> Iterator[Operation]:
    """Yield what no rule of the house does: reads taken from drives, errors of every kind in one unit, several gains and decays."""
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe)
    yield parts.back(1)
    yield parts.back(1, mean="", difference="gated", error="gate")
    yield parts.back(1, mean="", difference="fed", error="feedback")
    yield Operation(Op.TRANSPOSED, "W1", row="error1", unit=0, enter="less", mean="fewer")
    yield parts.update(0, row="gated", gain=1, decay=9)
    yield parts.update(0, row="fed", negative=True)
    yield parts.update(1, column="fewer", decay=8)


def relaxing(recipe: Recipe) -> Iterator[Operation]:
    """Yield feedback that relaxes at several paces, in every unit, before and after a force, and means that are moved and not."""
    yield from parts.hidden(recipe, keep_feedback=True)
    yield parts.nudged(recipe, keep_drive=True, keep_feedback=True)
    for leak in (0, 1, 3):
        yield parts.back(1, enter="relax", leak=leak, keep_feedback=True, moved=leak < 3, error=("dyad", "gate", "feedback")[leak % 3])
        yield parts.read(
            1,
            recipe,
            enter="relax",
            leak=leak,
            keep_feedback=leak > 0,
            moved=leak == 1,
            result=False,
            loss="keep",
            force="feedback" if leak else "",
            difference="error1",
        )
    yield parts.read(1, recipe, column=NOISE, mean="heard", result=False, loss="keep")
    yield parts.update(1, row="heard", column=NOISE, decay=8)
    yield from parts.updates(recipe)


def gathering(recipe: Recipe) -> Iterator[Operation]:
    """Yield feedback that gathers where activations have a slope, in every unit, of reads that round alike and of others."""
    yield from parts.hidden(recipe, keep_feedback=True)
    yield parts.nudged(recipe, keep_drive=True, keep_feedback=True)
    for alike in (False, True, True):
        yield parts.back(1, enter="gather", keep_feedback=True, error="feedback" if alike else "gate", repeatable=alike)
        yield parts.read(
            1,
            recipe,
            enter="gather",
            keep_feedback=alike,
            repeatable=alike,
            result=False,
            loss="keep",
            difference="error1",
            force="feedback" if alike else "",
        )
    yield parts.read(0, recipe, enter="less", repeatable=True)
    yield from parts.updates(recipe)


def _hears(recipe: Recipe) -> Iterator[Operation]:
    yield from parts.hidden(recipe)
    yield parts.nudged(recipe)
    yield parts.update(1, "B1", row="input2", column=NOISE, gain=2, negative=True)
    yield parts.update(1)


hears = Rule(_hears, matrices=stored_feedback)
"""Rule with a matrix that meets nothing but noise, along states: alone on an engine, it has no store of columns."""
allow(f"{__name__}:hears")
allow(f"{__name__}:unusual")
allow(f"{__name__}:relaxing")
allow(f"{__name__}:gathering")


# fmt: off
@functools.cache
def recipes() -> tuple[Recipe, ...]:
    """Return alphas, roundings, overflows, activations, rules, and folds of one and more words; first those with what few have."""
    return (
        small("alpha-half", alpha=0.5, activation="hard_sigmoid", output="hard_tanh", lanes=(4, 1),
              **modes("stochastic", "saturate"), **narrow()),
        small("unusual", rule=f"{__name__}:unusual", alpha=0.5, output="hard_tanh", **modes("stochastic", "saturate"), **narrow()),
        small("relaxing", rule=f"{__name__}:relaxing", alpha=0.5, sigma=0.25, sizes=(5, 7, 3), lanes=(2, 4), output="hard_tanh",
              **modes("stochastic", "saturate"), **narrow(delta=(8, 5))),
        small("gathering", rule=f"{__name__}:gathering", alpha=0.5, sizes=(5, 7, 3), lanes=(2, 4), activation="tanh", output="leaky_relu",
              devices={"read_noise": 0.1}, **modes("stochastic", "saturate"), **narrow(accumulator=(9, 5), delta=(8, 5))),
        small("overlaps", samples_in_flight=2, lanes=(), engines=[{"lanes": 3, "matrices": ["W0", "W1"]}], devices={"read_noise": 0.1},
              **modes("stochastic", "saturate"), **narrow()),
        small("stale", samples_in_flight=4, staleness=(2, 0), devices={"read_noise": 0.1}, **modes("stochastic", "saturate"), **narrow()),
        small("stale-deep", samples_in_flight=8, staleness=(3, 2, 0), rule="sign-concordant", sizes=(4, 3, 5, 2), lanes=(4, 3, 2),
              **modes("stochastic", "saturate"), **narrow()),
        small("shaken", rule="node-perturbation", sizes=(4, 3, 5, 2), lanes=(4, 2, 3), **modes("stochastic", "saturate"), **narrow()),
        small("settles", rule="centered-equilibrium", sweeps=(2, 1), output="hard_sigmoid", activation="hard_sigmoid",
              **modes("stochastic", "saturate"), **narrow(delta=(8, 5))),
        small("clamps", rule="contrastive", sweeps=(1, 1), sizes=(4, 3, 5, 2), lanes=(4, 2, 3), **modes("nearest", "wrap"),
              **narrow(delta=(8, 5))),
        small("shared", lanes=(), engines=[{"lanes": 3, "matrices": ["W0", "W1"]}], **modes("stochastic", "saturate"), **narrow(),
              devices={"read_noise": 0.1, "stuck": 0.1}),
        small("shared-heads", lanes=(), sizes=(4, 3, 5, 2), rule="local-heads", **modes("nearest", "saturate"), **narrow(),
              engines=[{"lanes": 3, "matrices": ["W0", "W2", "A1"]}, {"lanes": 5, "matrices": ["A0", "W1"]}]),
        small("two-matrices", rule="kolen-pollack", sizes=(4, 3, 5, 2), lanes=(4, 2, 2), decay=2.0**-8,
              **modes("stochastic", "saturate"), **narrow()),
        small("reversible", rule="reversible", sizes=(4, 5, 3, 2), lanes=(4, 2, 3), activation="hard_tanh",
              **modes("stochastic", "wrap"), **narrow()),
        small("spsa", rule="spsa", epsilon=2.0**-3,
              **modes("stochastic", "saturate"), **narrow()),
        small("alpha-0", alpha=0, **modes("nearest", "saturate"), **narrow()),
        small("alpha-1", alpha=1, activation="hard_tanh", output="relu", beta=1, lanes=(8, 2),
              **modes("nearest_even", "wrap"), **narrow()),
        small("floor-wrap", alpha=0.5, activation="identity", seed=(1 << 64) - 3, sizes=(3, 7, 2), lanes=(1, 8),
              **modes("floor", "wrap"), **narrow()),
        small("overlaps-deep", samples_in_flight=2, sizes=(4, 3, 5, 2), rule="local-heads", **modes("stochastic", "saturate"), **narrow(),
              lanes=(), engines=[{"lanes": 3, "matrices": ["W0", "W2", "A1"]}, {"lanes": 5, "matrices": ["A0", "W1"]}]),
        small("overlaps-mirror", samples_in_flight=2, rule="weight-mirror", sizes=(4, 3, 5, 2), lanes=(4, 2, 3),
              **modes("stochastic", "saturate"), **narrow()),
        small("overlaps-shaken", samples_in_flight=2, rule="node-perturbation", sizes=(4, 3, 5, 2), lanes=(4, 2, 3),
              **modes("stochastic", "saturate"), **narrow()),
        small("bends", activation="leaky_relu", output="tanh", **modes("stochastic", "saturate"),
              **narrow(accumulator=(9, 5), delta=(8, 5))),
        small("bends-gated", rule="backprop", sizes=(4, 3, 5, 2), lanes=(4, 2, 2), activation="tanh", output="leaky_relu",
              **modes("nearest_even", "wrap"), **narrow(accumulator=(9, 5), delta=(8, 5))),
        small("bends-settled", rule="centered-equilibrium", alpha=0, sweeps=(2, 1), activation="sigmoid", output="sigmoid",
              **modes("floor", "saturate"), **narrow(accumulator=(9, 5), delta=(8, 5))),
        small("hinge", objective="squared-hinge", beta=2, output="hard_tanh", target_off=-0.5, target_on=0.5,
              **modes("stochastic", "saturate"), **narrow()),
        small("biased", bias=True, lanes=(2, 3), **modes("stochastic", "saturate"), **narrow()),
        small("biased-pollack", bias=True, rule="kolen-pollack", sizes=(4, 3, 5, 2), lanes=(4, 2, 4), decay=2.0**-8,
              **modes("nearest", "saturate"), **narrow()),
        small("biased-signs", bias=True, rule="spsa", epsilon=2.0**-3, sizes=(4, 3, 2), lanes=(),
              engines=[{"lanes": 3, "matrices": ["W0", "W1"]}], devices={"stuck": 0.1}, **modes("stochastic", "saturate"), **narrow()),
        small("biased-shaken", bias=True, samples_in_flight=2, rule="node-perturbation", sizes=(4, 3, 5, 2), lanes=(4, 2, 3),
              **modes("stochastic", "saturate"), **narrow()),
        small("one-layer", sizes=(6, 3), lanes=(4,), beta=0.25, **modes("stochastic", "saturate"), **narrow()),
        small("deep", sizes=(4, 3, 5, 2), lanes=(4, 2, 2), **modes("stochastic", "wrap"), **narrow()),
        small("noisy", alpha=0.5, seed=77, devices={"read_noise": 0.3}, **modes("nearest", "saturate"), **narrow(delta=(5, 2))),
        small("noisy-random", alpha=0, seed=78, lanes=(4, 1), devices={"read_noise": 0.1, "levels": 8, "stuck": 0.3},
              **modes("stochastic", "saturate"), **narrow()),
        small("spsa-devices", rule="spsa", epsilon=2.0**-3, devices={"read_noise": 0.1, "levels": 32, "stuck": 0.2},
              **modes("nearest", "saturate"), **narrow()),
        small("pulses-constant", seed=5, pulses={"law": "constant", "step": 2.0**-3}, **modes("stochastic", "saturate"), **narrow()),
        small("pulses-linear", alpha=1, lanes=(4, 2), pulses={"law": "linear", "step": 2.0**-4, "slope": 0.5}, devices={"stuck": 0.1},
              **modes("nearest", "wrap"), **narrow()),
        small("soft-bounds", alpha=0.5, lanes=(1, 4), pulses={"law": "soft-bounds", "step": 2.0**-2}, devices={"read_noise": 0.05},
              **modes("stochastic", "saturate"), **narrow()),
        small("gates", rule="backprop", output="hard_tanh", **modes("nearest", "saturate"), **narrow()),
        small("random-feedback", rule="feedback-alignment", feedback=0.5, lanes=(4, 4), **modes("stochastic", "saturate"), **narrow()),
        small("sign-feedback", rule="sign-concordant", alpha=0.5, sizes=(4, 3, 5, 2), lanes=(4, 2, 2), **modes("nearest", "wrap"),
              **narrow()),
        small("coupled", rule="coupled", alpha=0, sweeps=(1, 1), **modes("nearest", "saturate"), **narrow(delta=(8, 5))),
        small("heads", rule="local-heads", sizes=(4, 3, 5, 2), lanes=(4, 2, 3), **modes("nearest_even", "saturate"), **narrow()),
        small("shared-signs", lanes=(), rule="sign-concordant", engines=[{"lanes": 4, "matrices": ["W1", "W0"]}],
              **modes("floor", "saturate"), **narrow()),
        small("wide", rule="inference", formats={"state": {"width": 16, "frac": 12}, "weight": {"width": 18, "frac": 15},
                                                 "accumulator": {"width": 20, "frac": 12}}),
        small("layers-own", alpha=0.5, devices={"read_noise": 0.1, "levels": 8, "stuck": 0.1}, **modes("stochastic", "saturate"),
              **layered((7, 4), (5, 3))),
        small("layers-probed", rule="spsa", epsilon=2.0**-3, **modes("stochastic", "saturate"), **layered((8, 5), (6, 3), delta=(12, 5))),
        small("layers-shared", rule="kolen-pollack", sizes=(4, 3, 5, 2), lanes=(), decay=2.0**-8, bias=True, devices={"levels": 8},
              engines=[{"lanes": 3, "matrices": ["W0", "W1", "W2"]}], **modes("stochastic", "saturate"), **layered((7, 4), (5, 2), (6, 5))),
        small("layers-signs", rule="sign-concordant", sizes=(4, 3, 5, 2), lanes=(), **modes("nearest", "wrap"),
              engines=[{"lanes": 4, "matrices": ["W1", "W0"]}, {"lanes": 3, "matrices": ["W2"]}], **layered((5, 3), (7, 4), (6, 3))),
        small("layers-shaken", rule="node-perturbation", sizes=(4, 3, 5, 2), lanes=(), samples_in_flight=2,
              engines=[{"lanes": 4, "matrices": ["W0", "W2"]}, {"lanes": 3, "matrices": ["W1"]}], **modes("stochastic", "saturate"),
              **layered((7, 4), (7, 4), (5, 2))),
    )
# fmt: on


def named(name: str) -> Recipe:
    """One of `recipes`."""
    return next(r for r in recipes() if r.name == name)


def drawn(seed: int) -> Recipe:
    """A small recipe with everything at random, device effects in any combination; always the same one for a seed."""
    draw = random.Random(seed)
    while True:
        try:
            return Recipe.model_validate(table(draw, f"drawn-{seed}", draw.choice(tuple(RULES))))
        except ValueError:  # of the recipe, or of a rule whose matrices it has no room for
            continue


def table(draw: random.Random, name: str, rule: str, program: str = "") -> dict:
    """A recipe as it may come from a draw: with the matrices of a rule of the house, and its program or that of the rule `program`."""
    places, layers = tuple(Formats.model_fields), draw.choice((1, 2, 2, 3))
    sizes = [draw.randint(2, 9) for _ in range(layers + 1)]
    widths = {place: draw.randint(4, 12) for place in places}
    floor, weight = draw.randint(-9, -4), {"width": widths["weight"], "frac": widths["weight"] - draw.randint(2, 3)}
    devices = {"read_noise": draw.choice((0, 0.05, 0.3)), "levels": draw.choice((0, 2, 4, 16)), "stuck": draw.choice((0, 0.1, 0.5))}
    pulses = {}
    if draw.random() < 0.3:
        law = draw.choice(("constant", "linear", "soft-bounds"))
        pulses = {"law": law, "step": 2.0 ** draw.randint(-weight["frac"], -1), "slope": 2.0 ** -draw.randint(1, 4)}
    lanes = [draw.randint(1, 2 * c - 1) for c in sizes[:-1]]
    placed = {"lanes": lanes}
    if draw.random() < 0.5:
        names = [m.name for m in RULES[rule].matrices(Recipe(name="like", sizes=sizes, lanes=lanes))]
        rows: list[list[str]] = [[] for _ in range(draw.randint(1, len(names)))]
        for matrix in names:
            draw.choice(rows).append(matrix)
        placed = {"engines": [{"lanes": draw.randint(1, 9), "matrices": row} for row in rows if row]}
    return placed | {
        "name": name,
        "sizes": sizes,
        "rule": program or rule,
        "alpha": draw.choice((0, 0.5, 1)),
        "beta": 2.0 ** draw.randint(-2, 2),
        "activation": draw.choice(("identity", "relu", "hard_tanh", "hard_sigmoid")),
        "output": draw.choice(("identity", "hard_tanh", "relu", "hard_sigmoid")),
        "seed": draw.getrandbits(64),
        "rate_floor": 2.0**floor,
        "learning_rate": 2.0 ** (floor + draw.randint(0, 7)),
        "epsilon": 2.0 ** draw.randint(-4, -2),
        "sweeps": (draw.randint(1, 2), draw.randint(1, 2)),
        "decay": 2.0 ** -draw.randint(8, 9),
        "devices": devices,
        "pulses": pulses,
        "formats": {p: {"width": w, "frac": w - draw.randint(1, 3)} for p, w in widths.items()} | {"weight": weight},
        "rounding": {p: draw.choice(Rounding.__args__) for p in places},
        "overflow": {p: draw.choice(Overflow.__args__) for p in places},
    }
