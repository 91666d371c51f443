"""The reference circuit and its exact gradient, against central differences and JAX's own reverse mode."""

import functools

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from jax.flatten_util import ravel_pytree

from crossdyad import models

SIZES = (6, 8, 7, 6, 3)


def case(activation, seed):
    net, r = models.Feedforward(SIZES, activation), np.random.default_rng(seed)
    weights = tuple(r.normal(size=(m, n)) / np.sqrt(n) for m, n in zip(SIZES[1:], SIZES[:-1], strict=True))
    return net, weights, r.normal(size=6), r.normal(size=3)


@functools.partial(jax.jit, static_argnums=(0, 1))
def cost(net, objective, weights, x, y):
    return objective(net.forward(weights, x)[-1], y)


exact_gradient = jax.jit(models.exact_gradient, static_argnums=(0, 1))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("objective", [models.squared_error, models.cross_entropy])
@pytest.mark.parametrize("activation", [jnp.tanh, models.relu])
def test_exact_gradient_is_the_derivative(activation, objective, seed):
    net, weights, x, y = case(activation, seed)
    gradient = exact_gradient(net, objective, weights, x, y)
    r = np.random.default_rng(99 + seed)
    direction = [r.choice([-1.0, 1.0], w.shape) for w in weights]
    h = 1e-5

    def along(step):
        return cost(net, objective, [w + step * d for w, d in zip(weights, direction, strict=True)], x, y)

    # fourth order, so that the difference's own error stays below the tolerance
    numeric = (8 * (along(h) - along(-h)) - along(2 * h) + along(-2 * h)) / (12 * h)
    exact = sum(jnp.vdot(g, d) for g, d in zip(gradient, direction, strict=True))
    scale = np.sqrt(sum(jnp.sum(g**2) for g in gradient) * sum(d.size for d in direction))
    assert abs(numeric - exact) <= 1e-8 * scale
    reverse = jax.grad(lambda w: cost(net, objective, w, x, y))(weights)
    for g, r in zip(gradient, reverse, strict=True):
        np.testing.assert_allclose(g, r, rtol=1e-12, atol=1e-14 * scale)


def test_multipliers_solve_the_second_circuit():
    net, weights, x, y = case(jnp.tanh, 5)
    flat, split = ravel_pytree(net.forward(weights, x)[1:])
    jacobian = jax.jacobian(lambda s: ravel_pytree(net.residual(weights, split(s), x))[0])(flat)
    force = jax.grad(lambda s: models.squared_error(split(s)[-1], y))(flat)
    multipliers = models.triangular_multipliers(net, models.squared_error, weights, x, y)
    flat_multipliers = ravel_pytree(multipliers)[0]
    np.testing.assert_allclose(flat_multipliers, np.linalg.solve(jacobian.T, -force), rtol=1e-11, atol=1e-13)


def test_forward_solves_the_constraint_exactly():
    net, weights, x, _ = case(models.relu, 1)
    residual = net.residual(weights, net.forward(weights, x)[1:], x)
    assert all((r == 0).all() for r in residual)


def test_clips_limit():
    f = models.clip(-0.5, 1.0)
    assert f(jnp.array([-2.0, -0.25, 3.0])).tolist() == [-0.5, -0.25, 1.0]
