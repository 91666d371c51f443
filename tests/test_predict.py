"""Accuracies told from the first samples: against what held-out recipes were trained to, and what cannot be told."""

import json
import warnings

import numpy as np
import pytest
from scipy.stats import spearmanr
from typer.testing import CliRunner

from crossdyad import emulator
from crossdyad.cli import app
from crossdyad.data import load as load_data
from crossdyad.explore import predict
from crossdyad.explore import spec as specs
from crossdyad.recipe import load
from crossdyad.recipe.rules import RULES


def changed(**settings):
    return specs.apply(load("digits"), {k.replace("__", "."): v for k, v in settings.items()}).recipe


def test_held_out_recipes_of_the_rules_rank_as_they_were_trained():
    """Of twenty rules or more; one that came after the calibration is told by its program."""
    known = predict.coefficients()
    told, true = known["held_out"].T
    rules = known["held_out_rules"]
    assert set(rules) <= set(RULES) - {"inference"} and len(set(rules)) >= 20 and len(rules) >= 200
    assert np.allclose(known["held_out_seeds"].mean(1), true)
    for of in (slice(None), rules == "dual-propagation"):
        assert spearmanr(told[of], true[of])[0] >= 0.9


def test_a_recipe_is_told_apart_by_its_program_and_not_by_its_rules_name(monkeypatch):
    """The same program under a name of one's own looks alike; those of most other rules do not."""
    monkeypatch.setenv("CROSSDYAD_IMPORT", "crossdyad.recipe")
    made = [load("digits" if name == "dual-propagation" else f"digits-{name}") for name in RULES if name != "inference"]
    assert len({tuple(predict._told(r)[2:]) for r in made}) >= 15
    own = load("digits-backprop")
    assert predict._told(own.model_copy(update={"rule": "crossdyad.recipe.rules.backward:backprop"})) == predict._told(own)


@pytest.mark.slow
def test_a_prediction_is_what_training_comes_to_and_orders_what_was_mended():
    """Of recipes that no calibration has seen; each trained, and with its causes mended one by one."""
    recipe = changed(devices__read_noise=0.2, devices__stuck=0.1)
    mended = predict.mended(recipe)
    assert list(mended) == ["read noise", "stuck cells", "weight bits", "state bits", "delta bits"]
    assert mended["read noise"].devices.read_noise == 0 and mended["state bits"].formats.state.width == recipe.formats.state.width + 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        told = predict.predict([recipe, *mended.values()])
        again = predict.predict([mended["stuck cells"]])
    assert again[0] == pytest.approx(told[2], abs=1e-12)  # whatever it is computed with
    true = [
        emulator.train(r, *load_data("digits"), epochs=3, seeds=[1, 2]).epochs[-1]["accuracy"].mean()
        for r in (recipe, mended["read noise"], mended["stuck cells"])
    ]
    for p, a in zip(told, true, strict=False):
        assert p.low <= a <= p.high and 0 <= p.low <= p.accuracy <= p.high <= 1
    gains = [p.accuracy - told[0].accuracy for p in told[1:]]
    assert np.argmax(gains) == 0 == np.argmax([true[1] - true[0], true[2] - true[0]])


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "trained"), [("dual-propagation", 0.224), ("backprop", 0.277), ("sign-concordant", 0.198)])
def test_the_critical_noise_is_where_chips_stop_learning(rule, trained):
    """Within 10 % of what fifteen chips a noise were trained to (`benchmarks/predict.py`)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        told = predict.critical_noise(changed(rule=rule), [2.0 ** (k / 4) for k in range(-12, -4)])
    assert told == pytest.approx(trained, rel=0.1)


def test_a_crossing_is_where_a_straight_line_falls_to_the_middle():
    assert predict.crossing([1, 2, 4], [0.9, 0.7, 0.3], 0.9) == pytest.approx(2 * 2**0.5)
    assert predict.crossing([1, 2, 4], [0.9, 0.8, 0.7], 0.9) is None and predict.crossing([1, 2], [0.2, 0.1], 0.9) == 1


def test_a_fit_finds_a_law_of_its_own_form():
    draw = np.random.default_rng(0)
    seen = draw.uniform(0.1, 0.9, (400, 14))
    law = 1 / (1 + np.exp(-(2 * seen[:, 0] - 1 + 0.5 * seen[:, 10] ** 2)))
    model = predict.fit(seen[:300], law[:300])
    assert np.abs(predict.accuracies(model, seen[300:]) - law[300:]).max() < 0.03


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        (lambda: load("xor"), "sizes: predictions are calibrated on digits"),
        (lambda: changed(rule="inference"), "rule: 'inference' does not learn"),
        (lambda: changed(devices__preset="pcm"), "devices: predictions are calibrated on the chip's own effects"),
    ],
)
def test_what_was_not_calibrated_is_refused(recipe, told):
    made = recipe()
    with pytest.raises(ValueError, match=told):
        predict.predict([made])


def test_the_command_tells_it(tmp_path):
    done = CliRunner().invoke(app, ["budget", "digits", "--samples", "2", "--predict", "--json", "-o", str(tmp_path)])
    told = json.loads(done.stdout)
    assert (
        told["predicted"]["epochs"] == 3
        and 0.8 < told["predicted"]["accuracy"] < 1
        and set(told["mended"]) == {"weight bits", "state bits", "delta bits"}
    )
    assert 0.1 < told["critical_noise"] < 4
    assert CliRunner().invoke(app, ["budget", "xor", "--predict", "-o", str(tmp_path)]).exit_code == 2
