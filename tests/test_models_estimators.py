"""Dual propagation and SPSA against the exact gradient: slopes, identities, an erratum, a variance law."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from crossdyad import models

SIZES = (6, 8, 7, 6, 3)

exact_gradient = jax.jit(models.exact_gradient, static_argnums=(0, 1))
dyads = jax.jit(models.dyads, static_argnums=(0, 1), static_argnames=("sweeps", "weighted"))
dual_propagation = jax.jit(models.dual_propagation, static_argnums=(0, 1), static_argnames=("sweeps", "weighted"))
spsa_slopes = jax.jit(models.spsa_slopes, static_argnums=(0, 1))


def case(activation, seed):
    net, r = models.Feedforward(SIZES, activation), np.random.default_rng(seed)
    weights = tuple(r.normal(size=(m, n)) / np.sqrt(n) for m, n in zip(SIZES[1:], SIZES[:-1], strict=True))
    return net, weights, r.normal(size=6), r.normal(size=3)


def flat(gradient):
    return np.concatenate([np.ravel(g) for g in gradient])


def signs(n, weights):
    r = np.random.default_rng(n)
    return tuple(r.choice([-1.0, 1.0], (n, *w.shape)) for w in weights)


def error(net, weights, x, y, **how):
    exact = flat(exact_gradient(net, models.squared_error, weights, x, y))
    got = flat(dual_propagation(net, models.squared_error, weights, x, y, **how))
    return np.linalg.norm(got - exact) / np.linalg.norm(exact)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alpha, order, sweeps", [(0.0, 1, 2), (1.0, 1, 2), (0.5, 2, 10), (0.5, 2, 2)])
def test_error_falls_with_the_declared_order(alpha, order, sweeps, seed):
    """Rows 57 and 87: slope over a factor 8 in beta; one sweep each way is enough."""
    net, weights, x, y = case(jnp.tanh, seed)
    betas = 0.02 * 2.0 ** -np.arange(4)
    errors = [error(net, weights, x, y, alpha=alpha, beta=b, sweeps=sweeps) for b in betas]
    slope = np.polyfit(np.log(betas), np.log(errors), 1)[0]
    assert abs(slope - order) <= 0.15


def kink_free_beta(net, weights, x, y, alpha):
    """The largest power of two at which both compartments of every unit lie on one side of the kink."""
    for beta in 2.0 ** -np.arange(0, 40):
        d = dyads(net, models.squared_error, weights, x, y, alpha, beta, sweeps=12)
        below = [d.x, *d.mean[:-1]]
        drives = [w @ s for w, s in zip(weights, below, strict=True)][:-1]
        if all(
            (((m + (1 - alpha) * e) > 0) == (a > 0)).all() and (((m - alpha * e) > 0) == (a > 0)).all()
            for a, m, e in zip(drives, d.mean, d.difference, strict=False)
        ):
            return beta
    raise AssertionError("no beta without a crossing")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_relu_dyads_are_exact_away_from_kinks(alpha, seed):
    net, weights, x, y = case(models.relu, seed)
    beta = kink_free_beta(net, weights, x, y, alpha)
    assert beta > 1e-4
    for b in (beta, beta / 4):
        assert error(net, weights, x, y, alpha=alpha, beta=b, sweeps=12) <= 1e-12


@pytest.mark.parametrize("sweeps", [2, 3])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("activation", [jnp.tanh, models.relu, models.clip(-0.5, 0.5)])
def test_mean_is_the_inference_state(activation, alpha, sweeps):
    """Learning does not disturb inference: exactly, at any beta."""
    net, weights, x, y = case(activation, 3)
    # not compiled: fusing would round the two sides differently in the last bit
    d = models.dyads(net, models.squared_error, weights, x, y, alpha, 4.0, sweeps)
    for mean, state in zip(d.mean, net.forward(weights, x)[1:], strict=True):
        assert np.array_equal(mean, state)


def test_two_sweeps_are_the_fixed_point_at_the_ends():
    net, weights, x, y = case(jnp.tanh, 4)
    for alpha, same in ((0.0, True), (1.0, True), (0.5, False)):
        two, many = (flat(dual_propagation(net, models.squared_error, weights, x, y, alpha, 0.5, sweeps=s)) for s in (2, 12))
        assert np.array_equal(two, many) == same


def test_erratum_e9_the_factors_are_needed():
    """Without 1/2 on the feedback each layer doubles the error signal of the one above."""
    net, weights, x, y = case(jnp.tanh, 0)
    exact = exact_gradient(net, models.squared_error, weights, x, y)
    printed = dual_propagation(net, models.squared_error, weights, x, y, 0.5, 1e-4, weighted=False)
    ratios = [np.linalg.norm(p) / np.linalg.norm(g) for p, g in zip(printed, exact, strict=True)]
    np.testing.assert_allclose(ratios, [8, 4, 2, 1], rtol=1e-3)


def test_spsa_is_unbiased_and_its_variance_follows_the_law():
    """Row 29: E|g' - g|**2 = (P - 1) |g|**2 per direction, for signs."""
    net, weights, x, y = case(jnp.tanh, 2)
    exact = flat(exact_gradient(net, models.squared_error, weights, x, y))
    n, p, norm = 20_000, exact.size, np.sum(exact**2)
    u = signs(n, weights)
    slopes = spsa_slopes(net, models.squared_error, weights, x, y, u, 1e-4)
    estimates = np.asarray(slopes)[:, None] * np.concatenate([np.reshape(d, (n, -1)) for d in u], axis=1)
    squares = np.sum((estimates - exact) ** 2, axis=1) / norm
    assert abs(squares.mean() - (p - 1)) <= 3 * squares.std() / np.sqrt(n)
    z = (estimates.mean(0) - exact) / (estimates.std(0) / np.sqrt(n))
    assert abs(np.mean(z**2) - 1) <= 3 * np.sqrt(2 / p)


def test_spsa_bias_is_second_order():
    net, weights, x, y = case(jnp.tanh, 2)
    u = signs(1, weights)
    gradient = exact_gradient(net, models.squared_error, weights, x, y)
    along = sum(jnp.vdot(g, d[0]) for g, d in zip(gradient, u, strict=True))
    epsilons = 1e-2 * 2.0 ** -np.arange(4)
    errors = [abs(spsa_slopes(net, models.squared_error, weights, x, y, u, e)[0] - along) for e in epsilons]
    assert abs(np.polyfit(np.log(epsilons), np.log(errors), 1)[0] - 2) <= 0.15


def test_spsa_averages_directions():
    net = models.Feedforward((3, 2))
    weights, x, y = (np.ones((2, 3)),), np.ones(3), np.zeros(2)
    key, n = jax.random.key(3), 5
    parts = [flat(models.spsa(net, models.squared_error, weights, x, y, key, directions=n))]
    u = jax.vmap(lambda q: models.probes(q, weights))(jax.random.split(key, n))
    slopes = spsa_slopes(net, models.squared_error, weights, x, y, u, 1e-3)
    by_hand = sum(s * flat([d[i] for d in u]) for i, s in enumerate(slopes)) / n
    np.testing.assert_allclose(parts[0], by_hand, rtol=1e-12)
