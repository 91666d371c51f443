"""Rows 29 to 34: zeroth order."""

from __future__ import annotations

from functools import partial

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from ..estimators.estimator import Estimator
from ..estimators.implicit import exact_gradient
from ..estimators.probes import probes, spsa, spsa_slopes
from . import systems
from .findings import law, slope
from .row import row

SPSA = Estimator(29, "SPSA", jax.jit(spsa, static_argnums=(0, 1), static_argnames=("directions",)), frozenset({"triangular"}))


@row(29, "SPSA", "2.2, Eq. 6, erratum E3", estimator=SPSA, circuit="any with a forward pass", schedule="two passes")
def spsa_law(seed):
    """The variance of one direction is ``P - 1`` times the gradient's square; the bias is of second order in epsilon."""
    s = systems.tanh_net(seed)
    exact = ravel_pytree(exact_gradient(*s))[0]
    u = jax.vmap(partial(probes, parameters=s.parameters))(jax.random.split(jax.random.key(seed), 2000))
    slopes = jax.jit(spsa_slopes, static_argnums=(0, 1))
    directions = np.asarray(jax.vmap(lambda v: ravel_pytree(v)[0])(u))
    errors = np.asarray(slopes(*s, u, 1e-4))[:, None] * directions - np.asarray(exact)
    yield law("squared error over the gradient's square", (errors ** 2).sum(1) / (exact @ exact), exact.size - 1)
    yield slope("bias along 2000 directions, in epsilon", lambda e: slopes(*s, u, e), directions @ np.asarray(exact), 2, 0.05)
