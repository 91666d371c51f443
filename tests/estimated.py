"""Estimators of the reference at a chip's weights."""

import functools

import numpy as np

from crossdyad import models
from crossdyad.emulator import crossbar
from crossdyad.recipe import geometries
from crossdyad.sim import gradient

OBJECTIVES = {"squared-error": models.squared_error, "squared-hinge": models.squared_hinge}


def estimated(recipe, estimator, weights, x, y, **options):
    """Estimate the gradient of a feed-forward recipe's net by an estimator of the reference, one array (n, R, C) per layer."""
    import jax

    f, circuit = recipe.formats, gradient.circuit(recipe)
    w = tuple(g.recipe.formats.weight.decode(crossbar.seen(g.recipe, v)) for g, v in zip(geometries(recipe), weights, strict=False))
    each = functools.partial(estimator, circuit, OBJECTIVES[recipe.objective], **options)
    x = f.state.decode(f.state.samples(x))
    with models.float64():
        return [np.asarray(g) for g in jax.jit(jax.vmap(each, in_axes=(None, 0, 0)))(w, x, gradient.targets(recipe, y))]
