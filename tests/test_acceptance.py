"""Every estimator on every system that it may be used on: its error falls as it declares; on the others it is refused, with a remedy.

The systems are the library's, and three that a user would write (`held_out`): an oscillator Ising machine, a deep equilibrium model with
weights that are not symmetric, and a random graph of nonlinear resistors. Of these the gradient, from which slopes and variances are
measured, is NumPy's, where an estimator tends to the gradient of the cost.
"""

import functools
from dataclasses import replace

import held_out
import jax
import numpy as np
import pytest
from held_out import asymmetric, ising, resistors

from crossdyad import models
from crossdyad.models.cookbook import ROWS, mixtures
from crossdyad.models.cookbook import systems as library
from crossdyad.models.cookbook.findings import law, relative_error
from crossdyad.models.cookbook.probes import rows_of
from crossdyad.models.cookbook.systems import System
from crossdyad.models.solvers import Problem, newton

SYSTEMS = {
    f.__name__: f
    for f in (
        library.tanh_net,
        library.hopfield,
        library.equilibrium,
        library.resistive,
        library.tied,
        library.bounded_net,
        mixtures.mixed,
        ising,
        asymmetric,
        resistors,
    )
}
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


@functools.cache
def by_numpy(name: str, seed: int) -> np.ndarray:
    return held_out.gradient(name, seed, SYSTEMS[name](seed))


def gradient(e, name: str, seed: int, s: System):
    """What an estimator tends to: NumPy's word where it has one."""
    if e.target == "dJ" and name in held_out.STEPS:
        return by_numpy(name, seed)
    return jax.jit(e.oracle, static_argnums=(0, 1))(*s)


def slow(row, name: str, seed: int) -> list:
    """In minutes: each row on every fourth of the library's systems, and on all that the library has never seen; the rest is evidence."""
    left = (row.number + list(SYSTEMS).index(name)) % 4 and name not in held_out.STEPS
    return [pytest.mark.slow] if seed or left or row.number in (55, 75, 76) else []


@pytest.mark.parametrize(
    "row, name, seed",
    [
        pytest.param(row, name, seed, marks=slow(row, name, seed), id=f"{row.number}-{name}-{seed}")
        for row in ORDERED
        for name in SYSTEMS
        for seed in range(3)
    ],
)
def test_an_estimator_is_of_its_order_or_refuses(row, name, seed):
    e = row.estimator
    s = sample(name, seed, e.target == "dH")
    if not e.requires <= s.circuit.capabilities:
        with pytest.raises(models.Unsuitable, match=rf"row {e.row} .*{min(e.requires - s.circuit.capabilities)}.*use "):
            e(*s)
        return
    exact = gradient(e, name, seed, s)
    steps = e.largest / 2.0 ** np.arange(4)
    errors = [relative_error(e(*s, **{e.small: step}), exact) for step in steps]
    if max(errors[1:]) < 1e-12:  # diodes bend nothing between kinks: no error of any order
        return
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert abs(slope - e.order) <= (0.2 if row.number in (15, 68) else 0.15), errors


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
@pytest.mark.parametrize("name", held_out.STEPS)
def test_the_oracle_is_the_gradient_that_numpy_finds(name, seed):
    """By imaginary steps, by real ones, and by the adjoint."""
    s = SYSTEMS[name](seed)
    assert relative_error(held_out.differences(name, seed, s), by_numpy(name, seed)) < 1e-8
    assert relative_error(ROWS[21].estimator(*s), by_numpy(name, seed)) < 1e-10


DRAWN = {29: -1, 30: 1}
"""Rows that draw directions of the parameters: the variance is by so much off the number of parameters, over the gradient's square."""


@pytest.mark.parametrize("name", ["asymmetric", *(pytest.param(n, marks=pytest.mark.slow) for n in ("ising", "resistors"))])
@pytest.mark.parametrize("number", [29, 30, 32, 33])
def test_probes_of_any_circuit_keep_their_law(number, name):
    """No bias, and the variance of parameter probes; a guess of the right direction is the gradient."""
    e, s, exact = ROWS[number].estimator, SYSTEMS[name](0), by_numpy(name, 0)
    if number == 33:
        right = ROWS[21].estimator(*s)
        assert relative_error(e(*s, direction=jax.tree.map(lambda g: -2 * g, right)), exact) < 1e-8
        return
    keys = jax.random.split(jax.random.key(1), 1500)
    found = rows_of(jax.jit(jax.vmap(lambda key: e.estimate(*s, key=key)))(keys))
    assert law("", found @ exact / (exact @ exact), 1).passed
    if number in DRAWN:
        spread = ((found - exact) ** 2).sum(1) / (exact @ exact)
        assert law("", spread, exact.size + DRAWN[number]).passed, spread.mean()


@pytest.mark.slow
def test_backprop_is_no_estimate_of_any_order():
    """No row with an order passes on what the exact gradient would fulfil as well."""
    for row in ORDERED:
        if row.number not in (75, 76):  # the way to their oracle takes long

            def estimate(circuit, objective, parameters, x, y, *, e=row.estimator, **step):
                return jax.jit(e.oracle, static_argnums=(0, 1))(circuit, objective, parameters, x, y)

            exact = replace(row.estimator, estimate=estimate)
            assert not any(f.passed for f in replace(row, estimator=exact).accepted(0)), row.number


@pytest.mark.parametrize("name", [pytest.param("hopfield", marks=pytest.mark.slow), "resistive"])
def test_control_that_cannot_reach_the_target_says_so(name):
    """There the equilibria under growing control end in a fold, and at a diode that switches."""
    with pytest.raises(models.NoFixedPoint, match="row 76 .*take a target that the output can be brought to"):
        ROWS[76].estimator(*SYSTEMS[name](0))
