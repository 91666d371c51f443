"""Temperature of cells: what it does to an age and to conductances, against values worked out here; and what has no model of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from crossdyad import emulator
from crossdyad.cli import app
from crossdyad.data import load as load_data
from crossdyad.emulator.devices import Array, Circuit, Device, Generic, device_of, preset, programmed
from crossdyad.emulator.devices.drift import fixed
from crossdyad.explore import conditions, sweep
from crossdyad.explore import spec as specs
from crossdyad.explore.jobs import Job, batches, evaluate
from crossdyad.recipe import Recipe, RecipeError, load, parse
from crossdyad.recipe.temperature import hastened
from crossdyad.sim.budget import budget

BASE = "name = 'a'\nsizes = [3, 8, 2]\nlanes = [2, 8]\nepsilon = 0.0078125\n"
DAY = 86400.0


def of_xor(**devices) -> Recipe:
    base = load("xor")
    return Recipe.model_validate(base.model_dump() | {"devices": base.devices.model_dump() | devices})


def test_a_day_in_the_oven_by_hand():
    """1 eV from 25 to 85 degrees Celsius: 11604.5 K (1/298.15 - 1/358.15) = 6.5203, of which e to the power is 678.8."""
    assert hastened(1.0, 358.15, 298.15) == pytest.approx(678.8, rel=1e-3)
    assert hastened(0.7, 328.15, 328.15) == 1 and hastened(0.0, 400.0, 300.0) == 1


@given(st.floats(0, 3), *[st.floats(200, 600)] * 3)
def test_what_is_hastened_twice_is_hastened_by_both(energy, a, b, c):
    assert math.isclose(hastened(energy, a, b) * hastened(energy, b, c), hastened(energy, a, c), rel_tol=1e-9)
    assert (hastened(energy, a, b) - 1) * (a - b) >= 0  # warmer is faster


@given(st.floats(0.1, 1.5), st.floats(250, 450), st.floats(250, 450))
def test_an_age_at_a_temperature_is_an_older_one_at_the_reference(energy, temperature, reference):
    device = Device(drift=replace(fixed(0.05, start=1e-12, deviation=0.02), activation=energy, reference=reference))
    share, boltzmann = np.linspace(0.1, 1, 5), 1.380649e-23 / 1.602176634e-19
    older = DAY * math.exp((1 / reference - 1 / temperature) * energy / boltzmann)
    if older >= 1e-12:
        warm, old = device.program(share, 1, 0, DAY, temperature=temperature)[1], device.program(share, 1, 0, older)[1]
        assert np.allclose(warm, old, rtol=1e-6)


def test_conductances_follow_their_coefficients(tmp_path):
    """By a table's column, linear between its points; of a preset by one number; compensation repairs what all have in common."""
    (tmp_path / "mine.csv").write_text("conductance,temperature_coefficient [ppm/K]\n2,4000\n12,2000\n42,-1000\n")
    (tmp_path / "mine.toml").write_text(BASE + "[devices.cell]\ntable = 'mine.csv'\n[devices]\nreference_temperature = 300.0")
    device = device_of(load(tmp_path / "mine.toml").devices)
    g = np.array([2.0, 7.0, 12.0, 27.0, 42.0])
    now = device.program((g - 2) / 40, 1, 0, temperature=350.0)[1]
    assert now == pytest.approx(g * (1 + 50 * np.array([4e-3, 3e-3, 2e-3, 0.5e-3, -1e-3])))
    assert device.program((g - 2) / 40, 1, 0)[1] == pytest.approx(g)
    recipe, weights = of_xor(preset="pcm-joshi", temperature_coefficient=-2e-3, compensate="none"), emulator.initial_weights(load("xor"))
    cold = programmed(recipe, weights, seeds=3)
    for compensate, factor in (("none", 0.9), ("array", 1.0), ("output", 1.0)):
        r = recipe.model_copy(update={"devices": recipe.devices.model_copy(update={"compensate": compensate})})
        for c, w in zip(cold, programmed(r, weights, seeds=3, temperature=348.15), strict=True):
            assert np.abs(w - factor * c).max() <= 0.5 + 0.5 * factor + 1e-9  # both are rounded


def test_an_array_is_as_warm_as_its_cells():
    device, weights = replace(preset("pcm"), read=None, programming=None), np.random.default_rng(0).normal(size=(8, 9))
    device = device_of(of_xor(preset="pcm", activation_energy=0.5, temperature_coefficient=1e-3).devices)
    array = Array(weights, device, Circuit(output=None, output_transposed=None), seed=2, time=DAY)
    warm, older = array.at(DAY, temperature=350.0), array.at(DAY * hastened(0.5, 350.0, 298.15))
    drift = warm.only("drift", "programming"), older.only("drift", "programming")
    assert np.allclose(drift[0].effective, drift[1].effective, rtol=1e-9)
    assert np.allclose(warm.only("thermal").effective, array.perfect().effective * (1 + 1e-3 * (350 - 298.15)))
    assert np.array_equal(array.at(DAY, temperature=298.15).effective, array.effective)


