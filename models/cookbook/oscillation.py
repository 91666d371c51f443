"""Rows 55 and 60: nudges that oscillate."""

from __future__ import annotations

from collections.abc import Iterator

import jax
from jax import numpy as jnp

from ..estimators.estimator import Estimator
from ..estimators.implicit import exact_gradient, read_out
from ..estimators.oscillation import adiabatic_oscillation, frequency_propagation
from ..nudges import weak
from ..solvers import Problem, newton
from . import systems
from .contrasts import CENTERED
from .findings import Finding, below, equal, refused, relative_error
from .row import row

_exact = jax.jit(exact_gradient, static_argnums=(0, 1))
ADIABATIC = Estimator(
    55,
    "adiabatic oscillation",
    jax.jit(adiabatic_oscillation, static_argnums=(0, 1), static_argnames=("nudge",)),
    frozenset({"energy", "analytic"}),
    order=2,
    small="speed",
    largest=1 / 80,
)
FREQUENCY = Estimator(
    60,
    "frequency propagation",
    jax.jit(frequency_propagation, static_argnums=(0, 1), static_argnames=("steps", "solver", "nudge")),
    frozenset({"energy"}),
    order=2,
)


@row(
    55,
    "Adiabatic oscillation",
    "3.2, erratum E5",
    estimator=ADIABATIC,
    systems=[systems.hopfield],
    circuit="of an analytic energy",
    nudge="weak, turning in the complex plane",
    solver="gradient flow",
    schedule="single phase",
)
def adiabatic_law(seed: int) -> Iterator[Finding]:
    """A slow turn is exact at finite beta, where a centered difference is not."""
    s = systems.hopfield(seed)
    exact = _exact(*s)
    turned, two = ADIABATIC(*s, speed=1 / 640), CENTERED(*s, beta=0.1)
    yield below(
        "T = 640: error over that of a centered difference with the same beta",
        relative_error(turned, exact) / relative_error(two, exact),
        0.5,
    )


@row(
    60,
    "Frequency propagation",
    "3.2",
    estimator=FREQUENCY,
    systems=[systems.hopfield],
    circuit="of an energy",
    nudge="weak, sin(phase)",
    solver="coordinate descent, Newton",
    schedule="single phase",
)
def frequency_law(seed: int) -> Iterator[Finding]:
    """Mean times first harmonic of every element; four phases make it the centered difference of the states."""
    s = systems.hopfield(seed)
    x, w = s.x, s.parameters

    @jax.jit
    def at(beta):
        return newton()(weak(Problem(s.circuit, w, x), None, s.objective, s.y, beta)).states

    free, up, down = map(at, (0.0, 0.1, -0.1))
    steady = jax.tree.map(lambda a, b, c: (2 * a + b + c) / 4, free, up, down)
    difference = jax.tree.map(lambda b, c: (b - c) / 0.2, up, down)
    four = FREQUENCY(*s, beta=0.1, steps=4)
    yield equal("four phases: the centered difference", four, read_out(s.circuit, w, x, steady, difference), 1e-10)
    products = [
        -jnp.outer(d, b) - jnp.outer(a, e)
        for a, b, d, e in zip(steady, (x, *steady[:-1]), difference, (0 * x, *difference[:-1]), strict=True)
    ]
    yield equal("per element: steady times alternating", list(four), products, 1e-10)
    yield refused("an asymmetric circuit is refused", lambda: FREQUENCY(*systems.equilibrium(seed)))
