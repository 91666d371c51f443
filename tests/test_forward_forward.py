"""Forward-Forward on the devices of the experiment that is recomputed (`benchmarks/forward_forward.py`)."""

import jax
import numpy as np
import pytest
from scripts import benchmark

from crossdyad import data, models
from crossdyad.emulator.devices import PulsedDevice, SoftBounds
from crossdyad.recipe import Recipe, load


@pytest.fixture(scope="module")
def played():
    return benchmark("forward_forward")


def weights_of(form, seed):
    draw = np.random.default_rng(seed)
    return tuple(draw.normal(0, 0.3, (b, a)) for a, b in zip(form.sizes[:-1], form.sizes[1:], strict=True))


def unit(x):
    return x / np.linalg.norm(x)


def test_both_forms_take_as_many_devices_as_were_published(played):
    for form in (played.two_pass(), played.competitive()):
        assert 2 * sum(a * b for a, b in zip(form.sizes[:-1], form.sizes[1:], strict=True)) == 8064


def test_two_passes_raise_the_goodness_of_the_label_and_lower_that_of_another(played):
    form, x, y = played.two_pass(3.0), np.random.default_rng(0).random(60), np.eye(4)[2]
    weights = weights_of(form, 1)
    with models.float64():
        right, wrong = jax.jit(form.passes)(weights, x, y, jax.random.key(0))
    shown = []
    for gradient, sign in ((right, 1), (wrong, -1)):
        for label in np.eye(4):  # whichever label it was, by hand: one layer after the other, each below at length 1
            below, made = unit(np.concatenate([label * x.max(), x])), []
            for w in weights:
                s = np.maximum(w @ below, 0)
                surprise = 1 / (1 + np.exp(sign * (s @ s - 3.0)))
                made.append(-2 * sign * surprise * np.outer(s, below))
                below = unit(s)
            if all(np.allclose(a, b, atol=1e-12) for a, b in zip(gradient, made, strict=True)):
                shown.append(int(label.argmax()))
    assert shown[0] == 2 and len(shown) == 2 and shown[1] != 2


def test_one_pass_makes_the_units_of_a_class_compete_in_each_layer(played):
    form, x, label = played.competitive(), np.random.default_rng(0).random(60), 1
    weights = weights_of(form, 2)
    with models.float64():
        (gradient,) = jax.jit(form.passes)(weights, x, np.eye(4)[label], jax.random.key(0))
        told = jax.jit(form.goodness)(weights, x)
    below, summed = unit(x), 0
    for w, g in zip(weights, gradient, strict=True):
        s = np.maximum(w @ below, 0)
        of_classes = (s**2).reshape(4, -1).sum(1)
        share = np.exp(of_classes) / np.exp(of_classes).sum() - np.eye(4)[label]
        assert np.allclose(g, np.outer(2 * s * np.repeat(share, len(s) // 4), below), atol=1e-12)
        below, summed = unit(s), summed + of_classes
    assert np.allclose(told, summed)


def test_an_update_is_whole_pulses_and_what_was_asked_on_average(played):
    cells = PulsedDevice(SoftBounds(), 2.0**-9, -4.0, 4.0).cells((1, 4000), 1, np.float64)
    w, g = np.full((1, 4000), 1.0), np.full((1, 4000), -0.3)
    change = played.moved(cells, w, g, 0.01, np.random.default_rng(3)) - w
    pulse = 2.0**-9 * (1 - 1 / 4)  # towards the upper end, a quarter of the range away from the middle
    assert set(np.rint(change / pulse).ravel()) == {1.0, 2.0} and change.mean() == pytest.approx(0.003 * 3 / 4, rel=0.03)


def test_it_learns_on_the_devices_and_keeps_it_for_a_month_unless_cells_drift_apart(played):
    recipe = load(played.RECIPE)
    table = recipe.model_dump()
    table["devices"]["cell"]["drift_spread"] = (0.3,) * 5
    loose, given = Recipe.model_validate(table), data.of(recipe)
    with models.float64():
        now, later = played.trained(played.competitive(), recipe, given, 1, 0.125, 2)
        same, forgotten = played.trained(played.competitive(), loose, given, 1, 0.125, 2)
    assert now == same > 0.85 and later > 0.85 > forgotten
