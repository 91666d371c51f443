"""Rules that settle, as data: equilibrium propagation, contrastive and predictive coding, each against its law."""

import numpy as np
import pytest
from rule_chips import FINE, chip_of, flat, programs_of, samples

from crossdyad import emulator
from crossdyad.emulator.signals import played, writes
from crossdyad.sim import real


@pytest.mark.parametrize(("rule", "order"), [("equilibrium", 1), ("centered-equilibrium", 2)])
def test_the_bias_of_equilibrium_propagation_has_its_order_in_beta(rule, order):
    """Rows 51 and 52: halving beta halves the one-sided error and quarters the centered one."""

    def of(beta, name=rule):
        recipe = chip_of(name, beta=beta, sweeps=(60, 60), activation="identity", output="identity", initial=0.25)
        x, y = samples(recipe, 3)
        return flat(real.gradient(recipe, emulator.initial_weights(recipe), x, y))

    limit = of(2.0**-9, "centered-equilibrium")
    errors = [np.linalg.norm(of(beta) - limit) for beta in (2.0**-3, 2.0**-4, 2.0**-5)]
    ratios = [a / b for a, b in zip(errors, errors[1:], strict=False)]
    assert all(abs(r - 2**order) < 0.3 * order for r in ratios), ratios


def test_equilibrium_propagation_tends_to_the_gradient_at_the_settled_state():
    """Its limit is the loss's slope at the fixed point of ``s = W s_below + W^T s_above``, found here by differences."""
    recipe = chip_of(
        "centered-equilibrium",
        sizes=(4, 5, 3),
        lanes=(2, 2),
        beta=2.0**-8,
        sweeps=(200, 200),
        activation="identity",
        output="identity",
        initial=0.25,
        formats=FINE,
    )
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe, 2)
    w0, w1 = (recipe.formats.weight.decode(w) for w in weights)
    x = recipe.formats.state.decode(recipe.formats.state.encode(x, "x"))
    target = np.eye(3)[y]

    def loss(a, b):
        hidden = np.linalg.solve(np.eye(5) - b.T @ b, a @ x.T)  # s1 = a x + b^T s2, s2 = b s1
        return 0.5 * ((target.T - b @ hidden) ** 2).sum(0)

    step, wanted = 1e-6, [np.zeros((2, 5, 4)), np.zeros((2, 3, 5))]
    for n, w in enumerate((w0, w1)):
        for i in np.ndindex(w.shape):
            up, down = ([v.copy() for v in (w0, w1)] for _ in range(2))
            up[n][i] += step
            down[n][i] -= step
            wanted[n][(slice(None), *i)] = (loss(*up) - loss(*down)) / (2 * step)
    np.testing.assert_allclose(flat(real.gradient(recipe, weights, x, y)), flat(wanted), atol=2e-4)
    np.testing.assert_allclose(flat(real.exact(recipe, weights, x, y)), flat(wanted), atol=1e-7)


def test_clamped_outputs_are_the_targets():
    recipe = chip_of("contrastive")
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    last = [w for w in writes(recipe, weights, x, y) if w.step.matrix == "W2"]
    on = recipe.formats.state.decode(last[1].row)
    assert [w.step.negative for w in last] == [True, False]
    np.testing.assert_array_equal(on, np.eye(3)[y])


def test_continual_propagation_of_one_sweep_is_the_one_sided():
    found = []
    for rule in ("continual-equilibrium", "equilibrium"):
        chip = emulator.Chip(chip_of(rule, sweeps=(4, 1)))
        chip.weights, (x, y) = emulator.initial_weights(chip.recipe), samples(chip.recipe, 10)
        chip.train(x, y)
        found.append(flat(chip.weights))
    np.testing.assert_array_equal(*found)


def test_predictive_coding_at_rest_is_the_minimum_of_its_energy():
    """Row 68: where nothing clips, states minimize half of each prediction's squared error and beta times the outputs'."""
    recipe = chip_of("predictive-coding", sweeps=(0, 200), activation="identity", output="identity")
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    w0, w1, w2 = (recipe.formats.weight.decode(w) for w in weights)
    x = recipe.formats.state.decode(recipe.formats.state.encode(x, "x"))
    # of the states s, t of both hidden units: the derivatives of the energy are zero
    system = np.block([[np.eye(6) + w1.T @ w1, -w1.T], [-w1, np.eye(5) + recipe.beta * w2.T @ w2]])
    s, t = np.split(np.linalg.solve(system, np.concatenate([w0 @ x.T, recipe.beta * w2.T @ np.eye(3)[y].T])).T, [6], axis=1)
    errors = s - x @ w0.T, t - s @ w1.T, recipe.beta * (np.eye(3)[y] - t @ w2.T)
    wanted = [-e[:, :, None] * v[:, None, :] / recipe.beta for e, v in zip(errors, (x, s, t), strict=True)]
    np.testing.assert_allclose(flat(real.gradient(recipe, weights, x, y)), flat(wanted), atol=1e-9)


def test_predictive_coding_tends_to_the_gradient_with_beta():
    def off(beta):
        recipe = chip_of("predictive-coding", sweeps=(0, 100), beta=beta)
        weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
        made, exact = (flat(of(recipe, weights, x, y)) for of in (real.gradient, real.exact))
        return np.linalg.norm(made - exact) / np.linalg.norm(exact)

    errors = [off(2.0**-n) for n in (6, 7, 8)]
    assert errors[0] < 0.05 and all(1.8 < a / b < 2.2 for a, b in zip(errors, errors[1:], strict=False)), errors


@pytest.mark.parametrize("rule", ["predictive-coding", "feedback-control"])
def test_what_is_learned_is_what_a_state_has_beyond_its_drive(rule):
    """On the chip's integers, to the rounding of both."""
    recipe = chip_of(rule, beta=1.0)
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe, 40)
    player, _ = played(recipe, weights, x, y)
    f = recipe.formats
    for k in range(2):
        state, error = (form.decode(player.stores[f"{name}{n}"]) for form, name, n in ((f.state, "input", k + 1), (f.delta, "error", k)))
        low, high = recipe.bounds(k)
        predicted = f.accumulator.decode(np.clip(player.drive[k], low, high))
        assert np.abs(error).max() > 0.05
        assert np.abs(state - predicted - error).max() <= (f.state.step + f.delta.step) / 2


def test_a_sweep_settles_odd_units_first():
    """Counted from 0, from below upwards; in inference and in the nudged phase alike."""
    recipe = chip_of("equilibrium", sizes=(4, 4, 4, 4, 4, 3), lanes=(2,) * 5, sweeps=(1, 1))
    infer = [step.unit for step in programs_of(recipe, "infer") if step.mean]
    assert infer == [0, 1, 2, 3, 4, 1, 3, 0, 2, 4, 4]
    train = [step.unit for step in recipe.steps if step.mean]
    assert train == [*infer, 1, 3, 0, 2, 4]