def test_a_chip_is_tested_warm_and_learns_at_the_reference():
    told = {"preset": "pcm", "age": DAY, "activation_energy": 0.6, "temperature_coefficient": 1e-3}
    xor = load_data("xor")
    cold, room, warm = (emulator.train(of_xor(**told, **t), *xor, epochs=2) for t in ({}, {"temperature": 298.15}, {"temperature": 358.15}))
    older = emulator.train(of_xor(**told | {"age": DAY * hastened(0.6, 358.15, 298.15), "temperature_coefficient": 0.0}), *xor, epochs=2)
    assert all(np.array_equal(a, b) for a, b in zip(cold.weights, room.weights, strict=True))
    assert any((a != b).any() for a, b in zip(cold.weights, warm.weights, strict=True))
    assert [e["train_accuracy"] for e in cold.epochs] == [e["train_accuracy"] for e in warm.epochs]
    # 1/f noise grows with the time that has passed, and compensation repairs a common factor: what is left between these is small
    apart = [np.abs(a - b).mean() for a, b in zip(warm.weights, older.weights, strict=True)]
    assert sum(apart) < 0.2 * sum(np.abs(a - b).mean() for a, b in zip(warm.weights, cold.weights, strict=True))


def test_a_budget_has_a_line_for_it_and_drift_is_hastened():
    xor, weights = load_data("xor"), emulator.initial_weights(load("xor"))

    def lines(**more):
        found = budget(of_xor(preset="pcm", age=DAY, activation_energy=1.0, compensate="none", **more), weights, *xor[2:], seeds=3)
        return {row["effect"]: row for row in found}

    cold, warm = lines(), lines(temperature=400.0, temperature_coefficient=5e-3)
    assert "temperature" in warm and "temperature" not in cold and cold["drift"] != warm["drift"]
    assert cold["programming noise"] == warm["programming noise"]
    # all conductances 1.50925 times as large: so is a reading's slope in every weight
    assert warm["temperature"]["bias"] > cold["rule"]["bias"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("preset = 'pcm'\ntemperature = 350.0", "devices.temperature: 350 K, but pcm has no model of it; give devices.activation_energy"),
        ("temperature = 350.0", "devices.temperature: 350.0 without a device"),
        (
            "preset = 'pcm'\nactivation_energy = 1.0\ntemperature = 85.0",
            "85; allowed are 200 to 600 kelvin (25 degrees Celsius are 298.15)",
        ),
        ("preset = 'pcm'\nactivation_energy = 1.0\ntemperature = -5.0", "devices.temperature: -5; allowed are 200 to 600 kelvin"),
        ("preset = 'pcm'\nactivation_energy = 1.0\nreference_temperature = 25.0", "devices.reference_temperature: 25; allowed are"),
        ("preset = 'pcm'\nactivation_energy = 1.0\nreference_temperature = 0.0", "devices.reference_temperature: 0; allowed are"),
        ("preset = 'sonos'\nactivation_energy = 1.0", "devices.activation_energy: 1 eV, but sonos has no drift"),
        ("preset = 'pcm'\nactivation_energy = -1.0", "devices.activation_energy"),
        ("preset = 'pcm'\ntemperature = nan", "devices.temperature"),
        ("preset = 'pcm'\ntemperature = 'warm'", "devices.temperature"),
        ("preset = 'pcm'\ntemperature_coefficient = -0.02\ntemperature = 350.0", "the temperature coefficient leaves no conductance"),
        (
            "preset = 'pcm'\nage = 60.0\nactivation_energy = 1.0\ntemperature = 250.0",
            "at which 60 s are as 0.0333071 s at 298.15 K, but the law of pcm begins 20 s after writing",
        ),
        (
            "temperature_coefficient = 0.001\n[devices.cell]\nconductance = [1, 2]\ntemperature_coefficient = [0, 0.001]",
            "devices.temperature_coefficient: given together with the cell's own column",
        ),
        ("[devices.cell]\nconductance = [1, 2]\ntemperature_coefficient = [0.1]", "temperature_coefficient: 1 values for 2 conductances"),
    ],
)
def test_a_temperature_that_cannot_be_is_told(lines, told):
    with pytest.raises(RecipeError) as error:
        parse(BASE + "[devices]\n" + lines, "a.toml")
    assert told in str(error.value)


