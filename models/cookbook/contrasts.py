"""Rows 51 to 54, 58, 59: contrast of nudged states."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import numpy as np
from jax import numpy as jnp

from ..estimators.contrast import Stencil, centered, contrast, extrapolated, one_sided, roots_of_unity
from ..estimators.estimator import Estimator
from ..estimators.implicit import clamp_gradient, exact_gradient
from ..nudges import clamped
from ..solvers import Problem, newton
from . import systems
from .findings import above, angle, below, equal, flat, refused, relative_error, slope
from .row import row


def _estimate(stencil, **fixed):
    @partial(jax.jit, static_argnums=(0, 1))
    def compiled(circuit, objective, parameters, x, y, points, weights):
        return contrast(circuit, objective, parameters, x, y, Stencil(points, weights), **fixed)

    def estimate(circuit, objective, parameters, x, y, beta=0.1):
        return compiled(circuit, objective, parameters, x, y, *map(jnp.asarray, stencil(beta)))

    return estimate


ONE_SIDED = Estimator(51, "EP, one-sided", _estimate(one_sided), frozenset({"energy"}), order=1, largest=0.05)
CENTERED = Estimator(52, "EP, centered", _estimate(centered), frozenset({"energy"}), order=2)
EXTRAPOLATED = Estimator(53, "EP, four points", _estimate(extrapolated), frozenset({"energy"}), order=4)


def holomorphic(points: int) -> Estimator:
    """Row 54 with so many points."""
    return Estimator(54, f"holomorphic EP, N = {points}", _estimate(partial(roots_of_unity, points=points)),
                     frozenset({"energy", "analytic"}), order=points, largest=0.1)


COUPLED = Estimator(59, "coupled learning", _estimate(one_sided, nudge=clamped), frozenset({"energy"}), clamp_gradient,
                    "dJ with H_eff", order=1, largest=0.05)

_parts = {"circuit": "layered Hopfield net", "nudge": "weak", "solver": "coordinate descent, Newton", "schedule": "two phases"}


@row(51, "Equilibrium propagation, one-sided", "3.1, Eq. 8", estimator=ONE_SIDED, systems=[systems.hopfield], **_parts)
def one_sided_law(seed):
    """The mean over both signs of beta has no error of first order."""
    s = systems.hopfield(seed)
    both = jax.tree.map(lambda a, b: (a + b) / 2, ONE_SIDED(*s, beta=0.01), ONE_SIDED(*s, beta=-0.01))
    yield below("error of the mean over both signs, b = 0.01", relative_error(both, exact_gradient(*s)), 1e-3)


@row(52, "Equilibrium propagation, centered", "3.1, Eq. 8", estimator=CENTERED, systems=[systems.hopfield], **_parts)
def centered_law(seed):
    """It is the mean of both one-sided estimates, and no estimate at all without a symmetric Jacobian."""
    s = systems.hopfield(seed)
    both = jax.tree.map(lambda a, b: (a + b) / 2, ONE_SIDED(*s, beta=0.1), ONE_SIDED(*s, beta=-0.1))
    yield equal("the mean of the one-sided estimates", CENTERED(*s, beta=0.1), both, 1e-9)
    yield refused("an asymmetric circuit is refused", lambda: CENTERED(*systems.equilibrium(seed)))


@row(53, "Equilibrium propagation, four points", "3.1", estimator=EXTRAPOLATED, systems=[systems.hopfield], **_parts)
def extrapolated_law(seed):
    """At b = 0.1 it is far closer than two points."""
    s = systems.hopfield(seed)
    exact = exact_gradient(*s)
    ratio = relative_error(EXTRAPOLATED(*s, beta=0.1), exact) / relative_error(CENTERED(*s, beta=0.1), exact)
    yield below("error over that of two points, b = 0.1", ratio, 0.05)


@row(54, "Holomorphic equilibrium propagation", "3.2, erratum E5", estimator=holomorphic(4), systems=[systems.hopfield], **_parts)
def holomorphic_law(seed):
    """Error of order N; exact at N = 16 and b = 0.1; nothing with the printed sign of the phase."""
    s = systems.hopfield(seed)
    exact = exact_gradient(*s)
    yield slope("N = 3, in b", lambda b: holomorphic(3)(*s, beta=b), exact, 3, 0.1)
    yield below("error at N = 16, b = 0.1", relative_error(holomorphic(16)(*s, beta=0.1), exact), 1e-11)

    def printed(beta):
        right = roots_of_unity(beta, 24)
        return Stencil(right.points, right.weights * (right.points / beta) ** 2)

    wrong = _estimate(printed)(*s, beta=0.1)
    yield below("size of the estimate with the printed sign", np.linalg.norm(flat(wrong)) / np.linalg.norm(flat(exact)), 1e-9)


@row(58, "Contrastive Hebbian learning", "3.2", estimator="contrast: clamped, free", circuit="layered Hopfield net",
     nudge="clamp, beta = 1", solver="coordinate descent, Newton", schedule="two phases")
def hebbian_law(seed):
    """Coupled learning at beta = 1; a direction of its own, not the squared error's gradient."""
    s = systems.hopfield(seed)
    g = COUPLED(*s, beta=1.0)
    problem = Problem(s.circuit, s.parameters, s.x)
    free, held = newton()(problem).states, newton()(problem._replace(clamp=s.y)).states
    hebb = [jnp.outer(a, b) - jnp.outer(c, d) for a, b, c, d in zip(free, (s.x, *free[:-1]), held, (s.x, *held[:-1]), strict=True)]
    yield equal("the difference of coincidences", hebb, list(g), 1e-9)
    yield above("angle to the squared error's gradient, degrees", angle(g, exact_gradient(*s)), 1)
    yield below("and still a descent direction, degrees", angle(g, exact_gradient(*s)), 90)


@row(59, "Coupled learning", "3.2", estimator=COUPLED, systems=[systems.hopfield], circuit="layered Hopfield net",
     nudge="clamp, (1 - beta) free + beta y", solver="coordinate descent, Newton", schedule="two phases")
def coupled_law(seed):
    """The gradient of another cost: the squared error weighed by the stiffness of the outputs."""
    s = systems.hopfield(seed)
    both = replace(COUPLED, estimate=_estimate(centered, nudge=clamped))
    target = clamp_gradient(*s)
    yield slope("two-sided, in beta", lambda b: both(*s, beta=b), target, 2, 0.1)
    yield above("angle of its limit to the squared error's gradient, degrees", angle(target, exact_gradient(*s)), 1)
