"""`crossdyad new`: what it writes is a recipe, commented, that suits the data, and learns them."""

import json
from pathlib import Path

import numpy as np
import pytest
from scripts import benchmark
from typer.testing import CliRunner

from crossdyad import data
from crossdyad.cli import app, new
from crossdyad.recipe import load

IRIS = Path(__file__).resolve().parent.parent / "examples" / "iris.csv"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def call(*arguments):
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert "Traceback" not in done.output
    return done


def test_a_table_becomes_a_recipe_that_learns_it():
    assert call("new", "iris", "--data", IRIS).exit_code == 0
    recipe, text = load("iris.toml"), Path("iris.toml").read_text()
    assert recipe.sizes == (5, 32, 3) and recipe.data.one and recipe.data.file == str(IRIS)
    assert all("#" in line for line in text.splitlines() if "=" in line and "width" not in line)
    trained = json.loads(call("train", "iris.toml", "--epochs", 10, "--json").stdout)
    assert trained["accuracy"] > 0.85


def test_without_data_it_is_for_digits_and_nothing_is_overwritten():
    assert call("new", "mine").exit_code == 0
    assert load("mine.toml").sizes == (64, 32, 10)
    done = call("new", "mine", "--hidden", 8)
    assert done.exit_code == 2 and "--force" in done.stderr and load("mine.toml").sizes == (64, 32, 10)
    assert call("new", "mine", "--hidden", 8, "--hidden", 4, "--force").exit_code == 0
    assert load("mine.toml").sizes == (64, 8, 4, 10)
    for wrong, told in (
        (("new", "Mine!"), "lower case"),
        (("new", "other", "--label", "x"), "--label"),
        (("new", "a", "--data", "no.csv"), "no such file"),
    ):
        done = call(*wrong)
        assert done.exit_code == 2 and told in done.stderr and not Path("other.toml").exists() and not Path("Mine!.toml").exists()


def test_what_the_file_needs_is_in_the_recipe_and_the_recipe_reads_it():
    rows = "".join(f"n{i};{i % 7},5;{'?' if i == 3 else i};{'ab'[i % 2]}\n" for i in range(20))
    Path("own.csv").write_text(f"name;u;v;kind\n{rows}n20;1,5;2;rare\n")
    assert call("new", "own", "--data", "own.csv").exit_code == 0
    recipe = load("own.toml")
    assert recipe.data.leave_out == ("name",) and recipe.data.missing == "mean" and recipe.data.single == "drop"
    d = data.of(recipe)
    assert d.about.classes == ("a", "b") and d.x_train.shape[1] == 3 == recipe.sizes[0]
    Path("bad.csv").write_text("a,b,c\n1,2,x\n1,oops,y\n3,4,x\n3,4,y\n")
    done = call("new", "bad", "--data", "bad.csv")
    assert done.exit_code == 2 and "line 3, column 'b': 'oops'" in done.stderr and not Path("bad.toml").exists()


@pytest.mark.slow
def test_accuracy_beside_that_of_scikit_learn(benchmarks):
    pytest.importorskip("sklearn")
    for name, table in benchmarks.tables().items():
        chip, net = benchmarks.compare(benchmarks.written(Path(f"{name}.csv"), *table), 5, new.HIDDEN)
        assert np.mean(chip - net) > -0.01, name


@pytest.fixture
def benchmarks():
    return benchmark("tables")
