"""The error budget: each effect alone, and what it must do to the figures."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from crossdyad import data, emulator
from crossdyad.cli import app
from crossdyad.recipe import Recipe, load
from crossdyad.sim import budget, gradient

DIGITS = data.load("digits")
X, Y = DIGITS.x_test[:16], DIGITS.y_test[:16]


def recipe(**devices):
    return Recipe.model_validate(load("digits").model_dump() | {"devices": devices, "beta": 2.0**-3, "alpha": 0.5})


def test_each_effect_shows_where_it_should():
    r = recipe(read_noise=0.05, levels=64, stuck=0.05, law="linear", pulse=2.0**-8)
    rows = {row["effect"]: row for row in budget.budget(r, emulator.initial_weights(r), X, Y)}
    assert list(rows) == ["rule", "state 8 bits", "delta 11 bits", "accumulator 16 bits", "read noise", "64 levels", "all together"]
    rule, noisy = rows["rule"], rows["read noise"]
    assert rule["cosine"] > 0.9 and rule["deviation"] == 0          # one chip: nothing varies
    assert noisy["deviation"] > 10 * abs(noisy["bias"] - rule["bias"])      # noise of mean zero varies, hardly biases
    assert rows["64 levels"]["bias"] > rule["bias"] and rows["64 levels"]["deviation"] == 0
    assert rows["state 8 bits"]["cosine"] != rule["cosine"]
    assert rows["all together"]["cosine"] <= min(row["cosine"] for row in rows.values()) + 0.01


def test_noise_twice_as_large_deviates_twice_as_much():
    def deviation(sigma):
        r = budget.refined(recipe(read_noise=sigma), budget.PLACES)
        w = emulator.initial_weights(r)
        exact = budget.flat(gradient.exact(r, w, X, Y))
        return budget.quality(r, w, X, Y, exact, seeds=16)["deviation"]

    assert deviation(2e-3) / deviation(1e-3) == pytest.approx(2, rel=0.1)


def test_the_exact_gradient_itself_has_no_error(monkeypatch):
    r = recipe()
    w = emulator.initial_weights(r)
    monkeypatch.setattr(gradient, "chip", gradient.exact)
    found = budget.quality(r, w, X, Y, budget.flat(gradient.exact(r, w, X, Y)), 2)
    assert found["cosine"] == pytest.approx(1) and found["bias"] == found["deviation"] == 0 and found["sign"] == 1


def test_the_command_writes_table_and_plot(tmp_path):
    done = CliRunner().invoke(app, ["budget", "digits", "--samples", "8", "--json", "-o", str(tmp_path)])
    report = json.loads(done.stdout)
    assert [r["effect"] for r in report["budget"]][-1] == "all together" and (tmp_path / "digits-budget.svg").is_file()
    assert np.isfinite([r["cosine"] for r in report["budget"]]).all()
    refused = CliRunner().invoke(app, ["budget", "xor-spsa", "-o", str(tmp_path)])
    assert refused.exit_code == 2 and "has no error signals" in refused.stderr
