"""Registers of a chip beside a processor: RTL against the emulator in every cycle, whatever the processor does."""

import pytest
from conftest import needs

from crossdyad.sim import registers, scenario


@pytest.mark.parametrize("simulator", ["amaranth", *(pytest.param(s, marks=pytest.mark.slow) for s in ("icarus", "verilator"))])
@pytest.mark.parametrize("case", registers.scenarios(), ids=lambda s: s.name)
def test_registers_are_those_of_the_emulator(case, simulator):
    needs(simulator)
    outcome = scenario.check(case, simulator)
    assert outcome.passed, str(outcome)
