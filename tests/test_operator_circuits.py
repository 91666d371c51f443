"""Resistive nets, loops and fronts of operators: against the same net with every conductance and weight written into one matrix."""

import json

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from operator_nets import fast
from typer.testing import CliRunner

from crossdyad import models
from crossdyad.cli import app
from crossdyad.models.circuits import Equilibrium
from crossdyad.models.cookbook.findings import relative_error
from crossdyad.models.cookbook.standard import standard
from crossdyad.models.energies import Resistive
from crossdyad.models.images import Convolution, Pooled, Pooling
from crossdyad.models.operators import dimensions

RNG = np.random.default_rng(3)


def matrix(operator, w):
    """Every weight where it joins an output to an input."""
    units = np.eye(int(np.prod(operator.inputs))).reshape(-1, *dimensions(operator.inputs))
    return np.stack([np.asarray(operator(w, u)).ravel() for u in units], 1)


def test_a_resistive_net_of_operators_is_that_of_its_conductances_in_numpy():
    net = Resistive((Convolution((4, 4, 2), 2, 3, 1), Pooling((4, 4, 2)), 3), 2.0)
    assert [a.inputs for a in net.maps] == [(4, 4, 2), (4, 4, 2), (2, 2, 2)]
    with models.float64():
        g = net.random_parameters(jax.random.key(0))
    joined = [matrix(a, w) for a, w in zip(net.maps, g, strict=True)]
    assert all((w >= 0).all() and w.any() for w in joined) and g[1] == ()
    x = RNG.normal(size=(4, 4, 1))
    s, force = (tuple(RNG.normal(size=np.shape(v)) for v in net.start(g, x)) for _ in range(2))
    v = [2 * np.stack([x[..., 0], -x[..., 0]], -1).ravel(), *(np.array(a).ravel() for a in s)]
    power = sum(
        w[i, j] * (above[i] - below[j]) ** 2 / 2 for w, above, below in zip(joined, v[1:], v, strict=False) for i, j in np.ndindex(w.shape)
    )
    assert np.isclose(net.energy(g, s, x), power, rtol=1e-12)
    for k in (1, 2, 3):
        for i in range(len(v[k])):
            near = [(joined[k - 1][i], v[k - 1]), *([(joined[k][:, i], v[k + 1])] if k < 3 else [])]
            rest = (sum(w @ u for w, u in near) - np.ravel(force[k - 1])[i]) / sum(w.sum() for w, _ in near)
            v[k][i] = rest if k == 3 else max(rest, 0) if i % 2 == 0 else min(rest, 0)  # channels: one up, one down
    for found, wanted in zip(net.relax(g, s, x, force), v[1:], strict=True):
        assert np.allclose(np.ravel(found), wanted, rtol=1e-10)


@pytest.mark.parametrize("row", [9, 21, 85, *(pytest.param(row, marks=pytest.mark.slow) for row in (16, 86))])
def test_gradients_of_nets_of_operators(row):
    """Of a small net the adjoint's gradient is the slope of the cost, and nudged states tend to it."""
    s = standard(row, (Pooled((4, 4, 1), 2, padding=1), 3, 2))
    with models.float64():
        w = s.parameters or s.circuit.random_parameters(jax.random.key(1))
        w = jax.tree.map(lambda v: v * 0.8 + 0.1 * (row == 9), w)  # conductances stay positive on either side
        x, y = jax.random.uniform(jax.random.key(2), (4, 4, 1)), jnp.array([0.2, 0.1])
    exact = fast(models.exact_gradient)(s.circuit, models.squared_error, w, x, y)

    def cost(w):
        from crossdyad.models.training import predict

        return models.squared_error(predict(s.circuit, w, x), y)

    leaves, shape = jax.tree.flatten(w)
    v = [RNG.normal(size=leaf.shape) for leaf in leaves]
    up, down = (cost(jax.tree.unflatten(shape, [p + h * d for p, d in zip(leaves, v, strict=True)])) for h in (1e-5, -1e-5))
    slope = sum(float(jnp.sum(g * d)) for g, d in zip(jax.tree.leaves(exact), v, strict=True))
    assert np.isclose((up - down) / 2e-5, slope, rtol=1e-5)


def test_loops_of_operators_are_those_of_one_matrix():
    net = Equilibrium((Pooled((4, 4, 1), 2, padding=1),), 5, 2)
    with models.float64():
        (w, u) = net.random_parameters(jax.random.key(0))
    norms = [np.linalg.norm(matrix(a, v), 2) for a, v in zip(net.loops, w, strict=True)]
    assert 0.1 < norms[0] <= 0.7 and np.isclose(norms[1], 0.7), "loops contract"
    inner, outer, below = matrix(net.loops[0], w[0]), np.asarray(w[1]), matrix(net.maps[1], u[1])
    plain = Equilibrium(16, 13, 2)
    whole = np.block([[inner, np.zeros((8, 5))], [below, outer]])
    inputs = np.vstack([matrix(net.maps[0], u[0]), np.zeros((5, 16))])
    x = RNG.normal(size=(4, 4, 1))
    s = RNG.normal(size=(2, 2, 2)), RNG.normal(size=5)
    found, wanted = net.residual((w, u), s, x), plain.residual((whole, inputs), (np.concatenate([s[0].ravel(), s[1]]),), x.ravel())[0]
    assert np.allclose(np.concatenate([np.ravel(v) for v in found]), wanted, rtol=1e-12)
    y = jnp.array([0.3, -0.2])
    one = fast(models.exact_gradient)(net, models.squared_error, (w, u), x, y)
    two = fast(models.exact_gradient)(plain, models.squared_error, (whole, inputs), x.ravel(), y)
    assert relative_error((one[0][1], one[1][1]), (two[0][8:, 8:], two[0][8:, :8])) < 1e-9


@pytest.mark.slow
def test_the_command_trains_every_net_on_images(tmp_path):
    given = ["train", "--channels", "2", "--hidden", "6", "--epochs", "1", "--json", "-o", str(tmp_path)]
    for row in (9, 16, 22, 85, 86):
        given += ["--reference", str(row)]
    result = CliRunner().invoke(app, given)
    assert not result.exit_code, result.output
    assert [r["row"] for r in json.loads(result.stdout)] == [9, 16, 22, 85, 86]
