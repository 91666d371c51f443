"""Search, and what is made of the rows: the page, picks, exports."""

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sweeps import SPEC, content
from typer.testing import CliRunner

from crossdyad.cli import app
from crossdyad.emulator import link
from crossdyad.explore import choose, cost, files, pool, rate, report, search, statistics, sweep
from crossdyad.explore import spec as specs
from crossdyad.explore.statistics import Summary
from crossdyad.explore.store import Store
from crossdyad.recipe import Recipe, load


def test_what_computes_nothing_and_what_computes_a_batch_are_not_asked_for_together(tmp_path):
    (tmp_path / "s.toml").write_text(SPEC)
    done = CliRunner().invoke(app, ["sweep", str(tmp_path / "s.toml"), "--dry-run", "--estimate"])
    assert done.exit_code == 2 and "--dry-run, --estimate: give one of them" in done.output and not list(tmp_path.glob("*.db"))


@pytest.mark.parametrize("name", ["nsga2", "tpe"])
def test_neighbouring_searches_share_no_generation(name, monkeypatch):
    optuna, told = pytest.importorskip("optuna"), []
    for sampler in ("NSGAIISampler", "TPESampler"):
        monkeypatch.setattr(optuna.samplers, sampler, lambda seed, **options: told.append(seed))
    for seed in range(4):
        for generation in range(4):
            search.sampler(specs.Search(objectives=["accuracy"], sampler=name, seed=seed), generation)
    assert len(set(told)) == 16 and all(0 <= seed < 1 << 32 for seed in told)


def test_a_search_asks_for_the_same_points_again_and_finds_them_in_the_store(spec, tmp_path):
    pytest.importorskip("optuna")
    path = tmp_path / "search.toml"
    path.write_text(SPEC + '[search]\nobjectives = ["accuracy", "lut"]\ngenerations = 3\npopulation = 4\n')
    told, base = specs.read(path)
    with Store(tmp_path / "a.db") as kept:
        first = search.asked(told, base, kept, lambda: ThreadPoolExecutor(1), 1)
        rows = content(kept)
        assert search.search(told, base, kept, lambda: pytest.fail("all is in the store"), 1) == (len(first), 0, str(kept.path))
        again = search.asked(told, base, kept, lambda: pytest.fail("all is in the store"), 1)
        assert first == again and content(kept) == rows and 1 < len(first) <= 8
    with pytest.raises(ValueError, match="search: missing"):
        search.asked(*specs.read(spec), None, None, 1)


def test_the_report_is_one_page_that_needs_nothing_else(store):
    with Store(store) as kept:
        html = report.page(kept)
        assert html == report.page(kept)  # the same bytes from the same rows
    assert len(html.encode()) < 2_000_000
    assert html.count("<svg") >= 4 and "knee" in html and "crossdyad pick small.db" in html
    for outside in ("<link", "src=", "@import", "<img"):
        assert outside not in html
    assert all(s in html for s in ("bits.weight", "beta", "[formats]"))