def test_devices_in_python_tell_it_too():
    # 11604.5 K (1/298.15 - 1/250) = -7.4963, of which e to the power is 5.551e-4
    with pytest.raises(ValueError, match="temperature = 350 K, but it has no model of it"):
        Array(np.eye(2), Device(programming=Generic(0.01)), temperature=350.0)
    warm = Device(drift=replace(fixed(0.05, start=20.0), activation=1.0))
    with pytest.raises(ValueError, match="temperature = 85; allowed are 200 to 600 kelvin"):
        warm.check(DAY, 85.0)
    with pytest.raises(ValueError, match="time = 60 s at 250 K, as old as 0.0333071 s is before t0 = 20 s"):
        warm.check(60.0, 250.0)


def test_it_is_a_condition_of_devices_that_have_a_model_and_of_no_other(tmp_path):
    told = {"conditions": conditions.Conditions(fields={"devices.temperature": [298.15, 358.15], "devices.age": [60.0, DAY]})}
    found = specs.points(specs.Spec(name="x", axes={"beta": [0.5, 1.0]}, **told), of_xor(preset="pcm", activation_energy=0.4))
    assert [p.recipe.devices.temperature for p in found[:4]] == [298.15, 298.15, 358.15, 358.15] and len(found) == 8
    with pytest.raises(specs.SpecError, match="devices.temperature: no design has a model for it: recipe: .* but pcm has no model"):
        specs.points(specs.Spec(name="x", axes={"beta": [0.5, 1.0]}, **told), of_xor(preset="pcm"))
    for one in ({"devices.temperature": [298.15, 85]}, {"devices.temperature": [298.15, 358.15], "devices.age": [60.0, 1.0]}):
        # one case that no design stands would leave all of them without a rank
        with pytest.raises(specs.SpecError, match="85; allowed are 200 to 600 kelvin|devices.age: no design has a model for it.* 1 s, but"):
            wrong = conditions.Conditions(fields=one)
            specs.points(specs.Spec(name="x", axes={"beta": [1.0]}, conditions=wrong), of_xor(preset="pcm", activation_energy=0.4))
    mixed = specs.Spec(name="x", axes={"devices.activation_energy": [0.0, 0.4]}, **told)
    assert [bool(p.recipe) for p in specs.points(mixed, of_xor(preset="pcm"))] == [False] * 4 + [True] * 4


def test_the_command_ages_at_a_temperature(tmp_path):
    (tmp_path / "warm.toml").write_text(of_xor(preset="pcm", activation_energy=0.4).to_toml())
    np.savez(tmp_path / "xor-weights.npz", **{f"weights{k}": w for k, w in enumerate(emulator.initial_weights(load("xor")))})
    run = CliRunner().invoke
    at = ["age", str(tmp_path / "warm.toml"), "--run", str(tmp_path), "-o", str(tmp_path), "--time", "86400"]
    done, bare = run(app, [*at, "--temperature", "358.15"]), run(app, at)
    assert "86400 s old at 358.15 K" in done.stdout and "86400 s old  (" in bare.stdout
    told = run(app, [*at, "--preset", "sonos", "--temperature", "300"])
    assert told.exit_code == 2 and "sonos" in told.stderr


def test_a_sweep_has_the_chips_of_train_and_draws_are_as_warm():
    # nothing is compensated, so that half of every conductance is half of every weight
    told = {"preset": "pcm-joshi", "temperature_coefficient": -5e-3, "temperature": 398.15, "compensate": "none"}
    recipe, xor = of_xor(**told), load_data("xor")
    nothing = {**told, "temperature_coefficient": -9.9e-3}  # a hundredth is left of what a chip has learned
    spec = specs.Spec(name="x", axes={"beta": [1]}, epochs=2, samples=0, metrics=["accuracy", "loss"], seeds=2)
    values = evaluate(batches([Job(of_xor(**nothing), s) for s in (1, 2)], 2)[0], sweep.settings_of(spec))
    alone, well = (emulator.train(of_xor(**nothing | t), *xor, epochs=2, seeds=[1, 2]) for t in ({}, {"temperature": 0.0}))
    assert [v["accuracy"] for v in values] == alone.epochs[-1]["accuracy"].tolist()
    assert (alone.epochs[-1]["accuracy"] < well.epochs[-1]["accuracy"]).all()
    weights = [np.rint(2000 * np.random.default_rng(k).normal(size=w.shape)).astype(np.int32) for k, w in enumerate(alone.weights)]
    weights = [w[0] for w in weights]
    cold = recipe.model_copy(update={"devices": recipe.devices.model_copy(update={"temperature": 0.0})})
    halved = emulator.Chip(recipe.as_built, "numpy", (2,), [5, 6])
    written = [programmed(cold, weights, seeds=s) for s in (5, 6)]
    halved.weights = [np.stack([programmed(recipe, weights, seeds=s, temperature=398.15)[k] for s in (5, 6)]) for k in range(2)]
    assert all(np.abs(h[i] - w[k] / 2).max() < 1 for k, h in enumerate(halved.weights) for i, w in enumerate(written))
    assert (emulator.drawn(recipe, weights, xor.x_test, [5, 6]) == halved.infer(xor.x_test)).all()
