"""Training in real numbers: against the emulator with fine formats, rule by rule, and in itself."""

import numpy as np
import pytest

from crossdyad import emulator
from crossdyad.explore.cards import presets_of_rules
from crossdyad.recipe import Recipe, in_memory, load
from crossdyad.sim import real_training
from crossdyad.sim.rules import FINE

SIZES = (7, 6, 5, 3)
SETTINGS = {"name": "real", "sizes": SIZES, "lanes": (4, 2, 2), "engines": (), "formats": FINE, "rounding": {"weight": "nearest"}}


def small(rule: str, **changes) -> Recipe:
    preset = load(presets_of_rules()[rule])
    rate = {"learning_rate": 2.0**-4, "rate_floor": 2.0**-8, "epsilon": 2.0**-6, "initial": 0.5}
    return Recipe.model_validate(preset.model_dump() | SETTINGS | rate | changes)


def samples(count: int = 24):
    draw = np.random.default_rng(5)
    return draw.uniform(0, 1, (count, SIZES[0])), draw.integers(0, SIZES[-1], count)


QUICK = {"dual-propagation", "feedback-alignment", "weight-mirror", "target-propagation", "node-perturbation", "spsa", "equilibrium"}


@pytest.mark.parametrize("rule", [r if r in QUICK else pytest.param(r, marks=pytest.mark.slow) for r in sorted(presets_of_rules())])
def test_fine_integers_learn_what_real_numbers_do(rule):
    """Two epochs of single samples, the second at half the rate; what a weight has moved is right to a fiftieth of the largest move."""
    r, (x, y) = small(rule, training={"epochs": 2, "halve_every": 1}), samples()
    history = emulator.train(r, x, y, x, y, engine="numpy")
    (made,), _ = real_training.train(r, x, y, x, y)
    names = [g.matrix.name for g in in_memory(r)]
    first, wanted = ([r.formats.weight.decode(w) for w in held] for held in (emulator.initial_weights(r), history.weights))
    assert list(made) == names
    for name, begun, end in zip(names, first, wanted, strict=True):
        moved = np.abs(end - begun).max()
        assert np.abs(made[name] - end).max() <= max(moved, 2.0**-8) / 50, (name, moved)
    assert max(np.abs(end - begun).max() for begun, end in zip(first, wanted, strict=True)) > 2.0**-6


def test_seeds_at_once_are_those_alone():
    r, (x, y) = small("weight-mirror", training={"epochs": 1, "halve_every": 1}), samples()
    together, accuracy = real_training.train(r, x, y, x, y, seeds=[3, 4])
    for n, seed in enumerate((3, 4)):
        (alone,), own = real_training.train(r, x, y, x, y, seeds=[seed])
        assert own[0] == accuracy[n]
        for name, w in alone.items():
            np.testing.assert_allclose(together[n][name], w, atol=1e-12)
    assert np.abs(together[0]["W0"] - together[1]["W0"]).max() > 0.01


def test_accuracy_is_the_share_of_classes_that_are_found():
    """A net of one layer whose weights pick the input that is the class."""
    x, y = np.eye(7)[:3], np.array([0, 1, 2])
    r = small("backprop", sizes=(7, 3), lanes=(2,), training={"epochs": 40, "halve_every": 40})
    assert real_training.train(r, x, y, x, y)[1] == pytest.approx([1.0])
    assert real_training.train(r, x, y, x, np.roll(y, 1))[1] == pytest.approx([0.0])
