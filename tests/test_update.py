"""`Update` (contract section 6): the hardware against the emulator."""

import pytest

from crossdyad.sim import scenario, update, variety


@pytest.mark.parametrize("case", update.scenarios(), ids=lambda s: s.name)
def test_hardware_is_the_emulator(case):
    outcome = scenario.check(case, "amaranth")
    assert outcome.passed, str(outcome)


@pytest.mark.parametrize("recipe", variety.recipes(), ids=lambda r: r.name)
def test_vectors_are_the_trace(recipe):
    one, many = (update.scenario(recipe.of_layer(0), 300, (0, 9), vectorised) for vectorised in (False, True))
    for port, values in one.trace(one.stimulus).items():
        assert (values[one.settled :] == many.trace(many.stimulus)[port][one.settled :]).all()
