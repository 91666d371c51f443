"""Pulse laws (contract section 11): the cell's answer against the closed forms, and learning through it."""

import numpy as np
import pytest

from crossdyad import data, emulator
from crossdyad.emulator import update
from crossdyad.recipe import LONGEST_TRAIN, Recipe, RecipeError, load, parse

WIDE = {"weight": {"width": 16, "frac": 13}}
END = 4.0
"""Where the weight's range ends."""


def recipe(law, pulse=2.0**-4, **devices):
    return Recipe.model_validate(load("digits").model_dump() | {"devices": {"law": law, "pulse": pulse} | devices})


def pulses(r, w, count, sign):
    """A weight after `count` updates of one pulse each."""
    f, one = r.formats.weight, sign << r.product_shift
    w, seen = np.array([f.encode(np.array([w]), "w")[0]], np.int32), []
    for _ in range(count):
        w, _ = update.update(r, w, np.array([one], np.int64))
        seen.append(f.decode(w)[0])
    return np.array(seen)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("start", [-3.0, 0.0, 2.5])
def test_soft_bounds_follow_their_closed_form(start, sign):
    r = recipe("soft-bounds")
    n = np.arange(1, 151)
    exact = sign * END - (sign * END - start) * (1 - 2.0**-4 / END) ** n
    seen = pulses(r, start, len(n), sign)
    assert np.abs(seen - exact).max() <= 0.01 * np.abs(exact - start).max()


def test_linear_loses_its_share_at_the_end_and_constant_loses_nothing():
    n = np.arange(1, 31)
    rate, target = 2.0**-4 * 0.25 / END, END / 0.25
    seen = pulses(recipe("linear", slope=0.25), 0.0, len(n), 1)
    assert np.abs(seen - target * (1 - (1 - rate) ** n)).max() <= 0.01 * seen.max()
    assert np.array_equal(pulses(recipe("constant"), 0.0, len(n), 1), n * 2.0**-4)


def test_a_train_has_a_longest_length():
    r = recipe("constant", pulse=2.0**-10)
    product = np.array([1000 << r.product_shift, -1000 << r.product_shift], np.int64)
    w, out = update.update(r, np.zeros(2, np.int32), product)
    assert r.formats.weight.decode(w).tolist() == [LONGEST_TRAIN * 2.0**-10, -LONGEST_TRAIN * 2.0**-10] and not out.any()


def test_learning_through_pulses():
    """Fine pulses cost little; soft bounds pull the weights in."""
    d = data.load("digits")
    found = {}
    for law in ("constant", "soft-bounds"):
        history = emulator.train(recipe(law, pulse=2.0**-9), *d, epochs=6)
        found[law] = history.epochs[-1]["accuracy"]
    assert min(found.values()) > 0.93


@pytest.mark.parametrize(("devices", "message"), [
    ('law = "constant"', "devices.pulse: 0 with law constant; allowed are the powers of two"),
    ('law = "constant"\npulse = 0.3', "devices.pulse: 0.3 with law constant"),
    ("pulse = 0.5", "with the ideal law, which has no pulses"),
    ('law = "linear"\npulse = 0.25\nslope = 0.3', "devices.slope: 0.3"),
    ("levels = 3", "devices.levels: 3; allowed are 0"),
    ("read_noise = 1e-9", "devices.read_noise: 1e-09; allowed is 0 or"),
    ("stuck = 2", "devices.stuck"),
])
def test_what_cannot_be_built_is_told(devices, message):
    text = 'name = "x"\nsizes = [3, 2]\nlanes = [2]\n[devices]\n' + devices
    with pytest.raises(RecipeError) as told:
        parse(text)
    assert message in str(told.value)


def test_spsa_needs_the_ideal_law():
    with pytest.raises(RecipeError, match="devices.law: constant with rule spsa"):
        parse('name = "x"\nsizes = [3, 2]\nlanes = [2]\nrule = "spsa"\n[devices]\nlaw = "constant"\npulse = 0.25')
