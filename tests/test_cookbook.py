"""The cookbook: every row fulfils its own law, on every seed; estimators refuse what they cannot do; checks can fail."""

import inspect
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from typer.testing import CliRunner

from crossdyad import models
from crossdyad.cli import app
from crossdyad.models import updates
from crossdyad.models.circuits import CAPABILITIES
from crossdyad.models.cookbook import AXES, ROWS, checks, findings, gallery, systems
from crossdyad.models.cookbook.contrasts import holomorphic
from crossdyad.models.estimators.contrast import centered, twin
from crossdyad.models.estimators.estimator import REMEDIES
from crossdyad.models.estimators.targets import target_propagation
from crossdyad.models.fixed_points import anderson, broyden, gradient_flow
from crossdyad.models.solvers import Problem, newton, relaxation

DECLARED = [r for r in ROWS.values() if r.estimator is not None]
SEEDS = (1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("number", sorted(ROWS))
def test_a_row_fulfils_its_law(number, seed):
    result = checks.measure(number, seed)
    assert result.passed, [f for f in result.findings if not f.passed]


@pytest.mark.parametrize("number", [29, 52, 57, 69, 70, 71])
def test_some_rows_fulfil_their_laws(number):
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


@pytest.mark.parametrize(
    "row",
    [r for r in DECLARED if "solver" in inspect.signature(r.estimator.estimate).parameters and r.systems],
    ids=lambda r: str(r.number),
)
def test_an_estimator_with_a_solver_takes_any(row):
    s = row.systems[0](0)
    found = jax.eval_shape(lambda p, x, y: row.estimator.estimate(s.circuit, s.objective, p, x, y, solver=relaxation(3)), *s[2:])
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, s.parameters)


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


def test_what_an_estimator_needs_beside_is_asked_for():
    s, h = systems.tanh_net(0), systems.hopfield(0)
    with pytest.raises(TypeError, match=r"row 29 .*key is missing; give a random key"):
        ROWS[29].estimator(*s)
    with pytest.raises(TypeError, match="row 23 .*matrices is missing; give the feedback"):
        ROWS[23].estimator(*s)
    with pytest.raises(TypeError, match="row 23 .*matrices is missing; give the feedback"):
        ROWS[23].estimator(*s, matrices=None)
    with pytest.raises(ValueError, match="matrices: 5; a chain takes one for each hidden layer, ."):
        ROWS[23].estimator(*s, matrices=(None,) * 5)
    with pytest.raises(TypeError, match="row 52 .*betta unknown; there is beta, solver"):
        ROWS[52].estimator(*h, betta=0.1)
    with pytest.raises(ValueError, match="row 52 .*beta is 0, by which .*such as 0.1"):
        ROWS[52].estimator(*h, beta=0)


@pytest.mark.parametrize(
    "call, row",
    [
        (updates.continual, 64),
        (updates.free_running, 65),
        (updates.agnostic, 66),
        (updates.locoprop, 79),
        (lambda *s: twin(*s, centered(0.1)), 67),
        (lambda *s: models.contrast(*s, centered(0.1)), 51),
        (models.dual_propagation, 57),
        (lambda *s: target_propagation(*s, []), 69),
    ],
)
def test_a_function_that_is_no_estimator_refuses_as_they_do(call, row):
    with pytest.raises(models.Unsuitable, match=f"row {row} .*needs what Equilibrium lacks.*use "):
        call(*systems.equilibrium(0))


def test_members_of_a_circuit_that_do_not_go_together_are_named():
    def call(circuit, output):
        ROWS[21].estimator(circuit, models.squared_error, jnp.ones(3), jnp.ones(3), jnp.zeros(output))

    def start(p, x):
        return (jnp.zeros(3),)

    with pytest.raises(ValueError, match=r"row 21 .*residual of Own gives shapes \(3,\); its states have \(\(3,\),\)"):
        call(models.from_residual(lambda p, s, x: s[0], start, lambda p, s, x, f: s), 3)
    with pytest.raises(ValueError, match="row 21 .*with_output of Own"):
        call(models.from_residual(lambda p, s, x: s, lambda p, x: jnp.zeros(3), lambda p, s, x, f: s), ())
    with pytest.raises(ValueError, match="row 21 .*do not fit Own: Gradient only defined for scalar-output"):
        call(models.from_energy(lambda p, s, x: s[0], start), 3)

    class Unhashable:
        capabilities, __hash__ = frozenset(), None

    with pytest.raises(ValueError, match="row 21 .*Unhashable cannot be hashed.*frozen dataclass"):
        call(Unhashable(), 3)
    net = systems.hopfield(0)
    with pytest.raises(ValueError, match="row 52 .*parameters .* and x .* do not fit Hopfield"):
        ROWS[52].estimator(net.circuit, net.objective, (*net.parameters, *net.parameters), jnp.ones(2), net.y)