def test_the_page_opens_in_a_browser_without_errors_and_without_the_network(store, tmp_path):
    browser = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)
    if browser is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    with Store(store) as kept:
        files.write(tmp_path / "page.html", report.page(kept))
    shot = tmp_path / "page.png"
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--enable-logging=stderr",
            f"--screenshot={shot}",
            "--window-size=1000,2000",
            (tmp_path / "page.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "CONSOLE" not in done.stderr
    from matplotlib.image import imread

    picture = imread(shot)
    assert picture.shape[:2] == (2000, 1000)
    # text and figures, from top to bottom: no quarter of the page is blank
    assert all(quarter[..., :3].std() > 0.05 for quarter in picture.reshape(4, 500, *picture.shape[1:]))


def test_a_picked_recipe_is_within_its_limits_and_best_there(store, tmp_path):
    run = CliRunner()
    done = run.invoke(app, ["pick", str(store), "--max-lut", "1e9", "--min-accuracy=0.2", "-o", str(tmp_path / "best.toml"), "--json"])
    told = json.loads(done.stdout)
    assert load(tmp_path / "best.toml") == Recipe.model_validate(told["recipe"])
    with Store(store) as kept:
        means = {}
        for row in kept.rows():
            means.setdefault(json.dumps(row["recipe"]), []).append(row["value"]["accuracy"])
    assert told["metrics"]["accuracy"] == pytest.approx(max(sum(v) / len(v) for v in means.values()))
    with Store(store) as kept:
        found = choose.pick(kept, {"lut": (None, 1e9), "accuracy": (0.2, None)})
        made = statistics.front(statistics.summaries(sweep.results(kept)[1]), ("accuracy", "lut"))
        share = next(s for p, s in zip(made.points, made.surely, strict=True) if p.settings == found.chosen.settings)
    assert 0 < share == told["on_front"]
    assert f"on the front of accuracy, lut in {100 * share:.0f} % of draws" in choose.told(found, "accuracy")
    refused = run.invoke(app, ["pick", str(store), "--min-accuracy", "1.1"])
    assert refused.exit_code == 2 and "accuracy reaches" in refused.stderr
    assert "did you mean 'lut'" in run.invoke(app, ["pick", str(store), "--max-luts", "1"]).stderr


def test_a_picked_recipe_is_as_it_was_measured_under_a_name_of_its_own(store, tmp_path):
    """Not for the preset's 20 epochs under figures of 3, and not in the way of the preset's files or of another pick's."""
    with Store(store, reading=True) as kept:
        luts = sorted({row["value"]["lut"] for row in kept.rows()})
        picks = [choose.pick(kept, {"lut": limit}) for limit in ((luts[-1], None), (None, luts[0]), (None, luts[0]))]
        page = report.page(kept)
    assert load("xor").training.epochs != 3 and all(p.recipe.training.epochs == 3 for p in picks)
    names = [p.recipe.name for p in picks]
    assert names[0] != names[1] == names[2] and all(n.startswith("small-") and n != "xor" for n in names)
    for p in picks:
        assert p.recipe.model_dump(exclude={"name", "training"}) == Recipe.model_validate(p.chosen.recipe).model_dump(
            exclude={"name", "training"}
        )
    assert page.count("name = &#34;small-") > 0 and "name = &#34;xor" not in page and "epochs = 20" not in page


def test_a_pick_tells_the_error_of_the_cost_model_and_a_sure_one_reckons_with_it(store):
    with Store(store, reading=True) as kept:
        picked = choose.pick(kept, {}, "lut")
        lut = picked.chosen.values["lut"][0]
        told, off = choose.told(picked, "lut"), cost.ratios("lut")
        assert "after 3 epochs of training" in told and "up to 52 % of all fail" in told
        assert f"# lut: {lut:,.0f} by the cost model; {min(off) * lut:,.0f} to {max(1, *off) * lut:,.0f} by its worst errors" in told
        assert rate.told(rate.rates(picked.recipe, "ulx3s", 120), "ulx3s") in told
        assert "MHz, its serial line 13,636; the line limits" in told
        choose.pick(kept, {"lut": (None, 1.01 * lut)})
        with pytest.raises(ValueError, match="lut reaches .* at its surest"):
            choose.pick(kept, {"lut": (None, 1.01 * lut)}, sure=True)
        assert choose.pick(kept, {"lut": (None, 1.06 * lut)}, sure=True)
        with pytest.raises(ValueError, match="5 leave it open that up to 52 % of all fail, and .* at least 0.9 can be sure from 36"):
            choose.pick(kept, {"accuracy": (0.9, None)}, sure=True)


def test_a_pick_beyond_the_builds_of_the_cost_model_says_so(store):
    with Store(store, reading=True) as kept:
        picked = choose.pick(kept, {}, "lut")
    assert "not calibrated" not in choose.told(picked, "lut")
    wide = Recipe.model_validate(picked.recipe.model_dump() | {"formats": {"weight": {"width": 24, "frac": 20}}})
    beyond = picked._replace(recipe=wide)
    assert "# The cost model was not calibrated for this, its errors may be larger: bits of a weight 24 (calibrated on 4 to 18)\n" in (
        choose.told(beyond, "lut") + "\n"
    )
    built = beyond._replace(chosen=beyond.chosen._replace(measured=beyond.chosen.measured | {"cost": "build"}))
    assert "not calibrated" not in choose.told(built, "lut")


@pytest.mark.parametrize("length", [1, 253, 254, 255, 507, 508, 509])
def test_a_frame_takes_as_many_bytes_of_the_line_as_its_stuffing_makes(length):
    """Without a zero in it, which is the most; a frame of 254 has a block for itself and an empty one behind it."""
    assert rate.on_the_line(length) == len(link.stuffed(bytes([1]) * length)) + 1


def test_a_chip_runs_at_the_very_clock_of_its_board():
    assert rate.rates(load("digits"), "ulx3s", 25.0).chip > 0 == rate.rates(load("digits"), "ulx3s", 24.99).chip


def test_a_place_that_was_looked_at_is_as_it_was(tmp_path):
    (tmp_path / "a.db").touch()
    files.check(tmp_path / "page.html", tmp_path / "a.db")
    assert [p.name for p in tmp_path.iterdir()] == ["a.db"]


def made_up(name, accuracy, lut):
    """A point of five seeds."""
    values = {"accuracy": np.array(accuracy), "lut": np.full(5, float(lut))}
    return Summary({"beta": name}, load("digits").model_dump(), values, [1, 2, 3, 4, 5], {}, {}, "ulx3s", {"epochs": 3, "cost": "model"})


def test_of_equal_points_the_smallest_is_picked_and_cheaper_rivals_are_told(monkeypatch, store):
    """Points that the seeds cannot tell apart are rivals, the smallest of which is named; those that they can are none."""
    near, far = [0.91, 0.93, 0.92, 0.94, 0.90], [0.51, 0.53, 0.52, 0.54, 0.50]
    points = [
        made_up("large", [0.92] * 5, 9000),
        made_up("best", [0.92] * 5, 8000),
        made_up("rival", near, 7990),
        made_up("small", near, 5000),
        made_up("far", far, 4000),
    ]
    points[2].values["accuracy"] -= 0.001
    points[3].values["accuracy"] -= 0.001
    monkeypatch.setattr(choose, "summaries", lambda *_: points)
    with Store(store, reading=True) as kept:
        picked = choose.pick(kept, {})
        assert picked.chosen.settings == {"beta": "best"} and picked.cheapest.settings == {"beta": "small"}
        assert {s.settings["beta"] for s in picked.rivals} == {"large", "rival", "small"}
        told = choose.told(picked, "accuracy")
        assert "The smallest of them, 5000 LUTs" in told
        lines = {line.split(":")[0]: line for line in told.splitlines()}
        assert lines["# lut"].endswith("(smaller is better)") and "smaller" not in lines["# accuracy"]
        points.pop(3)
        assert "The smallest of them (by less than the cost model may be off), 7990 LUTs" in choose.told(choose.pick(kept, {}), "accuracy")
        with pytest.raises(ValueError, match="accuracy reaches 0.92, not at least 0.99"):
            choose.pick(kept, {"accuracy": (0.99, None)})


def test_export_has_every_row(store, tmp_path):
    import csv

    with Store(store) as kept:
        choose.to_csv(kept, tmp_path / "a.csv")
        rows = kept.rows()
    read = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [float(r["accuracy"]) for r in read] == [r["value"]["accuracy"] for r in rows] and len(read) == 40
    duckdb = pytest.importorskip("duckdb")
    with Store(store) as kept:
        choose.to_parquet(kept, tmp_path / "a.parquet")
    assert duckdb.sql(f"SELECT count(*) FROM '{tmp_path / 'a.parquet'}'").fetchall() == [(40,)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.parquet"]


def test_the_commands_say_what_to_do(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "PATIENCE", 0.5)
    run = CliRunner()
    dry = run.invoke(app, ["sweep", str(spec), "--store", str(tmp_path / "d.db"), "--dry-run", "--json"])
    assert json.loads(dry.stdout) == {"rows": 16, "there": 0, "missing": 16, "invalid": 0, "seconds_left": None}
    assert not (tmp_path / "d.db").exists()
    assert run.invoke(app, ["sweep", str(tmp_path / "no.toml")]).exit_code == 2
    empty = run.invoke(app, ["report", str(tmp_path / "none.db")])
    assert empty.exit_code == 2 and "no such store" in empty.stderr
    gone = run.invoke(app, ["sweep", str(spec), "--store", str(tmp_path / "e.db"), "--scheduler", "tcp://127.0.0.1:9"])
    assert gone.exit_code == 2 and ("does not answer" in gone.stderr or "needs dask" in gone.stderr)
