"""Ways to a fixed point, and circuits that are made of circuits: each against an independent computation of the same."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from crossdyad import models
from crossdyad.models.circuits import tanh_primitive
from crossdyad.models.cookbook import systems
from crossdyad.models.energies import lifted
from crossdyad.models.estimators import coding, contrast, control, microcircuits, probes
from crossdyad.models.estimators.chains import Chain
from crossdyad.models.fixed_points import anderson
from crossdyad.models.solvers import Problem, newton, relaxation

pytestmark = pytest.mark.usefixtures("promises")

LOOP = systems.equilibrium(0)


@pytest.mark.parametrize("damping", [1e-10, 0.3])
def test_anderson_combines_sweeps_by_the_least_damped_change(damping):
    """Weights that sum to 1 and minimise ``|sum w r|**2 + damping trace |w|**2``, by the equations of that minimum."""
    s = systems.hopfield(3)
    problem = Problem(s.circuit, s.parameters, s.x)
    flat, shape = ravel_pytree(problem.start())
    sweep = jax.jit(lambda v: ravel_pytree(problem.sweep(shape(v)))[0])
    v, before, after, changed, n = np.asarray(flat), [], [], 1.0, 0
    while changed > 1e-3:
        new = np.asarray(sweep(v))
        before, after, changed, n = [v, *before][:3], [new, *after][:3], np.abs(new - v).max(), n + 1
        changes = np.array(after) - np.array(before)
        m, gram = len(changes), changes @ changes.T
        gram = gram + damping * (np.trace(gram) + 3 - m) * np.eye(m)  # of a sweep that is not there yet the trace has 1
        v = np.linalg.solve(np.block([[gram, np.ones((m, 1))], [np.ones((1, m)), 0]]), [0] * m + [1])[:m] @ np.array(after)
    found = anderson(3, damping=damping, tolerance=1e-3)(problem)
    assert int(found.sweeps) == n > 4
    np.testing.assert_allclose(ravel_pytree(found.states)[0], new, atol=1e-9)


def test_predictive_coding_of_stiff_weights_starts_at_the_free_states():
    """Linear layers, of which the energy's curvature is a thousand: its descent by small steps leaves for infinity."""
    w = tuple(30 * v for v in systems.relu_net(0).parameters[:2])
    net = models.Feedforward((6, 8, 7), models.identity)
    x, y, beta = np.linspace(-1, 1, 6), np.linspace(0, 1, 7), 0.1
    a, b = map(np.asarray, w)
    matrix = np.block([[np.eye(8) + b.T @ b, -b.T], [-b, (1 + beta) * np.eye(7)]])
    s = np.linalg.solve(matrix, np.concatenate([a @ x, beta * y]))
    hidden, o = s[:8], s[8:]
    expected = [np.outer(-(hidden - a @ x), x) / beta, np.outer(-(o - b @ hidden), hidden) / beta]
    for found, wanted in zip(coding.predictive_coding(net, models.squared_error, w, x, y, beta), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


def test_self_prediction_learns_in_every_step():
    net = models.Feedforward((3, 4, 2), jnp.tanh)
    draw = np.random.default_rng(0)
    w, other = (tuple(draw.normal(size=s) for s in ((4, 3), (2, 4))) for _ in range(2))
    inputs, learnt = draw.normal(size=(5, 3)), [np.array(v) for v in other]
    for _ in range(2):
        changes = [np.zeros_like(v) for v in learnt]
        for x in inputs:
            s, psi = [np.zeros(4), np.zeros(2)], [np.zeros(4), np.zeros(2)]
            for _ in range(200):  # into the hidden layer: feedback of cells less that of interneurons, of the same weights
                hidden = w[0] @ x + 0.5 * w[1].T @ (s[1] - psi[1])
                s, psi = [np.tanh(hidden), w[1] @ s[0]], [np.tanh(learnt[0] @ x), learnt[1] @ s[0]]
            for c, e, below in zip(changes, (s[0] - psi[0], s[1] - psi[1]), (x, s[0]), strict=True):
                c += np.outer(e, below) / len(inputs)
        learnt = [v + 0.1 * c for v, c in zip(learnt, changes, strict=True)]
    found = microcircuits.predict_self(net, w, other, inputs, 2, 0.1, 0.5, sweeps=200)
    for a, b in zip(found, learnt, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)


def test_probes_of_a_chain_factor_no_matrix():
    """One sweep solves it; Newton steps would, too, at a cost that no row of the cookbook names."""

    def factors(s):
        program = jax.make_jaxpr(lambda p: probes.node_perturbation(s.circuit, s.objective, p, s.x, s.y, jax.random.key(0)))(s.parameters)
        return " lu" in str(program)

    assert factors(LOOP) and not factors(systems.tanh_net(0))


@pytest.mark.parametrize(
    "make",
    [
        lambda c, y: control.inverted(c, models.squared_error, y, 0.5),
        lambda c, y: control.controlled(c, models.squared_error, y, (jnp.eye(6)[:, -2:],), 0.5),
    ],
)
def test_controllers_settle_by_their_own_dynamics(make):
    """Where Newton's method ends as well: the control is a force of the same sign in both."""
    circuit = make(LOOP.circuit, LOOP.y)
    problem = Problem(circuit, LOOP.parameters, LOOP.x)
    exact, found = newton(limit=0, steps=8)(problem), relaxation(tolerance=1e-12)(problem)
    assert exact.residual < 1e-12 and np.abs(ravel_pytree(exact.states[1])[0]).max() > 0.01
    np.testing.assert_allclose(*(ravel_pytree(s.states)[0] for s in (found, exact)), atol=1e-9)


def test_the_output_of_a_chain_is_its_last_blocks():
    blocks = tuple(models.Feedforward(sizes, output_activation=jnp.tanh) for sizes in ((3, 4), (4, 2), (2, 5)))
    chain, draw = Chain(blocks), np.random.default_rng(1)
    p = tuple((draw.normal(size=s),) for s in ((4, 3), (2, 4), (5, 2)))
    x = np.array([0.3, -0.2, 0.9])
    s = newton()(Problem(chain, p, x)).states
    np.testing.assert_allclose(chain.output(s), np.tanh(p[2][0] @ np.tanh(p[1][0] @ np.tanh(p[0][0] @ x))), rtol=1e-12)
    loops = Chain((blocks[0], models.Equilibrium(4, 5, 2), models.Equilibrium(2, 6, 3)))
    states = tuple((draw.normal(size=n),) for n in (4, 5, 6))
    np.testing.assert_array_equal(loops.output(states), states[2][0][-3:])
    assert [v[0].shape for v in chain.with_output(s, jnp.ones(5))] == [(4,), (2,), (5,)] and chain.with_output(s, jnp.ones(5))[2][0][0] == 1


CLAMPED = {
    "lifted": lambda: systems.bounded_net(0),
    "Hopfield": lambda: systems.hopfield(0),
    "resistors": lambda: systems.resistive(0),
    "features": lambda: systems.tied(0),
    "loop": lambda: LOOP,
}


@pytest.mark.parametrize("name", CLAMPED)
def test_a_clamp_is_heard_in_every_sweep(name):
    """Sweeps end where Newton's method does, which sees the whole circuit at once."""
    s = CLAMPED[name]()
    p = jax.tree.map(lambda w: 0.4 * w, s.parameters)
    problem = Problem(lifted(s.circuit) if name == "lifted" else s.circuit, p, s.x, clamp=jnp.linspace(-0.1, 0.3, s.y.size))
    exact, found = newton()(problem), relaxation()(problem)
    assert exact.residual < 1e-12
    np.testing.assert_allclose(*(ravel_pytree(s.states)[0] for s in (found, exact)), atol=1e-10)


def test_twins_that_differ_are_each_taken_with_its_own_parameters():
    """The contrast of two copies whose weights are off: the derivative of the weighted energies at each copy's own weights."""
    circuit = models.from_energy(lambda p, s, x: jnp.sum(s[0] ** 2) / 2 - jnp.sum(p**2 * x * s[0]), lambda p, x: (jnp.zeros(2),), rate=0.5)
    p, x, y, beta = np.array([0.7, -0.4]), np.array([1.0, 2.0]), np.array([0.5, -0.3]), 0.1
    copies = [p + 0.05, p - 0.02]
    stencil = contrast.centered(beta)
    found = contrast.twin(circuit, models.squared_error, p, x, y, stencil, copies=copies)
    expected = 0
    for b, w, q in zip(np.asarray(stencil.points), np.asarray(stencil.weights), copies, strict=True):
        s = (q**2 * x + b * y) / (1 + b)
        expected = expected - w * 2 * q * x * s
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("mean", [0, 3])
@pytest.mark.parametrize("share, outside", [(0.5, False), (2.0, True)])
def test_a_response_that_turns_the_wrong_way_is_told_from_rounding(mean, share, outside):
    """Outputs ``mean + c exp(-i t)`` have but a Fourier coefficient of index -1, of size c: not analytic where it is more than rest."""
    stencil, rest = contrast.roots_of_unity(0.1, 8), 1e-6
    turn = np.exp(2j * np.pi * np.arange(8) / 8)
    states = (jnp.asarray((mean + share * (1 + mean) * rest / turn)[:, None]),)
    found = contrast.inside_radius(systems.hopfield(0).circuit, stencil, states)
    assert np.isnan(found[0]).all() == outside


def test_the_primitive_of_tanh_is_exact_up_to_saturation():
    s = np.array([0.3, -0.99, 1 - 1e-7, -1 + 1e-12])
    np.testing.assert_allclose(jax.grad(lambda s: jnp.sum(tanh_primitive(s)))(s), np.arctanh(s), rtol=1e-14)
    np.testing.assert_allclose(tanh_primitive(s[:2]), s[:2] * np.arctanh(s[:2]) + np.log(1 - s[:2] ** 2) / 2, rtol=1e-13)
