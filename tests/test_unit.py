"""`Unit` (contract section 7): the hardware against the emulator."""

import pytest

from crossdyad.sim import scenario, unit


@pytest.mark.parametrize("case", unit.scenarios(), ids=lambda s: s.name)
def test_hardware_is_the_emulator(case):
    outcome = scenario.check(case, "amaranth")
    assert outcome.passed, str(outcome)


def test_the_scenarios_provoke_every_range_event():
    events = unit.range_events(unit.scenarios())
    assert events.pop("state") == 0      # the activation's limits are within the state format
    assert all(events.values()), events
