"""Chips whose numbers differ, as one batch: the same bits as each alone."""

import random

import numpy as np
import pytest

from crossdyad import emulator
from crossdyad.emulator.many import Many, structure
from crossdyad.recipe import Recipe, load

SAMPLES = 12


def recipes(n: int, seed: int, **common) -> list[Recipe]:
    """Random recipes of one structure."""
    draw, found = random.Random(seed), []

    def q(widths, fracs):
        return {"width": draw.choice(widths), "frac": draw.choice(fracs)}

    law = common.pop("law", "ideal")
    while len(found) < n:
        devices = {
            "law": law,
            "pulse": 0.0 if law == "ideal" else 2.0 ** draw.randint(-6, -2),
            "read_noise": draw.choice([0, 0.05, 0.3]),
            "levels": draw.choice([0, 0, 4, 16]),
            "stuck": draw.choice([0, 0.2]),
            "slope": draw.choice([0.5, 0.125]),
        }
        table = {
            "name": "any",
            "sizes": (9, 6, 4),
            "lanes": (4, 2),
            "alpha": draw.choice([0, 0.5, 1]),
            "beta": 2.0 ** draw.randint(-5, 4),
            "learning_rate": 2.0**-4,
            "rate_floor": 2.0 ** -draw.randint(4, 9),
            "activation": draw.choice(["relu", "hard_tanh"]),
            "output": draw.choice(["identity", "hard_sigmoid"]),
            "epsilon": 2.0**-3,
            "sigma": draw.choice([1.0, 0.5]),
            "target_on": draw.choice([1.0, 0.75]),
            "formats": {
                "state": q([6, 8, 13], [2, 4, 7]),
                "weight": q([6, 9, 16, 20], [3, 5, 9, 14]),
                "accumulator": q([10, 16, 22], [4, 8, 14]),
                "delta": q([6, 11, 14], [3, 8, 11]),
            },
            "devices": devices if common.get("rule") != "spsa" else {**devices, "law": "ideal", "pulse": 0.0},
        }
        try:
            made = Recipe.model_validate(table | common)
        except ValueError:
            continue
        found += [made] if made.formats.state.high >= 0.99 else []
    return found


def same(many: Many, result, inferred, i: int, x, y) -> bool:
    alone = emulator.Chip(many.recipes[i], "numpy", (), many.seeds[i])
    alone.weights = emulator.initial_weights(many.recipes[i].model_copy(update={"seed": many.seeds[i]}))
    made = alone.train(x, y)
    return (
        np.array_equal(made.outputs, result.outputs[i])
        and np.array_equal(made.loss, result.loss[i])
        and all(np.array_equal(a, b[i]) for a, b in zip(alone.weights, many.weights, strict=True))
        and np.array_equal(alone.infer(x), inferred[i])
        and all(int(v) == int(many.saturations[k][i]) for k, v in alone.saturations.items())
    )


@pytest.mark.parametrize(
    "common",
    [
        {},
        {"rounding": dict.fromkeys(("accumulator", "state", "delta", "weight"), "stochastic")},
        {
            "rounding": {"accumulator": "floor", "state": "nearest_even", "delta": "floor", "weight": "nearest"},
            "overflow": dict.fromkeys(("accumulator", "state", "delta", "weight"), "wrap"),
        },
        {"rounding": dict.fromkeys(("accumulator", "delta", "weight"), "nearest_even"), "law": "soft-bounds"},
        {"law": "linear"},
        {"rule": "spsa"},
        {"rule": "node-perturbation"},
        {"rule": "feedback-alignment", "feedback": 0.25},
        {"rule": "kolen-pollack", "decay": 2.0**-9},
        {"rule": "weight-mirror", "decay": 2.0**-9},
        {"rule": "predictive-coding", "alpha": 0, "sweeps": (0, 2)},
        {
            "rule": "centered-equilibrium",
            "sweeps": (2, 1),
            "rounding": dict.fromkeys(("accumulator", "state", "delta", "weight"), "stochastic"),
        },
    ],
    ids=[
        "saturating",
        "stochastic",
        "wrapping",
        "soft bounds",
        "linear",
        "spsa",
        "shaken",
        "signs",
        "decay",
        "hearing",
        "relaxing",
        "settling",
    ],
)
def test_each_chip_of_a_batch_is_the_chip_alone(common):
    made = recipes(24, len(common), **common)
    many = Many(made, range(len(made)))
    rng = np.random.default_rng(0)
    x, y = rng.random((SAMPLES, 9)), rng.integers(0, 4, SAMPLES)
    result, inferred = many.train(x, y), many.infer(x)
    assert all(same(many, result, inferred, i, x, y) for i in range(len(made)))
    # and the batch is a varied one, in which things do not fit
    assert len({r.product_shift for r in made}) > 1 or common.get("rule") == "spsa"
    assert sum(int(v.sum()) for v in many.saturations.values()) > 0


def test_one_structure_whatever_the_numbers_and_another_for_another_rounding():
    digits = load("digits")
    assert structure(digits) == structure(digits.model_copy(update={"beta": 0.25, "alpha": 1, "name": "other"}))
    other = Recipe.model_validate(digits.model_dump() | {"rounding": {"weight": "nearest"}})
    with pytest.raises(ValueError, match="2 structures"):
        Many([digits, other], [1, 2])


def test_inputs_that_a_format_cannot_hold_are_refused():
    narrow = Recipe.model_validate(load("digits").model_dump() | {"formats": {"state": {"width": 4, "frac": 4}}})
    with pytest.raises(ValueError, match="does not fit s4.4"):
        Many([load("digits"), narrow], [1, 2]).infer(np.ones((1, 64)))
