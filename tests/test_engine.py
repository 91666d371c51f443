"""`Engine` (contract section 7): the hardware against the emulator."""

import pytest

from crossdyad.sim import engine, scenario


@pytest.mark.parametrize("case", engine.scenarios(), ids=lambda s: s.name)
def test_hardware_is_the_emulator(case):
    outcome = scenario.check(case, "amaranth")
    assert outcome.passed, str(outcome)
