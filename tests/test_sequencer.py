"""`Sequencer` (contract section 8): the hardware against the emulator."""

import pytest

from crossdyad.sim import scenario, sequencer


@pytest.mark.parametrize("case", sequencer.scenarios(), ids=lambda s: s.name)
def test_hardware_is_the_emulator(case):
    outcome = scenario.check(case, "amaranth")
    assert outcome.passed, str(outcome)
