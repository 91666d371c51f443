"""Rows 56, 57, 87, 88: dyads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import jax
import numpy as np

from ..estimators.dyads import dual_propagation, dual_surrogate, dyads, dyads_anywhere, odd_and_even, stored_propagation
from ..estimators.estimator import Estimator
from ..estimators.implicit import exact_gradient, read_out
from ..nudges import weak
from ..solvers import Problem, newton
from . import systems
from .findings import Finding, above, angle, below, equal, identical, refused, relative_error, slope
from .row import row
from .systems import System

_static = ("sweeps", "weighted", "adversarial", "order")
_compiled = jax.jit(dual_propagation, static_argnums=(0, 1), static_argnames=_static)
_states = jax.jit(dyads, static_argnums=(0, 1), static_argnames=_static)
_stored = jax.jit(stored_propagation, static_argnums=(0, 1))
_exact = jax.jit(exact_gradient, static_argnums=(0, 1))
ADVERSARIAL = Estimator(56, "DP dyads", partial(_compiled, alpha=0.5, sweeps=60, adversarial=True), frozenset({"chain"}), order=2)
DUAL = Estimator(
    57,
    "DP^T dyads",
    partial(_compiled, alpha=0.5, sweeps=60),
    frozenset({"chain"}),
    order=2,
    surrogate=partial(dual_surrogate, alpha=0.5, sweeps=60),
)
SUBSTITUTED = Estimator(
    87, "dyads, mean for state", partial(_compiled, alpha=0.5, sweeps=60, order=odd_and_even), frozenset({"chain"}), order=2
)
ANYWHERE = Estimator(
    88, "dyads anywhere", jax.jit(dyads_anywhere, static_argnums=(0, 1), static_argnames="solver"), frozenset({"neurons"}), order=2
)


def _drift(s, **how):
    """Return how far the mean is off the forward pass, as an `estimate` of it for `slope`."""
    return lambda b: _states(*s, beta=b, sweeps=60, **how).mean


def without_kinks(s: System, alpha: float = 0.5, adversarial: bool = False) -> float:
    """The largest power of two as beta at which both compartments of every hidden unit lie on one side of the ReLU's kink."""
    plus, minus = (alpha, 1 - alpha) if adversarial else (1 - alpha, alpha)
    for beta in 2.0 ** -np.arange(20):
        d = _states(*s, alpha=alpha, beta=beta, sweeps=60, adversarial=adversarial)
        below = [d.x, *d.mean[:-1]]
        drives = [w @ v for w, v in zip(s.parameters, below, strict=True)][:-1]
        feedback = [w.T @ e for w, e in zip(s.parameters[1:], d.difference[1:], strict=True)]
        if all(
            (((a + plus * v) > 0) == (a > 0)).all() and (((a - minus * v) > 0) == (a > 0)).all()
            for a, v in zip(drives, feedback, strict=True)
        ):
            return float(beta)
    raise ArithmeticError("ReLU net: a compartment crosses its kink at any beta down to 2**-19; take another seed")


@row(
    56,
    "Dual propagation, relaxed-adversarial form (DP)",
    "3.3, erratum E12",
    estimator=ADVERSARIAL,
    systems=[systems.tanh_net],
    circuit="chain",
    nudge="weak",
    solver="alternating sweeps",
    schedule="single phase",
)
def adversarial_law(seed: int) -> Iterator[Finding]:
    """Row 57 at alpha 1/2, exact for ReLUs at finite beta; elsewhere its mean drifts with beta and its sweeps do not settle."""
    s, r = systems.tanh_net(seed), systems.relu_net(seed)
    yield equal("alpha 1/2: DP^T's gradient", ADVERSARIAL(*s, beta=0.1), DUAL(*s, beta=0.1))
    beta = without_kinks(r, adversarial=True)
    yield equal(f"ReLU, no kink crossed at beta = {beta:g}: the exact gradient", ADVERSARIAL(*r, beta=beta), _exact(*r))
    forward = s.circuit.forward(s.parameters, s.x)[1:]
    other = partial(_compiled, *s, alpha=0.0, adversarial=True)
    yield slope("alpha 0, drift of the mean in beta", _drift(s, alpha=0.0, adversarial=True), forward, 1, 0.02)
    yield slope("alpha 0, in beta", lambda b: other(beta=b, sweeps=60), _exact(*s), 1, 0.005)
    apart = [_states(*s, alpha=0.0, beta=2.0, sweeps=n, adversarial=True).mean for n in (60, 62)]
    yield above("alpha 0, beta = 2: change from 60 to 62 sweeps", relative_error(*apart), 1e-3)


