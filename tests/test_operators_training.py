"""Operators in training, and what is refused: images of the wrong shape, operators that do not fit."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp
from operator_nets import LAYERS, NET, fast, largest_of_pairs, one_more, squared_weights

from crossdyad import models
from crossdyad.models.cookbook import ROWS
from crossdyad.models.cookbook.findings import relative_error
from crossdyad.models.cookbook.systems import System
from crossdyad.models.images import Convolution, Pooling
from crossdyad.models.operators import Composed, Dense, Linear

# Training ---------------------------------------------------------------------------------------------------------------


def stripes(n, seed=0):
    """Images of 6 x 6 with a bright row or column or neither."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 0.3, (n, 6, 6, 1)), np.arange(n) % 3
    for image, kind in zip(x, y, strict=True):
        at = rng.integers(6)
        if kind < 2:
            image[(at, slice(None)) if kind else (slice(None), at)] += 0.7
    return x, y


def test_training_takes_images():
    import optax

    x, y = stripes(96)
    data = (x[:64], y[:64], x[64:], y[64:])
    net = models.Feedforward((Convolution((6, 6, 1), 4), Pooling((4, 4, 4)), 3), models.relu)
    run = models.train(
        ROWS[57].estimator, net, models.cross_entropy, data, epochs=40, batch=8, optimizer=optax.adam(2e-2), settings={"alpha": 0.5}
    )
    assert run.epochs[-1]["accuracy"] > 0.8 and run.parameters[0].shape == (4, 3, 3, 1)


@pytest.mark.parametrize(
    "spoil, told",
    [
        (lambda x, y: (x * 255, y, x, y), "train images reach .*scale them"),
        (lambda x, y: (x, y, x[:, :5], y), "train inputs of shape .6, 6, 1., test inputs of .5, 6, 1."),
        (lambda x, y: (x[:, :5], y, x[:, :5], y), "takes states of shape .6, 6, 1., not .5, 6, 1."),
        (lambda x, y: (x.reshape(12, -1), y, x.reshape(12, -1), y), "takes states of shape .6, 6, 1., not .36"),
    ],
)
def test_images_of_the_wrong_shape_or_range_are_refused_in_one_line(spoil, told):
    net = models.Feedforward(LAYERS)
    with pytest.raises(ValueError, match=told) as error:
        models.train(ROWS[57].estimator, net, models.cross_entropy, spoil(*stripes(12)), epochs=1, batch=4)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "make, told",
    [
        (lambda: models.Feedforward((Convolution((6, 6, 1), 2), Pooling((5, 5, 2)), 3)), "no multiple of the window"),
        (
            lambda: models.Feedforward((Convolution((6, 6, 1), 2), Convolution((5, 5, 2), 2), 3)),
            r"layer 1, .*takes \(5, 5, 2\), the one below",
        ),
        (lambda: models.Hopfield((8, Convolution((6, 6, 1), 2), 3)), r"layer 1, .*gives \(8,\)"),
        (lambda: Convolution((2, 2, 1), 3, 5), "smaller window, or padding"),
        (lambda: Convolution((36,), 3), "rows, columns, channels"),
        (lambda: Convolution([6, 6, 1], 3), "a tuple of whole numbers"),
        (lambda: Convolution((6, 6, 1), 2.5), "channels 2.5; allowed are whole numbers from 1"),
        (lambda: Convolution((6, 6, 1), 2, padding=-1), "padding -1; allowed are whole numbers from 0"),
        (lambda: Pooling((6, 6, 1), 0), "window 0; allowed"),
        (lambda: Linear(squared_weights, 6, (3, 6)), "squared_weights: an operator that is not linear in its weights"),
        (lambda: models.Feedforward([4, 3]), "sizes: .4, 3.; give a tuple"),
        (lambda: Composed((Convolution((6, 6, 1), 2), Dense((4, 4, 2), 3))), "make them two layers"),
        (lambda: Linear(largest_of_pairs, 6), "largest_of_pairs: an operator without a transpose"),
        (lambda: Linear(one_more, 6), "one_more: an operator that is not linear"),
        (lambda: NET.forward(NET.random_parameters(jax.random.key(0))[:2], jnp.zeros((6, 6, 1))), "2 entries of parameters, 4 operators"),
    ],
)
def test_operators_that_do_not_fit_are_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()


def test_biases_are_an_operator_that_nothing_is_sent_down_by():
    net = models.Feedforward((4, 5, 3), jnp.tanh, one=0.5)
    with models.float64():
        w = jax.tree.map(lambda v: v + 0.1, net.random_parameters(jax.random.key(1)))
        s = System(net, models.squared_error, w, jnp.arange(4.0) / 4, jnp.ones(3) / 3)

        def by_columns(w):
            hidden = jnp.tanh(w[0] @ jnp.append(s.x, 0.5))
            return models.squared_error(w[1] @ jnp.append(hidden, 0.5), s.y)

        exact = jax.grad(by_columns)(w)
    assert relative_error(fast(models.exact_gradient)(*s), exact) < 1e-14
    assert relative_error(fast(models.dual_propagation)(*s, 0.5, 1e-4), exact) < 1e-7
    with pytest.raises(ValueError, match="is not dense"):
        models.Feedforward(LAYERS, one=0.5).random_parameters(jax.random.key(0))


def test_loops_that_updates_have_made_too_strong_are_brought_back_to_contracting():
    from crossdyad.models.cookbook.standard import standard

    layers = Convolution((4, 4, 1), 2, padding=1), 5, 3
    made = standard(21, layers)
    with models.float64():
        loops, below = made.circuit.random_parameters(jax.random.key(0))
        strong, kept = made.project((jax.tree.map(lambda w: 10 * w, loops), below))
        same, _ = made.project((loops, below))
    for loop, w in zip(made.circuit.loops, strong, strict=True):
        with models.float64():
            whole = jax.jacobian(lambda s, loop=loop, w=w: loop(w, s).reshape(-1))(jnp.zeros(loop.inputs))
        assert np.linalg.norm(whole.reshape(len(whole), -1), 2) < 0.9 + 1e-9
    assert all((a == b).all() for a, b in zip(jax.tree.leaves((same, kept)), jax.tree.leaves((loops, below)), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("row, least", [(2, 0.85), (9, 0.4), (16, 0.5), (21, 0.85), (85, 0.5)])
def test_rows_that_settle_learn_behind_two_convolutions(row, least):
    from crossdyad import data
    from crossdyad.models.cookbook.reference import convolved
    from crossdyad.models.cookbook.standard import learn

    digits = data.as_images(data.load("digits"))
    run = learn(row, convolved(digits, (8, 16), (32,)), digits, epochs=8, seed=1, rate=0.01)
    assert max(e["accuracy"] for e in run.epochs) > least
