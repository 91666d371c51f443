"""What is given to the Python interface and is no use there: one error that names it and what is allowed."""

import jax.numpy as jnp
import numpy as np
import pytest

from crossdyad import data, emulator, hdl, sim
from crossdyad.emulator import walk
from crossdyad.emulator.devices import ArrayChip
from crossdyad.emulator.many import Many
from crossdyad.models.cookbook.standard import learn
from crossdyad.recipe import Recipe, load
from crossdyad.sim import budget, gradient, real

XOR = load("xor")
X, Y, *TEST = data.load("xor")
WEIGHTS = emulator.initial_weights(XOR)


@pytest.mark.parametrize(
    "use",
    [
        emulator.Chip,
        emulator.initial_weights,
        lambda r: sim.cosim(r, "amaranth"),
        lambda r: gradient.compare(r, [], X, Y),
        hdl.build,
        hdl.synthesize,
        lambda r: hdl.generate(r, "."),
        lambda r: emulator.train(r, X, Y, *TEST),
    ],
)
def test_a_name_is_no_recipe(use):
    with pytest.raises(ValueError, match=r"recipe: 'xor' is no Recipe; write crossdyad.recipe.load\('xor'\)"):
        use("xor")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"epochs": 0}, "epochs: 0; allowed is 1 or more"),
        ({"epochs": -1}, "epochs: -1"),
        ({"epochs": True}, "epochs: True"),
        ({"seeds": []}, "seeds: empty"),
    ],
)
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
    with pytest.raises(ValueError, match=r"x: whole numbers of a list; real numbers are floating \(x.astype\(float\), .*1 means 0.03125"):
        chip.infer([[0, 1, 1]])


AMBIGUOUS = {
    "list": [[0, 1, 1]],
    "of int32": [list(np.array([0, 1, 1], np.int32))],
    "int64": np.array([[0, 1, -1]]),
    "int16": np.array([[0, 1, 1]], np.int16),
    "uint8": np.array([[0, 255, 1]], np.uint8),
    "jax": jnp.array([[0, 1, 1]], jnp.int32),
}
ARRAYS = Recipe.model_validate(XOR.model_dump() | {"arrays": {"on": True, "output_bits": 8}})
MANY = Many([XOR], [1])
TAKES = {
    "infer": lambda x: emulator.Chip(XOR).infer(x),
    "train": lambda x: emulator.Chip(XOR).train(x, Y[:1]),
    "calibrate": lambda x: ArrayChip(ARRAYS).calibrate(x, Y[:1]),
    "trace": lambda x: walk.trace(XOR, emulator.Chip(XOR).state(), x[0], 1),
    "training": lambda x: emulator.train(XOR, x, Y[:1], X, Y, epochs=1),
    "testing": lambda x: emulator.train(XOR, X, Y, x, Y[:1], epochs=1, engine="numpy"),
    "signals": lambda x: emulator.signals.writes(XOR, WEIGHTS, x, Y[:1]),
    "exact": lambda x: real.exact(XOR, WEIGHTS, x, Y[:1]),
    "compare": lambda x: gradient.compare(XOR, WEIGHTS, x, Y[:1]),
    "real": lambda x: real.gradient(XOR, WEIGHTS, x, Y[:1]),
    "budget": lambda x: budget.budget(XOR, WEIGHTS, x, Y[:1]),
    "many train": lambda x: MANY.train(x, Y[:1]),
    "many infer": lambda x: MANY.infer(x),
}
"""Whatever takes samples."""


@pytest.mark.parametrize("given", AMBIGUOUS)
@pytest.mark.parametrize("takes", TAKES)
def test_whole_numbers_that_may_be_reals_or_lsbs_are_refused(takes, given):
    with pytest.raises(ValueError, match=r"^x(_train|_test)?: .*real numbers.*floating"):
        TAKES[takes](AMBIGUOUS[given])


def test_samples_are_reals_or_what_encode_makes_and_many_chips_take_reals_only():
    state = XOR.formats.state
    assert emulator.Chip(XOR).infer([[0.0, 1.0, 1.0]]).tolist() == emulator.Chip(XOR).infer(state.encode([[0, 1, 1]])).tolist()
    assert state.samples([[0.5, 1]]).tolist() == [[state.encode(0.5), state.encode(1)]]
    with pytest.raises(ValueError, match="x: int32; chips of many formats take real numbers"):
        MANY.infer(state.encode(X))
