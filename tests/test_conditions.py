"""Designs under conditions: rows, ranks, yields, fronts and picks against computations that know nothing of how they are made."""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from typer.testing import CliRunner

from crossdyad import emulator
from crossdyad.cli import app
from crossdyad.data import load as load_data
from crossdyad.emulator.devices import programmed
from crossdyad.explore import choose, conditions, cost, report, search, statistics, sweep
from crossdyad.explore import spec as specs
from crossdyad.explore.jobs import Job, batches, evaluate
from crossdyad.explore.store import Store
from crossdyad.recipe import Recipe, load

SPEC = """
name = "under"
recipe = "xor"
seeds = 3
epochs = 2
samples = 0
metrics = ["accuracy", "loss", "lut"]
[axes]
bits.weight = [6, 10]
beta = [0.5, 1.0]
"""
CONDITIONS = """
[conditions]
devices.read_noise = [0, 0.4]
corners.good = { "devices.stuck" = 0 }
corners.bad = { "devices.stuck" = 0.4 }
"""


def swept(text, folder):
    path = folder / "under.toml"
    path.write_text(text)
    told, base = specs.read(path)
    settings = sweep.settings_of(told, base)
    kept = Store(folder / "under.db")
    kept.remember(told.name, text, base.to_toml(), sweep.measured(settings))
    made = sweep.plan(specs.points(told, base), told.seed_list, settings, kept)
    counts = sweep.run(made, settings, kept, lambda: ThreadPoolExecutor(1), 1)
    assert counts["failed"] == counts["invalid"] == 0
    return kept


@pytest.fixture(scope="module")
def exhaustive(tmp_path_factory):
    """Every combination trained on its own, conditions and designs alike: {(bits, beta): {(noise, stuck, seed): accuracy, loss}}."""
    found, xor = {}, load_data("xor")
    for bits, beta in itertools.product([6, 10], [0.5, 1.0]):
        table = load("xor").model_dump()
        weight = table["formats"]["weight"]
        weight["frac"], weight["width"], table["beta"] = weight["frac"] + bits - weight["width"], bits, beta
        for noise, stuck in itertools.product([0, 0.4], [0, 0.4]):
            table["devices"] |= {"read_noise": noise, "stuck": stuck}
            recipe = Recipe.model_validate(table)
            last = emulator.train(recipe, *xor, epochs=2, seeds=[1, 2, 3], engine="numpy").epochs[-1]
            for i, seed in enumerate((1, 2, 3)):
                found.setdefault((bits, beta), {})[noise, stuck, seed] = last["accuracy"][i], last["loss"][i]
    return found


@pytest.mark.parametrize(
    ("rank", "accuracy", "loss"),
    [('"mean"', np.mean, np.mean), ('"worst"', min, max), ("0.25", lambda v: np.quantile(v, 0.25), lambda v: np.quantile(v, 0.75))],
)
def test_the_front_under_conditions_is_that_of_an_exhaustive_computation(rank, accuracy, loss, exhaustive, tmp_path):
    with swept(SPEC + CONDITIONS.replace("[conditions]\n", f"[conditions]\nrank = {rank}\n"), tmp_path) as kept:
        spec, rows = sweep.results(kept)
        found = statistics.summaries(rows, spec.conditions)
        made = statistics.front(found, ("accuracy", "lut"))
        picked = choose.pick(kept, {})
        page = report.page(kept)
    assert len(rows) == 4 * 4 * 3 and len(found) == 4
    expected = {}
    for s in found:
        own = exhaustive[s.settings["bits.weight"], s.settings["beta"]]
        each = np.array(list(own.values()))
        expected[s.settings["bits.weight"], s.settings["beta"]] = accuracy(each[:, 0]), s.values["lut"][0]
        assert s.figure("accuracy") == pytest.approx(accuracy(each[:, 0]), abs=1e-12) and set(s.settings) == {"bits.weight", "beta"}
        assert s.figure("loss") == pytest.approx(loss(each[:, 1]), rel=1e-9)
    on = {p for p, (a, c) in expected.items() if not any(b >= a and d <= c and (b, d) != (a, c) for b, d in expected.values())}
    assert {(s.settings["bits.weight"], s.settings["beta"]) for s, is_on in zip(made.points, made.on, strict=True) if is_on} == on
    assert picked.chosen.figure("accuracy") == max(a for a, _ in expected.values())
    assert picked.recipe.devices.read_noise == picked.recipe.devices.stuck == 0  # what the design has, not what it met
    assert "over 4 conditions, all seeds" in choose.told(picked, "accuracy") and "over 4 conditions, all seeds" in page


