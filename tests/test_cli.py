"""The command line: what it writes, what it refuses and with which exit status."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from crossdyad.cli import app
from crossdyad.sim import simulators

OK, CHECK_FAILED, BAD_INPUT, TOOL_MISSING = 0, 1, 2, 3

TINY = 'name = "tiny"\nsizes = [3, 2, 2]\nlanes = [2, 2]\n[training]\nepochs = 2\n'


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def refused(result, status=BAD_INPUT):
    """The error of a refused command: at most a few lines on stderr, never a traceback."""
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    return result.stderr


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.mark.parametrize("command", ["demo", "generate", "train", "cosim", "synth", "budget", "cookbook", "doctor", "schema"])
def test_every_command_teaches(command):
    result = call(command, "--help")
    assert result.exit_code == OK
    assert len(result.output.splitlines()) > 5


def test_help_does_not_import_the_wings():
    code = ("import sys; from typer.testing import CliRunner; from crossdyad.cli import app\n"
            "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
            "print([m for m in ('jax', 'numpy', 'amaranth', 'matplotlib', 'cocotb') if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_schema_is_json_schema_of_the_recipe():
    schema = json.loads(call("schema").stdout)
    assert {"sizes", "lanes", "alpha", "formats"} <= set(schema["properties"])
    assert schema["additionalProperties"] is False


def test_generate_writes_what_it_lists(tiny, tmp_path):
    result = call("generate", tiny, "-o", tmp_path / "out", "--json")
    assert result.exit_code == OK, result.output
    files = json.loads(result.stdout)["files"]
    assert {os.path.basename(f) for f in files} == {p.name for p in (tmp_path / "out").iterdir()}
    assert {os.path.splitext(f)[1] for f in files} >= {".v", ".json", ".txt", ".core"}


def test_train_writes_weights_and_plots_and_prints_json(tiny, tmp_path):
    out = tmp_path / "out"
    result = call("train", tiny, "-o", out, "--engine", "numpy", "--json")
    assert result.exit_code == OK, result.output
    report = json.loads(result.stdout)
    assert report["epochs"] == 2 and 0 <= report["accuracy"] <= 1
    assert all(os.path.getsize(f) for f in report["files"])
    assert not [p for p in out.iterdir() if p.name.startswith(".")], "a draft was left behind"


def test_cosim_of_a_tiny_chip_agrees(tiny, tmp_path):
    result = call("cosim", tiny, "--simulator", "amaranth", "--samples", 2, "-o", tmp_path, "--json")
    assert result.exit_code == OK, result.output
    report = json.loads(result.stdout)
    assert report["passed"] and report["mismatches"] == 0 and report["bits"] > 1000


@pytest.mark.parametrize("command", ["generate", "train", "cosim", "synth"])
def test_unknown_recipes_are_answered_with_the_nearest_preset(command, tmp_path):
    assert "did you mean 'digits'" in refused(call(command, "digts", "-o", tmp_path))


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text('name = "x"\nsizes = [4, 2]\nlanes = [3]\nalpah = 1\nbeta = 3.0\n')
    said = refused(call("generate", path, "-o", tmp_path))
    for key in ("lanes", "alpah", "beta"):
        assert f"bad.toml: {key}" in said
    assert "did you mean 'alpha'" in said


@pytest.mark.parametrize("command", ["generate", "train"])
def test_a_folder_that_cannot_be_written_is_named(command, tiny, tmp_path):
    (tmp_path / "file").write_text("")
    said = refused(call(command, tiny, "-o", tmp_path / "file" / "out"))
    assert str(tmp_path / "file") in said


def test_bad_options_are_named(tiny, tmp_path):
    assert "--seeds: '1,x'" in refused(call("synth", tiny, "-o", tmp_path, "--seeds", "1,x"))
    assert "ulx3s-85f" in refused(call("synth", tiny, "-o", tmp_path, "--board", "nexys"))
    assert "verilator" in refused(call("cosim", tiny, "-o", tmp_path, "--simulator", "questa"))
    assert refused(call("cosim", tiny, "--samples", 0))


def test_a_recipe_that_does_not_fit_the_board_is_bad_input(tmp_path):
    assert "does not fit ulx3s" in refused(call("synth", "mnist", "-o", tmp_path))


def test_absent_data_says_where_to_put_it(tmp_path):
    said = refused(call("train", "mnist", "-o", tmp_path / "out", "--data", tmp_path / "nowhere"))
    assert "nowhere" in said


def test_a_missing_simulator_is_status_3_and_its_remedy(monkeypatch, tiny, tmp_path):
    monkeypatch.setattr(simulators, "missing", lambda name: f"{name}: not here; install it with `apt install {name}`")
    assert "apt install icarus" in refused(call("cosim", tiny, "-o", tmp_path, "--simulator", "icarus"), TOOL_MISSING)
    doctor = call("doctor")
    assert doctor.exit_code == TOOL_MISSING and "apt install icarus" in doctor.output
    rows = {row["tool"]: row for row in json.loads(call("doctor", "--json").stdout)}
    assert rows["icarus"]["version"] is None and rows["python"]["version"]
