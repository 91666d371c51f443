"""Runs `bench.py` under pytest: ``pytest examples/cocotb``."""

from pathlib import Path

import pytest

from crossdyad import hdl, sim
from crossdyad.recipe import load
from crossdyad.sim import simulators


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_bench(simulator, tmp_path):
    if reason := simulators.missing(simulator):
        pytest.skip(reason)
    hdl.generate(load("xor"), tmp_path)
    assert sim.run_tests(tmp_path / "xor.v", "xor_chip", Path(__file__).with_name("bench.py"), simulator) == 2
