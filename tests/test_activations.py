"""Activations: one description each, from which both twins, the reference, the rules in real numbers and ONNX follow."""

import math
import re

import numpy as np
import pytest

from crossdyad import emulator
from crossdyad.emulator import many, neuron
from crossdyad.recipe import ACTIVATIONS, Activation, Recipe, RecipeError, allow, parse
from crossdyad.sim import gradient, real, scenario
from crossdyad.sim import neuron as neurons
from crossdyad.sim import nudge as nudges

POINTS = {
    "identity": ([-9, 9], [-9, 9]),
    "relu": ([-9, 0, 9], [0, 0, 9]),
    "hard_sigmoid": ([0, 1], [0, 1]),
    "hard_tanh": ([-1, 1], [-1, 1]),
    "leaky_relu": ([-8, 0, 9], [-1, 0, 9]),
    "tanh": ([-2.625, -1.125, -0.5, 0.5, 1.125, 2.625], [-1, -0.8125, -0.5, 0.5, 0.8125, 1]),
    "sigmoid": ([-5.25, -2.25, -1, 1, 2.25, 5.25], [0, 0.09375, 0.25, 0.75, 0.90625, 1]),
}
"""Drives, and the values there; straight between them."""

STAIRS = Activation((-2.0, -1.0, 0.0, 3.0), (2.0**-1, 0.0, 2.0**-2), at_zero=0.25)
"""One's own, with a flat piece in its middle."""
NOT_ONE = "tanh"

FINE = {
    "state": {"width": 20, "frac": 16},
    "accumulator": {"width": 24, "frac": 18},
    "delta": {"width": 22, "frac": 16},
    "weight": {"width": 16, "frac": 12},
}


def recipe(activation="relu", output="identity", rule="backprop", formats=FINE, **changes):
    allow(__name__)
    return Recipe.model_validate(
        {
            "name": "bent",
            "sizes": [5, 6, 4],
            "lanes": [3, 2],
            "activation": activation,
            "output": output,
            "rule": rule,
            "formats": formats,
            "beta": 2.0**-3,
            "learning_rate": 2.0**-3,
            "rate_floor": 2.0**-6,
        }
        | changes
    )


def drawn(r, scale=1.0):
    draw = np.random.default_rng(3)
    weights = [r.formats.weight.encode(draw.uniform(-scale, scale, (r.sizes[k + 1], r.sizes[k]))) for k in range(r.layers)]
    return weights, draw.uniform(-1, 1, (12, r.sizes[0])), draw.integers(0, r.sizes[-1], 12)


def test_every_activation_has_its_points_here():
    assert set(POINTS) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", POINTS)
def test_values_lie_between_the_points(name):
    r = recipe(name)
    drives = np.arange(-7 << 18, 7 << 18, 4097)
    got = neuron.activated(r.pieces(0), 2 * drives) * 2.0**-19
    expected = np.clip(np.interp(drives * 2.0**-18, *POINTS[name]), r.formats.state.low, r.formats.state.high)
    assert np.abs(got - expected).max() <= len(POINTS[name][0]) * 2.0**-19
    assert ([neuron.activated_exact(r.pieces(0), int(2 * d)) for d in drives[::50]] == (got[::50] * 2.0**19)).all()


def test_a_leak_is_a_shift_to_the_last_bit():
    pieces = recipe("leaky_relu").pieces(0)
    drives = np.array([-17, -16, -9, -8, -1, 0, 1, 17])
    assert neuron.activated(pieces, drives).tolist() == [-3, -2, -2, -1, -1, 0, 1, 17]
    assert neuron.gated(pieces, drives, np.full(8, 40)).tolist() == [5, 5, 5, 5, 5, 40, 40, 40]


@pytest.mark.parametrize("output", ["identity", "leaky_relu", "tanh"])
@pytest.mark.parametrize("name", [*POINTS, f"{__name__}:STAIRS"])
def test_reference_real_numbers_and_chip_have_one_gradient(name, output):
    r = recipe(name, output)
    weights, x, y = drawn(r)
    true, played, made = (f(r, weights, x, y) for f in (real.exact, real.gradient, gradient.chip))
    assert gradient.cosine(played, true).min() > 0.9999
    assert gradient.relative_error(made, true) < 0.01


def test_a_reference_of_another_activation_is_noticed():
    r = recipe("leaky_relu")
    weights, x, y = drawn(r)
    assert gradient.cosine(gradient.chip(r, weights, x, y), real.exact(recipe("relu"), weights, x, y)).mean() < 0.99


@pytest.mark.parametrize("kind", [neurons, nudges], ids=["neuron", "nudge"])
def test_ones_own_is_in_the_hardware(kind):
    formats = {
        "state": {"width": 6, "frac": 4},
        "weight": {"width": 7, "frac": 4},
        "accumulator": {"width": 9, "frac": 5},
        "delta": {"width": 8, "frac": 5},
    }
    r = recipe(f"{__name__}:STAIRS", f"{__name__}:STAIRS", formats=formats)
    outcome = scenario.check(kind.scenario(r, 0, 400) if kind is neurons else kind.scenario(r, 400), "amaranth")
    assert outcome.passed, str(outcome)


def test_chips_at_once_are_those_alone():
    recipes = [recipe("tanh", "leaky_relu", formats=FINE | {"state": {"width": w, "frac": w - 3}}) for w in (8, 12)]
    _, x, y = drawn(recipes[0])
    together = many.Many(recipes, [1, 2])
    together.weights = [np.stack(w) for w in zip(*(emulator.initial_weights(r) for r in recipes), strict=True)]
    together.train(x, y)
    for n, r in enumerate(recipes):
        alone = emulator.Chip(r.model_copy(update={"seed": n + 1}))
        alone.weights = emulator.initial_weights(r)
        alone.train(x, y)
        assert all((a == b[n]).all() for a, b in zip(alone.weights, together.weights, strict=True))
    assert many.structure(recipes[0]) != many.structure(recipe("relu", "leaky_relu")) and many.structure(recipe()) == many.structure(
        recipe("hard_tanh")
    )


@pytest.mark.parametrize(
    "arguments, told",
    [
        (((0.0,), ()), "two or more"),
        (((1.0, 0.0), (1.0,)), "ascending"),
        (((0.0, 1.0), (1.0, 1.0)), "2 slopes for 2 knots"),
        (((0.0, 1.0), (0.3,)), "slope 0.3"),
        (((0.0, 1.0), (2.0,)), "slope 2"),
        (((0.0, 1.0), (-1.0,)), "slope -1"),
        (((0.0, math.inf), (0.0,)), "at infinity"),
    ],
)
def test_what_no_chip_can_have_is_told(arguments, told):
    with pytest.raises(ValueError, match=re.escape(told)):
        Activation(*arguments)


def test_names_are_looked_at():
    text = 'name = "a"\nsizes = [3, 2]\nlanes = [2]\n'
    with pytest.raises(RecipeError, match="activation: 'rellu' is unknown; did you mean 'relu'?"):
        parse(text + 'activation = "rellu"\n')
    with pytest.raises(RecipeError, match="output: .* is no Activation"):
        parse(text + f'output = "{__name__}:NOT_ONE"\n')
    with pytest.raises(RecipeError, match="does not reach 1, which sigmoid needs"):
        parse(text + 'activation = "sigmoid"\n[formats]\naccumulator = { width = 6, frac = 5 }\n')
