"""The command that ages a chip's cells: what it tests on, what it writes, what it refuses."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from crossdyad import data, emulator
from crossdyad.cli import app
from crossdyad.emulator import devices
from crossdyad.recipe import Recipe, load

DIGITS = data.load("digits")
DAY = 86400.0


def recipe(base="xor", **of_devices):
    return Recipe.model_validate(load(base).model_dump() | {"devices": of_devices})


# Command -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("age")
    done = CliRunner().invoke(app, ["train", "digits", "--epochs", "1", "-o", str(folder)])
    assert done.exit_code == 0, done.output
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["age", "digits", *map(str, arguments)])


def test_resistances_of_the_command_are_those_of_a_recipe(trained, tmp_path):
    results = [
        json.loads(run("--run", trained, "--preset", "pcm", *more, "-o", tmp_path, "--json").stdout)
        for more in ((), ("--driver", 3000, "--sense", 3000))
    ]
    assert [(r["driver"], r["sense"]) for r in results] == [(0, 0), (3000, 3000)]
    r = recipe("digits", preset="pcm", driver=3000.0, sense=3000.0, wires=0.0)
    with np.load(trained / "digits-weights.npz") as file:
        wanted = devices.programmed(r, [file[f"weights{k}"] for k in range(2)])
    with np.load(results[-1]["files"][0]) as file:
        assert all(np.array_equal(file[f"weights{k}"], w) for k, w in enumerate(wanted))
    assert results[0]["weight_errors"][0] < results[1]["weight_errors"][0]


def test_the_command_tests_on_the_folder_that_the_environment_names(tmp_path, monkeypatch):
    """Of a chip with as many inputs as MNIST has pixels; without the folder there is no accuracy."""
    draw = np.random.default_rng(0)
    for part, n in (("train", 6), ("t10k", 4)):
        images, labels = draw.integers(0, 256, (n, 28, 28), np.uint8), draw.integers(0, 10, n, np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(np.array([0x803, n, 28, 28], ">u4").tobytes() + images.tobytes())
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(np.array([0x801, n], ">u4").tobytes() + labels.tobytes())
    mnist = Recipe(name="wide", sizes=(784, 4, 10), lanes=(16, 4))
    (tmp_path / "wide.toml").write_text(mnist.to_toml())
    np.savez(tmp_path / "wide-weights.npz", **{f"weights{k}": w for k, w in enumerate(emulator.initial_weights(mnist))})
    told = []
    for folder in ("", str(tmp_path)):
        monkeypatch.setenv("CROSSDYAD_DATA", folder)
        done = CliRunner().invoke(
            app, ["age", str(tmp_path / "wide.toml"), "--run", str(tmp_path), "--preset", "pcm", "--json", "-o", str(tmp_path)]
        )
        told.append(json.loads(done.stdout))
    assert told[0]["accuracy_after"] is None and 0 <= told[1]["accuracy_after"] <= 1


def test_the_command_writes_weights_that_a_chip_takes(trained, tmp_path):
    done = run("--run", trained, "--preset", "pcm", "--time", DAY, "-o", tmp_path, "--json")
    result = json.loads(done.stdout)
    assert result["device"] == "pcm" and "Nandakumar" in result["paper"] and result["read_noise"] > 0
    assert abs(result["accuracy_after"] - result["accuracy_before"]) < 0.3 and all(0 < e < 0.3 for e in result["weight_errors"])
    chip = emulator.Chip(load("digits"), "numpy")
    with np.load(result["files"][0]) as file:
        chip.weights = [file[f"weights{k}"] for k in range(2)]
    assert emulator.training.accuracy(chip, DIGITS.x_test, DIGITS.y_test) == result["accuracy_after"]
    text = run("--run", trained, "--preset", "reram-milo", "-o", tmp_path).stdout
    assert "just written" in text and "Milo" in text and "curvature" in text


@pytest.mark.parametrize(
    "arguments, told",
    [
        (("--preset", "pcm"), "--weights, --run: give one of them"),
        (("--run", "nowhere", "--preset", "pcm"), "nowhere"),
        (("--run", "RUN"), "preset: missing, and digits names no device; known are pcm"),
        (("--run", "RUN", "--preset", "flash"), "flash"),
        (("--run", "RUN", "--preset", "pcm", "--time", 1.0), "20"),
        (("--run", "RUN", "--preset", "reram-wan", "--time", 1e9), "time: 1e+09, but reram-wan has no law of ageing; leave it out"),
        (("--run", "RUN", "--preset", "sonos", "--time", 0.0), "sonos has no law of ageing"),
        (("--run", "RUN", "--preset", "pcm", "--range", 0.001), "give a range of at least"),
    ],
)
def test_the_command_names_what_is_wrong(trained, tmp_path, arguments, told):
    done = run(*(trained if a == "RUN" else a for a in arguments), "-o", tmp_path)
    assert done.exit_code == 2 and told in done.stderr and not list(tmp_path.iterdir())
