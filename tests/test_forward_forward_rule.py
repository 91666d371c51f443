"""Forward-Forward (row 42) as a rule of the chip, against its objective."""

import numpy as np
from rule_chips import FINE, chip_of, samples

from crossdyad import emulator
from crossdyad.emulator.signals import writes
from crossdyad.recipe import in_memory
from crossdyad.recipe.rules import local
from crossdyad.sim import real


def clipped(a):
    return np.clip(a, 0, 1)


def goodness(a):
    """Return the sum of what has the clip as its slope: half the square, then straight."""
    return (clipped(a) ** 2 / 2 + np.maximum(a - 1, 0)).sum()


def chip():
    recipe = chip_of("forward-forward", formats=FINE, activation="hard_sigmoid", output="hard_sigmoid", initial=2.0)
    return recipe, emulator.initial_weights(recipe), samples(recipe)


def by_name(recipe, weights):
    return {g.matrix.name: recipe.formats.weight.decode(w) for g, w in zip(in_memory(recipe), weights, strict=True)}


def test_each_hidden_layer_follows_its_own_goodness():
    """Of the guess less of the label, what it reads held: by central differences, written from the equations."""
    recipe, weights, (x, y) = chip()
    w, found = by_name(recipe, weights), real.gradient(recipe, weights, x, y)
    x = recipe.formats.state.decode(recipe.formats.state.encode(x, "x"))
    bent = 0
    for i, (x0, label) in enumerate(zip(x, np.eye(3)[y], strict=True)):
        free = clipped(w["W1"] @ clipped(w["W0"] @ x0))
        out = w["W2"] @ free
        guess = clipped(out)
        below = {"label": x0, "guess": x0}
        for k in range(2):

            def objective(matrix, k=k, below=below, label=label, guess=guess):
                seen = {"label": label, "guess": guess}
                good = {name: goodness(matrix @ below[name] + w[f"L{k}"] @ seen[name]) for name in seen}
                return good["guess"] - good["label"]

            wanted = np.zeros_like(w[f"W{k}"])
            for place in np.ndindex(wanted.shape):
                step = np.zeros_like(wanted)
                step[place] = 1e-6
                wanted[place] = (objective(w[f"W{k}"] + step) - objective(w[f"W{k}"] - step)) / 2e-6
            np.testing.assert_allclose(found[k][i] * recipe.beta * 2.0**-local.HASTE, wanted, atol=1e-6)
            drives = {name: w[f"W{k}"] @ below[name] + w[f"L{k}"] @ seen for name, seen in (("label", label), ("guess", guess))}
            bent += sum(int((a > 1).any()) for a in drives.values())
            below = {name: clipped(a) for name, a in drives.items()}
            assert np.abs(wanted).max() > 0
        nudge = clipped(out + recipe.beta * (label - guess)) - guess
        np.testing.assert_allclose(found[2][i] * recipe.beta, -np.outer(nudge, free), atol=1e-9)
    assert bent, "no drive beyond the clip, so that nothing told a goodness from a square"


def test_labels_get_what_their_own_matrix_read():
    recipe, weights, (x, y) = chip()
    made = [w for w in writes(recipe, weights, x, y) if w.step.matrix == "L0"]
    state = recipe.formats.state
    assert [w.step.negative for w in made] == [False, True]
    np.testing.assert_array_equal(state.decode(made[0].column), np.eye(3)[y])
    guess = emulator.Chip(recipe)
    guess.weights = weights
    np.testing.assert_array_equal(made[1].column, guess.infer(x))
    w = by_name(recipe, weights)
    for one, column in zip(made, (np.eye(3)[y], state.decode(made[1].column)), strict=True):
        wanted = clipped(state.decode(state.encode(x, "x")) @ w["W0"].T + column @ w["L0"].T)
        np.testing.assert_allclose(state.decode(one.row), wanted, atol=3 * state.step)


def test_a_guess_that_is_right_changes_no_hidden_layer():
    recipe, weights, (x, y) = chip()
    recipe = recipe.model_copy(update={"target_on": 0.0, "rounding": recipe.rounding.model_copy(update={"weight": "nearest_even"})})
    weights[2] = np.zeros_like(weights[2])  # outputs and targets are 0
    trained = emulator.Chip(recipe)
    trained.weights = weights
    trained.train(x, y)
    for g, before, after in zip(in_memory(recipe), weights, trained.weights, strict=True):
        if g.matrix.name[0] == "W":
            np.testing.assert_array_equal(before, after, g.matrix.name)
