"""`Layer` (contract section 7): the hardware against the emulator."""

import pytest

from crossdyad.sim import layer, scenario


@pytest.mark.parametrize("case", layer.scenarios(), ids=lambda s: s.name)
def test_hardware_is_the_emulator(case):
    outcome = scenario.check(case, "amaranth")
    assert outcome.passed, str(outcome)


def test_the_scenarios_provoke_every_range_event():
    events = layer.range_events(layer.scenarios())
    assert events.pop("state") == 0      # the activation's limits are within the state format
    assert all(events.values()), events
