"""`Crossbar` (contract section 3), and the way an engine is loaded and started: the hardware against the emulator."""

import pytest

from crossdyad.sim import crossbar, scenario

pytestmark = pytest.mark.usefixtures("promises")


@pytest.mark.parametrize("case", crossbar.scenarios(), ids=lambda s: s.name)
def test_hardware_is_the_emulator(case):
    outcome = scenario.check(case, "amaranth")
    assert outcome.passed, str(outcome)
