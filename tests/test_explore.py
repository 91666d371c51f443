"""Sweeps: specifications, rows that depend on nothing but their key, rates, names."""

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sweeps import SPEC, swept

from crossdyad import emulator
from crossdyad.data import load as load_data
from crossdyad.explore import axes, choose, metrics, pool, rate, sweep
from crossdyad.explore import spec as specs
from crossdyad.explore.jobs import Job, Settings, Under, batches, evaluate, key
from crossdyad.explore.store import Store
from crossdyad.recipe import Recipe, load, programs

# Specifications ---------------------------------------------------------------------------------------------


def test_all_mistakes_of_a_specification_are_told_at_once(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('name = "x"\nepoch = 3\n[axes]\nbeta = []\nbits.weigth = [8]\ndevices.read_noise = {from = 1, to = 0, step = 1}\n')
    with pytest.raises(specs.SpecError) as error:
        specs.read(path)
    text = str(error.value)
    for told in ("did you mean 'epochs'", "steps of 1 do not lead from 1 to 0", "did you mean 'bits.weight'", "beta: no values"):
        assert told in text


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("seeds = -2", "seeds: -2; allowed is how many"),
        ("seeds = [1, 1]", "different whole numbers"),
        ('metrics = ["acuracy"]', "did you mean 'accuracy'"),
        ('board = "ulx4s"', "did you mean 'ulx3s'"),
        ('axes.board = ["ulx3s-85g"]', "did you mean 'ulx3s-85f'"),
        ("axes.beta = 1.0", "beta: 1.0 is no list; write [1.0]"),
        ("axes.beta = [1.0, 1.0]", "1.0 is there twice"),
        ("axes.beta = { form = 1, to = 2, step = 1 }", "did you mean 'from'"),
        ("axes.read_noise = [0]", "did you mean 'devices.read_noise'"),
        ("axes.seed = [1]", "seed: no axis; write seeds ="),
        ("axes.beta = { from = 0, to = 1e9, step = 1 }", "1000000001 values; allowed are at most"),
        ("axes.beta = { from = nan, to = 1, step = 1 }", "allowed is a finite number"),
        ("axes = 3", "not a table; write [axes]"),
        ('metrics = ["lut"]\nsearch = {objectives = ["accuracy"]}', "accuracy are not among the metrics"),
    ],
)
def test_a_mistake_of_a_specification_is_told_in_words(line, told, tmp_path):
    axes = "" if "axes" in line else "axes.alpha = [0]"
    (tmp_path / "bad.toml").write_text(f'name = "x"\n{line}\n{axes}\n')
    with pytest.raises(specs.SpecError) as error:
        specs.read(tmp_path / "bad.toml")
    assert told in str(error.value) and str(error.value).startswith(str(tmp_path / "bad.toml"))


def test_too_many_combinations_are_refused_before_they_are_made():
    many = {f"formats.{p}.width": {"from": 2, "to": 60, "step": 1} for p in ("weight", "state", "delta")}
    with pytest.raises(specs.SpecError, match=r"205379 combinations; .* \[search\]"):
        specs.points(specs.Spec(name="x", axes=many), load("digits"))


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ({"from": 4, "to": 8, "step": 2}, [4, 6, 8]),
        ({"from": 0.25, "to": 4, "factor": 4}, [0.25, 1, 4]),
        ({"from": 0, "to": 0.3, "step": 0.1}, [0, 0.1, 0.2, 0.3]),
        ({"from": 8, "to": 1, "factor": 0.5}, [8, 4, 2, 1]),
    ],
)
def test_ranges_include_both_ends(given, values):
    assert axes.Range.model_validate(given).values() == pytest.approx(values)


def test_bits_keep_the_range_and_width_does_not():
    base = load("digits")
    made, wide = (specs.apply(base, {name: 10}).recipe.formats.weight for name in ("bits.weight", "formats.weight.width"))
    assert abs(made.high - base.formats.weight.high) <= made.step and made.width == wide.width == 10
    assert wide.frac == base.formats.weight.frac


