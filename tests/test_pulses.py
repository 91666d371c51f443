"""Pulse laws (contract section 11): the cell's answer against the closed forms, and learning through it."""

import numpy as np
import pytest

from crossdyad import data, emulator
from crossdyad.emulator import update
from crossdyad.recipe import LONGEST_TRAIN, Recipe, RecipeError, load, parse

WIDE = {"weight": {"width": 16, "frac": 13}}
END = 4.0
"""Where the weight's range ends."""


def recipe(law, pulse=2.0**-4, **given):
    return Recipe.model_validate(load("digits").model_dump() | {"pulses": {"law": law, "step": pulse} | given})


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


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('[pulses]\nlaw = "constant"', "pulses.step: 0 with law constant; allowed are the powers of two"),
        ('[pulses]\nlaw = "constant"\nstep = 0.3', "pulses.step: 0.3 with law constant; allowed are the powers of two"),
        ("[pulses]\nstep = 0.5", "pulses.step: 0.5 with the ideal law, which has no pulses"),
        ("[pulses]\nnoise = 0.5", "pulses.noise: 0.5 with the ideal law, which has no pulses"),
        ('[pulses]\nlaw = "linear"\nstep = 0.25\nslope = 0.3', "pulses.slope: 0.3"),
        ('[pulses]\nlaw = "power"\nstep = 9', "pulses.step: 9 with law power; allowed is 0.00012207 to"),
        ('[pulses]\nlaw = "measured"', "pulses.law: measured without pulses that were measured"),
        ('[pulses]\nlaw = "linear"\nstep = 0.25\n[devices]\nlaw = "constant"', "devices.law together with pulses: pulses are said twice"),
        (
            '[arrays]\non = true\nlaw = "power"\npulse = 0.1\n[devices]\nlaw = "constant"\npulse = 0.25',
            "devices.law and arrays.law: pulses are said twice",
        ),
        ("[devices]\nlevels = 3", "devices.levels: 3; allowed are 0"),
        ("[devices]\nread_noise = 1e-9", "devices.read_noise: 1e-09; allowed is 0 or"),
        ("[devices]\nstuck = 2", "devices.stuck"),
    ],
)
def test_what_cannot_be_built_is_told(table, message):
    text = 'name = "x"\nsizes = [3, 2]\nlanes = [2]\n' + table
    with pytest.raises(RecipeError) as told:
        parse(text)
    assert message in str(told.value)


def test_spsa_needs_the_ideal_law():
    with pytest.raises(RecipeError, match="pulses.law: constant with rule spsa"):
        parse('name = "x"\nsizes = [3, 2]\nlanes = [2]\nrule = "spsa"\n[pulses]\nlaw = "constant"\nstep = 0.25')


def test_who_plays_pulses_follows_from_their_table():
    """Hardware has three laws of cells that are alike; what has more is the emulator's, and its hardware has the ideal law."""
    for law in ("constant", "linear", "soft-bounds"):
        r = recipe(law)
        assert not r.emulated and r.as_built == r
        for more in ({"noise": 0.1}, {"step_spread": 0.1}, {"bound_spread": 0.1}, {"one_by_one": True}):
            r = recipe(law, **more)
            assert r.emulated and r.pulse_bits == 0 and r.slope_bits is None and r.as_built == load("digits").as_built
    assert recipe("exponential").emulated and recipe("power", 0.01).emulated
    parse('name = "x"\nsizes = [3, 2]\nlanes = [2]\nrule = "spsa"\n[pulses]\nlaw = "constant"\nstep = 0.3\none_by_one = true')


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"devices": {"law": "linear", "pulse": 0.25, "slope": 0.5}}, {"law": "linear", "step": 0.25, "slope": 0.5}),
        ({"devices": {"law": "ideal", "pulse": 0.0, "slope": 0.25}}, {}),
        (
            {"arrays": {"on": True, "law": "linear", "pulse": 0.3, "pulse_noise": 0.1, "pulse_spread": 0.2, "bound_spread": 0.3}},
            {"law": "linear", "step": 0.3, "slope": 0.5, "noise": 0.1, "step_spread": 0.2, "bound_spread": 0.3, "one_by_one": True},
        ),
        ({"arrays": {"law": "", "pulse": 0.0, "pulse_noise": 0.0}}, {}),
    ],
)
def test_keys_of_before_mean_the_same(before, now):
    table = load("digits").model_dump()
    arrays = {k: {"on": v["on"]} for k, v in before.items() if v.get("on")}
    assert Recipe.model_validate(table | before) == Recipe.model_validate(table | arrays | {"pulses": now})


def test_pulses_of_the_emulator_need_no_arrays():
    """Reads are the chip's, of all the weights' 16 bits; updates are those pulses, which on average do what the chip would."""
    d, r = data.load("digits"), recipe("constant", 0.003, one_by_one=True)
    chip, own = emulator.devices.ArrayChip(r), emulator.Chip(load("digits"))
    chip.weights = own.weights = emulator.initial_weights(r)
    assert (chip.infer(d.x_test[:20]) == own.infer(d.x_test[:20])).all()
    assert (chip.train(d.x_train[:1], d.y_train[:1]).outputs == own.train(d.x_train[:1], d.y_train[:1]).outputs).all()
    made = emulator.train(r, d.x_train[:600], d.y_train[:600], d.x_test[:200], d.y_test[:200], epochs=1)
    assert made.epochs[-1]["accuracy"] > 0.6
    first = emulator.initial_weights(r)[0] * r.formats.weight.step
    steps = (made.weights[0] * r.formats.weight.step - first) / 0.003
    assert np.abs(steps - np.rint(steps)).max() < 0.5 and np.abs(steps).max() > 2  # whole pulses, but for the weights' rounding
