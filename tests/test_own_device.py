"""A device of one's own: from a table to cells, pulses, reads, training and yield; and what cannot be is told."""

import warnings

import numpy as np
import pytest

from crossdyad import emulator
from crossdyad.data import load as load_data
from crossdyad.emulator.devices import Array, Circuit, DeviceWarning, Mapping, MeasuredStep, PulsedDevice, device_of, programmed, send
from crossdyad.explore import conditions, statistics, sweep
from crossdyad.explore import spec as specs
from crossdyad.explore.jobs import Job, batches, evaluate
from crossdyad.recipe import Recipe, RecipeError, load, parse
from crossdyad.sim.budget import budget
from crossdyad.weights import age

TABLE = """conductance [uS],programming [nS],read,drift,drift_spread,up [uS],down [uS],states [uS],volts [mV],bent [V]
2,100,0.02,0.08,0.01,0.9,0,2,-300,-0.36
10,300,0.05,0.05,0.01,0.5,0.2,5,0,0
20,400,0.06,0.02,0.005,0.3,0.4,9,300,0.36
42,500,0.1,0.01,0.005,0,0.9,42,,
"""
RECIPE = """
name = "mine"
sizes = [3, 8, 2]
lanes = [2, 8]
epsilon = 0.0078125
[devices.cell]
table = "mine.csv"
drift_start = 60.0
"""


def made(folder, more="", table=TABLE):
    (folder / "mine.csv").write_text(table)
    (folder / "mine.toml").write_text(RECIPE + more)
    return load(folder / "mine.toml")


def test_a_table_is_taken_into_the_recipe_in_its_units(tmp_path):
    cell = made(tmp_path).devices.cell
    assert cell.conductance == (2, 10, 20, 42) and cell.programming == pytest.approx((0.1, 0.3, 0.4, 0.5))
    assert cell.read == (0.02, 0.05, 0.06, 0.1) and cell.up == (0.9, 0.5, 0.3, 0) and cell.states == (2, 5, 9, 42)
    assert cell.volts == pytest.approx((-0.3, 0, 0.3)) and cell.bent == (-0.36, 0, 0.36) and cell.largest_voltage == pytest.approx(0.3)
    # a pulse in the middle of 2 .. 42 uS, at 22 uS: 2/22 of the way from 20 to 42
    assert cell.pulse == pytest.approx((0.3 * 20 / 22 + (0.4 * 20 + 0.9 * 2) / 22) / 2 / 40)
    kept = made(tmp_path)
    (tmp_path / "mine.csv").unlink()
    assert parse(kept.to_toml()) == kept  # the recipe is whole without the file


def test_its_device_has_what_was_measured(tmp_path):
    device = device_of(made(tmp_path).devices)
    between = np.array([6.0, 31.0])
    assert (device.g_min, device.g_max) == (2, 42)
    assert device.programming.sigma(between, 42) == pytest.approx([0.2, 0.45])
    assert device.read.sigma(between, 42) == pytest.approx([0.035, 0.08])
    assert device.drift.mean(between / 42) == pytest.approx([0.065, 0.015]) and device.drift.start == 60
    assert device.target((np.array([2, 3.4, 3.6, 24, 26]) - 2) / 40).tolist() == [2, 2, 5, 9, 42]  # the nearest state
    ((table, _),) = device.iv.terms(between, 10)
    assert table[-1] / 4096 == pytest.approx(12, rel=1e-3)  # 0.36 V for 10 codes of 30 mV
    many = device.program(np.full(200_000, 0.2), 3, 0, 6000.0)
    assert many[0].mean() == pytest.approx(9, abs=3e-3) and many[0].std() == pytest.approx(0.275, rel=0.01)
    nu = np.log(many[0] / many[1]) / np.log(100)
    assert nu.mean() == pytest.approx(0.08 - 0.03 * 7 / 8, abs=1e-3)


def test_pulses_follow_the_measured_curves():
    """Sent one by one, a cell climbs and falls as steps through the table do by hand."""
    law = MeasuredStep((0, 0.2, 0.45, 1), (2.0, 1.25, 0.9, 0.0), (0, 0.5, 1.1, 2.2))
    cells = PulsedDevice(law, 0.02, -1, 1).cells((1, 1), 1, np.float64)
    for sign, start, column in ((1, -1.0, law.up), (-1, 1.0, law.down)):
        w, by_hand = np.full((1, 1), start), start
        for _ in range(120):
            w = send(cells, w, sign)
            by_hand += sign * 0.02 * np.interp((by_hand + 1) / 2, law.share, column)
            assert w[0, 0] == pytest.approx(by_hand, abs=1e-9)
    bounded = PulsedDevice(law, 0.02, -1, 1, stuck=1.0).cells((2, 2), 1, np.float64)
    assert (send(bounded, np.zeros((2, 2)), 5) == 0).all()
    with pytest.raises(ValueError, match="ascending order"):
        MeasuredStep((0, 0), (1, 1), (1, 1))


