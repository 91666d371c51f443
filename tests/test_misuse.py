"""What is given to the Python interface and is no use there: one error that names it and what is allowed."""

import numpy as np
import pytest

from crossdyad import data, emulator, hdl, sim
from crossdyad.models.cookbook.standard import learn
from crossdyad.recipe import load
from crossdyad.sim import gradient

XOR = load("xor")
X, Y, *TEST = data.load("xor")


@pytest.mark.parametrize("use", [
    emulator.Chip, emulator.initial_weights, lambda r: sim.cosim(r, "amaranth"), lambda r: gradient.compare(r, [], X, Y),
    hdl.build, hdl.synthesize, lambda r: hdl.generate(r, "."), lambda r: emulator.train(r, X, Y, *TEST),
])
def test_a_name_is_no_recipe(use):
    with pytest.raises(ValueError, match=r"recipe: 'xor' is no Recipe; write crossdyad.recipe.load\('xor'\)"):
        use("xor")


@pytest.mark.parametrize(("given", "told"), [
    ({"epochs": 0}, "epochs: 0; allowed is 1 or more"), ({"epochs": -1}, "epochs: -1"), ({"epochs": True}, "epochs: True"),
    ({"seeds": []}, "seeds: empty"),
])
def test_a_training_of_nothing_is_refused(given, told):
    with pytest.raises(ValueError, match=told):
        emulator.train(XOR, X, Y, *TEST, **given)


def test_sets_of_nothing_are_refused():
    with pytest.raises(ValueError, match="x_train: empty"):
        emulator.train(XOR, X[:0], Y[:0], *TEST)
    with pytest.raises(ValueError, match="x_test: empty"):
        emulator.train(XOR, X, Y, X[:0], Y[:0])


def test_a_comparison_of_nothing_is_refused():
    with pytest.raises(ValueError, match="x: empty"):
        gradient.compare(XOR, emulator.initial_weights(XOR), X[:0], Y[:0])
    with pytest.raises(ValueError, match="batch: 0; allowed is one chip or more"):
        emulator.Chip(XOR, batch=0)


def test_a_reference_of_nothing_is_refused():
    with pytest.raises(ValueError, match="epochs: 0; allowed is 1 or more"):
        learn(20, (3, 4, 2), (X, Y, *TEST), 0, batch=2)
    with pytest.raises(ValueError, match=r"sizes: \(3, 0, 2\); allowed is one unit"):
        learn(52, (3, 0, 2), (X, Y, *TEST), 1, batch=2)


def test_shapes_that_are_taken_are_each_said_once():
    with pytest.raises(ValueError, match=r"x: shape \(4, 2\); expected \(samples, 3\)$"):
        emulator.Chip(XOR).infer(X[:, :2])
    with pytest.raises(ValueError, match=r"x: shape \(3,\); expected \(samples, 3\) or \(5, samples, 3\)$"):
        emulator.Chip(XOR, batch=5).infer(X[0])
    with pytest.raises(ValueError, match=r"y: int64 of shape \(3,\); expected integers of shape \(4,\)$"):
        emulator.Chip(XOR).train(X, Y[:3])


def test_zeros_and_ones_as_integers_are_told_from_reals():
    chip = emulator.Chip(XOR)
    with pytest.raises(ValueError, match="got bool; for zeros and ones write"):
        chip.infer(X.astype(bool))
    with pytest.raises(ValueError, match="uint8; expected real numbers"):
        chip.infer(X.astype(np.uint8))
    with pytest.warns(UserWarning, match=r"in which 1 means 0.03125; for zeros and ones write x.astype\(float\)"):
        chip.infer([[0, 1, 1]])
