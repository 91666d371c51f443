"""The nets and estimators that the runs on MNIST bring along are the library's, only faster: compared on small ones."""

from functools import partial

import jax
import numpy as np
import published_nets as nets
from jax import numpy as jnp
from published import NOISE

from crossdyad import models
from crossdyad.models.cookbook import ROWS
from crossdyad.models.energies import Resistive
from crossdyad.models.estimators.contrast import one_sided
from crossdyad.models.solvers import Problem, relaxation

KEY = jax.random.key(3)
X, Y = jax.random.uniform(KEY, (7,)), jnp.eye(3)[1]


def relative(found, wanted):
    """Distance of two tuples of arrays, relative to the second."""
    a, b = (np.concatenate([np.ravel(v) for v in tree]) for tree in (found, wanted))
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def test_half_circle_is_the_exact_gradient():
    net = nets.Sigmoids((7, 6, 5, 3), nets.sigmoid, nets.sigmoid_primitive)
    p = net.random_parameters(KEY)
    rule = nets.by_stencil(54, nets.half_circle).batch
    found = jax.jit(lambda p: rule(net, models.squared_error, p, X[None], Y[None], KEY, beta=0.1, free=100, nudged=100))(p)
    exact = jax.jit(partial(models.exact_gradient, net, models.squared_error, solver=relaxation(100)))
    assert relative(found, exact(p, X, Y)) < 1e-7


def test_noise_falls_with_the_points():
    net = nets.Sigmoids((7, 6, 5, 3), nets.sigmoid, nets.sigmoid_primitive)
    p, draws = net.random_parameters(KEY), jax.random.split(KEY, 2000)

    def deviation(row, stencil, beta, noise=NOISE / 10):
        rule = nets.by_stencil(row, stencil, noise).estimate
        draw = jax.jit(jax.vmap(lambda k: rule(net, models.squared_error, p, X, Y, key=k, beta=beta, free=30, nudged=30)[0]))
        return float(jnp.linalg.norm(jnp.std(draw(draws), 0)))

    one, half = deviation(51, one_sided, 0.1), deviation(54, nets.half_circle, 0.4)
    # two reads over beta; ten over ten times a larger beta, of which eight come in pairs that share their draw
    assert abs(one / half / ((2**0.5 / 0.1) / (8**0.5 / 10 / 0.4)) - 1) < 0.05
    assert abs(deviation(51, one_sided, 0.1, NOISE / 20) / one - 0.5) < 0.01
    assert deviation(51, one_sided, 0.1, 0.0) < 1e-15


def test_driven_net_is_the_resistive_one_with_currents():
    plain, net = (kind((7, 6, 3), 2.0) for kind in (Resistive, nets.Driven))
    g, still = net.random_parameters(KEY)
    s, currents = tuple(jax.random.normal(KEY, (n,)) for n in (6, 3)), (jnp.linspace(-3, 3, 6), jnp.arange(3.0))
    assert abs(net.energy((g, still), s, X) / plain.energy(g, s, X) - 1) < 1e-12
    assert relative(jax.jit(jax.grad(net.energy))((g, still), s, X)[0], jax.jit(jax.grad(plain.energy))(g, s, X)) < 1e-12
    # what flows into a node from its neighbours and its source leaves it through its diode, or not at all
    states, _, residual = relaxation(500)(Problem(net, (g, currents), X))
    inflow = [i - c for i, c in zip(plain.currents(g, states, X), currents, strict=True)]
    assert residual < 1e-9 and relative(net.currents((g, currents), states, X), inflow) < 1e-9
    assert np.abs(inflow[1]).max() < 1e-9 < np.abs(inflow[0]).max()
    assert all(np.all(v >= 0) for v in nets.passive((tuple(v - 0.1 for v in g), still))[0])


def test_steered_is_deep_feedback_control():
    net = models.Feedforward((7, 6, 5, 3), jnp.tanh)
    p = net.random_parameters(KEY)
    found = jax.jit(jax.grad(nets.steered, 2), static_argnums=(0, 1))(net, models.squared_error, p, X, Y, 0.01)
    wanted = jax.jit(partial(ROWS[74].estimator.estimate, net, models.squared_error))
    assert relative(found, wanted(p, X, Y, beta=0.01)) < 1e-5
    assert relative(found, jax.grad(nets.loss, 2)(net, models.squared_error, p, X, Y)) > 0.1  # it is no backprop
