"""Functions of the reference that no standard training calls with all their arguments, by hand: every argument counts."""

import sys
from dataclasses import replace

import by_hand
import by_hand_energies as energies
import by_hand_states as states
import jax
import numpy as np
import optax
import pytest
from by_hand import TANH, Given
from jax import numpy as jnp

from crossdyad import models
from crossdyad.models import circuits, flow, nudges, objectives, prospective, solvers, training, updates
from crossdyad.models.cookbook import ROWS
from crossdyad.models.energies import Resistive
from crossdyad.models.estimators import contrast, control, dyads, feedback, greedy, implicit, microcircuits, oscillation, probes, targets
from crossdyad.models.operators import Dense

pytestmark = pytest.mark.usefixtures("promises")

SIZES = (4, 5, 4, 3)
NET, SMOOTH = models.Feedforward(SIZES), models.Feedforward(SIZES, jnp.tanh)
CLIPPED = models.Hopfield(SIZES, models.clip(0.0, 1.0), circuits.square_primitive, frozenset({"energy", "block-exact"}))
UNBOUNDED = replace(CLIPPED, output_activation=models.identity, output_primitive=circuits.square_primitive)
KEY = jax.random.key(5)


def given(seed=0, scale=0.6):
    rng = np.random.default_rng(seed)
    w = tuple(scale * rng.normal(size=(m, n)) for m, n in zip(SIZES[1:], SIZES[:-1], strict=True))
    return Given(SIZES, w, rng.normal(size=SIZES[0]), np.array([0.2, 0.5, 0.3]), KEY)


def others(seed, shapes):
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=s) for s in shapes)


def same(found, expected, tolerance=1e-10):
    found = jax.tree.leaves(found)
    scale = np.sqrt(sum(np.sum(np.square(e)) for e in expected))
    assert len(found) == len(expected) and scale > 1e-6
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


def cost(circuit, function, g, objective=models.cross_entropy, **how):
    return jax.jit(lambda w: function(circuit, objective, w, g.x, g.y, **how))(g.w)


def test_locoprop_in_all_its_arguments():
    g, how = given(), {"strength": 2.0, "rate": 0.05, "proximity": 0.5, "steps": 7}
    found = cost(NET, updates.locoprop, g, **how)
    same([a - b for a, b in zip(g.w, found, strict=True)], by_hand.locoprop(g, over=1.0, **how))


def test_a_microcircuit_with_feedback_and_interneurons_of_its_own():
    g = given()
    how = {"beta": 0.2, "gain": 0.5, "feedback": given(1).w, "interneurons": tuple(0.9 * w for w in g.w)}
    same(cost(SMOOTH, microcircuits.dendritic_error, g, **how), states.microcircuit(g, hidden=TANH, **how))


def test_least_action_from_free_voltages():
    g = given()
    drives = by_hand.forward(g.w, g.x, TANH)[1]
    with models.float64():
        start = prospective.free_voltages(SMOOTH, g.w, g.x, sweeps=3)
    same(start, drives, 1e-13)
    found = cost(SMOOTH, prospective.least_action_gradient, g, duration=1.0, step=0.5, beta=0.2, start=start)
    same(found, states.least_action(g, 0.2, 1.0, 0.5, drives))


def test_feedback_control_with_feedback_and_leak():
    g = given()
    how = {"beta": 0.2, "feedback": others(2, [(n, 3) for n in SIZES[1:]]), "leak": 0.4}
    same(cost(SMOOTH, control.deep_feedback_control, g, **how), states.deep_control(g, **how))


