"""The error budget: each effect alone, and what it must do to the figures."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from crossdyad import data, emulator
from crossdyad.cli import app
from crossdyad.emulator.devices import device_of, programmed
from crossdyad.recipe import Recipe, load
from crossdyad.sim import budget, gradient, quality, real

DIGITS = data.load("digits")
X, Y = DIGITS.x_test[:16], DIGITS.y_test[:16]


def recipe(**devices):
    return Recipe.model_validate(load("digits").model_dump() | {"devices": devices, "beta": 2.0**-3, "alpha": 0.5})


def test_each_effect_shows_where_it_should():
    r = recipe(read_noise=0.05, levels=64, stuck=0.05, law="linear", pulse=2.0**-8)
    rows = {row["effect"]: row for row in budget.budget(r, emulator.initial_weights(r), X, Y)}
    assert list(rows) == ["rule", "state 8 bits", "delta 11 bits", "accumulator 16 bits", "read noise", "64 levels", "all together"]
    rule, noisy = rows["rule"], rows["read noise"]
    assert rule["cosine"] > 0.9 and rule["deviation"] == 0  # one chip: nothing varies
    assert noisy["deviation"] > 10 * abs(noisy["bias"] - rule["bias"])  # noise of mean zero varies, hardly biases
    assert rows["64 levels"]["bias"] > rule["bias"] and rows["64 levels"]["deviation"] == 0
    assert rows["state 8 bits"]["cosine"] != rule["cosine"]
    assert rows["all together"]["cosine"] <= min(row["cosine"] for row in rows.values()) + 0.01


def test_noise_twice_as_large_deviates_twice_as_much():
    def deviation(sigma):
        r = budget.refined(recipe(read_noise=sigma), quality.judge(recipe()).places)
        w = emulator.initial_weights(r)
        exact = real.exact(r, w, X, Y)
        return quality.quality(r, w, X, Y, exact, seeds=16)["deviation"]

    assert deviation(2e-3) / deviation(1e-3) == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("devices", [{}, {"read_noise": 0.05, "levels": 64}, {"preset": "hermes-1", "age": 3600.0}])
def test_figures_are_those_of_the_gradients_written_out(devices):
    r, seeds = recipe(**devices), (3, 4, 5, 6)
    w, device = emulator.initial_weights(r), device_of(r.devices)
    exact = real.exact(r, w, X, Y)

    def flat(g):
        return np.concatenate([v.reshape(len(v), -1) for v in g], axis=1)

    chips = []
    for s in seeds:
        chip = r.model_copy(update={"seed": s})
        held = programmed(chip, w, time=r.devices.age or None, device=device) if device else w
        chips.append(flat(gradient.chip(chip.as_built, held, X, Y)))
    made, true = np.stack(chips), flat(exact)
    norm, variance = np.linalg.norm(true), made.var(0, ddof=1).sum()
    sizes, there = np.linalg.norm(made, axis=-1) * np.linalg.norm(true, axis=-1), (made != 0) | (true != 0)
    bias = np.sum((made.mean(0) - true) ** 2) - variance / len(seeds)
    expected = {
        "cosine": ((made * true).sum(-1) / sizes).mean(),
        "bias": np.sqrt(max(0, bias)) / norm,
        "deviation": np.sqrt(variance) / norm,
        "sign": np.mean((np.sign(made) == np.sign(true))[there]),
    }
    found = quality.figures(r, quality.measured(r, w, X, Y, seeds, device), exact)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-7) and found["sign"] == expected["sign"]


def test_a_chip_is_measured_alike_alone_and_among_others():
    r = recipe(read_noise=0.05)
    many = [emulator.initial_weights(r.model_copy(update={"seed": s})) for s in (1, 2, 3)]
    together = quality.measured(r, [np.stack(w) for w in zip(*many, strict=True)], X, Y, (1, 2, 3))
    for i, w in enumerate(many):
        for a, b in zip(together, quality.measured(r, w, X, Y, (i + 1,)), strict=True):
            np.testing.assert_array_equal(a.row[i], b.row[0])
            np.testing.assert_array_equal(a.column[i], b.column[0])


def test_the_command_writes_table_and_plot(tmp_path):
    done = CliRunner().invoke(app, ["budget", "digits", "--samples", "8", "--json", "-o", str(tmp_path)])
    report = json.loads(done.stdout)
    assert [r["effect"] for r in report["budget"]][-1] == "all together" and (tmp_path / "digits-budget.svg").is_file()
    assert np.isfinite([r["cosine"] for r in report["budget"]]).all()


def test_a_chip_that_does_not_learn_is_refused():
    r = Recipe.model_validate(load("digits").model_dump() | {"rule": "inference"})
    with pytest.raises(ValueError, match="'inference' does not learn, so that there is no gradient to judge"):
        budget.budget(r, emulator.initial_weights(r), X, Y)


# SPSA -------------------------------------------------------------------------------------------------------


XOR = data.load("xor")


def probing(**given):
    return Recipe.model_validate(load("xor-spsa").model_dump() | given)


def test_probes_are_those_of_the_chip_that_trains():
    r = probing(devices={"read_noise": 0.01})
    w, seeds = emulator.initial_weights(r), (1, 2, 3)
    found = quality.measured(r, w, XOR.x_train[:1], XOR.y_train[:1], seeds)[0].loss
    for loss, seed in zip(found, seeds, strict=True):
        chip = emulator.Chip(r.model_copy(update={"seed": seed}))
        chip.weights = w
        assert loss[0] == chip.train(XOR.x_train[:1], XOR.y_train[:1]).loss[0]
        np.testing.assert_array_equal(loss, quality.measured(r, w, XOR.x_train[:1], XOR.y_train[:1], (seed,))[0].loss[0])


def test_slopes_of_the_exact_gradient_have_no_error(monkeypatch):
    r, x, y = probing(), XOR.x_train[:20], XOR.y_train[:20]
    w, seeds = emulator.initial_weights(r), np.array([1, 2], dtype=object)
    exact = real.exact(r, w, x, y)
    along = np.array(
        [
            [sum(np.sum(u[c] * g[n]) for u, g in zip(gradient.directions(r, seeds, n), exact, strict=True)) for n in range(len(x))]
            for c in range(2)
        ]
    )
    monkeypatch.setattr(gradient, "slopes", lambda recipe, loss: loss)
    found = quality.figures(r, [quality.Probes(along, seeds)], exact)
    assert found == pytest.approx({"cosine": 1, "bias": 0, "deviation": 0, "sign": 1}, abs=1e-12)
    off = quality.figures(r, [quality.Probes(1.5 * along, seeds)], exact)
    assert off == pytest.approx({"cosine": 1, "bias": 0.5, "deviation": 0, "sign": 1}, abs=1e-12)


def test_effects_show_in_slopes():
    r = probing(devices={"read_noise": 0.01, "levels": 64})
    rows = {row["effect"]: row for row in budget.budget(r, emulator.initial_weights(r), XOR.x_train[:60], XOR.y_train[:60])}
    assert list(rows) == ["rule", "state 16 bits", "accumulator 18 bits", "read noise", "64 levels", "all together"]
    assert rows["rule"]["cosine"] > 0.999 and rows["rule"]["deviation"] < 0.01
    # a difference of two losses over twice a small step: noise is magnified, and cells of few levels hide the step
    assert rows["read noise"]["deviation"] > 10 * rows["rule"]["deviation"]
    assert rows["64 levels"]["cosine"] < 0.99


@pytest.mark.parametrize(("alpha", "beta", "noise", "cause"), [(0, 4.0, 0.0, "rule"), (0.5, 2.0**-3, 0.5, "read noise")])
def test_the_largest_cause_is_said_also_where_it_is_the_rule_itself(alpha, beta, noise, cause):
    r = Recipe.model_validate(load("digits").model_dump() | {"alpha": alpha, "beta": beta, "devices": {"read_noise": noise}})
    rows = budget.budget(r, emulator.initial_weights(r), X, Y, seeds=2)
    assert budget.largest(rows)[0] == cause
    cosine = {row["effect"]: row["cosine"] for row in rows}
    assert budget.largest(rows)[1] == pytest.approx(1 - cosine["rule"] if cause == "rule" else cosine["rule"] - cosine[cause])


def test_each_effect_is_told_as_it_is_measured():
    """A run that is stopped, or that fails at its end, has told what it knew."""
    r, told = load("xor"), []
    rows = budget.measured(r, emulator.initial_weights(r), XOR.x_train, XOR.y_train, progress=lambda *step: told.append(step))
    first = next(rows)
    assert first["effect"] == "rule" and [step[:2] for step in told] == [("rule", 0)]
    assert [first, *rows] == budget.budget(r, emulator.initial_weights(r), XOR.x_train, XOR.y_train)


def test_the_command_prints_each_effect_as_it_is_measured(monkeypatch, tmp_path):
    def measured(*_, **__):
        yield {"effect": "rule", "cosine": 0.5, "bias": 0.25, "deviation": 0.0, "sign": 0.75}
        raise KeyboardInterrupt

    monkeypatch.setattr(budget, "measured", measured)
    done = CliRunner().invoke(app, ["budget", "xor", "-o", str(tmp_path)])
    assert done.exit_code != 0 and "rule                     0.5000   0.2500     0.0000   0.750" in done.output
