"""Every estimator on every system that it may be used on: its error falls as it declares; on the others it is refused, with a remedy.

The systems are the library's, and three that a user would write: an oscillator Ising machine, a deep equilibrium model with weights that
are not symmetric, and a random graph of nonlinear resistors.
"""

import functools

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from crossdyad import models
from crossdyad.models.cookbook import ROWS, mixtures
from crossdyad.models.cookbook import systems as library
from crossdyad.models.cookbook.findings import relative_error
from crossdyad.models.cookbook.systems import System
from crossdyad.models.solvers import Problem, newton


def ising(seed: int) -> System:
    """Six coupled phases; the first are driven by the input, the last two are the output."""
    def energy(parameters, s, x):
        couplings, fields = parameters
        phases = s[0]
        return (-jnp.sum((couplings + couplings.T) * jnp.cos(phases[:, None] - phases)) / 4
                - jnp.sum((fields @ x) * jnp.sin(phases)) - jnp.sum(jnp.cos(2 * phases)) / 2)

    machine = models.from_energy(
        energy, lambda p, x: (jnp.full(6, 0.3, jnp.result_type(p[0], x)),), rate=0.1,
        output=lambda s: s[0][-2:], with_output=lambda s, o: (s[0].at[-2:].set(o),), capabilities=["analytic"])
    k = jax.random.split(jax.random.key(seed), 3)
    parameters = jax.random.normal(k[0], (6, 6)) * 0.1, jax.random.normal(k[1], (6, 3)) * 0.4
    return System(machine, models.squared_error, parameters, jax.random.normal(k[2], (3,)) * 0.7, jnp.array([0.2, -0.2]))


def asymmetric(seed: int) -> System:
    """A deep equilibrium model of softplus units; only its residual and a damped iteration are given."""
    def drive(parameters, s, x):
        return jnp.log1p(jnp.exp(parameters[0] @ s[0] + parameters[1] @ x))

    net = models.from_residual(
        lambda p, s, x: (s[0] - drive(p, s, x),), lambda p, x: (jnp.zeros(5, jnp.result_type(p[0], x)),),
        lambda p, s, x, force: (s[0] + 0.5 * (drive(p, s, x) - s[0] - force[0]),),
        output=lambda s: s[0][-2:], with_output=lambda s, o: (s[0].at[-2:].set(o),))
    k = jax.random.split(jax.random.key(seed), 3)
    parameters = jax.random.normal(k[0], (5, 5)) * 0.25, jax.random.normal(k[1], (5, 3)) * 0.5
    return System(net, models.squared_error, parameters, jax.random.normal(k[2], (3,)), jnp.array([0.9, 0.5]))


def resistors(seed: int) -> System:
    """Nine nodes of a random graph, three held at the input's voltages, the last two the output; currents grow faster than voltages."""
    draw = np.random.default_rng(seed)
    edges = np.array([(i, j) for i in range(9) for j in range(i) if j == i - 1 or draw.random() < 0.4])

    def energy(conductances, s, x):
        v = jnp.concatenate([x, s[0]])
        across = v[edges[:, 0]] - v[edges[:, 1]]
        return jnp.sum(conductances * (across**2 / 2 + across**4 / 10))

    graph = models.from_energy(
        energy, lambda p, x: (jnp.zeros(6, jnp.result_type(p, x)),), rate=0.1,
        output=lambda s: s[0][-2:], with_output=lambda s, o: (s[0].at[-2:].set(o),), capabilities=["analytic"])
    k = jax.random.split(jax.random.key(seed), 2)
    return System(graph, models.squared_error, jax.random.uniform(k[0], (len(edges),), minval=0.2, maxval=1.0),
                  jax.random.normal(k[1], (3,)), jnp.array([0.3, -0.3]))


SYSTEMS = {f.__name__: f for f in (library.tanh_net, library.hopfield, library.equilibrium, library.resistive, library.tied,
                                   library.bounded_net, mixtures.mixed, ising, asymmetric, resistors)}
ORDERED = [row for row in ROWS.values() if row.estimator and row.estimator.order is not None]
"""Rows that declare how fast their error falls."""
REACHED = 0.05
"""Where strong control is to bring the output: so far from free to target. The whole way a branch of equilibria may end."""


@functools.cache
def sample(name: str, seed: int, strong: bool) -> System:
    s = SYSTEMS[name](seed)
    if not strong:
        return s
    free = s.circuit.output(newton()(Problem(s.circuit, s.parameters, s.x)).states)
    return s._replace(y=free + REACHED * (s.y - free))


def slow(row, name: str, seed: int) -> list:
    return [pytest.mark.slow] if seed or row.number in (55, 75, 76) else []


@pytest.mark.parametrize("row, name, seed", [
    pytest.param(row, name, seed, marks=slow(row, name, seed), id=f"{row.number}-{name}-{seed}")
    for row in ORDERED for name in SYSTEMS for seed in range(3)
])
def test_an_estimator_is_of_its_order_or_refuses(row, name, seed):
    e = row.estimator
    s = sample(name, seed, e.target == "dH")
    if not e.requires <= s.circuit.capabilities:
        with pytest.raises(models.Unsuitable, match=rf"row {e.row} .*{min(e.requires - s.circuit.capabilities)}.*use "):
            e(*s)
        return
    exact = jax.jit(e.oracle, static_argnums=(0, 1))(*s)
    steps = e.largest / 2.0 ** np.arange(4)
    errors = [relative_error(e(*s, **{e.small: step}), exact) for step in steps]
    if max(errors[1:]) < 1e-12:       # diodes bend nothing between kinks: no error of any order
        return
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert abs(slope - e.order) <= (0.2 if row.number in (15, 68) else 0.15), errors


@pytest.mark.parametrize("name", ["hopfield", "resistive"])
def test_control_that_cannot_reach_the_target_says_so(name):
    """There the equilibria under growing control end in a fold, and at a diode that switches."""
    with pytest.raises(models.NoFixedPoint, match="row 76 .*take a target that the output can be brought to"):
        ROWS[76].estimator(*SYSTEMS[name](0))