def test_learners_of_feedback_by_their_rates():
    w, b, n = others(3, [(3, 5), (5, 3), (5,)])
    same(feedback.mirror((Dense(5, 3),), (b,), (w,), (n,), 0.3, 0.2), [0.8 * b + 0.3 * np.outer(n, w @ n)])
    low, high, up, down = others(4, [(4, 3), (2, 4), (4, 2), (3, 4)])
    steps = others(5, [(4, 3), (2, 4)])
    same(
        feedback.kolen_pollack(models.Feedforward((3, 4, 2)), (low, high), (up,), steps, 0.3, 0.2),
        [0.8 * low - 0.3 * steps[0], 0.8 * high - 0.3 * steps[1], 0.8 * up - 0.3 * steps[1].T],
    )
    g = given()
    matrices = others(6, zip(SIZES[1:-1], SIZES[2:], strict=True))
    found = cost(NET, lambda c, o, p, x, y: feedback.perturb(c, o, p, matrices, x, y, KEY, sigma=0.3, rate=0.2), g)
    expected = by_hand.perturbed(g._replace(w=(g.w, matrices)), sigma=0.3)[-2:]
    same([a - b for a, b in zip(found, matrices, strict=True)], [-0.2 * v for v in expected])


@pytest.mark.parametrize("direct", [False, True])
def test_targets_by_the_layer_above_or_by_the_output(direct):
    g = given()
    shapes = [(n, SIZES[-1]) for n in SIZES[1:-1]] if direct else list(zip(SIZES[1:-1], SIZES[2:], strict=True))
    matrices = others(7, shapes)
    found = cost(
        SMOOTH,
        lambda c, o, p, x, y: targets.target_propagation(c, o, p, x, y, [lambda v, m=m: jnp.tanh(m @ v) for m in matrices], 0.7, direct),
        g,
    )
    states, drives = by_hand.forward(g.w, g.x, TANH)
    change = [-0.7 * by_hand.surprise(states[-1], g.y)]
    for k in reversed(range(len(matrices))):
        above, moved = (states[-1], change[-1]) if direct else (states[k + 2], change[0])
        change.insert(0, np.tanh(matrices[k] @ (above + moved)) - np.tanh(matrices[k] @ above))
    slopes = [by_hand.tanh_slope(a) for a in drives[:-1]] + [1]
    same(found, by_hand.outer([-f * c / 0.7 for f, c in zip(slopes, change, strict=True)], states[:-1]))


def test_second_order_is_damped():
    same(cost(NET, lambda *a: updates.pseudo_inverse_step(*a, 0.3), given()), [-v for v in by_hand.pseudo_inverse(given(), 0.3)])


@pytest.mark.parametrize(
    "circuit, update, by, over",
    [(UNBOUNDED, updates.continual, energies.continual, "rate"), (CLIPPED, updates.agnostic, energies.agnostic, "epsilon")],
)
def test_updates_of_energies_by_their_rates(circuit, update, by, over):
    g = given(8, 0.4)
    how = {"beta": 0.3, over: 0.02}
    more = {"sweeps": 12} if over == "rate" else {}
    found = cost(circuit, update, g, models.squared_error, solver=solvers.relaxation(12), **how, **more)
    same([(a - b) / 0.02 for a, b in zip(g.w, found, strict=True)], by(g, **how))


LOOP = models.Equilibrium(4, 5, 3)
W_LOOP = others(20, [(5, 5), (5, 4)])


