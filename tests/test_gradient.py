"""The chip's gradient: integers of the emulator against float64 dual propagation and the exact gradient."""

import numpy as np
import pytest

from crossdyad import data, emulator
from crossdyad.recipe import Recipe, load
from crossdyad.sim import gradient, real

DIGITS = data.load("digits")
X, Y = DIGITS.x_test[:24], DIGITS.y_test[:24]
WIDE = {"state": {"width": 16, "frac": 11}, "accumulator": {"width": 22, "frac": 16}, "delta": {"width": 18, "frac": 15}}


def variant(name, formats=None, **changes):
    table = load(name).model_dump() | changes
    table["formats"] |= formats or {}
    return Recipe.model_validate(table)


@pytest.mark.parametrize("alpha", [0, 0.5, 1])
def test_sixteen_bit_states_have_the_gradient(alpha):
    recipe = variant("digits", WIDE, alpha=alpha, beta=2.0**-5)
    found = gradient.compare(recipe, emulator.initial_weights(recipe), X, Y)
    assert found["rule"]["cosine"] >= 0.999
    assert found["exact"]["cosine"] >= 0.99


def test_the_update_is_this_gradient():
    """One step with nearest rounding moves the weights by minus rate times the gradient, to half an LSB."""
    recipe = variant("digits", rounding=load("digits").rounding.model_dump() | {"weight": "nearest"})
    weights = emulator.initial_weights(recipe)
    chip = emulator.Chip(recipe)
    chip.weights = weights
    chip.train(X[:1], Y[:1])
    step = recipe.formats.weight.step
    for before, after, g in zip(weights, chip.weights, gradient.chip(recipe, weights, X[:1], Y[:1]), strict=True):
        assert np.abs((after - before) * step + recipe.learning_rate * g[0]).max() <= step / 2 * (1 + 1e-9)


def test_more_fraction_bits_come_closer():
    recipe = load("digits")
    weights = emulator.initial_weights(recipe)
    rows = gradient.precision(recipe, weights, X, Y, fractions=(12, 8, 5), alphas=(0.0,), betas=(2.0**-6,))
    cosines = [r["cosine"] for r in rows]  # float64, 12, 8, 5 bits
    assert cosines == sorted(cosines, reverse=True) and cosines[0] - cosines[1] < 0.01 < cosines[1] - cosines[3]


def test_a_wrong_sign_is_seen():
    recipe = variant("digits", WIDE, beta=2.0**-5)
    weights = emulator.initial_weights(recipe)
    made, true = gradient.chip(recipe, weights, X, Y), real.exact(recipe, weights, X, Y)
    assert gradient.cosine([-g for g in made], true).mean() < -0.99


def test_spsa_follows_its_law():
    """Row 29: unbiased, and the variance of one estimate is P - 1."""
    recipe, xor = load("xor-spsa"), data.load("xor")
    found = gradient.spsa_law(recipe, emulator.initial_weights(recipe), xor.x_train[3], int(xor.y_train[3]), 4096)
    assert 0.7 < found["z"] < 1.3 and abs(found["along"]) < 3 and abs(found["variance_z"]) < 3
    assert found["law"] == 79


def test_a_rule_without_the_signals_is_refused():
    spsa, dyads, xor = load("xor-spsa"), load("xor"), data.load("xor")
    with pytest.raises(ValueError, match="xor-spsa.*gives slopes along signs"):
        gradient.chip(spsa, emulator.initial_weights(spsa), xor.x_train, xor.y_train)
    with pytest.raises(ValueError, match="xor.*spsa"):
        gradient.spsa_estimates(dyads, emulator.initial_weights(dyads), xor.x_train[0], 0, 4)
