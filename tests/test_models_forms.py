"""What rows take beside their usual form: any stencil, any reversible block, controllers that are quick or late."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from crossdyad import models
from crossdyad.models.cookbook import ROWS, systems
from crossdyad.models.cookbook.findings import relative_error
from crossdyad.models.estimators import contrast
from crossdyad.models.estimators.control import controlled, output_responses
from crossdyad.models.images import Convolution
from crossdyad.models.invertible import Coupling, Reversible
from crossdyad.models.nudges import controller
from crossdyad.models.solvers import Problem, newton, relaxation

# Stencils (row 53) ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "points, known",
    [
        ([0, 0.1], contrast.one_sided(0.1)),
        ([-0.2, 0], contrast.one_sided(-0.2)),
        ([0.1, -0.1], contrast.centered(0.1)),
        ([0.05, -0.05, 0.1, -0.1], contrast.extrapolated(0.1)),
        (0.1 * np.exp(2j * np.pi * np.arange(5) / 5), contrast.roots_of_unity(0.1, 5)),
    ],
)
def test_the_usual_stencils_are_the_weights_of_their_points(points, known):
    found = dict(zip(np.round(points, 12).tolist(), contrast.fornberg(points).weights, strict=True))
    expected = dict(zip(np.round(known.points, 12).tolist(), known.weights, strict=True))
    assert found.keys() == expected.keys()
    for x, weight in found.items():
        assert weight == pytest.approx(expected[x], rel=1e-12, abs=1e-12)


def test_weights_of_any_points_differentiate_polynomials():
    points, weights = contrast.fornberg(np.random.default_rng(0).normal(size=6))
    slopes = [weights @ points**k for k in range(6)]
    np.testing.assert_allclose(slopes, [0, 1, 0, 0, 0, 0], atol=1e-11)


@pytest.mark.parametrize("points", [[0.1], [0.1, 0.2, 0.1], [[0.0, 0.1]]])
def test_points_that_make_no_stencil_are_refused(points):
    with pytest.raises(ValueError, match="points: .*no two alike"):
        contrast.fornberg(points)


# Reversible blocks (row 17) -----------------------------------------------------------------------------------------


IMAGE = Convolution((4, 4, 2), 2, padding=1)


def convolved(w, s):
    return jnp.sin(IMAGE(w, s.reshape(4, 4, 2))).reshape(-1)


def squared(p, s):
    return (p["gain"] * s) ** 2 - p["shift"]


NET = Reversible((Coupling(first=convolved, second=squared), Coupling(first=squared, second=convolved, grid=2.0**-20)))


def reversible_system():
    k = jax.random.split(jax.random.key(0), 4)
    with models.float64():
        w = [IMAGE.normal(a) / 3 for a in k[:2]]
        p = [{"gain": jnp.full(32, 0.3 + 0.1 * n), "shift": jnp.linspace(-1, 1, 32)} for n in range(2)]
        x, y = np.round(jax.random.normal(k[2], (64,)) * 2.0**20) / 2.0**20, jax.random.normal(k[3], (64,))
        return NET, models.squared_error, ((w[0], p[0]), (p[1], w[1])), jnp.asarray(x), y


def test_states_of_any_two_functions_follow_from_the_output():
    net, _, parameters, x, _ = reversible_system()
    states = net.forward(parameters, x)
    for there, back in zip(states, net.inverse(parameters, states[-1]), strict=True):
        np.testing.assert_allclose(back, there, rtol=1e-13, atol=1e-13)


def test_estimators_take_reversible_blocks_of_any_functions():
    net, objective, parameters, x, y = reversible_system()
    net = Reversible((net.blocks[0], net.blocks[1]._replace(grid=0.0)))

    def by_hand(parameters):
        (w, p), (q, v) = parameters
        a, b = x[:32], x[32:]
        a = a + convolved(w, b)
        b = b + (p["gain"] * a) ** 2 - p["shift"]
        a = a + (q["gain"] * b) ** 2 - q["shift"]
        b = b + convolved(v, a)
        return objective(jnp.concatenate([a, b]), y)

    with models.float64():
        exact = jax.grad(by_hand)(parameters)
    models.check_circuit(net, parameters, x)
    assert relative_error(models.exact_gradient(net, objective, parameters, x, y), exact) < 1e-12
    assert relative_error(ROWS[21].estimator(net, objective, parameters, x, y), exact) < 1e-12
    coded = [relative_error(ROWS[68].estimator(net, objective, parameters, x, y, beta=b), exact) for b in (2e-3, 1e-3)]
    assert np.log2(coded[0] / coded[1]) == pytest.approx(1, abs=0.1)


# Controllers of the output (rows 61, 74) ----------------------------------------------------------------------------


def test_a_proportional_part_adds_to_the_nudge_and_a_delay_leaves_it():
    s = systems.hopfield(0)
    problem = Problem(s.circuit, jax.tree.map(lambda w: w / 2, s.parameters), s.x)  # so weak that there is one state of rest
    weak = newton()(models.nudges.weak(problem, None, s.objective, s.y, 0.3 * (1 / 2 + 0.25))).states
    for delay in (0, 3):
        nudge = controller(leak=2.0, rate=0.05, proportional=0.25, delay=delay)
        found = relaxation()(nudge(problem, None, s.objective, s.y, 0.3)).states[0]
        assert relative_error(found, weak) < 1e-10
    with pytest.raises(ValueError, match="delay: -1; allowed are whole numbers"):
        controller(delay=-1)


def follower():
    """Outputs that are their input and whatever current flows into them."""
    return models.from_energy(
        lambda p, s, x: jnp.sum((s[0] - x) ** 2) / 2, lambda p, x: (jnp.zeros_like(x),), lambda p, s, x, force: (x - force[0],)
    )


@pytest.mark.parametrize("delay", [0, 1, 4])
def test_a_delay_bounds_the_rate_of_an_integrator(delay):
    bound, x, y = 2 * np.sin(np.pi / (4 * delay + 2)), jnp.array([0.3]), jnp.array([1.0])
    for share, grows in ((0.97, False), (1.03, True)):
        nudge = controller(leak=0.0, rate=bound * share, delay=delay)
        problem = nudge(Problem(follower(), (), x), None, models.squared_error, y, 1.0)
        early, late = (abs(float(relaxation(n)(problem).states[1][0]) - 0.7) for n in (4000, 4020))
        assert (late > 1) == grows and (early < 1e-3) != grows


def test_feedback_control_with_a_proportional_part_needs_less_leak():
    """At rest ``u = -slope / leak``, and with k more of it at once the same states as a leak of ``1 / (1 / leak + k)``."""
    s = systems.tanh_net(0)
    free = tuple(s.circuit.forward(s.parameters, s.x)[1:])
    q, rest = output_responses(s.circuit, s.parameters, s.x, free), []
    strength = np.linalg.norm(sum(np.asarray(v).T @ v for v in q), 2)
    q = jax.tree.map(lambda v: v / strength, q)
    for leak, proportional, delay in ((1.0, 0.5, 0), (1 / 1.5, 0.0, 0), (1.0, 0.5, 2)):
        made = controlled(s.circuit, s.objective, s.y, q, leak, 0.05, proportional, delay)
        rest.append(relaxation()(Problem(made, s.parameters, s.x)).states[0])
    assert relative_error(rest[0], rest[1]) < 1e-9 and relative_error(rest[2], rest[1]) < 1e-9
    assert relative_error(rest[0], free) > 0.01
