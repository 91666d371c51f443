"""`Unit` (contract section 7): the hardware against the emulator."""

import pytest

from crossdyad.sim import scenario, unit, variety


@pytest.mark.parametrize("case", unit.scenarios(), ids=lambda s: s.name)
def test_hardware_is_the_emulator(case):
    outcome = scenario.check(case, "amaranth")
    assert outcome.passed, str(outcome)


def test_the_scenarios_provoke_every_range_event():
    events = unit.range_events(unit.scenarios())
    assert all(events.values()), events
    still = unit.range_events([unit.scenario(variety.named("alpha-half"), k) for k in (0, 1)])
    assert still["state"] == 0  # the activation's limits are within the state format; a mean that is moved may leave it
