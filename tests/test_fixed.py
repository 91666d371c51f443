"""`Requantize` (contract section 1): the hardware against the emulator."""

import limits
import pytest

from crossdyad.hdl import fixed as hardware
from crossdyad.sim import fixed, scenario


@pytest.mark.parametrize("case", fixed.scenarios(), ids=lambda s: s.name)
def test_hardware_is_the_emulator(case):
    outcome = scenario.check(case, "amaranth")
    assert outcome.passed, str(outcome)


@pytest.mark.parametrize("rounding,overflow", list(fixed.modes()))
def test_vectors_are_the_trace(rounding, overflow):
    one = fixed.scenario(9, 3, 4, rounding, overflow)
    many = fixed.vectors(one, 3, 4, rounding, overflow)
    for port, values in one.trace(one.stimulus).items():
        assert (values[one.settled :] == many.trace(many.stimulus)[port][one.settled :]).all()


def test_at_least_is_the_comparison():
    assert limits.wrong(hardware) == []
