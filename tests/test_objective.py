"""The squared hinge: an output beyond its target has no error (contract section 5)."""

import numpy as np
import pytest

from crossdyad import emulator
from crossdyad.emulator import many, nudge
from crossdyad.recipe import Recipe
from crossdyad.sim import gradient, real, scenario, variety
from crossdyad.sim import nudge as nudges

FINE = {
    "state": {"width": 20, "frac": 16},
    "accumulator": {"width": 24, "frac": 18},
    "delta": {"width": 22, "frac": 16},
    "weight": {"width": 16, "frac": 12},
}


def recipe(**changes):
    return Recipe.model_validate(
        {
            "name": "hinge",
            "sizes": [5, 6, 4],
            "lanes": [3, 2],
            "objective": "squared-hinge",
            "formats": FINE,
            "rule": "backprop",
            "target_on": 0.75,
            "target_off": -0.25,
        }
        | changes
    )


def drawn(r):
    draw = np.random.default_rng(8)
    weights = [r.formats.weight.encode(draw.uniform(-1, 1, (r.sizes[k + 1], r.sizes[k]))) for k in range(r.layers)]
    return weights, draw.uniform(-1, 1, (30, r.sizes[0])), draw.integers(0, r.sizes[-1], 30)


def test_errors_end_at_the_targets():
    """Of drives -1, -.25, 0, .75, 2: first of outputs that are not the label's, then of the label's."""
    r = recipe()
    a = np.round(np.array([-1, -0.25, 0, 0.75, 2]) * 2**18).astype(np.int32)
    for on, expected in ((False, [0, 0, -0.25, -1, -2.25]), (True, [1.75, 1, 0.75, 0, 0])):
        assert (nudge.nudge(r, a, np.full(5, on))[0] * 2.0**-18).tolist() == expected


@pytest.mark.parametrize("rule", ["backprop", "dual-propagation", "feedback-alignment"])
def test_reference_real_numbers_and_chip_have_one_gradient(rule):
    r = recipe(rule=rule, alpha=0.5, beta=2.0**-3, learning_rate=2.0**-3, rate_floor=2.0**-6)
    weights, x, y = drawn(r)
    made, played = gradient.chip(r, weights, x, y), real.gradient(r, weights, x, y)
    assert gradient.relative_error(made, played) < 0.01
    if rule == "backprop":
        assert gradient.cosine(made, real.exact(r, weights, x, y)).min() > 0.9999
        squared = real.exact(recipe(objective="squared-error"), weights, x, y)
        assert gradient.cosine(made, squared).mean() < 0.99


def test_the_loss_register_is_its_cost():
    r = recipe()
    weights, x, y = drawn(r)
    chip = emulator.Chip(r)
    chip.weights = weights
    out, on = r.formats.state.decode(chip.infer(x[:1]))[0], np.arange(4) == y[0]
    error = np.where(on, np.maximum(0.75 - out, 0), np.minimum(-0.25 - out, 0))
    assert chip.train(x[:1], y[:1]).loss[0] * 2.0**-37 == pytest.approx((error**2).sum() / 2, abs=1e-3)


def test_chips_at_once_are_those_alone_and_no_others():
    r = recipe()
    weights, x, y = drawn(r)
    alone, together = emulator.Chip(r), many.Many([r], [r.seed])
    alone.weights, together.weights = weights, [w[None] for w in weights]
    alone.train(x, y)
    together.train(x, y)
    assert all((a == b[0]).all() for a, b in zip(alone.weights, together.weights, strict=True))
    assert many.structure(r) != many.structure(recipe(objective="squared-error"))


@pytest.mark.parametrize("name", ["hinge", "alpha-half"])
def test_the_hardware_has_it(name):
    outcome = scenario.check(nudges.scenario(variety.named(name), 400), "amaranth")
    assert outcome.passed, str(outcome)


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"target_on": -0.5}, "target_on: -0.5 with target_off -0.25"),
        ({"rule": "contrastive"}, "objective: .* clamps outputs"),
        ({"objective": "hinge"}, "squared-hinge"),
    ],
)
def test_what_does_not_go_together_is_told(changes, told):
    with pytest.raises(ValueError, match=told):
        recipe(**changes)