def test_every_field_of_a_recipe_can_be_an_axis():
    base = load("digits")
    for field in axes.fields():
        if field.startswith(("bits.", "lsb.")) or field == "board":
            continue
        value = base.model_dump()
        for part in field.split("."):
            value = value[part]
        assert specs.apply(base, {field: value}).recipe == base


def test_a_point_that_is_no_recipe_is_marked_and_the_rest_runs(tmp_path):
    path = tmp_path / "part.toml"
    path.write_text(SPEC.replace("devices.read_noise = [0, 0.1]", "epsilon = [0.125, 4096.0]"))
    counts, rows = swept(path, tmp_path / "part.db")
    assert counts == {"ok": 8, "failed": 0, "invalid": 4}
    marked = [r for r in rows.values() if r[3] == "invalid"]
    assert len(marked) == 4 and all("epsilon" in r[5] and "powers of two" in r[5] for r in marked)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"bits.weight": "a"}, "whole numbers of bits"),
        ({"bits.weight": 8.5}, "whole numbers of bits"),
        ({"sizes": [5, 4, 2]}, "no data set has 5 inputs"),
        ({"sizes": [64, 4, 2], "lanes": [1, 1]}, "digits has 10 classes"),
    ],
)
def test_a_point_that_no_data_fit_is_no_point(settings, told):
    point = specs.apply(load("xor"), settings)
    assert point.recipe is None and told in point.error


def test_a_board_is_an_axis_and_what_no_metric_needs_is_not_measured(spec, tmp_path):
    text = SPEC.replace("beta = [0.5, 1.0]", 'board = ["ulx3s", "ulx3s-85f"]')
    spec.write_text(text.replace("epochs = 3", 'epochs = 3\nmetrics = ["lut", "fill"]'))
    counts, rows = swept(spec, tmp_path / "a.db")
    assert counts == {"ok": 16, "failed": 0, "invalid": 0}
    small, large = ({json.dumps(r[1]): r[4] for r in rows.values() if r[6] == board} for board in ("ulx3s", "ulx3s-85f"))
    for recipe, value in small.items():
        assert value["accuracy"] is None and value["lut"] == large[recipe]["lut"] and value["fill"] > 2 * large[recipe]["fill"] > 0
    assert sweep.settings_of(specs.read(spec)[0])[:3] == (None, 0, "model")
    spec.write_text(text.replace("epochs = 3", 'epochs = 3\nmetrics = ["accuracy"]'))
    assert sweep.settings_of(specs.read(spec)[0])[:3] == (3, 0, "none")


# Rows -------------------------------------------------------------------------------------------------------


def test_a_row_is_what_the_emulator_does_alone():
    recipe = Recipe.model_validate(load("digits").model_dump() | {"devices": {"read_noise": 0.1}})
    jobs = [Job(recipe, 3), Job(specs.apply(recipe, {"bits.weight": 8, "beta": 0.5}).recipe, 7)]
    settings = Settings(1, 8, "model")
    rows = evaluate(batches(jobs, 8)[0], settings)
    for job, row in zip(jobs, rows, strict=True):
        alone = emulator.train(job.recipe, *load_data("digits"), epochs=1, engine="jax", seeds=[job.seed])
        assert row["accuracy"] == float(alone.epochs[-1]["accuracy"][0])
        assert row["loss"] == pytest.approx(float(alone.epochs[-1]["loss"][0]))
        assert len(row["accuracy_by_epoch"]) == 1
        for name in metrics.GRADIENT:
            assert len(row[f"{name}_by_epoch"]) == 2 and row[f"{name}_by_epoch"][-1] == row[name]


def test_chips_with_arrays_are_points_like_others():
    base = specs.apply(load("xor"), {"bits.weight": 10}).recipe
    points = [specs.apply(base, {"arrays.on": on, "arrays.output_bits": bits}) for on, bits in ((True, 0), (True, 4), (False, 0))]
    jobs = [Job(p.recipe, seed) for p in points for seed in (1, 2)]
    settings, rows = Settings(2, 4, "none"), {}
    for batch in batches(jobs, 64):
        rows |= dict(zip(batch.jobs, evaluate(batch, settings), strict=True))
    rows = [{k: v for k, v in rows[job].items() if k != "seconds"} for job in jobs]
    assert rows[:2] == rows[4:]  # ideal arrays make the chip's bits
    assert rows[2]["cosine"] < rows[0]["cosine"] and len(rows[2]["cosine_by_epoch"]) == 3 and len(rows[2]["accuracy_by_epoch"]) == 2
    (alone,) = evaluate(batches(jobs[3:4], 64)[0], settings)
    assert {k: v for k, v in alone.items() if k != "seconds"} == rows[3]