def test_costs_are_those_of_the_design_and_not_of_what_it_meets(tmp_path):
    with swept(SPEC + CONDITIONS, tmp_path) as kept:
        spec, rows = sweep.results(kept)
        luts = {json.dumps(spec.design(row["point"])): row["value"]["lut"] for row in rows}
        assert all(row["value"]["lut"] == luts[json.dumps(spec.design(row["point"]))] for row in rows)
    quiet = specs.apply(load("xor"), {"bits.weight": 10}).recipe
    assert cost.estimate(quiet, "ulx3s", "digital")["lut"] in luts.values()
    noisy = quiet.model_copy(update={"devices": quiet.devices.model_copy(update={"read_noise": 0.4})})
    assert cost.estimate(noisy, "ulx3s", "digital")["lut"] not in luts.values()


NOISY = {"preset": "pcm", "age": 86400.0, "read_noise": 0.2}


def test_draws_are_chips_that_the_trained_weights_are_written_to(tmp_path):
    """Each device alone, by the chip and by `programmed`, from weights that a training of its own has."""
    base = load("xor")
    recipe = base.model_copy(update={"devices": base.devices.model_copy(update=NOISY)})
    spec = specs.Spec(
        name="x",
        axes={"beta": [1]},
        epochs=1,
        samples=0,
        metrics=["accuracy"],
        conditions={"draws": [7, 8, 9], "subsets": 2, "yield_at": 0.7},
    )
    (value,) = evaluate(batches([Job(recipe, 3)], 4)[0], sweep.settings_of(spec))
    x_train, y_train, x, y = load_data("xor")
    chip = emulator.Chip(recipe, seeds=3)
    chip.weights = programmed(recipe, emulator.initial_weights(recipe, 3), 0, None, 3)
    at = emulator.training.order(recipe, 0, len(x_train), 3)
    chip.train(x_train[at], y_train[at])
    for seed, parts in zip([7, 8, 9], value["accuracy_cases"], strict=True):
        other = emulator.Chip(recipe, seeds=seed)
        other.weights = programmed(recipe, chip.weights, 0, 86400.0, seed)
        right = np.argmax(other.infer(x), -1) == y
        assert parts == [part.mean() for part in np.array_split(right, 2)]
    assert value["accuracy"] == pytest.approx(np.mean(value["accuracy_cases"]))
    more = emulator.drawn(recipe, chip.weights, x, [8, *range(1000, 1120), 9])  # more than run at once
    alone = emulator.drawn(recipe, chip.weights, x, [9])
    assert (more[-1] == alone[0]).all() and (more[0] != more[1]).any()
    with pytest.raises(ValueError, match="seeds: none"):
        emulator.drawn(recipe, chip.weights, x, [])


def test_a_yield_is_the_share_of_chips_that_pass_by_their_rank():
    cases = np.random.default_rng(0).random((2, 50, 4))  # seeds, devices, parts of the test set
    rows = [
        {
            "status": "ok",
            "recipe": {},
            "board": "b",
            "point": {},
            "seed": s,
            "versions": {},
            "value": {"accuracy": cases[s].mean(), "accuracy_cases": cases[s].tolist()},
        }
        for s in range(2)
    ]
    for rank, judge in (("mean", np.mean), ("worst", min), (0.5, np.median)):
        (made,) = statistics.summaries(rows, conditions.Conditions(rank=rank, yield_at=0.4))
        assert made.values["yield"].tolist() == [np.mean([judge(chip) >= 0.4 for chip in seed]) for seed in cases]
        assert made.figure("yield") == made.values["yield"].mean()
        assert made.figure("accuracy") == pytest.approx({"mean": np.mean, "worst": np.min, 0.5: np.median}[rank](cases))
        assert statistics.reach(made, "accuracy")[1] == -np.inf or rank == "mean"
        surely = statistics.front([made], ("accuracy", "yield")).surely
        assert surely.tolist() == [1]


