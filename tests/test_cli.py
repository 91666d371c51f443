"""The command line: what it writes, what it refuses and with which exit status."""

import json
import os
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from crossdyad.cli import app
from crossdyad.recipe import load
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
    code = (
        "import sys; from typer.testing import CliRunner; from crossdyad.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([m for m in ('jax', 'numpy', 'amaranth', 'matplotlib', 'cocotb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_virtual_board_that_is_kept_and_its_driver_need_no_amaranth_and_no_jax():
    code = (
        "import sys; from crossdyad import board; from crossdyad.sim import virtual\n"
        "print([m for m in ('jax', 'amaranth', 'matplotlib', 'cocotb', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_part_of_the_hardware_is_there_by_its_name():
    code = (
        "from crossdyad import hdl; hdl.neuron.Dyad, hdl.synth.ToolMissing, [getattr(hdl, name) for name in hdl.__all__]\n"
        "print(hasattr(hdl, 'no_part'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


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
    path.write_text('name = "x"\nsizes = [4, 2]\nlanes = [300]\nalpah = 1\nbeta = 3.0\n')
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


# What surrounds a command: folders, pipes, variables of the shell ------------------------------------------------


def spoken(command, *arguments, **variables):
    """A command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "crossdyad", command, *map(str, arguments)], capture_output=True, text=True, env=os.environ | variables
    )


@pytest.mark.parametrize("command", [("train", "--epochs", "1"), ("cosim",), ("synth",), ("budget",), ("generate",)])
@pytest.mark.parametrize("place", ["file", "/proc/out"])
def test_a_folder_that_cannot_be_written_is_noticed_before_the_work(command, place, tiny, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("crossdyad.recipe.load", lambda *_: pytest.fail("work was begun"))
    said = refused(call(command[0], tiny, *command[1:], "-o", place))
    assert place in said and "choose another place" in said


def test_a_folder_is_not_made_for_a_recipe_that_is_refused(tmp_path):
    refused(call("generate", "digts", "-o", tmp_path / "new" / "out"))
    assert not (tmp_path / "new").exists()


def test_a_tilde_in_an_option_is_the_home_folder(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))  # compiled tools are there
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert call("generate", tiny, "--output=~/made").exit_code == OK
    assert (tmp_path / "made" / "tiny.v").exists() and not (tmp_path / "~").exists()


def test_generate_leaves_a_recipe_of_the_users_as_it_is(tiny, tmp_path):
    mine = "# with a remark\n" + TINY
    tiny.write_text(mine)
    result = call("generate", tiny, "-o", tmp_path)
    assert result.exit_code == OK and tiny.read_text() == mine and (tmp_path / "tiny.v").exists()
    other = tmp_path / "other.toml"
    other.write_text(TINY.replace("[3, 2, 2]", "[3, 2, 3]"))
    (tmp_path / "tiny.v").unlink()
    said = refused(call("generate", other, "-o", tmp_path))
    assert "tiny.toml: there already, says another recipe" in said and tiny.read_text() == mine and not (tmp_path / "tiny.v").exists()
    tiny.write_text("notes, no recipe")
    assert "says no recipe" in refused(call("generate", other, "-o", tmp_path)) and tiny.read_text() == "notes, no recipe"


def test_generate_replaces_the_recipe_that_it_wrote(tiny, tmp_path):
    out = tmp_path / "out"
    for sizes in ("[3, 2, 2]", "[3, 2, 3]"):
        tiny.write_text(TINY.replace("[3, 2, 2]", sizes))
        assert call("generate", tiny, "-o", out).exit_code == OK
        assert load(out / "tiny.toml") == load(tiny)


def test_generate_says_what_it_does(tiny, tmp_path):
    said = call("generate", tiny, "-o", tmp_path / "out").stderr.splitlines()
    assert said[0] == "tiny: circuit (0/3)" and said[-1] == "tiny: written (3/3)"


@pytest.mark.parametrize("command", [["schema"], ["cookbook"]])
def test_a_closed_pipe_ends_a_command_without_a_word(command):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "crossdyad", *command], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.stderr == "" and done.returncode == 141


def test_a_notebooks_backend_does_not_stop_a_command(tiny, tmp_path):
    done = spoken("train", tiny, "-o", tmp_path, "--engine", "numpy", "--epochs", "1", MPLBACKEND="nonsense")
    assert done.returncode == OK and (tmp_path / "tiny-learning.svg").exists(), done.stderr


@pytest.mark.parametrize(("variable", "coloured"), [("NO_COLOR", False), ("ANY_OTHER", True)])
def test_no_color_is_heeded_on_a_terminal(variable, coloured, monkeypatch):
    monkeypatch.setenv(variable, "1")
    if coloured:
        monkeypatch.delenv("NO_COLOR", raising=False)
    law = SimpleNamespace(what="law", passed=True, measured=0.0, expected="0")
    found = SimpleNamespace(number=1, passed=True, seconds=0.0, findings=[law])
    monkeypatch.setattr("crossdyad.models.cookbook.checks.results", lambda *_: iter([found]))
    result = CliRunner().invoke(app, ["cookbook", "1", "--check"], color=True)
    assert result.exit_code == OK and ("\x1b[" in result.stdout) is coloured


def test_version():
    assert call("--version").stdout == f"crossdyad {metadata.version('crossdyad')}\n"


@pytest.mark.parametrize(("option", "value"), [("--rate", "nan"), ("--rate", "0"), ("--rate", "inf"), ("--rate", "-1"), ("--hidden", "0")])
def test_settings_of_the_reference_that_train_nothing_are_refused_at_once(option, value, tmp_path):
    said = refused(call("train", "--reference", 52, option, value, "-o", tmp_path))
    assert option in said and not list(tmp_path.iterdir())


def test_seeds_below_zero_are_refused_before_synthesis(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("crossdyad.hdl.synth.netlist", lambda *_: pytest.fail("synthesis was begun"))
    assert "seeds: -1; allowed are whole numbers from 0" in refused(call("synth", tiny, "-o", tmp_path, "--seeds=-1"))
