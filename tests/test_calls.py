"""Every command is one call in Python, which returns what ``--json`` prints: the table of `crossdyad.cli.calls` against both."""

import importlib
import inspect
import json
from pathlib import Path

import pytest
import typer.main
from conftest import needs
from typer.testing import CliRunner

from crossdyad import data, sim, weights
from crossdyad.cli import app
from crossdyad.cli.calls import CALLS
from crossdyad.cli.options import dump
from crossdyad.recipe import load

TIMES = {"seconds", "requests_per_second"}
PLACES = {c.command: c for c in CALLS}
XOR = data.load("xor")


def called(command: str):
    module, name = PLACES[command].place.split(":")
    return getattr(importlib.import_module(f"crossdyad.{module}"), name)


def without_times(found):
    return [without_times(f) for f in found] if isinstance(found, list) else {k: v for k, v in found.items() if k not in TIMES}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(command: str, *arguments) -> dict | list:
        done = CliRunner().invoke(app, [*command.split(), *map(str, arguments), "--json"])
        assert done.exit_code in (0, 3), done.output
        printed = json.loads(done.stdout)
        for row in printed if isinstance(printed, list) else [printed]:
            assert PLACES[command].suits(set(row)), (command, set(row))
        return printed

    return run


def test_every_command_with_json_names_its_call():
    commands = typer.main.get_command(app).commands
    with_json = {name for name, command in commands.items() if any("--json" in p.opts for p in command.params)}
    assert with_json == {c.command.split()[0] for c in CALLS} and len(PLACES) == len(CALLS)
    for c in CALLS:
        name, *options = c.command.split()
        assert set(options) <= {o for p in commands[name].params for o in p.opts}, c.command
        found = called(c.command)
        assert inspect.isfunction(found) and found.__doc__, c.place


@pytest.mark.parametrize("command", [c.command for c in CALLS])
def test_a_type_that_a_call_returns_has_the_fields_of_the_table(command):
    """Where it says itself which it has."""
    module = inspect.getmodule(called(command))
    returned = str(inspect.signature(called(command)).return_annotation).removeprefix("list[").removeprefix("Iterator[").removesuffix("]")
    made = getattr(module, returned, None)
    if PLACES[command].fields and made is not None and hasattr(made, "_fields") and not hasattr(made, "to_dict"):
        assert made._fields == PLACES[command].fields


CHEAP = {
    "board": ((load("xor"),), ("xor",)),
    "fit": ((load("xor"), "ulx3s"), ("xor",)),
    "doctor": ((), ()),
    "rules": ((load("xor"),), ("xor",)),
    "cookbook": ((), ()),
}


@pytest.mark.parametrize("command", CHEAP)
def test_a_command_prints_what_its_call_returns(command, run):
    given, arguments = CHEAP[command]
    returned = called(command)(*given)
    assert run(command, *arguments) == json.loads(dump(list(returned.values()) if command == "cookbook" else returned))


def test_training_and_what_follows_from_its_weights(run):
    printed = run("train", "xor", "--epochs", 2, "-o", "a")
    assert printed == json.loads(dump(called("train")(load("xor"), XOR, Path("a"), epochs=2)))
    kept = Path("a/xor-weights.npz")
    assert run("age", "xor", "--run", "a", "--preset", "pcm") == json.loads(dump(weights.age(load("xor"), kept, XOR, preset="pcm")))
    assert run("weights", "xor", kept) == json.loads(dump(weights.rounded(load("xor"), kept, XOR)))


def test_the_error_budget(run):
    assert run("budget", "xor", "--samples", 4) == json.loads(dump(called("budget")(load("xor"), XOR, 4)))


def test_a_row_of_the_reference(run):
    printed = run("train --reference", 20, "--epochs", 1, "--hidden", 4)
    assert printed == json.loads(dump(called("train --reference")(20, data.load("digits"), (4,), 1)))


def test_generated_files_are_the_paths_that_are_returned(run):
    assert run("generate", "xor") == {"files": [str(p) for p in called("generate")(load("xor"), Path("build"))]}


@pytest.mark.slow
def test_a_law_of_the_cookbook(run):
    (printed,) = run("cookbook --check", 20)
    (returned,) = called("cookbook --check")([20])
    assert without_times(printed).items() >= without_times(json.loads(dump(returned))).items()


def test_co_simulation(run):
    needs("amaranth")
    Path("small.toml").write_text('name = "small"\nsizes = [3, 4, 2]\nlanes = [2, 2]\n[training]\nepochs = 1\n')
    printed = run("cosim", "small.toml", "--simulator", "amaranth", "--samples", 2)
    returned = sim.cosim(load("small.toml"), "amaranth", 2, Path("build"))
    assert without_times(printed) == without_times(json.loads(dump(returned)))


def test_a_board_that_is_tested(run):
    printed = run("board --on", "emulator://", "xor")
    assert without_times(printed) == without_times(json.loads(dump(called("board --on")(load("xor"), "emulator://"))))


SWEEP = 'name = "s"\nrecipe = "xor"\nseeds = 2\nepochs = 1\nmetrics = ["accuracy", "lut"]\n[axes]\nbeta = [0.5, 1]\n'


def test_what_a_sweep_would_do(run):
    Path("s.toml").write_text(SWEEP)
    assert run("sweep --dry-run", "s.toml")["missing"] == 4


@pytest.mark.slow
def test_a_sweep_its_report_and_its_pick(run):
    Path("s.toml").write_text(SWEEP)
    run("sweep", "s.toml", "--workers", 1)
    run("report", "s.db")
    run("pick", "s.db")


def test_fields_that_are_missing_or_more_are_seen():
    c = PLACES["cookbook"]
    assert c.suits({"row", "title", "source", "combination", "card"})
    assert not c.suits({"row", "title", "source"}) and not c.suits({"row", "title", "source", "combination", "more"})
