"""Circuits of a user's own, written from docs/reference.md, against computations that share nothing with the library."""

import itertools

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from crossdyad import models
from crossdyad.models.cookbook import ROWS
from crossdyad.models.estimators.chains import Chain, chain_gradient
from crossdyad.models.estimators.feedback import kolen_pollack, transposes
from crossdyad.models.images import Convolution, Pooling
from crossdyad.models.operators import Linear


def off(found, expected):
    """Relative error of a gradient."""
    found, expected = (ravel_pytree(v)[0] for v in (found, expected))
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def order(row, system, expected, beta=0.01):
    """Power of the small parameter with which a row's error falls."""
    rule = ROWS[row].estimator
    large, small = (off(rule(*system, **{rule.small: b}), expected) for b in (beta, beta / 2))
    return np.log2(large / small)


# A sequence: a recurrent cell, its loss over all steps -----------------------------------------------------------

STEPS, CELLS, READ = 5, 4, 2


def unrolled(parameters, s, x):
    (w, u, v), (h, _) = parameters, s
    before = jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])
    return before @ w.T + x @ u.T, h @ v.T


def silence(parameters, x):
    kind = jnp.result_type(parameters[0], x)
    return jnp.zeros((STEPS, CELLS), kind), jnp.zeros((STEPS, READ), kind)


CELL = models.from_neurons(unrolled, lambda a: (jnp.tanh(a[0]), a[1]), silence)


@pytest.fixture(scope="module")
def sequence():
    k = jax.random.split(jax.random.key(0), 5)
    with models.float64():
        shapes = (CELLS, CELLS), (CELLS, 2), (READ, CELLS)
        weights = tuple(0.5 * jax.random.normal(a, n) for a, n in zip(k, shapes, strict=False))
        x, y = jax.random.normal(k[3], (STEPS, 2)), jax.random.normal(k[4], (STEPS, READ))

        def loss(weights):
            def step(h, x):
                h = jnp.tanh(weights[0] @ h + weights[1] @ x)
                return h, weights[2] @ h

            return jnp.sum((jax.lax.scan(step, jnp.zeros(CELLS), x)[1] - y) ** 2) / 2

        through_time = jax.grad(loss)(weights)
    return (CELL, lambda o, y: jnp.sum((o - y) ** 2) / 2, weights, x, y), through_time


def test_a_sequence_is_a_circuit_whose_exact_gradient_is_backprop_through_time(sequence):
    system, through_time = sequence
    assert off(models.exact_gradient(*system), through_time) < 1e-12
    carried = ROWS[23].estimator(*system, matrices=system[2])  # feedback by the weights themselves
    assert off(carried, through_time) < 1e-12


@pytest.mark.parametrize("row, expected", [(68, 1), (88, 2)])
def test_rows_that_take_any_neurons_tend_to_backprop_through_time(sequence, row, expected):
    assert order(row, *sequence) == pytest.approx(expected, abs=0.1)


def test_control_and_broadcast_take_outputs_that_are_no_vector(sequence):
    system, through_time = sequence
    rule = ROWS[74].estimator
    tends_to = rule.oracle(*system)
    assert order(74, system, tends_to) == pytest.approx(1, abs=0.1) and off(tends_to, through_time) > 0.1
    weights, x = system[2:4]
    h = np.tanh(np.zeros((STEPS, CELLS)))
    for t in range(STEPS):
        h[t] = np.tanh(np.asarray(weights[0]) @ (h[t - 1] if t else 0 * h[0]) + np.asarray(weights[1]) @ np.asarray(x[t]))
    error = h @ np.asarray(weights[2]).T - np.asarray(system[4])
    told = np.random.default_rng(1).normal(size=(STEPS, CELLS, STEPS * READ))
    heard = np.einsum("tco,o->tc", told, error.reshape(-1))
    matrices = jnp.asarray(told), jnp.zeros((STEPS, READ, STEPS * READ))
    found = ROWS[24].estimator(*system, matrices=matrices)
    assert off(found[1], ((1 - h**2) * heard).T @ np.asarray(x)) < 1e-12


