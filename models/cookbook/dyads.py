"""Rows 56, 57, 87, 88: dyads."""

from __future__ import annotations

from functools import partial

import jax

from ..estimators.dyads import dual_propagation, dyads
from ..estimators.estimator import Estimator
from ..estimators.implicit import exact_gradient
from . import systems
from .findings import above, below, identical, relative_error, slope
from .row import row

_compiled = jax.jit(dual_propagation, static_argnums=(0, 1), static_argnames=("sweeps", "weighted"))
DUAL = Estimator(57, "DP^T dyads", partial(_compiled, alpha=0.5, sweeps=60), frozenset({"chain"}), order=2)


@row(57, "Dual propagation, Lagrangian form (DP^T)", "3.3, Eq. 10, errata E9 and E12", estimator=DUAL, systems=[systems.tanh_net],
     circuit="chain", nudge="weak", solver="alternating sweeps", schedule="single phase")
def dual_law(seed):
    """At alpha 0 the mean is the forward pass; ReLUs that cross no kink give the exact gradient at finite beta."""
    s = systems.tanh_net(seed)
    exact = exact_gradient(*s)
    mean = dyads(*s, alpha=0.0, beta=0.1).mean
    yield identical("alpha 0: the mean against the forward pass", mean, s.circuit.forward(s.parameters, s.x)[1:])
    yield slope("alpha 0, in beta", lambda b: _compiled(*s, alpha=0.0, beta=b), exact, 1, 0.05)
    r = systems.relu_net(seed)
    for beta in (1e-3, 1e-4):
        yield below(f"ReLU, beta = {beta:g}: error", relative_error(DUAL(*r, beta=beta), exact_gradient(*r)), 1e-11)
    wrong = relative_error(_compiled(*s, alpha=0.5, beta=0.01, sweeps=60, weighted=False), exact)
    yield above("error without the half (erratum E9)", wrong, 1)
