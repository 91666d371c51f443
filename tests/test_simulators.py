"""The same scenario on every simulator, and the errors of simulators that are missing."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from crossdyad.sim import crossbar, engine, fixed, rng, scenario, simulators, surroundings, unit


@pytest.mark.parametrize("simulator", ["icarus"], indirect=True)
@pytest.mark.parametrize(
    "make",
    [
        lambda: fixed.scenario(9, 3, 4, "stochastic", "saturate"),
        lambda: rng.scenario((1, 2), 3, 200),
        lambda: crossbar.quick()[1],
        lambda: engine.quick()[1],
        lambda: unit.quick()[1],
    ],
    ids=["fixed", "rng", "crossbar", "engine", "unit"],
)
def test_blocks_agree_under_icarus(make, simulator):
    outcome = scenario.check(make(), simulator)
    assert outcome.passed, str(outcome)


@pytest.mark.parametrize("simulator", [pytest.param("verilator", marks=pytest.mark.slow), "replay"], indirect=True)
def test_a_block_agrees_under_verilator(simulator):
    outcome = scenario.check(engine.quick()[0], simulator)
    assert outcome.passed, str(outcome)


def test_a_missing_simulator_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    with pytest.raises(surroundings.SimulatorMissing, match="apt install iverilog"):
        simulators.require("icarus")


def test_an_unknown_simulator_is_named():
    with pytest.raises(ValueError, match="'modelsim'; allowed are amaranth, icarus"):
        simulators.missing("modelsim")


def test_a_mismatch_is_found_and_readable():
    s = fixed.scenario(9, 3, 4, "nearest", "saturate")

    def wrong(stimulus):
        ports = s.trace(stimulus)
        result = np.array(ports["result"])
        result[100] += 1
        return ports | {"result": result}

    outcome = scenario.check(replace(s, trace=wrong), "amaranth")
    assert [(m.cycle, m.port) for m in outcome.mismatches] == [(100, "result")]
    assert "cycle 100: result: expected" in str(outcome)


def test_a_goal_that_was_not_reached_fails_the_check():
    s = replace(fixed.scenario(9, 3, 4, "nearest", "saturate"), coverage=lambda stimulus, expected: {"never": 0})
    assert scenario.check(s, "amaranth").uncovered == ("never",)
    assert not scenario.check(s, "amaranth").passed