@pytest.mark.slow
def test_slopes_of_probing_chips_are_judged_alone_as_among_others():
    settings = Settings(2, 8, "none")
    noisy = specs.apply(load("xor-spsa"), {"devices.read_noise": 0.01}).recipe
    jobs = [Job(r, s) for r in (load("xor-spsa"), noisy) for s in (1, 2)]
    (batch,) = batches(jobs, 64)
    rows = evaluate(batch, settings)
    assert all(len(row["sign_by_epoch"]) == 3 for row in rows) and rows[0]["cosine"] > 0.99 > rows[2]["cosine"]
    (alone,) = evaluate(batches(jobs[2:3], 64)[0], settings)
    assert {k: v for k, v in alone.items() if k != "seconds"} == {k: v for k, v in rows[2].items() if k != "seconds"}


def test_a_key_changes_with_everything_that_a_row_depends_on():
    job, settings = Job(load("xor"), 1), Settings(3, 4, "model")
    others = [
        (job._replace(seed=2), settings),
        (job, settings._replace(epochs=2)),
        (job, settings._replace(samples=8)),
        (job, settings._replace(cost="none")),
        (job._replace(board="ulx3s-85f"), settings),
        (job, settings._replace(under=Under((1,)))),
        (job, settings._replace(under=Under(subsets=2))),
        (job._replace(recipe=specs.apply(load("xor"), {"beta": 0.25}).recipe), settings),
    ]
    keys = {key(*other) for other in others}
    assert len(keys | {key(job, settings)}) == 9
    renamed = job._replace(recipe=job.recipe.model_copy(update={"name": "other"}))
    assert key(renamed, settings) == key(job, settings)


@pytest.mark.slow
def test_rows_do_not_depend_on_workers_batches_or_executor(spec, tmp_path, monkeypatch):
    _, threads = swept(spec, tmp_path / "a.db", 1)
    monkeypatch.setattr(sweep, "WIDEST", 3)
    counts, processes = swept(spec, tmp_path / "b.db", 2, lambda: pool.processes(2))
    assert counts == {"ok": 16, "failed": 0, "invalid": 0} and threads == processes
    counts, again = swept(spec, tmp_path / "b.db", 2, lambda: pytest.fail("nothing is missing"))
    assert again == threads


def test_a_cluster_makes_the_same_rows(spec, tmp_path):
    distributed = pytest.importorskip("distributed")
    _, here = swept(spec, tmp_path / "a.db")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
        counts, there = swept(spec, tmp_path / "b.db", 1, lambda: pool.cluster(cluster.scheduler_address))
    assert counts["ok"] == 16 and here == there


def test_a_scheduler_that_goes_away_is_told_and_what_was_finished_is_kept(spec, tmp_path, monkeypatch):
    executor = ThreadPoolExecutor(1)
    real, asked = sweep.evaluate, []

    def then_gone(batch, settings):
        if asked:
            executor._client.status = "closed"
            time.sleep(1)
        asked.append(batch)
        return real(batch, settings)

    executor._client = type("Client", (), {"status": "running", "nthreads": lambda self: {"a worker": 1}})()
    monkeypatch.setattr(sweep, "WIDEST", 8)
    monkeypatch.setattr(sweep, "LOOK", 0.1)
    monkeypatch.setattr(sweep, "evaluate", then_gone)
    with pytest.raises(ConnectionError, match="scheduler went away"):
        swept(spec, tmp_path / "a.db", 1, lambda: executor)
    with Store(tmp_path / "a.db") as kept:
        assert len(kept.rows()) == 8


