"""What rows take beside their usual form: any stencil, any reversible block, controllers, times, temperatures."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from crossdyad import models
from crossdyad.models import energies, sampling, schedules, timing
from crossdyad.models.circuits import square_primitive, tanh_primitive
from crossdyad.models.cookbook import ROWS, systems
from crossdyad.models.cookbook.findings import relative_error
from crossdyad.models.cookbook.standard import standard
from crossdyad.models.estimators import contrast
from crossdyad.models.estimators.chains import Chain, relaxed
from crossdyad.models.estimators.control import controlled, output_responses
from crossdyad.models.estimators.greedy import contrastive
from crossdyad.models.homeostasis import homeostatic
from crossdyad.models.images import Convolution
from crossdyad.models.invertible import Coupling, Reversible
from crossdyad.models.nudges import controller
from crossdyad.models.prospective import gradient_in_time, latent_equilibrium
from crossdyad.models.solvers import Problem, newton, relaxation
from crossdyad.models.updates import agnostic

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


# Schedules with times (rows 44 to 50) -------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks, samples", [(4, 8), (3, 12), (1, 5)])
def test_a_flushed_pipeline_takes_what_its_phases_and_its_wires_take(blocks, samples):
    times, transfer = {"forward": 1.5, "backward": 2.5}, 0.25
    for schedule in (schedules.gpipe, schedules.dapple):
        events = schedule(blocks, samples)
        end = max(e for _, e in timing.timed(events, times))
        assert end == pytest.approx((samples + blocks - 1) * 4)
        assert max(e for _, e in timing.timed(events, {"forward": 1, "backward": 1})) == schedules.ticks(events)
    late = max(e for _, e in timing.timed(schedules.gpipe(blocks, samples), times, transfer))
    assert late == pytest.approx((samples + blocks - 1) * 4 + 2 * (blocks - 1) * transfer)
    share = timing.waiting(schedules.gpipe(blocks, samples), times, transfer)
    assert share == {k: pytest.approx(1 - samples * 4 / late) for k in range(blocks)}


def test_the_slowest_block_is_never_idle_for_long_and_nothing_comes_before_what_it_needs():
    slow = {"forward": [1.0, 3.0, 1.0], "backward": [1.0, 5.0, 1.0]}
    events = schedules.one_forward_one_backward(3, 20)
    when = timing.timed(events, slow, 0.5)
    assert timing.waiting(events, slow, 0.5)[1] < 0.1
    ends = {}
    for e, (begin, end) in zip(events, when, strict=True):
        if e.phase in ("forward", "backward"):
            below = e.block - 1 if e.phase == "forward" else e.block + 1
            assert begin >= ends.get((below, e.phase, e.sample), -0.5) + 0.5
            ends[e.block, e.phase, e.sample] = end
    back = schedules.reversible(3, 1)
    assert max(e for _, e in timing.timed(back, {"forward": 1, "inverse": 1, "backward": 2}, 1.0)) == 3 * 4 + 2 * 2


# Parameters held by feedback (row 66) -------------------------------------------------------------------------------


def test_a_homeostatic_controller_finds_the_control_that_holds_the_parameters():
    s, epsilon, beta = systems.hopfield(0), 1e-3, 0.1
    computed = agnostic(*s, beta=beta, epsilon=epsilon)
    steered = agnostic(*s, beta=beta, epsilon=epsilon, gain=0.3, sweeps=150)
    moved = jax.tree.map(jnp.subtract, computed, s.parameters)
    assert relative_error(jax.tree.map(jnp.subtract, steered, s.parameters), moved) < 1e-9
    before = relaxation()(models.nudges.weak(Problem(s.circuit, s.parameters, s.x), None, s.objective, s.y, -beta)).states

    def control(sweeps):
        def nudged(p):
            return models.nudges.weak(Problem(s.circuit, p, s.x), None, s.objective, s.y, -beta)

        return homeostatic(nudged, s.parameters, before, epsilon, 0.3, sweeps)

    with models.float64():
        missing = [relative_error(control(n), control(200)) for n in (10, 11)]
    assert missing[1] / missing[0] == pytest.approx(0.7, abs=0.02)


# Relaxation at each level (rows 4, 15) ------------------------------------------------------------------------------


def test_layers_relaxed_one_by_one_are_the_lifted_net():
    s = systems.tanh_net(0)
    layer = models.from_energy(
        lambda w, v, u: jnp.sum(tanh_primitive(v[0])) - v[0] @ (w @ u),
        lambda w, u: (jnp.zeros(w.shape[0]),),
        lambda w, v, u, force: (jnp.tanh(w @ u - force[0]),),
    )
    lifted = energies.lifted(models.Feedforward(s.circuit.sizes, jnp.tanh, jnp.tanh))
    states = tuple(0.5 * jnp.sin(jnp.arange(n) + 1.0) for n in s.circuit.sizes[1:])
    with models.float64():
        of_blocks = relaxed(Chain((layer,) * s.circuit.layers), 1).energy(s.parameters, tuple((v,) for v in states), s.x)
        assert of_blocks == pytest.approx(float(lifted.energy(s.parameters, states, s.x)), rel=1e-12)


def test_blocks_that_settle_relaxed_one_by_one_tend_to_the_chains_gradient():
    chain = Chain((models.Hopfield((3, 4, 3)), models.Hopfield((3, 4, 2))))
    with models.float64():
        parameters = jax.tree.map(lambda w: w / 2, chain.random_parameters(jax.random.key(0)))
        x, y = jnp.array([0.5, -1.0, 0.3]), jnp.array([0.4, -0.2])
        circuit = relaxed(chain, 60)
        exact = models.exact_gradient(chain, models.squared_error, parameters, x, y)
        at_rest = circuit.start(parameters, x)
        assert abs(circuit.energy(parameters, at_rest, x)) < 1e-14
        error = [
            relative_error(ROWS[51].estimator.estimate(circuit, models.squared_error, parameters, x, y, beta=b), exact)
            for b in (0.02, 0.01)
        ]
    assert np.log2(error[0] / error[1]) == pytest.approx(1, abs=0.1)
    with pytest.raises(models.Unsuitable, match="block 0 has no energy"):
        relaxed(Chain((models.Feedforward((3, 2)),)))


# Spins that turn at random (row 10) ---------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_sampled_spins_have_the_statistics_of_the_machine_at_their_temperature(temperature):
    rng = np.random.default_rng(1)
    w, b = jnp.asarray(rng.normal(size=(5, 5)) / 2), jnp.asarray(rng.normal(size=5) / 2)
    visible, chains, one_by_one = jnp.array([1.0, -1.0]), 20_000, [[k] for k in range(5)]
    start = jnp.where(jax.random.bernoulli(jax.random.key(0), shape=(chains, 5)), 1.0, -1.0)
    free, _ = sampling.gibbs((w, b), start, jax.random.key(1), one_by_one, 60, temperature)
    held, _ = sampling.gibbs((w, b), start.at[:, :2].set(visible), jax.random.key(2), one_by_one[2:], 60, temperature)
    assert (held[:, :2] == visible).all()
    found = sampling.sampled_contrast(held, free, temperature)
    expected = energies.boltzmann_contrast((w / temperature, b / temperature), visible)
    for a, e in zip(found, (expected[0] / temperature, expected[1] / temperature), strict=True):
        np.testing.assert_allclose(a, e, atol=5 / np.sqrt(chains) / temperature)
    assert relative_error(found, jax.tree.map(lambda v: v / temperature, energies.boltzmann_contrast((w, b), visible))) > 0.03 * (
        temperature - 1
    )


def test_spins_that_are_not_coupled_may_turn_at_once():
    w = jnp.zeros((4, 4)).at[:2, 2:].set(jnp.array([[1.0, -0.5], [0.3, 0.8]]))
    b, start = jnp.array([0.2, -0.1, 0.3, 0.0]), jnp.ones((20_000, 4))
    means = [
        sampling.gibbs((w, b), start, jax.random.key(3), groups, 40)[0].mean(0) for groups in ([[0, 1], [2, 3]], [[k] for k in range(4)])
    ]
    np.testing.assert_allclose(means[0], means[1], atol=0.04)
    _, total = sampling.gibbs((w, b), start[0], jax.random.key(4), [[0], [1]], 5)
    assert total[2] == 5 and abs(total[0]) <= 5


# A loss over time, by units that move (rows 19, 83, 84) -------------------------------------------------------------


@pytest.mark.parametrize("net, sweeps", [(models.Feedforward((3, 4, 2), jnp.tanh), 2), (models.Equilibrium(3, 4, 2), 80)])
def test_the_gradient_along_a_motion_tends_to_backprop_through_time(net, sweeps):
    x0, y0, times = jnp.array([0.5, -1.0, 0.3]), jnp.array([0.4, -0.2]), jnp.linspace(0.0, 1.5, 16)
    with models.float64():
        weights = net.random_parameters(jax.random.key(0))

        def x(t):
            return x0 * jnp.cos(t)

        def y(t):
            return y0 * jnp.sin(2 * t)

        def loss(weights):
            rates = latent_equilibrium(net, weights, jax.vmap(x)(times), sweeps=sweeps)
            return jax.vmap(lambda r, t: models.squared_error(net.output(r), y(t)))(rates, times).mean()

        through_time = jax.grad(loss)(weights)
        found = jax.jit(lambda b: gradient_in_time(net, models.squared_error, weights, x, y, times, b, 0.01))
        errors = [relative_error(found(b), through_time) for b in (0.08, 0.04)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.15) and errors[1] < 0.1


# A contrast of samples (row 40) ---------------------------------------------------------------------------------------


def test_every_sample_is_to_be_told_from_the_others():
    rng = np.random.default_rng(4)
    head, s = rng.normal(size=(3, 5)), rng.normal(size=(2, 4, 5))
    v = (s @ head.T).reshape(8, 3)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    losses = []
    for i in range(8):
        weights = np.array([0.0 if j == i else np.exp(v[i] @ v[j] / 0.3) for j in range(8)])
        losses.append(-np.log(weights[(i + 4) % 8] / weights.sum()))
    assert float(contrastive(0.3)(head, s)) == pytest.approx(np.mean(losses), rel=1e-12)


@pytest.mark.parametrize(("weight", "right"), [(-0.3, False), (-0.2, True)])
def test_four_points_turn_round_where_only_the_outer_ones_lift_a_unit_off_its_bound(weight, right):
    """A unit of drive -.3 is at 0; nudges of .5 lift it, those of .25 do not, and outer points count negatively."""
    net = models.Hopfield((1, 1), models.clip(0.0, 1.0), square_primitive, frozenset({"energy", "block-exact"}))
    given = net, models.squared_error, (np.full((1, 1), weight),), np.ones(1), np.ones(1)
    estimates = [
        contrast.contrast(*given, stencil(0.5), solver=relaxation(12))[0].item() for stencil in (contrast.centered, contrast.extrapolated)
    ]
    assert estimates[0] < 0 and (estimates[1] < 0) == right
    assert standard(53, (4, 3, 2)).circuit.neuron(1) is models.identity  # so row 53 has outputs without bounds


def test_outputs_without_bounds_over_units_of_tanh():
    """``h = tanh(U x + W^T W h)``, solved by itself; the energy's slope from its equations; the cost's from differences of it."""
    net = models.Hopfield((3, 4, 2), output_activation=models.identity, output_primitive=square_primitive)
    rng = np.random.default_rng(0)
    u, w, x, y, h, o = (rng.normal(size=n) for n in [(4, 3), (2, 4), 3, 2, 4, 2])
    w, h = 0.7 * w, np.tanh(h)

    def settled(u, w):
        h = np.zeros(4)
        for _ in range(300):
            h = 0.5 * h + 0.5 * np.tanh(u @ x + w.T @ w @ h)
        return h, w @ h

    expected = np.arctanh(h) - u @ x - w.T @ o, o - w @ h
    slope = jax.grad(lambda s: net.energy((u, w), s, x))((h, o))
    for found in (slope, net.residual((u, w), (h, o), x)):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
    rest = settled(u, w)
    assert np.abs(rest[1]).max() > 1  # where no tanh reaches
    for a, b in zip(relaxation(2000)(Problem(net, (u, w), x)).states, rest, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    by_adjoint = models.exact_gradient(net, models.squared_error, (u, w), x, y)
    for k, p in enumerate((u, w)):
        for place in np.ndindex(p.shape):
            step = np.zeros(p.shape)
            step[place] = 1e-5
            up, down = (settled(*(u + s * step, w) if not k else (u, w + s * step))[1] for s in (1, -1))
            slope = ((up - y) @ (up - y) - (down - y) @ (down - y)) / 4e-5
            np.testing.assert_allclose(by_adjoint[k][place], slope, rtol=1e-6, atol=1e-8)


def test_an_output_activation_has_its_primitive():
    with pytest.raises(ValueError, match="output_activation and output_primitive: one is given"):
        models.Hopfield((3, 2), output_activation=models.identity)