# A random graph of resistors and diodes --------------------------------------------------------------------------

FREE, SOURCES = 9, 3
RANDOM = np.random.default_rng(0)
WIRES = [w for w in itertools.combinations(range(FREE + SOURCES), 2) if RANDOM.random() < 0.55 and w[0] < FREE]
ENDS = np.array(WIRES).T


def power(conductances, s, x):
    v = jnp.concatenate([s[0], x])
    return jnp.sum(conductances * (v[ENDS[0]] - v[ENDS[1]]) ** 2) / 2


def diodes(s):
    v = s[0]
    return (jnp.concatenate([jnp.maximum(v[:3], 0), jnp.minimum(v[3:6], 0), v[6:]]),)


GRAPH = models.from_energy(
    power,
    lambda g, x: (jnp.zeros(FREE),),
    rate=0.05,
    project=diodes,
    output=lambda s: s[0][-2:],
    with_output=lambda s, o: (s[0].at[-2:].set(o),),
)


def voltages(conductances, x):
    """Kirchhoff's law for every choice of diodes that conduct, until their signs agree."""
    laplacian = np.zeros((FREE + SOURCES,) * 2)
    for g, (i, j) in zip(conductances, WIRES, strict=True):
        laplacian[[i, j], [i, j]] += g
        laplacian[[i, j], [j, i]] -= g
    for held in itertools.product([False, True], repeat=6):
        free = [k for k in range(FREE) if k >= 6 or not held[k]]
        v = np.zeros(FREE)
        v[free] = np.linalg.solve(laplacian[np.ix_(free, free)], -laplacian[free][:, FREE:] @ x)
        current = laplacian[:FREE] @ np.concatenate([v, x])
        sides = np.array([1, 1, 1, -1, -1, -1])
        if (sides * v[:6] > -1e-12).all() and (sides * current[:6] > -1e-12).all():
            return v
    raise AssertionError("no state of the diodes agrees")


def test_a_graph_of_resistors_and_diodes_learns_by_nudges_and_by_clamps():
    conductances, x, y = RANDOM.uniform(0.3, 1.5, len(WIRES)), np.array([1.0, -1.0, 0.5]), np.array([0.1, -0.2])
    system = GRAPH, models.squared_error, jnp.asarray(conductances), jnp.asarray(x), jnp.asarray(y)

    def loss(g):
        return np.sum((voltages(g, x)[-2:] - y) ** 2) / 2

    steps = 1e-6 * np.eye(len(WIRES))
    slopes = np.array([(loss(conductances + d) - loss(conductances - d)) / 2e-6 for d in steps])
    with models.float64():
        assert off(models.exact_gradient(*system), slopes) < 1e-7
        assert off(ROWS[52].estimator(*system, beta=0.01), slopes) < 1e-4
        clamped = ROWS[59].estimator(*system, beta=1e-4)
    # coupled learning: the power with the outputs held a little nearer to the target, less that of free ones
    v = voltages(conductances, x)
    held = v[-2:] + 1e-4 * (y - v[-2:])
    bottom = np.asarray(models.solved(_clamped(system, held), models.solvers.newton())[0])
    across = [np.concatenate([u, x])[ENDS[0]] - np.concatenate([u, x])[ENDS[1]] for u in (bottom, v)]
    assert off(clamped, (across[0] ** 2 - across[1] ** 2) / 2e-4) < 1e-4


def _clamped(system, held):
    return models.solvers.Problem(system[0], system[2], system[3], clamp=jnp.asarray(held))


# A convolution of one's own: 5 x 5 in steps of 2, by jax.lax -----------------------------------------------------


def strided(w, s):
    return jax.lax.conv_general_dilated(s[None], w, (2, 2), "VALID", dimension_numbers=("NHWC", "OHWI", "NHWC"))[0]


LAYERS = Linear(strided, (11, 11, 2), (3, 5, 5, 2), places=16), Convolution((4, 4, 3), 4, padding=1), Pooling((4, 4, 4)), 3