def test_unequal_levels_are_those_of_an_array_too(tmp_path):
    """A weight on levels is what the recipe's path and the array make of it, and whatever lies between becomes the nearest."""
    from crossdyad.emulator.devices import stored

    device = device_of(parse(RECIPE.split("[devices")[0] + "[devices.cell]\nconductance = [2, 42]\nstates = [2, 5, 9, 42]").devices)
    levels = np.array([[7, -3, 1], [0, -7, 2]])
    array = Array(levels, device, Circuit(mapping=Mapping(4), output=None, output_transposed=None), scale=7.0)
    targets = {1: 2 + 40 / 7, 2: 2 + 80 / 7, 3: 2 + 120 / 7}
    nearest = {k: min((2, 5, 9, 42), key=lambda s, v=v: abs(s - v)) for k, v in targets.items()}
    expected = np.vectorize(lambda v: np.sign(v) * ({0: 2, 7: 42} | nearest)[abs(v)] - np.sign(v) * 2)(levels) * 7 / 40
    assert np.allclose(array.effective, expected)
    assert np.allclose(stored(levels.astype(float), device, 0, 0, mapping=Mapping(4)), expected)


PULSES = '[arrays]\non = true\n[pulses]\nlaw = "measured"\nnoise = 0.2\n'


def test_from_curve_to_yield(tmp_path):
    """Trained by its pulses through its reads, aged, tested on other devices; budget and statistics follow."""
    recipe = made(tmp_path, PULSES)
    recipe = recipe.model_copy(update={"devices": recipe.devices.model_copy(update={"age": 86400.0})})
    xor = load_data("xor")
    spec = specs.Spec(
        name="x", axes={"beta": [1]}, epochs=3, samples=0, metrics=["accuracy"], seeds=2, conditions={"draws": [5, 6, 7], "yield_at": 0.5}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeviceWarning)
        history = emulator.train(recipe, *xor, epochs=3, seeds=[1, 2])
        values = evaluate(batches([Job(recipe, s) for s in (1, 2)], 2)[0], sweep.settings_of(spec))
        rows = [
            {"status": "ok", "recipe": {}, "board": "b", "point": {}, "seed": s, "versions": {}, "value": v} for s, v in enumerate(values)
        ]
        (found,) = statistics.summaries(rows, spec.conditions)
        parts = [row["effect"] for row in budget(recipe, [w[0] for w in history.weights], xor.x_test, xor.y_test, seeds=2)]
    assert all(len(v["accuracy_cases"]) == 3 for v in values)
    assert found.figure("yield") == np.mean([case >= 0.5 for v in values for (case,) in v["accuracy_cases"]])
    assert {"levels of cells", "programming noise", "drift", "read noise of cells", "curved currents"} <= set(parts)
    changed = [w != i for w, i in zip(history.weights, emulator.initial_weights(recipe, [1, 2]), strict=True)]
    assert all(c.any() for c in changed)