@pytest.mark.slow
@pytest.mark.parametrize(
    "function, circuit, more",
    [
        (implicit.exact_gradient, LOOP, {}),
        (implicit.cost, LOOP, {}),
        (implicit.clamp_gradient, CLIPPED, {}),
        (lambda *a, **k: contrast.contrast(*a, contrast.centered(0.2), **k), CLIPPED, {}),
        (oscillation.frequency_propagation, CLIPPED, {"steps": 4}),
        (probes.node_perturbation, LOOP, {"key": KEY}),
        (microcircuits.dendritic_error, LOOP, {}),
        (dyads.dyads_anywhere, LOOP, {}),
        (lambda *a, **k: feedback.feedback_gradient(*a, lambda _, d: (jnp.ones((5, 5)) @ d[0] / 9,), **k), LOOP, {}),
        (control.deep_feedback_control, SMOOTH, {}),
        (updates.pseudo_inverse_step, LOOP, {}),
        (updates.continual, CLIPPED, {"sweeps": 3}),
        (updates.agnostic, CLIPPED, {}),
        (lambda c, o, w, x, y, solver: updates.output_jacobian(c, w, x, solver), LOOP, {}),
        (lambda c, o, w, x, y, solver: updates.free_output(c, w, x, solver), LOOP, {}),
        (lambda c, o, w, x, y, solver: training.predict(c, w, x, solver), LOOP, {}),
    ],
)
def test_a_solver_that_is_given_is_the_only_one(function, circuit, more, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("another solver is made")

    g, own = given(21, 0.3), solvers.relaxation(3)
    modules = [m for name, m in sys.modules.items() if name.startswith("crossdyad.models") and ".cookbook" not in name]
    for module in modules:
        for name in {"newton", "relaxation"} & set(vars(module)):
            monkeypatch.setattr(module, name, refuse)
    weights = W_LOOP if circuit is LOOP else g.w
    found = function(circuit, models.squared_error, weights, g.x, g.y, solver=own, **more)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_training_starts_where_it_is_told():
    g, rng = given(22), np.random.default_rng(0)
    data = rng.normal(size=(8, 4)), np.arange(8) % 3, rng.normal(size=(2, 4)), np.array([0, 1])
    run = training.train(ROWS[1].estimator, NET, models.cross_entropy, data, parameters=g.w, epochs=1, batch=8, optimizer=optax.sgd(0.5))
    mean = [np.mean([by_hand.backprop(g._replace(x=x, y=np.eye(3)[c]))[k] for x, c in zip(*data[:2], strict=True)], 0) for k in range(3)]
    same(run.parameters, [w - 0.5 * m for w, m in zip(g.w, mean, strict=True)])
    o = [by_hand.forward(run.parameters, x)[0][-1] for x in data[2]]
    assert np.isclose(run.epochs[0]["loss"], np.mean([by_hand.cross_entropy(v, np.eye(3)[c]) for v, c in zip(o, data[3], strict=True)]))
    assert run.epochs[0]["accuracy"] == np.mean([v.argmax() == c for v, c in zip(o, data[3], strict=True)])


DEEP = (3, 4, 3, 3, 2, 2)


def test_a_sweep_of_a_deep_net_reaches_every_layer():
    rng = np.random.default_rng(23)
    w = [rng.normal(size=(m, n)) for m, n in zip(DEEP[1:], DEEP[:-1], strict=True)]
    x, s = rng.normal(size=3), tuple(rng.normal(size=n) for n in DEEP[1:])
    resistors = [abs(v) for v in [np.concatenate([w[0], w[0] ** 2], 1), *w[1:]]]
    force = (*(np.zeros(n) for n in DEEP[1:-1]), np.array([0.3, -0.2]))
    for circuit, weights, net in (
        (models.Hopfield(DEEP), w, energies.Net(np.tanh, w, x)),
        (Resistive(DEEP, 3.0), resistors, energies.Resistors(resistors, x, 3.0)),
    ):
        same(circuit.relax(tuple(weights), s, x, force), net.sweep(s, force[-1]))


def test_objectives():
    s, y = np.array([0.3, -1.2, 2.0]), np.array([0.5, 0.25, 0.25])
    assert np.isclose(objectives.squared_error(s, y), 0.5 * (0.2**2 + 1.45**2 + 1.75**2), rtol=1e-14)
    assert np.isclose(objectives.cross_entropy(s, y), np.log(np.exp(s).sum()) - s @ y, rtol=1e-14)


def test_losses_of_blocks():
    head, labels, s, x = others(9, [(4, 3), (2, 3), (3,), (4,)])
    y = np.array([0.3, 0.7])
    found = greedy.informed(0.3, 0.6)((head, labels), s, (x, y))
    assert np.isclose(found, 0.15 * ((x - head @ s) ** 2).sum() + 0.6 * by_hand.cross_entropy(labels @ s, y), rtol=1e-13)
    assert np.isclose(greedy.forward_forward(1.5)((), s, -1.0), np.log1p(np.exp(s @ s - 1.5)), rtol=1e-13)
    batch, classes = others(10, [(6, 4), (6, 3)])
    (project,) = others(11, [(5, 4)])

    def cosines(v):
        v = v - v.mean(1, keepdims=True)
        return v @ v.T / np.outer(*[np.sqrt((v**2).sum(1))] * 2)

    assert np.isclose(greedy.similarity(project, batch, classes), ((cosines(batch @ project.T) - cosines(classes)) ** 2).sum(), rtol=1e-12)
    (views,) = others(12, [(2, 7, 4)])
    a, b = (v @ project.T for v in views)
    c = np.corrcoef(a.T, b.T)[:5, 5:]
    expected = ((1 - np.diag(c)) ** 2).sum() + 0.02 * ((c**2).sum() - (np.diag(c) ** 2).sum())
    assert np.isclose(greedy.barlow_twins(0.02)(project, views), expected, rtol=1e-12)
    patches, m = others(13, [(5, 4, 3), (2, 3, 3)])
    terms = []
    for d in (1, 2):
        for t in range(4 - d):
            scores = patches[:, t + d] @ m[d - 1] @ patches[:, t].T  # (j, i)
            terms += list(np.log(np.exp(scores).sum(0)) - np.diag(scores))
    assert np.isclose(greedy.info_nce(m, patches), np.mean(terms), rtol=1e-12)


def test_flow_is_heuns_method():
    (a,) = others(14, [(3, 3)])
    v = start = np.array([1.0, -0.5, 0.2])

    def field(t, v, scale=0.7):
        return scale * np.sin(t) * (a @ v)

    for n in range(8):
        first = field(0.25 * n, v)
        v = v + 0.125 * (first + field(0.25 * (n + 1), v + 0.25 * first))
    found = flow.flow(lambda t, v, scale: scale * jnp.sin(t) * (a @ v), jnp.asarray(start), 2.0, 0.25, 0.7)
    np.testing.assert_allclose(found, v, rtol=1e-13)
    many = flow.flow(lambda t, v, _: 0.7 * jnp.sin(t) * (a @ v) * (1 + 0j), start + 0j, 2.0, 0.25, times=jnp.array([1.0, 2.0]))
    assert many.shape == (2, 3) and np.iscomplexobj(many)
    np.testing.assert_allclose(many[1], v, rtol=1e-13)


def test_nudges_are_forces_and_clamps():
    g, beta = given(15, 0.4), 0.3
    free = tuple(np.full(n, 0.1 * n) for n in SIZES[1:])
    problem = solvers.Problem(CLIPPED, g.w, g.x)
    weak, strong = (nudge(problem, free, models.squared_error, g.y, beta) for nudge in (nudges.weak, nudges.strong))
    held = nudges.clamped(problem, free, models.squared_error, g.y, beta)
    s = others(16, [(n,) for n in SIZES[1:]])
    for found, factor in ((weak, beta), (strong, 1 / beta)):
        same(found.force(s), [np.zeros(5), np.zeros(4), factor * (s[-1] - g.y)])
        assert found.begin is free
    np.testing.assert_allclose(held.clamp, 0.7 * free[-1] + 0.3 * g.y)
    same(held.start()[-1], [0.7 * free[-1] + 0.3 * g.y])
    same(held.residual(s)[-1], [s[-1] - held.clamp])


def test_solutions_say_how_good_they_are():
    unit = models.from_residual(
        lambda p, s, x: (2 * s[0] - p,), lambda p, x: (jnp.zeros(2),), lambda p, s, x, f: (s[0] - 0.25 * (2 * s[0] - p + f[0]),)
    )
    p = np.array([1.0, -3.0])
    three = solvers.relaxation(3)(solvers.Problem(unit, p, None))
    np.testing.assert_allclose(three.states[0], p / 2 * (1 - 0.5**3))
    assert three.sweeps == 3 and np.isclose(three.residual, 3 * 0.5**3)
    still = solvers.relaxation(tolerance=1e-3)(solvers.Problem(unit, p, None))
    assert int(still.sweeps) == 11  # 1.5 * 0.5^n below 1e-3, n from 1
    assert np.isnan(solvers.relaxation(tolerance=1e-3, limit=10)(solvers.Problem(unit, p, None)).states[0]).all()
    found = solvers.newton(limit=0, steps=1)(solvers.Problem(unit, p, None, force=lambda s: (0 * s[0] + 1,)))
    np.testing.assert_allclose(found.states[0], (p - 1) / 2, rtol=1e-15)
    assert int(found.sweeps) == 0 and found.residual < 1e-15
