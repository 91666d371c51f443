"""The cookbook: every row fulfils its own law, on every seed; estimators refuse what they cannot do; checks can fail."""

import json

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from typer.testing import CliRunner

from crossdyad import models
from crossdyad.cli import app
from crossdyad.models.circuits import CAPABILITIES
from crossdyad.models.cookbook import AXES, ROWS, checks, findings, systems
from crossdyad.models.estimators.estimator import REMEDIES

DECLARED = [r for r in ROWS.values() if r.estimator is not None]
SEEDS = (1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("number", sorted(ROWS))
def test_a_row_fulfils_its_law(number, seed):
    result = checks.measure(number, seed)
    assert result.passed, [f for f in result.findings if not f.passed]


@pytest.mark.parametrize("number", [29, 52, 57])
def test_the_first_rows_fulfil_their_laws(number):
    assert checks.measure(number, 0).passed


def test_every_row_says_what_it_is():
    for row in ROWS.values():
        assert row.title and row.source and set(row.combination) <= set(AXES), row.number
        assert row.check.__doc__, f"row {row.number}: the check's docstring is its law"


@pytest.mark.parametrize("row", DECLARED, ids=lambda r: str(r.number))
def test_an_estimator_refuses_what_lacks_a_capability_and_names_a_remedy(row):
    e = row.estimator
    assert e.requires <= CAPABILITIES == set(REMEDIES)
    bare = models.from_residual(lambda p, s, x: s, lambda p, x: (jnp.zeros(2),), lambda p, s, x, f: s)
    for missing in e.requires:
        with pytest.raises(models.Unsuitable, match=rf"row {e.row} .*{missing}.*use "):
            e(bare, models.squared_error, (), jnp.zeros(2), jnp.zeros(2))


def test_bad_input_is_named():
    s = systems.tanh_net(0)
    rule = ROWS[57].estimator
    with pytest.raises(ValueError, match="row 57 .*y has shape .*output has"):
        rule(s.circuit, s.objective, s.parameters, s.x, jnp.zeros(7))
    with pytest.raises(ValueError, match="row 57 .*x .* do not fit Feedforward"):
        rule(s.circuit, s.objective, s.parameters, jnp.zeros(5), s.y)
    with pytest.raises(ValueError, match="row 57 .*x holds numbers that are not finite"):
        rule(s.circuit, s.objective, s.parameters, s.x * np.nan, s.y)
    with pytest.raises(ValueError, match="capabilities: energetic unknown"):
        models.from_residual(None, None, None, capabilities=["energetic"])


def test_a_circuit_without_a_fixed_point_reports_residual_and_sweeps():
    from crossdyad.models.solvers import Problem, relaxation

    runaway = models.from_residual(lambda p, s, x: (-1 - s[0] ** 2,), lambda p, x: (jnp.zeros(1),), lambda p, s, x, f: (s[0] + 1,))
    with pytest.raises(models.NoFixedPoint, match=r"residual .* after 50 sweeps"):
        models.solved(Problem(runaway, (), None), relaxation(limit=50))


def test_ones_own_circuit_is_one_function():
    """An oscillator Ising machine: coupled phases, its energy written as a user would."""
    n, outputs = 6, 2

    def energy(parameters, s, x):
        couplings, fields = parameters
        phases = s[0]
        return (-jnp.sum((couplings + couplings.T) * jnp.cos(phases[:, None] - phases)) / 4
                - jnp.sum((fields @ x) * jnp.sin(phases)) - jnp.sum(jnp.cos(2 * phases)) / 2)

    machine = models.from_energy(
        energy, lambda p, x: (jnp.full(n, 0.3, jnp.result_type(p[0], x)),), rate=0.1,
        output=lambda s: s[0][-outputs:], with_output=lambda s, o: (s[0].at[-outputs:].set(o),), capabilities=["analytic"])
    keys = jax.random.split(jax.random.key(0), 3)
    parameters = (jax.random.normal(keys[0], (n, n)) * 0.1, jax.random.normal(keys[1], (n, 3)) * 0.5)
    x = jax.random.normal(keys[2], (3,))
    assert machine.capabilities == {"energy", "analytic"}
    exact = models.exact_gradient(machine, models.squared_error, parameters, x, jnp.array([0.2, -0.2]))
    estimate = ROWS[52].estimator(machine, models.squared_error, parameters, x, jnp.array([0.2, -0.2]), beta=0.01)
    assert findings.relative_error(estimate, exact) < 1e-3


def test_checks_can_fail():
    assert not findings.slope("", lambda e: np.array([1 + e]), np.array([1.0]), 2, 0.1).passed
    assert findings.slope("", lambda e: np.array([1 + e**2]), np.array([1.0]), 2, 0.1).passed
    assert not findings.law("", np.random.default_rng(0).normal(1, 1, 1000), 1.5).passed
    assert not findings.identical("", np.ones(3), np.ones(3) + 1e-16 * np.arange(3) + np.array([0, 0, 1e-15])).passed
    assert not findings.refused("", lambda: None).passed
    with pytest.raises(ValueError, match="rows: 99 not in the cookbook"):
        checks.check([99])


def test_the_command_lists_checks_and_refuses():
    run = CliRunner()
    listed = json.loads(run.invoke(app, ["cookbook", "57", "--json"]).stdout)
    assert listed[0]["row"] == 57 and listed[0]["combination"]["circuit"] == "chain" and listed[0]["order"] == 2
    assert "Dual propagation" in run.invoke(app, ["cookbook"]).output
    wrong = run.invoke(app, ["cookbook", "999"])
    assert wrong.exit_code == 2 and "not in the cookbook" in wrong.stderr