@pytest.mark.parametrize("number", [21, 68, 74, 88])
def test_an_estimator_on_a_circuit_that_does_not_settle_reports_residual_and_sweeps(number):
    """Weights ten times too large: the states wander for ever, and what is made of them is no gradient."""
    s = systems.equilibrium(0)
    wild = s._replace(parameters=(10 * s.parameters[0], s.parameters[1]))
    with pytest.raises(models.NoFixedPoint, match=rf"row {number} .*Equilibrium has no fixed point.*residual .* after 2000 sweeps"):
        ROWS[number].estimator(*wild)


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_a_nudge_outside_the_radius_of_analyticity_is_an_error(beta):
    """Some states settle there, on another branch: the response's Fourier coefficients tell."""
    s = systems.hopfield(0)
    with pytest.raises(models.NoFixedPoint, match=rf"row 54 .*beta = {beta} .*outside the radius of analyticity; lower beta"):
        holomorphic(16)(*s, beta=beta)
    assert findings.relative_error(holomorphic(16)(*s, beta=0.3), ROWS[21].estimator(*s)) < 1e-5


def test_a_gradient_of_nothing_is_inside_the_radius():
    """At the target all coefficients but the first are rounding."""
    s = systems.hopfield(0)
    o = s.circuit.output(newton()(Problem(s.circuit, s.parameters, s.x)).states)
    assert np.linalg.norm(findings.flat(holomorphic(16)(*s._replace(y=o), beta=0.1))) < 1e-12


RUNAWAY = models.from_residual(lambda p, s, x: (1 + s[0] ** 2,), lambda p, x: (jnp.ones(1),), lambda p, s, x, f: (s[0] - 1,))
"""Its constraint has no root."""


@pytest.mark.parametrize("solver", [newton(), relaxation(limit=50), gradient_flow(limit=50), anderson(limit=50), broyden(limit=50)])
def test_solvers_give_nan_for_states_that_do_not_settle(solver):
    found = solver(Problem(RUNAWAY, (), None))
    assert np.isnan(found.states[0]).all() and not found.residual <= 1e-6


@pytest.mark.parametrize("solver", [relaxation, gradient_flow, anderson, broyden])
def test_a_limit_is_the_most_sweeps(solver):
    assert solver(limit=7)(Problem(RUNAWAY, (), None)).sweeps == 7


def test_a_number_of_sweeps_is_what_was_asked_for():
    assert np.isfinite(relaxation(50)(Problem(RUNAWAY, (), None)).states[0]).all()


def test_a_circuit_without_a_fixed_point_reports_residual_and_sweeps():
    with pytest.raises(models.NoFixedPoint, match=r"residual .* after 50 sweeps"):
        models.solved(Problem(RUNAWAY, (), None), relaxation(limit=50))


def test_checks_can_fail():
    assert not findings.slope("", lambda e: np.array([1 + e]), np.array([1.0]), 2, 0.1).passed
    assert findings.slope("", lambda e: np.array([1 + e**2]), np.array([1.0]), 2, 0.1).passed
    assert not findings.law("", np.random.default_rng(0).normal(1, 1, 1000), 1.5).passed
    assert not findings.identical("", np.ones(3), np.ones(3) + 1e-16 * np.arange(3) + np.array([0, 0, 1e-15])).passed
    assert not findings.refused("", lambda: None).passed
    with pytest.raises(ValueError, match="rows: 99 not in the cookbook"):
        checks.results([99])


def test_the_command_lists_checks_and_refuses():
    run = CliRunner()
    listed = json.loads(run.invoke(app, ["cookbook", "57", "--json"]).stdout)
    assert listed[0]["row"] == 57 and listed[0]["combination"]["circuit"] == "chain" and listed[0]["order"] == 2
    assert "Dual propagation" in run.invoke(app, ["cookbook"]).output
    wrong = run.invoke(app, ["cookbook", "999"])
    assert wrong.exit_code == 2 and "not in the cookbook" in wrong.stderr


def test_the_command_draws_the_gallery(tmp_path, monkeypatch):
    def lines():
        paper, axes = gallery.figure("title", "x", "y")
        axes.plot([1, 2])
        return paper

    monkeypatch.setattr(gallery, "FIGURES", (lines,))
    drawn = CliRunner().invoke(app, ["cookbook", "--figures", str(tmp_path), "--json"])
    assert json.loads(drawn.stdout) == [str(tmp_path / "lines.svg")] and "<svg" in (tmp_path / "lines.svg").read_text()


def test_every_figure_is_kept_and_small():
    folder = Path(__file__).resolve().parent.parent / "docs" / "gallery"
    assert {p.stem for p in folder.iterdir()} == {make.__name__ for make in gallery.FIGURES}
    assert all(p.stat().st_size < 200_000 for p in folder.iterdir())
