"""Deep feedback control (row 74) as a rule of the chip, against its laws."""

import numpy as np
from rule_chips import chip_of, flat, samples

from crossdyad import emulator
from crossdyad.emulator.signals import played
from crossdyad.recipe import Matrix, Rule, allow
from crossdyad.recipe.rules import backward, parts
from crossdyad.sim import real


def stored(recipe):
    """Yield the weights, and the matrices of the controllers in memory, so that they can be given."""
    yield from parts.weights(recipe)
    for k in range(recipe.layers - 1):
        yield Matrix(f"D{k}", k + 1, recipe.layers, recipe.layers - 1)


given = Rule(backward.controlled, matrices=stored, oracle="aligned")
allow(f"{__name__}:given")


def test_at_rest_the_feedback_is_beta_times_the_error_of_the_controlled_outputs():
    """Where nothing clips: s = W0 x + D0^T u, t = W1 s + D1^T u and u = beta (y - W2 t), solved here at once."""
    recipe = chip_of("feedback-control", sweeps=(0, 200), activation="identity", output="identity", feedback=0.125)
    weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
    w0, w1, w2 = (recipe.formats.weight.decode(w) for w in weights)
    held = real.matrices(recipe, weights)
    d0, d1 = held["D0"], held["D1"]
    x, target = recipe.formats.state.decode(recipe.formats.state.encode(x, "x")), np.eye(3)[y]
    through = w2 @ (d1.T + w1 @ d0.T)  # what a controller adds to the outputs
    u = np.linalg.solve(np.eye(3) + recipe.beta * through, recipe.beta * (target.T - w2 @ w1 @ w0 @ x.T)).T
    s = x @ w0.T + u @ d0
    t = s @ w1.T + u @ d1
    errors = u @ d0, u @ d1, u
    wanted = [-e[:, :, None] * v[:, None, :] / recipe.beta for e, v in zip(errors, (x, s, t), strict=True)]
    np.testing.assert_allclose(flat(real.gradient(recipe, weights, x, y)), flat(wanted), atol=1e-9)
    assert np.abs(flat(wanted)).max() > 0.1


def test_with_the_jacobian_behind_the_controllers_weak_control_tends_to_the_gradient():
    def off(beta):
        recipe = chip_of(f"{__name__}:given", sweeps=(0, 40), beta=beta, activation="identity", output="hard_tanh")
        weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
        f = recipe.formats.weight
        w1, w2 = (f.decode(w) for w in weights[1:3])
        weights = [*weights[:3], f.encode(w2 @ w1, "D0"), f.encode(w2, "D1")]
        made, exact = (flat(of(recipe, weights, x, y)) for of in (real.gradient, real.exact))
        return np.linalg.norm(made - exact) / np.linalg.norm(exact)

    errors = [off(2.0**-n) for n in (5, 6, 7)]
    assert errors[0] < 0.1 and all(1.8 < a / b < 2.2 for a, b in zip(errors, errors[1:], strict=False)), errors


def test_control_makes_the_outputs_err_less():
    """On the chip's integers, with the Jacobian of a linear net behind the controllers."""
    recipe = chip_of(f"{__name__}:given", sweeps=(0, 8), beta=0.25, activation="hard_tanh", output="identity")
    chip, (x, y), f = emulator.Chip(recipe), samples(recipe, 30), recipe.formats
    weights = emulator.initial_weights(recipe)
    w1, w2 = (f.weight.decode(w) for w in weights[1:3])
    chip.weights = [*weights[:3], f.weight.encode(w2 @ w1, "D0"), f.weight.encode(w2, "D1")]
    player, _ = played(recipe, chip.weights, x, y)
    controlled = f.delta.decode(player.stores["error2"]) / recipe.beta
    free = np.eye(3)[y] - f.state.decode(chip.infer(x))
    assert np.abs(controlled).sum() < 0.9 * np.abs(free).sum()


def test_a_step_goes_half_of_the_way():
    """With one hidden layer, a linear one: u_1 = beta e_0 / 2, u_2 = (u_1 + beta e_1) / 2, e_n the error of the outputs under u_n."""
    net = {"sizes": (7, 6, 3), "lanes": (4, 2), "activation": "identity", "output": "identity", "feedback": 0.125}
    for steps in (1, 2):
        recipe = chip_of("feedback-control", sweeps=(0, steps), **net)
        weights, (x, y) = emulator.initial_weights(recipe), samples(recipe)
        w0, w1 = (recipe.formats.weight.decode(w) for w in weights)
        d0 = real.matrices(recipe, weights)["D0"]
        x, u = recipe.formats.state.decode(recipe.formats.state.encode(x, "x")), np.zeros((len(x), 3))
        for _ in range(steps):
            u = (u + recipe.beta * (np.eye(3)[y] - (x @ w0.T + u @ d0) @ w1.T)) / 2
        hidden = real.gradient(recipe, weights, x, y)[0]
        np.testing.assert_allclose(hidden, -(u @ d0)[:, :, None] * x[:, None, :] / recipe.beta, atol=1e-9)