def test_draws_on_arrays_are_chips_of_their_own(tmp_path):
    recipe = made(tmp_path, "[arrays]\non = true\noutput_bits = 8\n")
    x, y = load_data("xor").x_test, load_data("xor").y_test
    weights = emulator.initial_weights(recipe)
    together = emulator.drawn(recipe, weights, x, [3, 4], shown=(x, y))
    chip = emulator.devices.ArrayChip(recipe, seeds=4, device=device_of(recipe.devices))
    chip.weights = programmed(recipe, weights, 0, None, 4)
    chip.calibrate(x, y)
    assert (together[1] == chip.infer(x)).all() and (together[0] != together[1]).any()
    with pytest.raises(ValueError, match="shown: none"):
        emulator.drawn(recipe, weights, x, [3])


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (TABLE.replace("10,300", "60,300"), "conductance: 2, 60, 20, 42; allowed are two or more, in ascending order"),
        (TABLE.replace("[uS],programming", "[ohm],programming"), "column conductance: unit 'ohm'; allowed are S, mS, uS, nS"),
        (TABLE.replace("20,400", "20,"), "line 4: programming: empty, with values below it; a table has no gaps"),
        (TABLE.replace("42,500,0.1,", "42,500,,"), "column read: 3 values for 4 of conductance; a table has no gaps"),
        (TABLE.replace("drift,", "drifd,"), "column 'drifd': unknown; allowed are conductance, programming"),
        (TABLE.replace("0.06", "six"), "line 4: read: 'six' is no number"),
        (TABLE.replace("0.06", "nan"), "line 4: read: 'nan' is no number"),
        (TABLE.replace("bent [V]", "up"), "column up: there twice"),
        (TABLE.replace(",42,,", ",43,,"), "states: 2, 5, 9, 43; allowed are"),
        (TABLE.replace(",300,0.36", ",-400,0.36"), "volts: -0.3, 0, -0.4; allowed are voltages in ascending order"),
        (TABLE.replace("20,400", "20,-400"), "devices.cell.programming"),
        (TABLE.replace("0.9,0,2", "90,0,2"), "up: 90, 0.5, 0.3, 0; allowed are changes"),
        ("conductance\n", "no rows"),
        (TABLE.replace(",", ";"), "columns are separated by ';'; allowed are commas"),
        (TABLE.replace("conductance [uS]", "conductance [mS]"), "column read: no unit beside conductance in mS; name it, as read [uS]"),
        (TABLE + "1,2,3,4,5,6,7,8,9,10,11\n", "line 6: 11 fields under 10 names"),
    ],
)
def test_a_table_that_cannot_be_is_told_with_its_line_or_column(table, told, tmp_path):
    with pytest.raises(RecipeError) as error:
        made(tmp_path, table=table)
    assert told in str(error.value) and str(error.value).startswith(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('[devices]\npreset = "pcm"', "devices.cell: given together with preset 'pcm'; allowed is one of the two"),
        ("[devices]\nage = 30.0", "the law of its cell begins 60 s after writing"),
        ('[arrays]\non = true\nlaw = "measured"\npulse = 0.01', "allowed is 0, as the cell's own curves say it"),
        ("[devices.cell]\nread = [1, 2, 3, 4]", "devices.cell.read: given together with the same column of mine.csv"),
        ("[devices.cell]\nvoltage = 0.5", "allowed are curves that cover inputs of +-0.5 V"),
        ("[devices.cell]\ndrift_start = 0.0", "devices.cell.drift_start: 0 s; allowed is more than 0 together with drift"),
    ],
)
def test_a_recipe_that_contradicts_its_table_is_told(lines, told, tmp_path):
    (tmp_path / "mine.csv").write_text(TABLE)
    text = RECIPE + lines.removeprefix("[devices.cell]\n") if lines.startswith("[devices.cell]") else RECIPE + lines
    text = text.replace("drift_start = 60.0\ndrift_start = 0.0", "drift_start = 0.0")
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(RecipeError) as error:
        load(tmp_path / "mine.toml")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("[pulses]\nlaw = 'measured'", "pulses.law: measured without pulses that were measured"),
        ("[devices.cell]\nconductance = [1, 2]\nup = [1, 1]", "devices.cell.down: missing; pulses need both"),
        ("[devices.cell]\nup = [1, 1]", "devices.cell.conductance: missing"),
        ("[devices.cell]\nconductance = [1, 2]\ntable = 'no.csv'", "devices.cell.table: no.csv: cannot be read"),
        ("[devices.cell]\ntable = 3", "devices.cell.table: 3; allowed is the name of a CSV file"),
        ("[devices.cell]\nconductance = [1, 2]\n[devices]\nmeasured = [[1, 0], [2, 0]]", "devices.cell: given together with measured"),
    ],
)
def test_a_cell_that_cannot_be_is_told(lines, told, tmp_path):
    lines = lines if "[devices]" not in lines else "[devices]\nmeasured = [[1, 0], [2, 0]]\n[devices.cell]\nconductance = [1, 2]"
    with pytest.raises(RecipeError) as error:
        parse("name = 'a'\nsizes = [2, 2]\nlanes = [2]\n" + lines, "a.toml")
    assert told in str(error.value)


def test_an_age_is_a_condition_of_a_cell_that_drifts_and_of_no_other(tmp_path):
    told = {"conditions": conditions.Conditions(fields={"devices.age": [86400.0]}), "axes": {"beta": [1.0]}}
    assert specs.points(specs.Spec(name="x", **told), made(tmp_path))[0].recipe.devices.age == 86400
    still = parse("name = 'a'\nsizes = [3, 2]\nlanes = [2]\n[devices.cell]\nconductance = [1, 2]")
    with pytest.raises(specs.SpecError, match="devices.age: no design has a model for it"):
        specs.points(specs.Spec(name="x", **told), still)


def test_recipes_that_differ_in_their_cells_only_are_one_chip(tmp_path):
    assert made(tmp_path).as_built == Recipe.model_validate(made(tmp_path).model_dump(exclude={"devices"})).as_built


def test_a_published_device_takes_the_place_of_ones_own(tmp_path):
    """Also where the recipe's pulses and its temperature are those of its own cell."""
    recipe = made(tmp_path, PULSES + "[devices]\nage = 60.0\nactivation_energy = 0.4\n")
    found = age(recipe, emulator.initial_weights(recipe), preset="sonos", output=tmp_path)
    assert found.device == "sonos" and found.read_noise is None
    with pytest.raises(ValueError, match="^mine: devices.temperature: 350 K, but sonos has no model of it"):
        age(recipe, emulator.initial_weights(recipe), preset="sonos", temperature=350.0, output=tmp_path)


def test_a_picked_point_says_what_its_figures_are():
    assert conditions.figure("mean") == "the mean over the seeds"
    assert conditions.figure(0.1) == "the mean over the seeds; of what chips did, the 0.1 quantile of all cases"
