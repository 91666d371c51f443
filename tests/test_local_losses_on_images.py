"""Rows 36, 39, 40 and 41 behind two convolutions: losses of their own, and their slopes by the weights, against NumPy."""

import jax
import numpy as np
import pytest
from jax import numpy as jnp

from crossdyad import models
from crossdyad.models.estimators import greedy
from crossdyad.models.images import Convolution, Pooled

NET = models.Feedforward((Pooled((6, 6, 1), 2, padding=1), Convolution((3, 3, 2), 3, padding=1)), jnp.tanh, jnp.tanh)
UNITS, FEATURES = (18, 27), 4
RNG = np.random.default_rng(0)
WEIGHTS = tuple(0.6 * RNG.normal(size=a.shape) for a in NET.maps)


def convolved(w, s):
    """Windows of 3 x 3, zeros around: (.., rows, columns, channels)."""
    rows, columns = s.shape[-3:-1]
    wide = np.pad(s, [(0, 0)] * (s.ndim - 3) + [(1, 1), (1, 1), (0, 0)])
    return sum(wide[..., i : i + rows, j : j + columns, :] @ w[:, i, j].T for i in range(3) for j in range(3))


def block(k, w, s):
    a = convolved(w, s)
    if k == 0:  # the mean of 2 x 2 places
        a = (a[..., ::2, ::2, :] + a[..., 1::2, ::2, :] + a[..., ::2, 1::2, :] + a[..., 1::2, 1::2, :]) / 4
    return np.tanh(a)


def among(scores):
    """``-log softmax`` at the own candidate, in the mean."""
    return np.mean(np.log(np.exp(scores).sum(1)) - np.diag(scores))


def by_patches(head, s):
    v = s.reshape(*s.shape[:2], -1)
    each = [among(v[:, t] @ m.T @ v[:, t + d].T) for d, m in enumerate(head, 1) for t in range(v.shape[1] - d)]
    return np.average(each)


def by_views(head, s):
    a, b = s.reshape(2, s.shape[1], -1) @ head.T
    c = np.corrcoef(a.T, b.T)[:FEATURES, FEATURES:]
    return ((1 - np.diag(c)) ** 2).sum() + 0.05 * ((c**2).sum() - (np.diag(c) ** 2).sum())


def by_contrast(head, s):
    v = s.reshape(2 * s.shape[1], -1) @ head.T
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    scores = v @ v.T / 0.2
    np.fill_diagonal(scores, -np.inf)
    return among(np.roll(scores, len(v) // 2, 1))


def surprised(head, s, y):
    a = head @ s.ravel()
    return np.log(np.exp(a).sum()) - y @ a


def slope(loss, parameters, direction, h=1e-5):
    return (loss(parameters + h * direction) - loss(parameters - h * direction)) / (2 * h)


LOSSES = {
    39: (greedy.info_nce, by_patches, lambda n: RNG.normal(size=(2, n, n)) / n, (4, 3, 6, 6, 1)),
    40: (greedy.contrastive(0.2), by_contrast, lambda n: RNG.normal(size=(FEATURES, n)), (2, 5, 6, 6, 1)),
    41: (greedy.barlow_twins(0.05), by_views, lambda n: RNG.normal(size=(FEATURES, n)), (2, 5, 6, 6, 1)),
}


@pytest.mark.parametrize("row", LOSSES)
def test_blocks_of_convolutions_learn_from_what_is_beside_them(row):
    loss, by, head, shape = LOSSES[row]
    heads, x = tuple(map(head, UNITS)), RNG.normal(size=shape)
    blocks = [jax.vmap(jax.vmap(b, (None, 0)), (None, 0)) for b in greedy.layers(NET)]
    with models.float64():
        found = jax.jit(lambda p, h: greedy.greedy_gradient(blocks, (loss,) * 2, p, h, x, None))(WEIGHTS, heads)
    below = [x, block(0, WEIGHTS[0], x)]
    for k in (0, 1):
        v, u = RNG.normal(size=WEIGHTS[k].shape), RNG.normal(size=heads[k].shape)
        by_weights = slope(lambda w, k=k: by(heads[k], block(k, w, below[k])), WEIGHTS[k], v)
        by_head = slope(lambda m, k=k: by(m, block(k, WEIGHTS[k], below[k])), heads[k], u)
        assert abs(by_weights) > 1e-4 and abs(by_head) > 1e-4
        np.testing.assert_allclose((np.sum(found[0][k] * v), np.sum(found[1][k] * u)), (by_weights, by_head), rtol=1e-6)


def test_blocks_of_convolutions_work_on_images_that_wait():
    heads = tuple(RNG.normal(size=(3, n)) / 4 for n in UNITS)
    old, new, other, label = RNG.normal(size=(6, 6, 1)), RNG.normal(size=(6, 6, 1)), np.array([0.0, 1.0, 0.0]), np.array([1.0, 0.0, 0.0])
    blocks, losses = greedy.layers(NET), (greedy.classifier,) * 2
    with models.float64():
        waiting = greedy.buffers(blocks, WEIGHTS, old, other, 2)
        g, h, after, taken = greedy.decoupled_tick(blocks, losses, WEIGHTS, heads, waiting, new, label, 0, jax.random.key(0))
        later = greedy.decoupled_tick(blocks, losses, WEIGHTS, heads, after, old, other, 1, jax.random.key(0))[2]
    seen = [(new, label), (block(0, WEIGHTS[0], old), other)]
    for k, (s, y) in enumerate(seen):
        np.testing.assert_allclose(taken[k].inputs, s, rtol=1e-12)
        v, u = RNG.normal(size=WEIGHTS[k].shape), RNG.normal(size=heads[k].shape)
        by_weights = slope(lambda w, k=k, s=s, y=y: surprised(heads[k], block(k, w, s), y), WEIGHTS[k], v)
        by_head = slope(lambda m, k=k, s=s, y=y: surprised(m, block(k, WEIGHTS[k], s), y), heads[k], u)
        np.testing.assert_allclose((np.sum(g[k] * v), np.sum(h[k] * u)), (by_weights, by_head), rtol=1e-6)
    np.testing.assert_allclose(after[0].inputs[0], block(0, WEIGHTS[0], new), rtol=1e-12)
    np.testing.assert_array_equal(after[0].inputs[1], waiting[0].inputs[1])
    assert (after[0].written == np.array([0, -1])).all() and (later[0].written == np.array([0, 1])).all()
