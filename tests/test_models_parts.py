"""Parts of a circuit of one's own that disagree about its states or its output."""

import pytest
from jax import numpy as jnp

from crossdyad import models


def well(p, s, x):
    return jnp.sum((s[0] - x) ** 2)


def start(p, x):
    return (jnp.zeros(3),)


def last(s):
    return s[0][1:]


@pytest.mark.parametrize(
    "circuit, told",
    [
        (models.from_energy(well, start, output=last, with_output=lambda s, o: (s[0].at[:2].set(o),)), "does not set what output reads"),
        (models.from_energy(well, start, output=last, with_output=lambda s, o: (jnp.append(o[:1], o),)), "sets other states, too"),
        (models.from_energy(lambda p, s, x: jnp.sum((s - x) ** 2), lambda p, x: jnp.zeros(3)), "gives shapes .*make start give a tuple"),
        (models.from_energy(lambda p, s, x: s[0] ** 2, start), "energy: gives shape .3,., which has to be a scalar"),
    ],
)
def test_parts_that_disagree_are_named_in_one_line(circuit, told):
    with pytest.raises(ValueError, match=told) as refused:
        models.check_circuit(circuit, jnp.zeros(1), jnp.ones(3))
    assert "\n" not in str(refused.value)
