"""`Nudge` (contract section 5): the hardware against the emulator."""

import pytest

from crossdyad.sim import nudge, scenario, variety


@pytest.mark.parametrize("case", nudge.scenarios(), ids=lambda s: s.name)
def test_hardware_is_the_emulator(case):
    outcome = scenario.check(case, "amaranth")
    assert outcome.passed, str(outcome)


@pytest.mark.parametrize("recipe", variety.recipes(), ids=lambda r: r.name)
def test_vectors_are_the_trace(recipe):
    one, many = (nudge.scenario(recipe, 300, vectorised) for vectorised in (False, True))
    for port, values in one.trace(one.stimulus).items():
        assert (values[one.settled :] == many.trace(many.stimulus)[port][one.settled :]).all()
