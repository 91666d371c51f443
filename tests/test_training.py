"""Training runs: they learn, they are seeded, and a killed one resumes to the same bits."""

import numpy as np
import pytest

from crossdyad import data, emulator
from crossdyad.emulator.training import order
from crossdyad.recipe import load

DIGITS = data.load("digits")
PART = (DIGITS.x_train[:200], DIGITS.y_train[:200], DIGITS.x_test[:100], DIGITS.y_test[:100])


def test_order_is_a_permutation_that_differs_by_epoch():
    recipe = load("digits")
    first, second = order(recipe, 0, 500), order(recipe, 1, 500)
    assert (np.sort(first) == np.arange(500)).all() and (first != second).mean() > 0.9


def test_each_chip_of_a_run_is_the_chip_of_a_recipe_with_its_seed():
    recipe = load("digits")
    orders = order(recipe, 1, 500, [5, 9])
    assert np.array_equal(orders[1], order(recipe.model_copy(update={"seed": 9}), 1, 500)) and (orders[0] != orders[1]).mean() > 0.9
    both = emulator.train(recipe, *PART, epochs=2, seeds=[5, 9])
    for i, seed in enumerate((5, 9)):
        alone = emulator.train(recipe.model_copy(update={"seed": seed}), *PART, epochs=2)
        assert all(np.array_equal(a[i], b) for a, b in zip(both.weights, alone.weights, strict=True))
        for made, one in zip(both.epochs, alone.epochs, strict=True):
            assert all(made[name][i] == one[name] for name in ("loss", "train_accuracy", "accuracy"))


def test_a_few_epochs_learn():
    history = emulator.train(load("digits"), *PART, epochs=4)
    first, last = history.epochs[0], history.epochs[-1]
    assert last["accuracy"] > 0.7 and last["loss"] < first["loss"] / 2


def test_resumed_equals_undisturbed(tmp_path):
    recipe, path = load("digits"), tmp_path / "run.npz"
    whole = emulator.train(recipe, *PART, epochs=3, seeds=[1, 2])
    emulator.train(recipe, *PART, epochs=1, seeds=[1, 2], checkpoint=path)
    resumed = emulator.train(recipe, *PART, epochs=3, seeds=[1, 2], checkpoint=path)
    assert all((a == b).all() for a, b in zip(whole.weights, resumed.weights, strict=True))
    assert [e["loss"].tolist() for e in whole.epochs] == [e["loss"].tolist() for e in resumed.epochs]
    assert (whole.cycles, whole.saturations) == (resumed.cycles, resumed.saturations)
    assert list(tmp_path.iterdir()) == [path]


def test_a_foreign_or_broken_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    emulator.train(load("digits"), *PART, epochs=1, checkpoint=path)
    with pytest.raises(ValueError, match="run.npz: a checkpoint of another recipe"):
        emulator.train(load("digits8"), *PART, epochs=2, checkpoint=path)
    x_train, y_train, x_test, y_test = PART
    tests = (1 - x_test, y_test), (x_test, y_test[::-1])
    for other in (*((x_train, y_train, *test) for test in tests), (x_train, y_train[::-1], x_test, y_test)):
        with pytest.raises(ValueError, match="other data"):  # also of the test: its accuracies are in the checkpoint
            emulator.train(load("digits"), *other, epochs=1, checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="run.npz: not a checkpoint"):
        emulator.train(load("digits"), *PART, epochs=2, checkpoint=path)
