"""Kronecker factors of operators: against NumPy, dense layers, and the Gauss-Newton matrix where they are exact; in training."""

import json

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from operator_nets import LAYERS, NET, mean_of_pairs, system
from typer.testing import CliRunner

from crossdyad import models
from crossdyad.cli import app
from crossdyad.models.images import Convolution, Pooled, Pooling
from crossdyad.models.operators import Biased, Composed, Dense, Linear, dimensions
from crossdyad.models.updates import gauss_newton_product, kronecker_direction, kronecker_factors, kronecker_step

RNG = np.random.default_rng(5)


def drawn(*shape):
    return RNG.normal(size=shape)


@pytest.mark.parametrize("over", [1, 2])
def test_factors_are_those_of_numpy(over):
    """A convolution with a border, tanh, a dense layer; a batch; every place in a loop of its own."""
    net = models.Feedforward((Pooled((4, 4, 2), 3, 3, 1, over), 2), jnp.tanh)
    w, v, xs, ys = drawn(3, 3, 3, 2), drawn(2, 48 // over**2), drawn(5, 4, 4, 2), drawn(5, 2)
    met, above, places = np.zeros((18, 18)), np.zeros((3, 3)), (4 // over) ** 2
    for x in xs:
        framed = np.zeros((6, 6, 2))
        framed[1:5, 1:5] = x
        for r in range(4 // over):
            for c in range(4 // over):
                corners = [(over * r + i, over * c + j) for i in range(over) for j in range(over)]
                a = np.mean([[framed[p + i, q + j, k] for i in range(3) for j in range(3) for k in range(2)] for p, q in corners], 0)
                met += np.outer(a, a) / 5
                slope = 1 - np.tanh([sum(a * w[k].ravel()) for k in range(3)]) ** 2
                j = v[:, 3 * (4 // over * r + c) + np.arange(3)] * slope
                above += j.T @ j / places / 5
    (found, dense) = kronecker_factors(net, models.squared_error, (w, v), xs, ys)
    assert np.allclose(found[0], met, rtol=1e-12) and np.allclose(found[1], above, rtol=1e-12)
    assert np.allclose(dense[1], np.eye(2)), "squared error's own curvature"


def test_a_window_as_large_as_the_image_is_a_dense_layer():
    w, v, xs, ys = drawn(4, 3, 3, 2), drawn(2, 4), drawn(6, 3, 3, 2), drawn(6, 2)
    given = models.cross_entropy, xs, jax.nn.softmax(ys)
    image = models.Feedforward((Convolution((3, 3, 2), 4), 2))
    units = models.Feedforward(((3, 3, 2), 4, 2))
    a, b = (kronecker_step(net, given[0], (u, v), *given[1:], 0.1) for net, u in ((image, w), (units, w.reshape(4, 18))))
    assert np.allclose(a[0].reshape(4, 18), b[0], rtol=1e-12) and np.allclose(a[1], b[1], rtol=1e-12)


def blocks(net, objective, parameters, xs, ys):
    """Mean product of each layer's block of the Gauss-Newton matrix with drawn weights, and what the factors make of them."""
    v = jax.tree.map(lambda w: drawn(*w.shape), parameters)
    for k, pair in enumerate(kronecker_factors(net, objective, parameters, xs, ys)):
        if pair:
            alone = tuple(d if j == k else jax.tree.map(jnp.zeros_like, d) for j, d in enumerate(v))
            exact = jax.vmap(lambda x, y, alone=alone: gauss_newton_product(net, objective, parameters, x, y, alone))(xs, ys)[k].mean(0)
            yield exact, (pair[1] @ v[k].reshape(len(v[k]), -1) @ pair[0]).reshape(exact.shape)


def test_blocks_are_exact_where_errors_at_two_places_are_uncorrelated():
    whole = Composed((Pooling((4, 4, 1)), Convolution((2, 2, 1), 3, 2)))  # one place, behind a pooling
    one_place = models.Feedforward((Convolution((4, 4, 1), 1, 3, 1), whole, 2), jnp.tanh)
    sample = one_place, models.cross_entropy, tuple(drawn(*a.shape) for a in one_place.maps), drawn(1, 4, 4, 1), jnp.array([[1.0, 0.0]])
    (first, found), *rest = blocks(*sample)
    assert not np.allclose(first, found, rtol=0.1), "sixteen places are correlated"
    for exact, factors in rest:
        assert np.allclose(exact, factors, rtol=1e-10)
    for operator in (Convolution((4, 4, 2), 3, 2, 1), Pooled((4, 4, 2), 3, padding=1), Biased(Dense(4, 3), 0.5)):
        last = models.Feedforward((operator,), jnp.tanh)  # no layer above mixes the places
        batch = drawn(7, *dimensions(operator.inputs)), drawn(7, *dimensions(operator.outputs))
        ((exact, factors),) = blocks(last, models.squared_error, (drawn(*operator.shape),), *batch)
        assert np.allclose(exact, factors, rtol=1e-10)


def test_what_is_unfolded_times_the_weights_is_the_map():
    behind = Composed((Convolution((4, 4, 2), 3, 3, 1), Pooling((4, 4, 3))))
    for operator in (*models.Feedforward(LAYERS).maps, Pooled((6, 4, 2), 3, 5, 2), behind, Biased(Dense((2, 2, 1), (1, 3, 1)), 2.0)):
        if operator.shape is not None:
            w, s = drawn(*operator.shape), drawn(*dimensions(operator.inputs))
            assert np.allclose(operator.folded(operator.unfolded(s) @ w.reshape(len(w), -1).T), operator(w, s), rtol=1e-12)


def test_layers_without_weights_are_left_alone_and_what_does_not_unfold_is_named():
    s = system()
    step = kronecker_step(NET, models.squared_error, s.parameters, s.x[None], s.y[None], 0.1)
    assert jax.tree.map(jnp.shape, step) == jax.tree.map(jnp.shape, s.parameters) and step[2] == ()
    own = models.Feedforward((Linear(mean_of_pairs, 6, (4, 5)), 3))
    with pytest.raises(
        models.Unsuitable, match="does not say what its weights meet.*give it `unfolded` and `folded`, or use the Hessian-free"
    ):
        kronecker_step(own, models.squared_error, (drawn(4, 5), drawn(3, 4)), drawn(1, 6), drawn(1, 3))


def test_damping_is_that_of_both_factors():
    a, s, g = drawn(3, 3), drawn(2, 2), drawn(2, 3)
    a, s = a @ a.T, s @ s.T
    inverse = [np.linalg.inv(m + 0.3 * np.eye(len(m))) for m in (s, a)]
    for damping in (0.09, jnp.array(0.09)):
        (found,) = kronecker_direction([(jnp.array(a), jnp.array(s))], (jnp.array(g),), damping)
        assert np.allclose(found, -inverse[0] @ g @ inverse[1], rtol=1e-10)


def test_the_command_trains_a_convolutional_net_by_it(tmp_path):
    given = ["train", "--reference", "82", "--channels", "4", "--hidden", "12", "--epochs", "2", "--json", "-o", str(tmp_path)]
    result = CliRunner().invoke(app, given)
    assert not result.exit_code, result.output
    assert json.loads(result.stdout)["accuracy"] > 0.7
    result = CliRunner().invoke(app, ["train", "--reference", "52", "--update", "kronecker", "-o", str(tmp_path)])
    assert result.exit_code == 2 and "update Kronecker: apply: Unsuitable: row 82" in result.stderr