@row(
    57,
    "Dual propagation, Lagrangian form (DP^T)",
    "3.3, Eq. 10, errata E9 and E12",
    estimator=DUAL,
    systems=[systems.tanh_net],
    circuit="chain",
    nudge="weak",
    solver="alternating sweeps",
    schedule="single phase",
)
def dual_law(seed: int) -> Iterator[Finding]:
    """At alpha 0 the mean is the forward pass; ReLUs that cross no kink give the exact gradient at finite beta."""
    s = systems.tanh_net(seed)
    exact = _exact(*s)
    mean = dyads(*s, alpha=0.0, beta=0.1).mean
    yield identical("alpha 0: the mean against the forward pass", mean, s.circuit.forward(s.parameters, s.x)[1:])
    yield slope("alpha 0, in beta", lambda b: _compiled(*s, alpha=0.0, beta=b), exact, 1, 0.05)
    r = systems.relu_net(seed)
    largest = without_kinks(r)
    for beta in (largest, largest / 4):
        yield equal(f"ReLU, no kink crossed at beta = {beta:g}: the exact gradient", DUAL(*r, beta=beta), _exact(*r))
    yield above("ReLU, kinks crossed at 64 times that: error", relative_error(DUAL(*r, beta=64 * largest), _exact(*r)), 1e-3)
    wrong = relative_error(_compiled(*s, alpha=0.5, beta=0.01, sweeps=60, weighted=False), exact)
    yield above("error without the half (erratum E9)", wrong, 1)


@row(
    87,
    "Synchrony-free hierarchical update (mean substitution)",
    "3.6, Eq. 13, erratum E9",
    estimator=SUBSTITUTED,
    systems=[systems.tanh_net],
    circuit="chain",
    nudge="weak",
    solver="odd layers, then even ones",
    schedule="single phase",
)
def substitution_law(seed: int) -> Iterator[Finding]:
    """The mean is off the forward state by beta**2, and the order of the updates does not matter; kept states serve as well."""
    s = systems.tanh_net(seed)
    exact, forward = _exact(*s), s.circuit.forward(s.parameters, s.x)[1:]
    yield slope("the mean against the forward pass, in beta", _drift(s, alpha=0.5, order=odd_and_even), forward, 2, 0.1)
    yield equal("odd and even layers against up and down", SUBSTITUTED(*s, beta=0.1), DUAL(*s, beta=0.1))
    yield slope("with the forward states kept, in beta", lambda b: _stored(*s, beta=b), exact, 2, 0.1)
    ratio = relative_error(SUBSTITUTED(*s, beta=0.02), exact) / relative_error(_stored(*s, beta=0.02), exact)
    yield above("what the substitution costs: error over that with kept states", ratio, 1.01)


@partial(jax.jit, static_argnums=(0, 1))
def _contrast(circuit, objective, parameters, x, y, beta):
    """Return the contrast of nudged states, as if the Jacobian were symmetric."""
    problem = Problem(circuit, parameters, x)
    states = jax.lax.map(lambda b: newton()(weak(problem, None, objective, y, b)).states, beta * np.array([0, 1, -1]))
    free, error = jax.tree.map(lambda v: v[0], states), jax.tree.map(lambda v: (v[1] - v[2]) / (2 * beta), states)
    return read_out(circuit, parameters, x, free, error)


@row(
    88,
    "Dyads for arbitrary connectivity",
    "3.3, outlook",
    estimator=ANYWHERE,
    systems=[systems.equilibrium, systems.tanh_net],
    circuit="any of neurons",
    nudge="weak",
    solver="fixed-point sweeps",
    schedule="single phase",
)
def anywhere_law(seed: int) -> Iterator[Finding]:
    """Exact as beta falls although weights are not symmetric, where equilibrium propagation stays off; on a chain row 57."""
    s, chain = systems.equilibrium(seed), systems.tanh_net(seed)
    yield equal("on a chain DP^T's gradient", ANYWHERE(*chain, beta=0.1), DUAL(*chain, beta=0.1))
    for alpha in (0.0, 0.3):
        yield equal(
            f"and at alpha {alpha:g}", ANYWHERE(*chain, beta=0.1, alpha=alpha), _compiled(*chain, beta=0.1, alpha=alpha, sweeps=60), 1e-10
        )
    yield slope("alpha 0, in beta", lambda b: ANYWHERE(*s, beta=b, alpha=0.0), _exact(*s), 1, 0.02)
    yield refused("a circuit without a drive is refused", lambda: ANYWHERE(*systems.hopfield(seed)))

    degrees = [angle(_contrast(*s, b), _exact(*s)) for b in (0.1, 0.0125)]
    yield above("equilibrium propagation, beta = 0.0125: angle to the gradient, degrees", degrees[1], 5)
    yield below("change of that angle from beta = 0.1, degrees", np.abs(degrees[0] - degrees[1]), 1)