def test_designs_that_lack_a_case_are_not_ranked():
    told = conditions.Conditions(fields={"devices.age": [1.0, 2.0]})
    rows = [
        {
            "status": "ok",
            "recipe": {"name": n},
            "board": "b",
            "point": {"devices.age": a, "beta": n},
            "seed": 1,
            "versions": {},
            "value": {"accuracy": 0.5},
        }
        for n, a in (("whole", 1.0), ("whole", 2.0), ("part", 1.0))
    ]
    assert [s.settings for s in statistics.summaries(rows, told)] == [{"beta": "whole"}]


def test_a_search_under_conditions_is_told_the_figures_of_designs(tmp_path):
    text = SPEC + '[search]\nobjectives = ["accuracy", "lut"]\ngenerations = 2\npopulation = 4\n' + CONDITIONS
    (tmp_path / "under.toml").write_text(text)
    told, base = specs.read(tmp_path / "under.toml")
    with Store(tmp_path / "a.db") as kept:
        found = search.asked(told, base, kept, lambda: ThreadPoolExecutor(1), 1)
        kept.remember(told.name, text, base.to_toml(), sweep.measured(sweep.settings_of(told, base)))
        rows = sweep.results(kept)[1]
        assert len(rows) == len(found) * 4 * 3
        assert len(statistics.summaries(rows, told.conditions)) == len(found)
        assert search.asked(told, base, kept, lambda: pytest.fail("all is in the store"), 1) == found


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("devices.temprature = [300, 350]", "did you mean 'devices.temperature'"),
        ("devices.levels = [16]", "what a design chooses is an axis"),
        ("devices.red_noise = [0]", "did you mean 'devices.read_noise'"),
        ("yield_at = 0.9", "a yield of one chip; give conditions.draws, or more seeds"),
        ('rank = "best"', "conditions.rank: 'best'; allowed are 'mean', 'worst', or a share between 0 and 1"),
        ("rank = 1.5", "conditions.rank: 1.5; allowed are"),
        ("rank = true", "conditions.rank: True; allowed are"),
        ("draws = -1", "-1; allowed is how many"),
        ("draws = [1, 1]", "list of different whole numbers"),
        ("subsets = 0", "subsets"),
        (
            "devices.read_noise = [0]\ncorners.a = { devices.read_noise = 1 }",
            "corners.a: devices.read_noise; allowed are fields that are no",
        ),
        ("corners.a = { devices.preset = 'pcm' }", "corners.a: devices.preset: no condition"),
        ("corners = 3", "no table of tables"),
        ("devices.stuck = [0]", "devices.stuck are axes, too"),
        ("yield_at = 2", "yield_at"),
    ],
)
def test_conditions_that_cannot_be_are_told_in_words(lines, told, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(f'name = "x"\nseeds = 1\naxes.devices.stuck = [0, 0.5]\n[conditions]\n{lines}\n')
    with pytest.raises(specs.SpecError) as error:
        specs.read(path)
    assert told in str(error.value) and str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("devices.age = [86400.0]", "devices.age: no design has a model for it"),
        ("devices.temperature = [350]", "devices.temperature: no design has a model for it"),
        ("devices.read_noise = [0.1]\ncorners.hot = { devices.temperature = 350 }", "corners: no design has a model for it"),
        ("draws = 5", "all devices of every design are alike"),
    ],
)
def test_what_no_design_has_a_model_of_is_refused_before_anything_is_computed(lines, told, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(f'name = "x"\nrecipe = "xor"\n[axes]\nbeta = [0.5, 1.0]\n[conditions]\n{lines}\n')
    done = CliRunner().invoke(app, ["sweep", str(path), "--store", str(tmp_path / "a.db")])
    assert done.exit_code == 2 and told in done.stderr and not (tmp_path / "a.db").exists()


@pytest.mark.slow
def test_ten_thousand_devices_of_a_digits_design_are_one_batch():
    digits, data = load("digits"), load_data("digits")
    recipe = digits.model_copy(update={"devices": digits.devices.model_copy(update=NOISY | {"read_noise": 0.05})})
    outputs = emulator.drawn(recipe, emulator.initial_weights(recipe), data.x_test, range(10_000))
    assert outputs.shape == (10_000, 360, 10)