def test_an_operator_of_jax_lax_takes_complex_nudges():
    first = LAYERS[0]
    w, s = (jnp.asarray(RANDOM.normal(size=n)) for n in (first.shape, first.inputs))
    with models.float64():
        assert off(first(w, s * (1 + 2j)), first(w, s) * (1 + 2j)) < 1e-12
        assert off(first.transposed(w, 1j * first(w, s)), 1j * first.transposed(w, first(w, s))) < 1e-12


def test_feedback_of_such_a_net_becomes_its_transpose():
    net = models.Feedforward(LAYERS, jnp.tanh)
    weights = net.random_parameters(jax.random.key(0))
    feedback = tuple(a.twin.normal(jax.random.key(k)) for k, a in enumerate(net.maps[1:]))
    x, y = jax.random.normal(jax.random.key(2), (11, 11, 2)), jnp.array([1.0, 0.0, 0.0])
    before = off(feedback, transposes(net, weights))
    g = ROWS[26].estimator(net, models.squared_error, weights, x, y, matrices=feedback)
    weights, feedback = kolen_pollack(net, weights, feedback, g, rate=0.1, decay=0.5)
    with models.float64():
        gap = ravel_pytree(transposes(net, weights))[0] - ravel_pytree(feedback)[0]
        assert off(feedback, transposes(net, weights)) < before and np.isfinite(gap).all()


# What contradicts itself -----------------------------------------------------------------------------------------


def test_the_oracle_refuses_an_output_that_is_a_function_of_states():
    mine = models.from_energy(
        lambda p, s, x: jnp.sum((s[0] - p * x) ** 2) / 2,
        lambda p, x: (jnp.zeros(3),),
        output=lambda s: jnp.sin(s[0][:2]),
        with_output=lambda s, o: (s[0].at[:2].set(jnp.arcsin(o)),),
    )
    with pytest.raises(ValueError, match="exact_gradient: .*does not set what output reads.*into the objective"):
        models.exact_gradient(mine, models.squared_error, jnp.array(0.5), jnp.ones(3), jnp.zeros(2))


def test_blocks_say_what_is_missing():
    mine = models.from_energy(lambda p, s, x: jnp.sum((s[0] - p @ x) ** 2) / 2, lambda p, x: (jnp.zeros(3),))
    chain = Chain((mine, models.Feedforward((3, 2), jnp.tanh)))
    with pytest.raises(ValueError, match="parameters: Own draws none of its own; give those to begin with"):
        chain.random_parameters(jax.random.key(0))
    weights = jnp.ones((3, 2)), chain.blocks[1].random_parameters(jax.random.key(0))
    system = chain, models.squared_error, weights, jnp.ones(2), jnp.zeros(2)
    with pytest.raises(ValueError, match="rules: 1, blocks: 2; give a rule for each block"):
        chain_gradient(*system, [ROWS[57].estimator])
    with pytest.raises(models.Unsuitable, match="block 0: row 57 .* needs what Own lacks: 'chain'"):
        chain_gradient(*system, [ROWS[57].estimator] * 2)
    mixed = chain_gradient(*system, [ROWS[52].estimator, ROWS[57].estimator])
    assert off(mixed, models.exact_gradient(*system)) < 0.01


@pytest.mark.parametrize(
    "given, error, told",
    [
        ({"settings": {"betta": 1}}, TypeError, "row 57 .*: betta unknown; there is alpha, beta"),
        ({"project": lambda p: p[:1]}, ValueError, "project: gives parameters of .*give the same tree"),
    ],
)
def test_training_refuses_what_the_rule_does_not_know(given, error, told):
    data = np.ones((8, 4)), np.arange(8) % 2, np.ones((4, 4)), np.arange(4) % 2
    with pytest.raises(error, match=told) as found:
        models.train(ROWS[57].estimator, models.Feedforward((4, 3, 2)), models.squared_error, data, epochs=1, batch=4, **given)
    assert "\n" not in str(found.value)