def test_a_chip_that_fails_does_not_take_others_with_it(spec, tmp_path, monkeypatch):
    def fragile(batch, settings):
        if any(j.seed == 2 and j.recipe.formats.weight.width == 6 for j in batch.jobs):
            raise RuntimeError("this one")
        return [{"accuracy": 1.0, "seconds": 0.0} for _ in batch.jobs]

    monkeypatch.setattr(sweep, "evaluate", fragile)
    counts, rows = swept(spec, tmp_path / "a.db")
    assert counts == {"ok": 12, "failed": 4, "invalid": 0}
    assert all("this one" in r[5] and r[2] == 2 for r in rows.values() if r[3] == "failed")
    monkeypatch.undo()
    assert swept(spec, tmp_path / "a.db")[0]["failed"] == 4  # kept, until one asks for them again


# Rates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "there", "back"),
    [
        (load("digits"), 8 + 1 + 64, 8 + 10 + 5 + 7),
        (load("xor"), 8 + 1 + 3, 8 + 2 + 5 + 7),
        (load("mnist"), 8 + 1 + 784 + 3, 8 + 10 + 6 + 7),
        (Recipe(name="wide", sizes=[2, 2, 8], lanes=[1, 1]), 8 + 1 + 2, 8 + 8 + 5 + 7),
        (Recipe(name="fixed", sizes=[2, 2, 2], lanes=[1, 1], rule="inference"), 8 + 2, 8 + 2 + 5 + 7),
    ],
    ids=lambda v: getattr(v, "name", None),
)
def test_the_board_learns_from_as_many_samples_as_its_clock_and_its_line_allow(recipe, there, back):
    """Frames counted by hand from contract section 10, at 3 * 10**6 bits per second, of which a byte takes ten.

    The next step is launched in the cycle after the last one of a program (section 9).
    """
    found, slow = rate.rates(recipe, "ulx3s", 120), rate.rates(recipe, "ulx3s", 24)
    assert found.line == pytest.approx(3e5 / max(there, back)) == pytest.approx(found.both)
    assert found.chip == pytest.approx(25e6 / (programs(recipe)[1].length + 1)) and found.limit == "line"
    assert (slow.chip, slow.both, slow.limit) == (0, 0, "clock") and "does not run there" in rate.told(slow, "ulx3s")


def test_a_row_has_the_rates_of_its_board(spec, tmp_path):
    spec.write_text(SPEC.replace("epochs = 3", 'epochs = 3\nmetrics = ["samples_per_second", "chip_rate", "line_rate"]'))
    _, rows = swept(spec, tmp_path / "a.db")
    for row in rows.values():
        value, found = row[4], rate.rates(Recipe.model_validate(row[1]), row[6], 120)
        assert (value["samples_per_second"], value["chip_rate"], value["line_rate"]) == (found.line, found.chip, found.line)


# Names ------------------------------------------------------------------------------------------------------


def test_no_metric_has_the_name_of_an_axis():
    fields = {*Recipe.model_fields, "board", "seed", "status", "seconds", "error", "key", "recipe", "measured", "versions"}
    assert not fields & set(metrics.METRICS)


def test_a_sweep_over_biases_exports_each_name_once(tmp_path):
    path, store = tmp_path / "b.toml", tmp_path / "b.db"
    path.write_text(
        'name = "b"\nrecipe = "xor"\nseeds = 1\nepochs = 1\nsamples = 4\nmetrics = ["gradient_bias"]\n[axes]\nbias = [false, true]\n'
    )
    swept(path, store)
    with Store(store) as kept:
        header, rows = choose.table(kept)
        values = [row["value"] for row in kept.rows()]
    assert len(header) == len(set(header))
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    assert columns["bias"] == (False, True) and all(0 <= v < 10 for v in columns["gradient_bias"])
    assert columns["gradient_bias"] == tuple(v["gradient_bias"] for v in values)

    # a store and a specification from before
    with sqlite3.connect(store) as db:
        db.execute("UPDATE result SET value = replace(value, 'gradient_bias', 'bias')")
    with Store(store) as kept:
        assert choose.table(kept) == (header, rows) and [row["value"] for row in kept.rows()] == values
    path.write_text(path.read_text().replace('["gradient_bias"]', '["bias"]'))
    assert specs.read(path)[0].metrics == ["gradient_bias"]
