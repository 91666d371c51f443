"""What several tests share: simulators that may be missing here."""

import os

import pytest

from crossdyad.sim import simulators


def needs(simulator: str):
    """Skip if a simulator is missing here; fail instead where co-simulation is required."""
    reason = simulators.missing(simulator)
    if reason and os.environ.get("CROSSDYAD_REQUIRE_COSIM") == "1":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture
def simulator(request):
    """The simulator named by the test's parameter, if it is here."""
    needs(request.param)
    return request.param
