"""A bias: one more column of every matrix, which meets one and learns like the others (contract section 3)."""

from pathlib import Path

import numpy as np
import pytest

from crossdyad import emulator, weights
from crossdyad.emulator import many
from crossdyad.recipe import Recipe, RecipeError, load
from crossdyad.sim import gradient, real
from crossdyad.weights import pytorch

NETS = Path(__file__).parent / "nets"
FINE = {
    "state": {"width": 20, "frac": 16},
    "accumulator": {"width": 24, "frac": 18},
    "delta": {"width": 22, "frac": 16},
    "weight": {"width": 16, "frac": 12},
}


def recipe(sizes=(5, 6, 4), lanes=(3, 2), **changes):
    given = {"name": "biased", "sizes": sizes, "lanes": lanes, "bias": True, "rounding": {"weight": "nearest"}}
    return Recipe.model_validate(given | changes)


def drawn(r, low=-1.0, high=1.0):
    draw = np.random.default_rng(5)
    return (
        [r.formats.weight.encode(draw.uniform(low, high, w.shape)) for w in emulator.initial_weights(r)],
        draw.uniform(-1, 1, (20, r.sizes[0])),
        draw.integers(0, r.sizes[-1], 20),
    )


def test_biases_start_at_zero_beside_the_weights():
    first = emulator.initial_weights(recipe())
    assert [w.shape for w in first] == [(6, 6), (4, 7)] and not any(w[:, -1].any() for w in first)
    assert all((np.abs(w[:, :-1]) > 0).mean() > 0.9 for w in first)


@pytest.mark.parametrize("lanes", [1, 2, 3, 5, 7])
def test_a_layer_with_a_bias_is_one_with_an_input_more(lanes):
    """Also where the bias has a fold of its own; to the last bit, in learning, too."""
    biased = emulator.Chip(recipe((5, 3), (lanes,), output="hard_tanh"))
    plain = emulator.Chip(recipe((6, 3), (lanes,), output="hard_tanh", bias=False))
    w, x, y = drawn(biased.recipe)
    biased.weights = plain.weights = w
    assert (biased.infer(x) == plain.infer(np.hstack([x, np.ones((20, 1))]))).all()
    biased.train(x, y)
    plain.train(np.hstack([x, np.ones((20, 1))]), y)
    assert (biased.weights[0] == plain.weights[0]).all() and (biased.weights[0][:, -1] != w[0][:, -1]).any()
    assert biased.saturations == plain.saturations


@pytest.mark.parametrize("frac, one", [(5, 32), (7, 127), (-2, 1)])
def test_one_is_what_the_states_have_next_to_it(frac, one):
    assert recipe(formats={"state": {"width": 8, "frac": frac}}, rule="inference").one == one


@pytest.mark.parametrize("rule", ["backprop", "dual-propagation", "kolen-pollack", "feedback-alignment", "local-heads"])
def test_the_chips_gradient_is_that_of_its_rule(rule):
    r = recipe(rule=rule, formats=FINE, alpha=0.5, beta=2.0**-3, learning_rate=2.0**-3, rate_floor=2.0**-6)
    w, x, y = drawn(r)
    made, played = gradient.chip(r, w, x, y), real.gradient(r, w, x, y)
    assert [g.shape[1:] for g in made] == [(6, 6), (4, 7)] and gradient.relative_error(made, played) < 0.01
    if rule == "backprop":
        assert gradient.cosine(made, real.exact(r, w, x, y)).min() > 0.9999


def test_the_reference_differentiates_by_its_biases():
    r = recipe(rule="backprop", formats=FINE)
    w, x, y = drawn(r)
    exact, change, unit = real.exact(r, w, x, y), 16, r.formats.weight.step

    def cost(shift):
        moved = [w[0] + shift * np.eye(6, dtype=int)[5] * (np.arange(6) == 2)[:, None], w[1]]
        float_w = [r.formats.weight.decode(v) for v in moved]
        hidden = np.maximum(np.hstack([r.formats.state.decode(r.formats.state.samples(x)), np.ones((20, 1))]) @ float_w[0].T, 0)
        out = np.hstack([hidden, np.ones((20, 1))]) @ float_w[1].T
        return ((out - gradient.targets(r, y)) ** 2).sum(1) / 2

    assert np.allclose((cost(change) - cost(-change)) / (2 * change * unit), exact[0][:, 2, 5], atol=1e-3)


def test_chips_at_once_are_those_alone():
    recipes = [recipe(formats={"state": {"width": w, "frac": 5}}) for w in (7, 9)]
    _, x, y = drawn(recipes[0])
    together = many.Many(recipes, [1, 2])
    together.weights = [np.stack(w) for w in zip(*(emulator.initial_weights(r) for r in recipes), strict=True)]
    together.train(x, y)
    for n, r in enumerate(recipes):
        alone = emulator.Chip(r.model_copy(update={"seed": n + 1}))
        alone.weights = emulator.initial_weights(r)
        alone.train(x, y)
        assert all((a == b[n]).all() for a, b in zip(alone.weights, together.weights, strict=True))


def test_a_net_of_pytorch_keeps_its_biases():
    r = recipe((4, 3, 2), (2, 2), activation="hard_sigmoid", formats=FINE)
    net = pytorch.read(NETS / "biased.pt")
    loaded = weights.fit(r, net)
    assert [w.shape for w in loaded.weights] == [(3, 5), (2, 4)]
    for k, name in enumerate(("0", "2")):
        held = r.formats.weight.decode(loaded.weights[k])
        assert np.abs(held[:, :-1] - net[f"{name}.weight"]).max() < 2.0**-12 and np.abs(held[:, -1] - net[f"{name}.bias"]).max() < 2.0**-12
    with pytest.raises(weights.WeightsError, match="write bias = true, or train the net with bias=False"):
        weights.fit(recipe((4, 3, 2), (2, 2), bias=False), net)


@pytest.mark.parametrize("kind", ["npz", "safetensors", "nir"])
def test_files_there_and_back_lose_nothing(kind, tmp_path):
    pytest.importorskip("nir") if kind == "nir" else None
    r = recipe()
    w, _, _ = drawn(r)
    loaded = weights.load(r, weights.save(r, w, tmp_path / f"net.{kind}"))
    assert all((a == b).all() for a, b in zip(w, loaded.weights, strict=True))


def test_the_onnx_net_has_the_biases(tmp_path):
    pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    chip = emulator.Chip(recipe(activation="leaky_relu"))
    chip.weights, x, _ = drawn(chip.recipe)
    net = ReferenceEvaluator(str(weights.save(chip.recipe, chip.weights, tmp_path / "net.onnx")))
    assert (net.run(None, {"x": x.astype(np.float32)})[0] == chip.recipe.formats.state.decode(chip.infer(x.astype(np.float32)))).all()


def test_arrays_have_no_line_for_it():
    with pytest.raises((RecipeError, ValueError), match="arrays have no line for a bias"):
        Recipe.model_validate(load("digits").model_dump() | {"bias": True, "arrays": {"on": True}})
